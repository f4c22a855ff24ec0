// exec_left.go: what cannot be ended of a task: processes of another user, which the system does not let us signal, and
// those that KILL does not end.

package main

import (
	"errors"
	"slices"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	procMaxLeft    = 8   // so many processes of an attempt are told; others follow when some of these have gone
	procMaxCommand = 100 // bytes of the command of each

	procCommandCut = " ..." // ends a command that is longer
)

// procLeft is a process that could not be ended.
type procLeft struct {
	PID     int    `json:"pid"`
	Start   string `json:"start"` // time since boot: with PID it names a process for good
	UID     int    `json:"uid"`
	Command string `json:"command"`
	Denied  bool   `json:"denied,omitempty"` // the system does not let us signal it; else KILL was sent and it lives
}

// procRoster is who belongs to a task, or to an earlier life of this agent. A process that was found once belongs to it
// for as long as the process lives. What find goes by changes (whether other tasks run, whether an environment can be
// read), and the roster must not forget anybody for that. Any goroutine may use it.
type procRoster struct {
	mu    sync.Mutex
	find  func() []procMember
	known map[procMember]bool // without their groups
}

// look gives the processes that live.
func (r *procRoster) look() []procMember {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.find()
	now := make(map[procMember]bool, len(found))
	for _, m := range found {
		if m.start != "" {
			now[procMember{pid: m.pid, start: m.start}] = true
		}
	}
	for m := range r.known {
		if !now[m] && procLives(m) {
			now[m] = true
			found = append(found, m)
		}
	}
	r.known = now
	return found
}

// tellLeft tells spec.Left what cannot be ended, when that has changed: what may not be signalled, and, once KILL had
// its time (spent), everything that lives. No loop may call it.
func (p *proc) tellLeft(spent bool) {
	if p.spec.Left == nil {
		return
	}
	p.leftMu.Lock()
	defer p.leftMu.Unlock()
	p.spent = p.spent || spent
	if left := p.ps.leftOf(p.roster.look(), p.spent); !slices.Equal(left, p.told) {
		p.told = left
		p.spec.Left(left)
	}
}

// denied says whether the system does not let us signal a process.
func (ps *procs) denied(m procMember) bool { return errors.Is(ps.kill(m.pid, 0), unix.EPERM) }

// leftOf describes those of the members that cannot be ended; with spent, all that live.
func (ps *procs) leftOf(members []procMember, spent bool) (left []procLeft) {
	members = slices.Clone(members)
	sort.Slice(members, func(i, j int) bool { return members[i].pid < members[j].pid })
	for _, m := range members {
		if len(left) == procMaxLeft {
			break
		}
		denied := ps.denied(m)
		if !denied && !spent {
			continue
		}
		if l, ok := procDescribe(m); ok {
			l.Denied = denied
			left = append(left, l)
		}
	}
	return left
}

// lookAfter goes on with processes that an earlier life of this agent could not end. It sends them KILL again each
// procPatience, and calls tell with those that are left when some have gone. It returns at once. After close it does
// nothing.
func (ps *procs) lookAfter(left []procLeft, tell func([]procLeft)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return
	}
	ps.work.Add(1)
	go ps.runLookAfter(left, tell)
}

// runLookAfter is the goroutine of lookAfter. The ends of the processes wake it; it ends when all of them have ended,
// or with close.
func (ps *procs) runLookAfter(left []procLeft, tell func([]procLeft)) {
	defer ps.work.Done()
	find := func() (alive []procMember) {
		for _, l := range left {
			if m := (procMember{pid: l.PID, start: l.Start}); procLives(m) {
				alive = append(alive, m)
			}
		}
		return alive
	}
	over := make(chan struct{})
	close(over) // they had their grace
	told := left
	ps.endAll(find, unix.SIGTERM, 0, procPatience, over, func(bool) {
		if now := ps.leftOf(find(), true); !slices.Equal(now, told) {
			told = now
			tell(now)
		}
	})
}
