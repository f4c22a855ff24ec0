// agent_left.go: processes of tasks that this agent could not end, because they are another user's or KILL does not end
// them. The agent's loop keeps a table of those that live, of at most protoMaxLeft attempts; further ones are in its
// log alone. It tells the principal the whole table when it changes and with each hello, and writes it to a file, so
// that the agent's next life goes on looking after them.

package main

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

const (
	agentLeftFile = "left.json" // in the agent's folder
	agentLeftSize = 1 << 20     // bytes of it that are read: the table has less
)

// agentAttempt names an attempt of a task.
type agentAttempt struct {
	Run     string `json:"run"`
	Lease   int    `json:"lease"`
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
}

// agentLeft is what an attempt has left. said has the same processes as the principal is told of them.
type agentLeft struct {
	agentAttempt
	Processes []procLeft `json:"processes"`
	said      []LeftProcess
}

// agentLeftTable is the file. What it says holds for one boot of the machine.
type agentLeftTable struct {
	Boot string      `json:"boot"`
	Left []agentLeft `json:"left"`
}

// attemptOf names the attempt that a task is at.
func (t *taskTry) attemptOf() agentAttempt {
	return agentAttempt{t.run.as.of(), t.run.as.Lease, t.name(), t.attempt}
}

// leftOf makes the function that hears of the processes of an attempt that could not be ended, for procSpec.Left. Any
// goroutine but the loop's may call it.
func (a *agent) leftOf(of agentAttempt) func([]procLeft) {
	return func(left []procLeft) {
		l := a.left.named(agentLeft{agentAttempt: of, Processes: left})
		a.call(func() {
			a.left.note(l)
			a.tellLeft()
		})
	}
}

// tellLeft tells the principal what has changed since it was told, if it takes that.
func (a *agent) tellLeft() {
	if a.conn == nil || !a.welcomed {
		return // the next hello says all
	}
	if a.left.unsaid && slices.Contains(a.theirs, msgLeft) {
		a.send(&agentMsg{Op: msgLeft, Left: a.left.held()})
	}
	a.left.unsaid = false
}

// agentLeftovers is the table. It belongs to the agent's loop.
type agentLeftovers struct {
	// set once:

	agent string // its name
	dir   string // its folder
	boot  string // this boot of the machine
	log   *slog.Logger

	live   map[agentAttempt]agentLeft
	unsaid bool // the principal was not told of the last change
}

// agentLeftoversNew makes an empty table.
func agentLeftoversNew(cfg *agentConfig) agentLeftovers {
	return agentLeftovers{agent: cfg.Name, dir: cfg.StateDir, boot: cfg.Boot, log: cfg.Log,
		live: map[agentAttempt]agentLeft{}}
}

// named fills in what the principal is told, with the names of users. It reads the passwd file. Any goroutine may call
// it.
func (t *agentLeftovers) named(l agentLeft) agentLeft {
	for _, p := range l.Processes {
		why := "KILL has not ended it"
		if p.Denied {
			why = "agent " + t.agent + " may not end what is another user's"
		}
		l.said = append(l.said, LeftProcess{Agent: t.agent, Task: l.Task, Attempt: l.Attempt, PID: p.PID,
			User: userName(userFile, p.UID), Command: p.Command, Why: why})
	}
	return l
}

// note writes into the table what an attempt has left now, which may be nothing any more.
func (t *agentLeftovers) note(l agentLeft) {
	before, known := t.live[l.agentAttempt]
	switch {
	case len(l.Processes) == 0 && !known:
		return
	case len(l.Processes) == 0:
		delete(t.live, l.agentAttempt)
		t.log.Info("what could not be ended has gone", "run", l.Run, "task", l.Task, "processes",
			leftText(before.said))
	default:
		t.log.Warn("processes of a task could not be ended", "run", l.Run, "task", l.Task, "processes",
			leftText(l.said), "cause", l.said[0].Why)
		if !known && len(t.live) == protoMaxLeft {
			return
		}
		t.live[l.agentAttempt] = l
	}
	t.write()
	t.unsaid = true
}

// sorted gives the table in an order.
func (t *agentLeftovers) sorted() []agentLeft {
	list := slices.Collect(maps.Values(t.live))
	sort.Slice(list, func(i, j int) bool {
		x, y := &list[i], &list[j]
		return cmp.Or(cmp.Compare(x.Run, y.Run), cmp.Compare(x.Lease, y.Lease), cmp.Compare(x.Task, y.Task),
			cmp.Compare(x.Attempt, y.Attempt)) < 0
	})
	return list
}

// held gives the table as it is told.
func (t *agentLeftovers) held() (held []heldLeft) {
	for _, l := range t.sorted() {
		held = append(held, heldLeft{l.Run, l.Lease, l.said})
	}
	return held
}

// write writes the table to its file, which need not be on the disk: it is of no use after the machine has booted
// again.
func (t *agentLeftovers) write() {
	name := filepath.Join(t.dir, agentLeftFile)
	if len(t.live) == 0 {
		os.Remove(name)
		return
	}
	text, err := json.Marshal(agentLeftTable{t.boot, t.sorted()})
	if err == nil {
		err = os.WriteFile(name+".new", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		t.log.Warn("the next start of this agent will not know what could not be ended", "cause", err)
	}
}

// read takes over what an earlier life could not end: what is in its table, and found, the processes that this life has
// just tried to end in vain, by their cookies. lookAfter is called for each attempt. It reads files: it is called
// before the loop begins.
func (t *agentLeftovers) read(found map[string][]procLeft, lookAfter func(agentAttempt, []procLeft)) {
	var table agentLeftTable
	text, _, err := fileRead(filepath.Join(t.dir, agentLeftFile), agentLeftSize)
	if err == nil {
		err = json.Unmarshal(text, &table)
	}
	if err != nil && !os.IsNotExist(err) {
		t.log.Warn("cannot read what an earlier life of this agent could not end", "cause", err)
	}
	if table.Boot != t.boot { // all of it has gone with the machine
		table.Left = nil
	}
	for i := range table.Left {
		l := &table.Left[i]
		l.Processes = slices.DeleteFunc(l.Processes, func(p procLeft) bool {
			return !procLives(procMember{pid: p.PID, start: p.Start})
		})
	}
	for _, cookie := range sortedKeys(found) {
		if of, ok := attemptCookieOf(cookie, t.dir); ok {
			table.Left = append(table.Left, agentLeft{agentAttempt: of, Processes: found[cookie]})
		}
	}
	seen := map[int]bool{}
	for _, l := range table.Left {
		if t.take(l, seen) {
			lookAfter(l.agentAttempt, t.live[l.agentAttempt].Processes)
		}
	}
	t.write()
}

// take takes over processes that an earlier life could not end, if there is room for them. seen has those that were
// taken over already.
func (t *agentLeftovers) take(l agentLeft, seen map[int]bool) bool {
	l.Processes = slices.DeleteFunc(l.Processes, func(p procLeft) bool { return seen[p.PID] })
	if len(l.Processes) == 0 || len(t.live) == protoMaxLeft {
		return false
	}
	for _, p := range l.Processes {
		seen[p.PID] = true
	}
	t.live[l.agentAttempt] = t.named(l)
	t.log.Warn("what an earlier life of this agent could not end still lives", "run", l.Run, "task", l.Task,
		"processes", leftText(t.live[l.agentAttempt].said))
	return true
}
