// cli_list_watch.go: --watch of ls, ps and agents: first a line for each row of the list, then a line for each
// change. They are plain lines, for a pipe, a log, or a person who listens to a screen.

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const watchHelp = "go on with a line for each change, until interrupted"

// watchedLine is what is printed of one change: with --json the row, else the text.
type watchedLine struct {
	id   string // of the row; a line that repeats its row's last line is not printed
	row  any
	text string // safe for a terminal; the only escapes in it are colours
	over bool   // the row will not change any more: forget it
}

// watchGone is the JSON of a row's last line, when the row is gone.
type watchGone struct {
	Workflow string `json:"workflow,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Gone     bool   `json:"gone"`
}

// watchLines follows the lists, and prints the lines that fn makes of each reply, with the time in front: first those
// of what there is, then those of what changes. With newestFirst the replies have the newest row first, and it is
// printed last. A line that repeats its row's last line is left out.
func (c *cli) watchLines(ctx context.Context, conn *client, n int, newestFirst bool,
	fn func(r *Reply, live bool) []watchedLine) error {
	printed := map[string]string{} // the last line of each row
	var first []watchedLine        // the lines of what there is
	live := false                  // what there is has been printed
	say := func(line watchedLine) error {
		if c.flags.json {
			return printJSON(c.out, line.row)
		}
		if printed[line.id] == line.text {
			return nil
		}
		printed[line.id] = line.text
		if line.over {
			delete(printed, line.id)
		}
		_, err := fmt.Fprintln(termRaw(c.out), time.Now().Format("15:04:05"), line.text)
		return err
	}
	err := conn.stream(ctx, Request{Op: "watch", N: protoCountOf(n)}, func(r *Reply) error {
		lines := fn(r, live)
		if !live {
			first = append(first, lines...)
			if !r.Live {
				return nil
			}
			lines, first, live = first, nil, true
		}
		if newestFirst {
			slices.Reverse(lines)
		}
		for _, line := range lines {
			if err := say(line); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	return err
}

// watchRuns is ps --watch: the active runs (with --all or --state, the newest that have ended too), and their changes.
func (c *cli) watchRuns(ctx context.Context, conn *client) error {
	since, err := sinceOf(c.flags.since, time.Now())
	if err != nil {
		return err
	}
	p := c.painter()
	return c.watchLines(ctx, conn, c.flags.n, true, func(r *Reply, live bool) []watchedLine {
		var lines []watchedLine
		for _, row := range r.Rows {
			if row.Run == nil || !c.flags.watchWants(row, live) || row.Queued.Before(since.Time) {
				continue
			}
			over := !runActive(row.State)
			lines = append(lines, watchedLine{id: row.ID, row: row, text: p.watchedRun(row), over: over})
		}
		return lines
	})
}

// watchWants says whether the flags of ps --watch ask for a row. Runs that had ended before are left out, except where
// --all or --state asks for them.
func (f *cliFlags) watchWants(row RunRow, live bool) bool {
	switch {
	case f.workflow != "" && row.Workflow != f.workflow, f.batch != "" && row.Batch != f.batch:
		return false
	case f.state != "":
		return row.State == f.state
	}
	return live || f.all || f.batch != "" || runActive(row.State)
}

// watchedRun is a run in one line.
func (p *painter) watchedRun(row RunRow) string {
	glyph, color := stateLooks(row.State)
	rest := fmt.Sprintf("%s  %s  %d/%d", row.ID, row.Workflow, row.Done, row.Total)
	if row.Agent != "" {
		rest += "  on " + row.Agent
	}
	if !row.Finished.IsZero() {
		rest += "  " + tookText(row.Seconds)
	}
	if row.Reason != "" {
		rest += "  " + row.Reason
	}
	return p.paint(color, fmt.Sprintf("%s %-9s", glyph, row.State)) + "  " + p.paint("", rest)
}

// watchWorkflows is ls --watch: the workflows that match, and their changes.
func (c *cli) watchWorkflows(ctx context.Context, conn *client, pattern string) error {
	p := c.painter()
	return c.watchLines(ctx, conn, 1, false, func(r *Reply, _ bool) []watchedLine {
		var lines []watchedLine
		for i := range r.Workflows {
			if w := &r.Workflows[i]; idMatches(pattern, w.Workflow) {
				lines = append(lines, watchedLine{id: w.Workflow, row: w, text: p.watchedWorkflow(w)})
			}
		}
		for _, id := range r.Gone {
			if idMatches(pattern, id) {
				lines = append(lines, watchedLine{id: id, row: watchGone{Workflow: id, Gone: true},
					text: p.paint("", id+"  gone"), over: true})
			}
		}
		return lines
	})
}

// watchedWorkflow is a workflow in one line.
func (p *painter) watchedWorkflow(w *WorkflowInfo) string {
	words := []string{p.paint("", w.Workflow)}
	marks := ""
	for _, o := range w.Recent {
		glyph, color := stateLooks(o.State)
		marks += p.paint(color, glyph)
	}
	if marks != "" {
		words = append(words, marks)
	}
	switch {
	case w.Paused != "":
		words = append(words, p.paint("", "paused by "+pausedText(w, time.Now())))
	case !w.Next.IsZero():
		words = append(words, "next "+w.Next.Local().Format("2006-01-02 15:04:05"))
	}
	if w.Last != nil {
		words = append(words, p.paint("", w.Last.State+" "+w.Last.ID))
	}
	if w.Error != "" {
		words = append(words, p.paint(colorRed, "# does not load: "+w.Error))
	}
	return strings.Join(words, "  ")
}

// watchAgents is agents --watch: the agents, and their changes.
func (c *cli) watchAgents(ctx context.Context, conn *client) error {
	p := c.painter()
	return c.watchLines(ctx, conn, 1, false, func(r *Reply, _ bool) []watchedLine {
		var lines []watchedLine
		for _, a := range r.Agents {
			looks := agentLooks(a.State)
			text := fmt.Sprintf("%s  %d/%d  %s", a.Name, a.Running, a.Capacity, a.Version)
			if len(a.Labels) > 0 {
				text += "  " + labelsText(a.Labels)
			}
			text = p.paint(looks.color, fmt.Sprintf("%-7s", looks.text)) + "  " + p.paint("", text)
			lines = append(lines, watchedLine{id: a.Name, row: a, text: text})
		}
		for _, name := range r.GoneAgents {
			lines = append(lines, watchedLine{id: name, row: watchGone{Agent: name, Gone: true},
				text: p.paint("", name+"  forgotten"), over: true})
		}
		return lines
	})
}
