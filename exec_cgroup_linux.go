// exec_cgroup_linux.go: a cgroup of version 2 (cgroups(7)) for each process with limits. They lie below the cgroup that
// was delegated to us, as systemd does with Delegate=yes. There is a rule: a cgroup whose controllers are for others
// below it has no processes itself. So with the first limits we move into a leaf below it, and the controllers are put
// in force as they are needed. An agent without limits to see to never moves.
//
//	DELEGATED/agent          we, and what has no limits
//	DELEGATED/cdktr-PID-N    the cgroup of one process; PID is that of its agent

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	procCgroupFront  = "cdktr-" // what the name of a cgroup begins with
	procCgroupLeaf   = "agent"  // where we are
	procCgroupPeriod = 100_000  // microseconds over which processor time is shared out
	procCgroupMoves  = 8        // looks for processes that are to be moved: one of them may just fork
	procCgroupStale  = 64       // cgroups that are not empty yet and are tried again; more stay until the next life
	procCapNice      = 23       // CAP_SYS_NICE of capability.h
)

// procCgroups makes cgroups. Any goroutine may call its methods; each may wait for the system.
type procCgroups struct {
	proc, manager string // /proc, and the folder that is there under systemd; a test has others

	mu     sync.Mutex
	opened bool
	dir    string            // the cgroup that is delegated to us; "": there is none, and why says why
	why    string            //
	on     map[string]string // controllers that were asked for: "" in force, else why not
	made   int               // cgroups
	stale  []string          // cgroups that were not empty when they were left
}

// procCgroup is a cgroup for one process and all that it starts.
type procCgroup struct{ dir string }

// put writes a text to a file of a cgroup. A file of a cgroup is there or cannot be made.
func (r *procCgroup) put(name, text string) error {
	return procPut(filepath.Join(r.dir, name), text)
}

// procPut writes a text to a file of the system's.
func procPut(file, text string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	unix.Close(fd)
	return err
}

// count gives a number of a file such as memory.events, 0 where there is none.
func (r *procCgroup) count(file, name string) (n int64) {
	text, _ := procSlurp(filepath.Join(r.dir, file))
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == name {
			n, _ = strconv.ParseInt(string(f[1]), 10, 64)
		}
	}
	return n
}

// enter makes a cgroup. why says why there is none.
func (s *procCgroups) enter() (cgroup *procCgroup, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		s.opened = true
		s.open()
	}
	if s.dir == "" {
		return nil, s.why
	}
	s.clear()
	for tries := 0; ; tries++ {
		s.made++
		name := procCgroupFront + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(s.made)
		cgroup = &procCgroup{filepath.Join(s.dir, name)}
		switch err := os.Mkdir(cgroup.dir, 0o755); {
		case err == nil:
			return cgroup, ""
		case !errors.Is(err, unix.EEXIST) || tries == procCgroupStale:
			// an earlier life with our number may have left one
			return nil, "make a cgroup: " + procCause(err)
		}
	}
}

// leave removes a cgroup, nil for none. One that is not empty yet goes later.
func (s *procCgroups) leave(cgroup *procCgroup) {
	if cgroup == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = append(s.stale, cgroup.dir)
	s.clear()
}

// clear removes the cgroups that are empty by now. The caller holds mu.
func (s *procCgroups) clear() {
	kept := s.stale[:0]
	for _, dir := range s.stale {
		if err := procCgroupRemove(dir); errors.Is(err, unix.EBUSY) {
			kept = append(kept, dir)
		}
	}
	s.stale = kept[max(len(kept)-procCgroupStale, 0):]
}

// procCgroupRemove removes a cgroup, with the cgroups that its processes may have made in it.
func procCgroupRemove(dir string) error {
	err := unix.Rmdir(dir)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		if e.IsDir() {
			procCgroupRemove(filepath.Join(dir, e.Name()))
		}
	}
	return unix.Rmdir(dir)
}

// open finds the cgroup that is delegated to us, moves out of it, and has the cgroups go of agents that are no more.
func (s *procCgroups) open() {
	dir, within, err := procCgroupsBase(s.proc, s.manager)
	if err == nil && within {
		err = procCgroupsMove(dir)
	}
	if err != nil {
		s.why = err.Error()
		return
	}
	s.dir, s.on = dir, map[string]string{}
	left, _ := filepath.Glob(filepath.Join(dir, procCgroupFront+"*-*")) // the pattern is sound
	for _, cgroup := range left {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(cgroup), procCgroupFront), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && (pid == os.Getpid() || unix.Kill(pid, 0) == unix.ESRCH) {
			// killLeftovers has ended what it could find of it, before anything began here
			(&procHold{cgroup: &procCgroup{cgroup}}).kill()
			s.stale = append(s.stale, cgroup)
		}
	}
}

