// agent_ahead.go: runs that the agent was given before it has a place for them. They wait here, in the order in which
// they came, and begin as soon as a place is free. What has not begun goes back to the principal when it has waited for
// agentAhead, when the principal asks for it, and when the agent is to take no more runs. What waits when the
// connection ends is forgotten: the next hello does not list it, and the principal gives it to somebody. All of it is
// the loop's.

package main

import (
	"fmt"
	"slices"
	"time"
)

// agentAhead is how long a run that was given ahead may wait here for a place.
const agentAhead = 200 * time.Millisecond

// aheadRun is a run that waits for a place.
type aheadRun struct {
	as    *assignment
	timer *time.Timer // gives it back
}

// take begins a run, or keeps it until there is a place for it if it was given ahead.
func (a *agent) take(as *assignment) {
	switch {
	case !as.Ahead || a.runs[as.Run] != nil || as.Spec == nil || a.asks.hasPlace() && !a.draining:
		a.begin(as)
	case a.draining:
		a.giveBack(as, a.noMore())
	default:
		a.ahead = append(a.ahead, aheadRun{as, time.AfterFunc(agentAhead, func() {
			a.call(func() {
				if a.aheadGone(as.Run, as.Lease) != nil {
					a.giveBack(as, fmt.Sprintf("agent %s had no place for it within %v", a.cfg.Name, agentAhead))
				}
			})
		})})
	}
}

// beginAhead begins what was given ahead, as far as there are places.
func (a *agent) beginAhead() {
	for len(a.ahead) > 0 && a.asks.hasPlace() && !a.draining {
		next := a.ahead[0].as
		a.aheadGone(next.Run, next.Lease)
		a.begin(next)
	}
}

// aheadGone takes a run off those that wait for a place; with lease 0 whatever its lease is. It gives nil when the run
// is not among them.
func (a *agent) aheadGone(run string, lease int) *assignment {
	at := slices.IndexFunc(a.ahead, func(h aheadRun) bool {
		return h.as.Run == run && (lease == 0 || h.as.Lease == lease)
	})
	if at < 0 {
		return nil
	}
	gone := a.ahead[at]
	gone.timer.Stop()
	a.ahead = slices.Delete(a.ahead, at, at+1)
	return gone.as
}

// giveBack tells the principal that a run has not begun and will not.
func (a *agent) giveBack(as *assignment, reason string) {
	delete(a.followed, as.Run)
	a.send(&agentMsg{Op: msgReturn, Run: as.Run, Lease: as.Lease, Reason: reason})
}

// noMore is why a run goes back when this agent ends, or when the principal asks for what waits: then it is drained.
func (a *agent) noMore() string { return "agent " + a.cfg.Name + " takes no more runs" }

// giveAllBack gives back all that waits for a place.
func (a *agent) giveAllBack() {
	for len(a.ahead) > 0 {
		next := a.ahead[0].as
		a.aheadGone(next.Run, next.Lease)
		a.giveBack(next, a.noMore())
	}
}

// cancelAhead ends a run that waits for a place, because the principal says so. Without drop it hears that.
func (a *agent) cancelAhead(m *agentMsg) {
	as := a.aheadGone(m.Run, 0)
	if as == nil {
		return
	}
	delete(a.followed, m.Run)
	if !m.Drop {
		a.finishRun(&agentRun{as: as, lines: as.Lines, began: a.now()}, runCancelled, m.Reason)
	}
}
