// sys_processors.go: how many processors a daemon works on. On more than one, each thing that wakes it wakes a second
// thread as well, to look for more to do, and much of what goroutines have to say to each other wakes a thread that
// sleeps on another processor. That costs a sixth to a third of the processor time of a run, and of an idle daemon's
// most. So a process works on one processor for as long as that is enough for it, however many runs it has: tasks are
// processes of their own, and have all processors.

package main

import (
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	processorsLook = 100 * time.Millisecond // how long its use is measured for, at least
	processorsFull = 85                     // percent of one that are used: from there on it has all of them
	processorsOne  = 70                     // percent of one: below that one is enough again,
	processorsHold = 1 * time.Second        // if it has had all of them for so long
)

// processors says by how much it is used how many processors this process works on. It belongs to a loop.
type processors struct {
	clock func() time.Duration // since some instant
	used  func() time.Duration // processor time of the process so far
	set   func(one bool)       // works on one, or on all that there are

	begun    bool
	all      bool          // it works on all of them
	since    time.Duration // it has worked on all of them since then
	from     time.Duration // the begin of what is measured,
	fromUsed time.Duration // and what was used up to there
}

// processorsByNeed gives a function for the loop of a principal or an agent, which calls it at the end of each turn. It
// is nil where the system does not say what is used.
func processorsByNeed(getenv func(string) string) func() {
	if processorsUsed() == 0 {
		return nil
	}
	began := time.Now()
	p := &processors{used: processorsUsed, clock: func() time.Duration { return time.Since(began) },
		set: processorsSet(getenv)}
	return p.turn
}

// processorsSet gives what has the process work on one processor, or on all: as many as the environment says, or else
// as many as the runtime finds there are by then, and on each change of them.
func processorsSet(getenv func(string) string) func(one bool) {
	given, _ := strconv.Atoi(getenv("GOMAXPROCS"))
	return func(one bool) {
		switch {
		case one:
			runtime.GOMAXPROCS(1)
		case given > 0:
			runtime.GOMAXPROCS(given)
		default:
			runtime.SetDefaultGOMAXPROCS()
		}
	}
}

// turn looks at what was used, if enough time has gone by.
func (p *processors) turn() {
	now := p.clock()
	if !p.begun {
		p.begun, p.from, p.fromUsed = true, now, p.used()
		p.set(true)
		return
	}
	took := now - p.from
	if took < processorsLook {
		return
	}
	used := p.used()
	share := int(100 * (used - p.fromUsed) / took)
	p.from, p.fromUsed = now, used
	switch {
	case !p.all && share >= processorsFull:
		p.all, p.since = true, now
		p.set(false)
	case p.all && share < processorsOne && now-p.since >= processorsHold:
		p.all = false
		p.set(true)
	}
}

// processorsUsed gives the processor time of this process, without its children; 0 where that is not known.
func processorsUsed() time.Duration {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
