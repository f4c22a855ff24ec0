// exec_run.go: the life of a process once it has started: its output is read, its end seen, and what it leaves behind
// is given some time.

package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// run delivers the output of a process, and takes it from its end to done. Output wakes it, the end of the process, and
// the end of what the process left behind. One goroutine reads both pipes, in the order in which they became readable:
// it reads all that is in the first one, which then waits behind the other. So lines keep their order across stdout and
// stderr, except those that were all written before we woke. It ends once it has read what is in the pipes when the
// process has ended, whether or not they are closed. Where a stop runs out of time it comes to an end later than done.
// It is called once, after begin.
func (p *proc) run() {
	defer close(p.readDone)
	defer p.closePipes()
	queue := p.enqueue(nil, p.early) // those that have something to read, or have ended
	for over := false; !over; {
		ready, ok := p.poll.wait(len(queue) == 0 && !p.endTold)
		if !ok {
			p.poll.resume()
		}
		queue = p.enqueue(queue, ready)
		if len(queue) > 0 {
			queue = p.next(queue)
		}
		if !ok || p.endTold {
			over = p.endSeen()
		}
	}
	for _, s := range p.enqueue(queue, append(p.poll.last(), p.out[0].fd, p.out[1].fd)) {
		p.drain(s)
	}
	for i := range p.out {
		p.finishLine(&p.out[i])
	}
	p.finish()
}

// endSeen looks whether the main process has ended. If so it sees to what that left behind, once, and says whether
// there is nothing to wait for any more. It belongs to run.
func (p *proc) endSeen() (over bool) {
	p.endTold = false
	p.ps.mu.Lock()
	p.collect()
	ended, cleared, done := p.ended, p.cleared, p.isDone
	p.ps.mu.Unlock()
	if !ended || cleared || done {
		return cleared || done
	}
	if p.endFd >= 0 {
		p.unwatchEnd()
	} else if p.lingers {
		return false
	}
	if p.spec.Stay {
		p.ps.mu.Lock()
		stays := p.reason == ""
		p.ps.mu.Unlock()
		if stays {
			return true
		}
	}
	left := p.roster.look() // when there is nothing this costs one short read
	if len(left) == 0 {
		return true
	}
	p.ps.mu.Lock()
	done = p.isDone // a stop may have run out of time meanwhile, and close with it
	if !done {
		p.ps.work.Add(1) // finish holds another
	}
	p.ps.mu.Unlock()
	if !done {
		p.lingers = true
		go p.runLinger(left)
	}
	return done
}

// runLinger starts the removal of what a main process left behind. First that has procLinger to end by itself: it may
// have output yet to pass on.
func (p *proc) runLinger(left []procMember) {
	defer p.ps.work.Done()
	p.ps.mu.Lock()
	stopped := p.reason != ""
	p.ps.mu.Unlock()
	var names []string
	if !stopped {
		p.ps.sys.await(left, procLinger, p.force, p.ps.hurry)
		for _, m := range p.roster.look() {
			if !p.ps.denied(m) {
				names = append(names, procName(m.pid))
			}
		}
	}
	p.tellLeft(false)
	p.ps.mu.Lock()
	defer p.ps.mu.Unlock()
	p.startEnding()
	p.left, p.cleared = names, true
	p.wake()
}

// giveUp ends a stop whose time is up: the process would not die, or a callback blocks.
func (p *proc) giveUp() {
	p.ps.mu.Lock()
	p.collect() // its end may have just come
	lives := !p.ended
	p.ps.mu.Unlock()
	if lives {
		p.tellLeft(true)
	}
	p.finish()
}

// finish writes the result, closes done, and calls whenDone. A second call does nothing.
func (p *proc) finish() {
	p.sealed.Store(true)
	struck := p.hold.struck()
	p.ps.mu.Lock()
	if p.isDone {
		p.ps.mu.Unlock()
		return
	}
	for _, t := range []*time.Timer{p.timeout, p.giveUpTimer} {
		if t != nil {
			t.Stop()
		}
	}
	p.res = p.outcome(p.exit)
	p.res.Limited, p.res.Struck = p.hold.text(), struck
	p.isDone = true
	p.forget()
	p.wake()
	close(p.doneCh)
	whenDone := p.whenDone
	p.ps.mu.Unlock()
	p.leaveCgroup()
	if whenDone != nil {
		whenDone(p.res)
	}
	p.ps.work.Done()
}

// forget drops a process when nothing is left to do for it. The caller holds ps.mu.
func (p *proc) forget() {
	if p.isDone && !p.ending {
		delete(p.ps.live, p)
	}
}

// outcome words the end of a process. The caller holds ps.mu.
func (p *proc) outcome(exit *procExit) procResult {
	r := procResult{Started: p.started, TimedOut: p.timedOut, Stopped: p.stopped, Left: p.left}
	if exit == nil {
		exit = &procExit{at: time.Now()}
		r.Exit, r.Signal = 128+int(unix.SIGKILL), "SIGKILL"
		if p.ps.denied(procMember{pid: p.pid}) {
			p.reason += fmt.Sprintf(" (process %d is another user's, and goes on)", p.pid)
		} else {
			p.reason += fmt.Sprintf(" (process %d has not died of SIGKILL yet)", p.pid)
		}
	}
	r.Finished = exit.at
	r.Elapsed = exit.at.Sub(p.started)
	r.Used = p.ps.sys.used(&exit.usage)
	switch {
	case r.Signal != "": // nobody has seen its end
	case exit.taken:
		r.Exit, r.Reason = 255, "the exit status is not known: another part of the program collected it"
	case exit.status.Signaled():
		sig := exit.status.Signal()
		r.Exit, r.Signal = 128+int(sig), unix.SignalName(sig)
		if r.Signal == "" {
			r.Signal = fmt.Sprintf("SIG%d", int(sig)) // real-time signals have no name
		}
		r.Reason = "signal " + r.Signal
	default:
		r.Exit, r.Exited = exit.status.ExitStatus(), true
		if r.Exit > 0 {
			r.Reason = fmt.Sprintf("exit %d", r.Exit)
		}
	}
	if p.reason != "" {
		r.Reason, r.Exited = p.reason, false
	}
	return r
}
