// cli_logs_many.go: the verb logs without a run: the output of all runs that fit, one run after the other, the oldest
// first. What it keeps of them are their ids, of which there is a bound; lines it passes on as they come.

package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	logsManyRuns = 1000            // newest runs that are read; older ones are left out, and it says so
	logsManyTell = 5 * time.Second // between two remarks on how far it is
)

// logsManyJSON is a line of one of many runs.
type logsManyJSON struct {
	Workflow string `json:"workflow"`
	logJSON
}

// logsMany prints the output of many runs. One goroutine uses it.
type logsMany struct {
	c      *cli
	conn   *client
	req    Request         // for each run
	agents map[string]bool // nil: any
	runs   []*Run          // without their tasks, the oldest first
	told   time.Time       // when it last said how far it is
}

// logsAreMany says whether many runs are meant. An error says that the command line makes no sense.
func logsAreMany(c *cli, args []string) (bool, error) {
	f := c.flags
	picked := f.workflow+f.state+f.agent != "" || len(f.labels) > 0
	_, err := path.Match(f.workflow, "")
	switch {
	case len(args) > 0 && args[0] != "tail":
		if picked {
			return false, usageError("--workflow, --state, --agent and -l pick among many runs: leave %q out",
				textHead(args[0], cliEchoMost))
		}
		return false, nil
	case !picked && (f.since == "" || len(args) > 0):
		return false, nil
	case f.follow || len(args) > 0:
		return false, usageError("-f follows one run or workflow: name it")
	case err != nil:
		return false, usageError("--workflow %q is no pattern: %w", textHead(f.workflow, cliEchoMost), err)
	}
	return true, runStateKnown(f.state)
}

// doLogsMany prints them.
func doLogsMany(ctx context.Context, c *cli) error {
	m := &logsMany{c: c, told: time.Now()}
	var err error
	m.req, err = c.logsRequest([]string{"-"}) // checks the flags; the run comes later
	if err != nil {
		return err
	}
	m.req.Workflow = ""
	m.conn, err = c.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { m.conn.close() }()
	if err := m.findAgents(ctx); err != nil {
		return err
	}
	if err := m.find(ctx); err != nil {
		return err
	}
	if len(m.runs) == 0 {
		c.say("no run fits")
		return nil
	}
	from, last := 0, protoCount(0)
	if c.flags.n > 0 {
		from, last, err = m.lastLines(ctx, c.flags.n)
		if err != nil {
			return err
		}
	}
	for i, r := range m.runs[from:] {
		if err := m.print(ctx, r, last); err != nil {
			return err
		}
		last = 0
		m.tell(i+1, len(m.runs)-from)
	}
	return nil
}

// findAgents finds out which agents are meant.
func (m *logsMany) findAgents(ctx context.Context) error {
	f := m.c.flags
	if f.agent == "" && len(f.labels) == 0 {
		return nil
	}
	m.agents = map[string]bool{}
	if len(f.labels) == 0 { // it may be forgotten, and its runs are known still
		m.agents[f.agent] = true
		return nil
	}
	err := m.conn.askAll(ctx, Request{Op: "agents"}, func(r *Reply) error {
		for _, a := range r.Agents {
			fits := f.agent == "" || f.agent == a.Name
			for name, value := range f.labels {
				fits = fits && a.Labels[name] == value
			}
			if fits {
				m.agents[a.Name] = true
			}
		}
		return nil
	})
	if err == nil && len(m.agents) == 0 {
		return &exitError{code: exitRefused, err: errors.New("no agent has these labels"),
			hint: "cdktr agents lists agents and their labels"}
	}
	return err
}

