// principal_log.go: what the principal says of its runs to those who look after the service: how each ended, in the
// log, and how many there are. All of it runs on the loop.

package main

import (
	"context"
	"log/slog"
)

// principalLevelRuns is the level of a line for each run that ended as it should: below that of what the daemon says of itself,
// for there may be thousands in an hour.
const principalLevelRuns = slog.LevelInfo - 2

// principalMaxWhy is how many bytes of a run's reason go into the log; what is more is in `cdktr show`.
const principalMaxWhy = 200

// logEnd says that a run has ended, once it has for good: a warning where somebody may have to look after it.
func (p *principal) logEnd(e *Event) {
	r := p.state.Runs[e.Run]
	if r == nil || runActive(r.State) || e.Kind != evRunFinished && e.Kind != evRunEnded {
		return
	}
	attrs := []any{"workflow", r.Workflow, "run", r.ID}
	if r.Reason != "" {
		attrs = append(attrs, "cause", textHead(r.Reason, principalMaxWhy))
	}
	if r.Agent != "" {
		attrs = append(attrs, "agent", r.Agent)
	}
	level := slog.LevelWarn
	if r.State == runSucceeded || r.State == runCancelled {
		level = principalLevelRuns
	}
	p.cfg.Log.Log(context.Background(), level, "run "+r.State, attrs...)
}

// tellCount says how many runs there are, when that has changed.
func (p *principal) tellCount() {
	if p.cfg.tell == nil || p.counted {
		return
	}
	p.counted = true
	running := 0
	for _, n := range p.running {
		running += n
	}
	p.cfg.tell(running, len(p.queue))
}
