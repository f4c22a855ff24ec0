//go:build !linux

// exec_other.go: the part of exec.go for other systems than Linux, where an agent runs for development only. All that
// is known of a task is its process group: what leaves the group escapes.

package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	procFionread = 0x4004667f // FIONREAD, sys/filio.h
	procStepMost = procStep   // longest wait between two looks whether a group is empty
)

// procSys holds nothing: orphans go to init.
type procSys struct{ cgroups procCgroups }

// procStat stands for a process; nothing here finds any.
type procStat struct {
	pid  int
	dead bool
}

func (s *procSys) open(string) error   { return nil }
func (s *procSys) close()              {}
func (s *procSys) deafen()             {}
func (s *procSys) hear()               {}
func (s *procSys) charged() bool       { return false }
func (s *procSys) endOf(int) int       { return -1 }
func (s *procSys) orphans() []procStat { return nil }

// withCookie finds nothing.
func (s *procSys) withCookie(string, func(string) bool) (found []procMember, cookies map[int]string) {
	return nil, nil
}

// births would give those that are about to become a task; here a start waits until they have.
func (s *procSys) births() []procMember { return nil }

// procLives would say whether a member has not ended yet; who is in a group is not known.
func procLives(procMember) bool { return false }

// procDescribe would say what a process is.
func procDescribe(procMember) (procLeft, bool) { return procLeft{}, false }

// procNameless makes a file without a name.
func procNameless() (*os.File, error) { return procUnlinked() }

// fork starts a process. A shell sets its umask, and becomes the program.
func (s *procSys) fork(_ context.Context, path string, argv []string, attr *syscall.ProcAttr, traits procTraits,
	_ func(int, int)) (int, error) {
	if traits.umask != procNoUmask {
		umask := fmt.Sprintf("%03o", traits.umask)
		argv = append([]string{"sh", "-c", `umask "$0" && exec "$@"`, umask, path}, argv[1:]...)
		path = "/bin/sh"
	}
	attr.Sys = &syscall.SysProcAttr{Setsid: true}
	if u := traits.user; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	pid, _, err := syscall.StartProcess(path, argv, attr)
	return pid, err
}

// hold would put limits in force.
func (s *procSys) hold(l *procLimits) *procHold {
	h := &procHold{limits: l}
	for _, limit := range []struct {
		key string
		has bool
	}{{"memory", l.Memory > 0}, {"cpu", l.CPU > 0}, {"pids", l.PIDs > 0}, {"nice", l.Nice != nil}} {
		if limit.has {
			h.note(limit.key, procWayNever, "this system is not Linux")
		}
	}
	return h
}

// procCgroup would be a cgroup.
type procCgroup struct{}

// procCgroups would make some.
type procCgroups struct{}

func (procCgroups) leave(*procCgroup) {}

func (h *procHold) began(int)          {}
func (h *procHold) kill()              {}
func (h *procHold) struck() procStruck { return procStruck{} }

// used says what a process used. What systems say of memory and disks differs too much.
func (s *procSys) used(of *unix.Rusage) procUse {
	return procUse{CPU: time.Duration(of.Utime.Nano() + of.Stime.Nano())}
}

// procName would be the name of a process.
func procName(int) string { return "" }

// members is the group, as one member, while there is a process in it.
func (p *proc) members() []procMember {
	if unix.Kill(-p.pid, 0) != nil {
		return nil
	}
	return []procMember{{pid: -p.pid, group: p.pid}}
}

// await waits until the groups are empty, or d has passed, or force or hurry is closed; then it returns true. Nothing
// tells us of the end of processes that are not our children.
func (s *procSys) await(members []procMember, d time.Duration, force, hurry <-chan struct{}) (cut bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	inGroup := func(m procMember) bool { return unix.Kill(-m.group, 0) == nil }
	return procAwaitSteps(members, inGroup, timer, force, hurry)
}

// procPoll waits for several descriptors with poll(2), which does not say in which order they became ready. A pipe to
// ourselves interrupts it. One goroutine uses it; interrupt may come from others.
type procPoll struct {
	fds   []unix.PollFd // the first is the reading end of the pipe
	wake  *os.File
	ready []int
}

// newProcPoll makes an empty set.
func newProcPoll() (*procPoll, error) {
	r, w, err := procPipe()
	if err != nil {
		procCloseFds(r, w)
		return nil, err
	}
	return &procPoll{fds: []unix.PollFd{{Fd: int32(r), Events: unix.POLLIN}}, wake: os.NewFile(uintptr(w), "wake")}, nil
}

// add watches fd for input.
func (q *procPoll) add(fd int) error {
	q.fds = append(q.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	return nil
}

// remove stops watching fd.
func (q *procPoll) remove(fd int) {
	for i := range q.fds {
		if q.fds[i].Fd == int32(fd) {
			q.fds = append(q.fds[:i], q.fds[i+1:]...)
			return
		}
	}
}

// wait returns the descriptors that are ready, or false after interrupt. Without block it returns none when there are
// none.
func (q *procPoll) wait(block bool) ([]int, bool) {
	q.ready = q.ready[:0]
	timeout := 0
	if block {
		timeout = -1
	}
	for {
		if _, err := unix.Poll(q.fds, timeout); err == unix.EINTR {
			continue
		} else if err != nil || q.fds[0].Revents != 0 {
			return nil, false
		}
		for _, f := range q.fds[1:] {
			if f.Revents != 0 {
				q.ready = append(q.ready, int(f.Fd))
			}
		}
		if len(q.ready) > 0 || !block {
			return q.ready, true
		}
	}
}

// last would return those that are ready after interrupt; here the caller looks at all of them anyway.
func (q *procPoll) last() []int { return nil }

// interrupt makes wait return false, now and until resume. A pipe that is full interrupts already.
func (q *procPoll) interrupt() { q.wake.Write([]byte{0}) }

// limit would bound the wait for a birth; here a start waits for that.
func (q *procPoll) limit(time.Duration) {}

// resume undoes interrupt.
func (q *procPoll) resume() {
	var some [64]byte
	for {
		if n, err := unix.Read(int(q.fds[0].Fd), some[:]); n <= 0 && err != unix.EINTR {
			return
		}
	}
}

// close frees the set.
func (q *procPoll) close() {
	procCloseFds(int(q.fds[0].Fd))
	q.wake.Close()
}

// procPipe makes a pipe whose reading end does not block. No process started from here on inherits it.
func procPipe() (r, w int, err error) {
	var fds [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(fds[:]); err != nil {
		return -1, -1, err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return fds[0], fds[1], unix.SetNonblock(fds[0], true)
}