// use puts a controller in force for cgroups. why says why it is not.
func (s *procCgroups) use(controller string) (why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	why, known := s.on[controller]
	if known {
		return why
	}
	has, _ := procSlurp(filepath.Join(s.dir, "cgroup.controllers"))
	if !bytes.Contains(append(append([]byte{' '}, bytes.TrimSpace(has)...), ' '), []byte(" "+controller+" ")) {
		why = "no cgroup controller " + controller
	} else if err := procPut(filepath.Join(s.dir, "cgroup.subtree_control"), "+"+controller); err != nil {
		why = "put the controller " + controller + " in force: " + procCause(err)
		if errors.Is(err, unix.EBUSY) { // another process is in our cgroup, for now
			return why
		}
	}
	s.on[controller] = why
	return why
}

// errProcCgroupNone says that no cgroup is ours.
var errProcCgroupNone = errors.New("no cgroup is delegated to this agent: its unit needs Delegate=yes")

// procCgroupsBase finds the cgroup that is delegated to us. within: we are in it ourselves.
func procCgroupsBase(proc, manager string) (dir string, within bool, err error) {
	own, top, err := procCgroupsOwn(proc)
	if err != nil {
		return "", false, err
	}
	up := filepath.Dir(own)
	exists := func(file string) bool { return unix.Access(file, unix.F_OK) == nil }
	managed := exists(manager)            // then all cgroups are systemd's that are not delegated
	root := !exists(own + "/cgroup.type") // of all cgroups: it alone may have processes and others below it
	switch {
	case strings.HasPrefix(filepath.Base(own), procCgroupFront):
		return "", false, errors.New("this agent runs within the limits of a task")
	case procDelegated(own):
		return own, true, nil
	case own != top && procDelegated(up):
		return up, false, nil
	case root && !managed && unix.Access(own, unix.W_OK) == nil:
		return own, false, nil
	case root || managed && os.Geteuid() == 0: // root may write everywhere
		return "", false, errProcCgroupNone
	}
	for _, file := range []string{own, own + "/cgroup.procs", own + "/cgroup.subtree_control"} {
		if unix.Access(file, unix.W_OK) != nil {
			return "", false, errProcCgroupNone
		}
	}
	if !procAllOurs(own) { // a shell, perhaps, that somebody else has started
		return "", false, errProcCgroupNone
	}
	return own, true, nil
}

// procDelegated says whether systemd has noted that a cgroup is delegated.
func procDelegated(dir string) bool {
	var value [2]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// procCgroupsOwn gives the folder of the cgroup that we are in, and that of the highest that we see.
func procCgroupsOwn(proc string) (own, top string, err error) {
	none := errors.New("this machine has no cgroups of version 2")
	cgroups, err := procSlurp(proc + "/self/cgroup")
	if err != nil {
		return "", "", none
	}
	path, found := "", false
	for line := range strings.Lines(string(cgroups)) {
		if rest, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); is {
			path, found = rest, true
		}
	}
	mounts, err := procSlurp(proc + "/self/mountinfo")
	if err != nil || !found {
		return "", "", none
	}
	for line := range strings.Lines(string(mounts)) {
		// proc_pid_mountinfo(5): the fourth and fifth field are the root within the file system and the mount point
		fields, rest, _ := strings.Cut(line, " - ")
		f := strings.Fields(fields)
		if len(f) < 6 || !strings.HasPrefix(rest, "cgroup2 ") {
			continue
		}
		below, within := strings.CutPrefix(path, strings.TrimSuffix(f[3], "/"))
		if within {
			return filepath.Join(f[4], below), f[4], nil
		}
	}
	return "", "", none
}

// procAllOurs says whether all processes of a cgroup are we and our descendants.
func procAllOurs(dir string) bool {
	for _, pid := range procInside(dir) {
		if pid == 0 { // we cannot see it
			return false
		}
		for up := pid; up != os.Getpid(); {
			st, ok := procStatOf(up)
			if !ok && up == pid {
				break // it has ended
			}
			if !ok || st.parent == 0 {
				return false
			}
			up = st.parent
		}
	}
	return true
}

// procInside lists the processes of a cgroup. One that we cannot see is 0.
func procInside(dir string) []int {
	text, _ := procSlurp(filepath.Join(dir, "cgroup.procs"))
	return procNumbers(text)
}

// procCgroupsMove moves all processes of a cgroup into a leaf below it, ourselves first.
func procCgroupsMove(dir string) error {
	leaf := filepath.Join(dir, procCgroupLeaf)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the cgroup %s: %s", leaf, procCause(err))
	}
	move := func(pid int) error { return procPut(leaf+"/cgroup.procs", strconv.Itoa(pid)) }
	err := move(os.Getpid())
	for range procCgroupMoves {
		inside := procInside(dir)
		if err == nil && len(inside) == 0 {
			return nil
		}
		for _, pid := range inside {
			if fault := move(pid); !errors.Is(fault, unix.ESRCH) {
				err = fault
			}
		}
	}
	if err == nil {
		err = errors.New("processes stay in it")
	}
	return fmt.Errorf("move out of the cgroup %s: %s", dir, procCause(err))
}

// procCause gives what the system said, without the name of the file.
func procCause(err error) string {
	if errno, is := errors.AsType[syscall.Errno](err); is {
		return errno.Error()
	}
	return err.Error()
}

