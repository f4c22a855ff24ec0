// agent_left.go: processes of tasks that this agent could not end, because they are another user's or KILL does not end
// them. The agent's loop keeps a table of those that live, of at most protoMaxLeft attempts; further ones are in its
// log alone. It tells the principal the whole table when it changes and with each hello, and writes it to a file, so
// that the agent's next life goes on looking after them.

package main

import (
	"cmp"
	"encoding/json"
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
	return agentAttempt{t.run.as.Run, t.run.as.Lease, t.task().ID, t.attempt}
}

// leftOf makes the function that hears of the processes of an attempt that could not be ended, for procSpec.Left. Any
// goroutine but the loop's may call it.
func (a *agent) leftOf(of agentAttempt) func([]procLeft) {
	return func(left []procLeft) {
		l := a.leftNamed(agentLeft{agentAttempt: of, Processes: left})
		a.call(func() { a.noteLeft(l) })
	}
}

// leftNamed fills in what the principal is told, with the names of users. It reads the passwd file.
func (a *agent) leftNamed(l agentLeft) agentLeft {
	for _, p := range l.Processes {
		why := "KILL has not ended it"
		if p.Denied {
			why = "agent " + a.cfg.Name + " may not end what is another user's"
		}
		l.said = append(l.said, LeftProcess{Agent: a.cfg.Name, Task: l.Task, Attempt: l.Attempt, PID: p.PID,
			User: userName(userFile, p.UID), Command: p.Command, Why: why})
	}
	return l
}

// noteLeft writes into the table what an attempt has left now, which may be nothing any more.
func (a *agent) noteLeft(l agentLeft) {
	before, known := a.left[l.agentAttempt]
	switch {
	case len(l.Processes) == 0 && !known:
		return
	case len(l.Processes) == 0:
		delete(a.left, l.agentAttempt)
		a.cfg.Log.Info("what could not be ended has gone", "run", l.Run, "task", l.Task, "processes",
			leftText(before.said))
	default:
		a.cfg.Log.Warn("processes of a task could not be ended", "run", l.Run, "task", l.Task, "processes",
			leftText(l.said), "cause", l.said[0].Why)
		if !known && len(a.left) == protoMaxLeft {
			return
		}
		a.left[l.agentAttempt] = l
	}
	a.writeLeft()
	a.unsaidLeft = true
	if a.conn != nil && a.welcomed {
		a.tellLeft()
	}
}

// tellLeft tells the principal what has changed since the hello, if the principal takes that.
func (a *agent) tellLeft() {
	if a.unsaidLeft && slices.Contains(a.theirs, msgLeft) {
		a.send(&agentMsg{Op: msgLeft, Left: a.heldLeft()})
	}
	a.unsaidLeft = false
}

// sortedLeft gives the table in an order.
func (a *agent) sortedLeft() []agentLeft {
	list := slices.Collect(maps.Values(a.left))
	sort.Slice(list, func(i, j int) bool {
		x, y := &list[i], &list[j]
		return cmp.Or(cmp.Compare(x.Run, y.Run), cmp.Compare(x.Lease, y.Lease), cmp.Compare(x.Task, y.Task),
			cmp.Compare(x.Attempt, y.Attempt)) < 0
	})
	return list
}

// heldLeft gives the table as it is told.
func (a *agent) heldLeft() (held []heldLeft) {
	for _, l := range a.sortedLeft() {
		held = append(held, heldLeft{l.Run, l.Lease, l.said})
	}
	return held
}

// writeLeft writes the table to its file, which need not be on the disk: it is of no use after the machine has booted
// again.
func (a *agent) writeLeft() {
	name := filepath.Join(a.cfg.StateDir, agentLeftFile)
	if len(a.left) == 0 {
		os.Remove(name)
		return
	}
	text, err := json.Marshal(agentLeftTable{a.cfg.Boot, a.sortedLeft()})
	if err == nil {
		err = os.WriteFile(name+".new", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		a.cfg.Log.Warn("the next start of this agent will not know what could not be ended", "cause", err)
	}
}

// readLeft takes over what an earlier life could not end: what is in its table, and found, the processes that this life
// has just tried to end in vain, by their cookies. It reads files: it is called before the loop begins.
func (a *agent) readLeft(found map[string][]procLeft) {
	var table agentLeftTable
	text, _, err := fileRead(filepath.Join(a.cfg.StateDir, agentLeftFile), agentLeftSize)
	if err == nil {
		err = json.Unmarshal(text, &table)
	}
	if err != nil && !os.IsNotExist(err) {
		a.cfg.Log.Warn("cannot read what an earlier life of this agent could not end", "cause", err)
	}
	if table.Boot != a.cfg.Boot { // all of it has gone with the machine
		table.Left = nil
	}
	seen := map[int]bool{}
	for _, l := range table.Left {
		l.Processes = slices.DeleteFunc(l.Processes, func(p procLeft) bool {
			return !procLives(procMember{pid: p.PID, start: p.Start})
		})
		a.takeLeft(l, seen)
	}
	for _, cookie := range sortedKeys(found) {
		if of, ok := attemptCookieOf(cookie, a.cfg.StateDir); ok {
			a.takeLeft(agentLeft{agentAttempt: of, Processes: found[cookie]}, seen)
		}
	}
	a.writeLeft()
}

// takeLeft goes on looking after processes that an earlier life could not end. seen has those that are looked after
// already.
func (a *agent) takeLeft(l agentLeft, seen map[int]bool) {
	l.Processes = slices.DeleteFunc(l.Processes, func(p procLeft) bool { return seen[p.PID] })
	if len(l.Processes) == 0 || len(a.left) == protoMaxLeft {
		return
	}
	for _, p := range l.Processes {
		seen[p.PID] = true
	}
	a.left[l.agentAttempt] = a.leftNamed(l)
	a.cfg.Log.Warn("what an earlier life of this agent could not end still lives", "run", l.Run, "task", l.Task,
		"processes", leftText(a.left[l.agentAttempt].said))
	a.procs.lookAfter(l.Processes, a.leftOf(l.agentAttempt))
}