// find lists the runs that fit: all those that were active since --since.
func (m *logsMany) find(ctx context.Context) error {
	f := m.c.flags
	req := Request{Op: "ps", All: true, State: f.state, N: opsPage}
	if !strings.ContainsAny(f.workflow, `*?[\`) {
		req.Workflow = f.workflow
	}
	old := func(r *Run) bool { return !r.Finished.IsZero() && r.Finished.Before(m.req.Since.Time) }
	for {
		r, err := m.conn.ask(ctx, req)
		if err != nil {
			return err
		}
		for _, run := range r.Runs {
			if m.fits(run) && !old(run) && len(m.runs) <= logsManyRuns {
				m.runs = append(m.runs, run.short())
			}
		}
		// behind a blank stands when the last of a page ended: then all that follow ended earlier
		_, ended, history := strings.Cut(r.Next, " ")
		at, _ := time.Parse(time.RFC3339Nano, ended)
		if r.Next == "" || len(m.runs) > logsManyRuns || history && at.Before(m.req.Since.Time) {
			break
		}
		req.After = r.Next
	}
	if len(m.runs) > logsManyRuns {
		m.runs = m.runs[:logsManyRuns]
		m.c.say(fmt.Sprintf("there are more runs that fit: the newest %d are read; --since makes them fewer",
			logsManyRuns))
	}
	slices.Reverse(m.runs)
	return nil
}

// fits says whether a run is one of those that are meant.
func (m *logsMany) fits(r *Run) bool {
	if pattern := m.c.flags.workflow; pattern != "" && pattern != r.Workflow {
		if ok, _ := path.Match(pattern, r.Workflow); !ok {
			return false
		}
	}
	if m.agents == nil || m.agents[r.Agent] {
		return true
	}
	return slices.ContainsFunc(r.Tasks, func(t TaskRun) bool { return m.agents[t.Agent] })
}

// lastLines finds where the last n lines begin: at which run, and with how many lines of it.
func (m *logsMany) lastLines(ctx context.Context, n int) (from int, last protoCount, err error) {
	for i := len(m.runs) - 1; i >= 0 && n > 0; i-- {
		lines := 0
		req := m.req
		req.Run, req.Last = m.runs[i].ID, protoCountOf(n)
		err := m.stream(ctx, &req, func(r *Reply) error {
			return r.eachLine(func(*LogLine) error { lines++; return nil })
		})
		if err != nil {
			return 0, 0, err
		}
		if lines > 0 {
			from, last = i, protoCountOf(lines)
		}
		n -= lines
		m.tell(len(m.runs)-i, len(m.runs))
	}
	return from, last, nil
}

// print prints the output of a run; last says how many lines of it, 0 is all.
func (m *logsMany) print(ctx context.Context, r *Run, last protoCount) error {
	req := m.req
	req.Run, req.Last = r.ID, last
	p := logsPrinterNew(m.c, &req)
	p.workflow = r.Workflow
	headed := !p.terminal || m.c.flags.json
	return m.stream(ctx, &req, func(reply *Reply) error {
		if !headed && (reply.Line != nil || len(reply.Lines) > 0) {
			headed = true
			printText(&p.page, fmt.Sprintf("-- %s %s %s", r.Workflow, r.ID, r.State))
		}
		return p.reply(reply)
	})
}

// stream asks for the output of a run. A connection that is lost is made again, and the printer passes over what comes
// twice. A run that is gone, or has no such task, has no output.
func (m *logsMany) stream(ctx context.Context, req *Request, fn func(*Reply) error) error {
	err := m.conn.stream(ctx, *req, fn)
	for again := time.Now(); dialLost(err) && time.Since(again) < m.c.patience; {
		m.conn.close()
		select {
		case <-time.After(dialAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var conn *client
		if conn, err = m.c.dial(ctx); err == nil {
			m.conn = conn
			err = conn.stream(ctx, *req, fn)
		}
	}
	if refused, ok := errors.AsType[*protoError](err); ok && refused.Code == codeNotFound {
		return nil
	}
	return err
}

// tell says now and then how far it is.
func (m *logsMany) tell(done, all int) {
	if time.Since(m.told) >= logsManyTell {
		m.told = time.Now()
		m.c.say(fmt.Sprintf("%d of %d runs are read", done, all))
	}
}