// hold puts limits in force for a process that is about to start, as far as that can be. No loop may call it.
func (s *procSys) hold(l *procLimits) *procHold {
	h := &procHold{limits: l}
	var why string
	if l.Memory > 0 || l.CPU > 0 || l.PIDs > 0 {
		h.cgroup, why = s.cgroups.enter()
	}
	if h.cgroup != nil {
		fd, err := unix.Open(h.cgroup.dir+"/cgroup.procs", unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			s.cgroups.leave(h.cgroup)
			h.cgroup, why = nil, "enter a cgroup: "+procCause(err)
		} else {
			h.entry = fd
		}
	}
	limit := func(key string, files ...[2]string) (why string) {
		if why = s.cgroups.use(key); why != "" {
			return why
		}
		for i, file := range files {
			if err := h.cgroup.put(file[0], file[1]); err != nil && i == 0 { // the others need not be there
				return "set " + file[0] + ": " + procCause(err)
			}
		}
		return ""
	}
	if l.Memory > 0 {
		why, way := why, procWayCgroup
		if h.cgroup != nil {
			why = limit("memory", [2]string{"memory.max", strconv.FormatInt(l.Memory, 10)},
				[2]string{"memory.swap.max", "0"}, [2]string{"memory.oom.group", "1"})
		}
		if why != "" {
			h.data, way = l.Memory, procWayEach
		}
		h.note("memory", way, why)
	}
	counted := func(key, file, value string) {
		why, way := why, procWayCgroup
		if h.cgroup != nil {
			why = limit(key, [2]string{file, value})
		}
		if why != "" {
			way = procWayNever
		}
		h.note(key, way, why)
	}
	if l.CPU > 0 {
		counted("cpu", "cpu.max", fmt.Sprint(int64(l.CPU)*procCgroupPeriod/100, procCgroupPeriod))
	}
	if l.PIDs > 0 {
		counted("pids", "pids.max", strconv.Itoa(l.PIDs))
	}
	if l.Nice != nil {
		h.holdNice(*l.Nice)
	}
	return h
}

// holdNice has the child set its nice, where the system lets us. Among cgroups that share out processor time, that of a
// process counts for nothing, so the cgroup gets it too.
func (h *procHold) holdNice(nice int) {
	if !procMayNice(nice) {
		h.note("nice", procWayNever, "only root may go below the agent's own nice")
		return
	}
	h.nice = true
	if h.cgroup != nil {
		h.cgroup.put("cpu.weight.nice", strconv.Itoa(nice)) // without the controller cpu it is not there
	}
	h.note("nice", procWaySet, "")
}

// procMayNice says whether the system lets us set that nice, as setpriority(2) has it.
func procMayNice(nice int) bool {
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 less the nice
	if err != nil || 20-nice <= own {
		return true
	}
	var most unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NICE, &most) == nil && uint64(20-nice) <= most.Cur {
		return true
	}
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capget(&head, &data[0]) == nil && data[0].Effective&(1<<procCapNice) != 0
}

// began follows the fork. A session has a share of processor time of its own where the system groups processes by
// sessions (autogroup, sched(7)); then the nice of a process counts only within its session, and the session has one.
func (h *procHold) began(pid int) {
	if h == nil {
		return
	}
	if h.entry > 0 {
		unix.Close(h.entry)
		h.entry = 0
	}
	if h.nice && pid > 0 {
		procPut("/proc/"+strconv.Itoa(pid)+"/autogroup", strconv.Itoa(*h.limits.Nice))
	}
}

// kill ends all that is in the cgroup, at one stroke: nothing in it can fork and be missed.
func (h *procHold) kill() {
	if h != nil && h.cgroup != nil {
		h.cgroup.put("cgroup.kill", "1") // since Linux 5.14
	}
}

// inside lists the processes in the cgroup.
func (h *procHold) inside() []int {
	if h == nil || h.cgroup == nil {
		return nil
	}
	return procInside(h.cgroup.dir)
}

// struck says which limits a process has run into. The cgroup must be there. Its files count too what the limits of our
// own unit, and the memory of the machine, have done to the process: that is none of its limits.
func (h *procHold) struck() procStruck {
	if h == nil {
		return procStruck{}
	}
	s := procStruck{Each: h.data > 0}
	if h.cgroup != nil && h.cgroup.count("memory.events", "oom_kill") > 0 {
		s.Memory = h.limits.Memory > 0 && h.cgroup.count("memory.events", "oom") > 0
		s.Machine = !s.Memory
	}
	if h.cgroup != nil && h.limits.PIDs > 0 {
		s.PIDs = h.cgroup.count("pids.events", "max") > 0
	}
	return s
}

// dataLimit gives the RLIMIT_DATA of the child, nil for ours. Ours may be lower already.
func (h *procHold) dataLimit() *syscall.Rlimit {
	var now syscall.Rlimit
	if h == nil || h.data == 0 || syscall.Getrlimit(unix.RLIMIT_DATA, &now) != nil {
		return nil
	}
	most := min(uint64(h.data), uint64(now.Max))
	return &syscall.Rlimit{Cur: most, Max: most}
}
