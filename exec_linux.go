// exec_linux.go: the part of exec.go that is Linux's: who belongs to a task, by /proc; waiting for several things at
// once, by epoll; and the duties of a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).

package main

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	procFionread = unix.TIOCINQ // how much is in a pipe
	procAwaitMax = 64           // processes whose end one await watches
	procStepMost = time.Second  // longest wait between two looks whether they live, where their end wakes nobody

	procKernelFlag = 0x00200000 // PF_KTHREAD of include/linux/sched.h, in the ninth field of proc_pid_stat(5)
)

// procSys is what procs knows of Linux.
type procSys struct {
	// reaper: orphans come to us, and the kernel lists children (CONFIG_PROC_CHILDREN). Without that list we could not
	// tell orphans from children of other code, so we do not become a subreaper: orphans go to init, which frees them,
	// and members are found by a scan of all processes.
	reaper    bool
	wasReaper bool
	session   int // ours
	leader    int // the list of children of our first thread, open for as long as this is a reaper
	birthName [16]byte
	nofile    func() *syscall.Rlimit
	deaf      bool         // the system drops SIGCHLD; this belongs to runCollect
	cgroups   procCgroups  // for processes with limits
	ownMost   atomic.Int64 // bytes that we had in memory at most, when last asked
}

// procStat is what /proc/PID/stat says, proc_pid_stat(5).
type procStat struct {
	pid, parent, group, session int
	start                       string
	dead                        bool // a zombie, with no other thread alive
	kernel                      bool // a thread of the kernel, which has no environment
}

// open keeps inherited file descriptors to ourselves and takes charge of orphans.
func (s *procSys) open(life string) error {
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		if err := procSealFds(); err != nil { // before Linux 5.11
			return err
		}
	}
	s.session, _ = unix.Getsid(0)
	s.cgroups.proc, s.cgroups.manager = "/proc", "/run/systemd/system"
	s.birthName = procBirthName(life)
	s.nofile = sync.OnceValue(procNofile)
	s.leader = procLeaderList()
	if s.leader < 0 {
		return nil
	}
	s.wasReaper = s.charged()
	s.reaper = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
	if !s.reaper {
		unix.Close(s.leader)
	}
	return nil
}

// charged says whether orphans come to this program.
func (s *procSys) charged() bool {
	var is int32
	unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&is)), 0, 0, 0)
	return is != 0
}

// close undoes what open did to the program, where that can be undone.
func (s *procSys) close() {
	if !s.reaper {
		return
	}
	if !s.wasReaper {
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	unix.Close(s.leader)
}

// deafen has the system drop SIGCHLD, behind the back of the runtime. Children become zombies all the same: only where
// a program asks for that signal to be ignored they do not.
func (s *procSys) deafen() {
	procSigaction(unix.SIGCHLD, &procAction{}, nil)
	s.deaf = true
}

// hear undoes deafen. Whatever ended meanwhile is for the caller to find. The runtime takes all signals in one way, as
// it takes the one that it stops goroutines with, which nobody changes.
func (s *procSys) hear() {
	var asAll procAction
	if s.deaf && procSigaction(unix.SIGURG, nil, &asAll) == 0 {
		procSigaction(unix.SIGCHLD, &asAll, nil)
	}
	s.deaf = false
}

// procAction is the kernel's struct sigaction, which no machine has larger. The zero value is the default.
type procAction [64]byte

// procSigaction sets what is to be done about a signal, nil for no change, and gives what was to be done.
func procSigaction(sig syscall.Signal, next, last *procAction) syscall.Errno {
	size := uintptr(8) // of a set of signals
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		size = 16
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(next)),
		uintptr(unsafe.Pointer(last)), size, 0, 0)
	return errno
}

// procSealFds sets close-on-exec on every descriptor above 2.
func procSealFds() error {
	dir, err := os.ReadDir("/proc/self/fd")
	for _, e := range dir {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return err
}

// procLeaderList opens the list of children of our first thread. The kernel gives orphans to the first thread of the
// reaper that lives (find_new_reaper in kernel/exit.c), and a Go program's first thread lives as long as it does.
func procLeaderList() int {
	pid := strconv.Itoa(os.Getpid())
	fd, err := unix.Open("/proc/"+pid+"/task/"+pid+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// orphans gives the children that came to us. It leaves out what other code of this program started: that is in our
// session. (Other code must not start a process in a session of its own from the first thread.)
func (s *procSys) orphans() []procStat {
	if !s.reaper {
		return nil
	}
	self := os.Getpid()
	var found []procStat
	text, _ := procReadAll(s.leader, make([]byte, 0, 512))
	for _, pid := range procNumbers(text) {
		if st, ok := procStatOf(pid); ok && st.parent == self && st.session != s.session {
			found = append(found, st)
		}
	}
	return found
}

// members gives the live processes of a task: the main process; orphans that are in its session, or carry its cookie,
// or, when no other task runs, carry no cookie at all; all descendants of these; and whatever is in its cgroup.
func (p *proc) members() []procMember {
	ps := p.ps
	ps.mu.Lock()
	main, session := 0, p.pid
	if !p.ended {
		main = p.pid
	}
	if other := ps.mains[p.pid]; other != nil && other != p {
		session = -1 // p has ended and its pid is in use again
	}
	alone := ps.starting == 0 && (len(ps.mains) == 0 || len(ps.mains) == 1 && main != 0)
	ps.mu.Unlock()

	belongs := func(st procStat) bool {
		if st.session == session {
			return true
		}
		ps.mu.Lock()
		_, others := ps.mains[st.session]
		ps.mu.Unlock()
		if others {
			return false
		}
		cookie, found := procCookie(st, ps.key)
		if found {
			return cookie == p.spec.Cookie
		}
		return alone && ps.sys.reaper
	}
	var roots []procStat
	kids := procKids
	if ps.sys.reaper {
		roots = ps.orphans()
	} else {
		var all []procStat
		all, kids = procScan()
		for _, st := range all {
			if st.session != ps.sys.session && st.pid != main {
				roots = append(roots, st)
			}
		}
	}
	walk := procWalk{seen: map[int]bool{}, kids: kids}
	if st, ok := procStatOf(main); ok && st.parent == os.Getpid() {
		walk.add(st)
	} else if main != 0 { // it cannot be read for want of a descriptor, but it is there: nobody has collected it
		walk.found = append(walk.found, procMember{pid: main, group: main})
	}
	for _, st := range roots {
		if !st.dead && !walk.seen[st.pid] && belongs(st) {
			walk.add(st)
		}
	}
	for _, pid := range p.hold.inside() { // whatever it has made of itself
		if st, ok := procStatOf(pid); ok && !st.dead {
			walk.add(st)
		}
	}
	return walk.found
}

// withCookie gives the live processes whose cookie passes match, without ourselves. It adds those that show no cookie,
// because they are another user's or have dropped it, but descend from them or share their session. cookies has the
// cookie that each goes by, by pid.
func (s *procSys) withCookie(key string, match func(string) bool) (found []procMember, cookies map[int]string) {
	all, kids := procScan()
	cookies = map[int]string{}
	excluded := map[int]bool{os.Getpid(): true} // by pid: ourselves, and what has another cookie
	sessions := map[int]string{}                // the cookie that is in each session
	for _, st := range all {
		cookie, shown := procCookie(st, key)
		switch {
		case !shown || excluded[st.pid]:
		case !match(cookie):
			excluded[st.pid] = true
		default:
			cookies[st.pid] = cookie
			if st.session != s.session {
				sessions[st.session] = cookie
			}
		}
	}
	for _, st := range all {
		if cookie, within := sessions[st.session]; within && st.session > 0 && cookies[st.pid] == "" &&
			!excluded[st.pid] {
			cookies[st.pid] = cookie
		}
	}
	for queue := all; len(queue) > 0; queue = queue[1:] { // it grows by those that have become known
		cookie := cookies[queue[0].pid]
		for _, kid := range kids(queue[0].pid) {
			if cookie != "" && cookies[kid.pid] == "" && !excluded[kid.pid] {
				cookies[kid.pid] = cookie
				queue = append(queue, kid)
			}
		}
	}
	for _, st := range all {
		if cookies[st.pid] == "" || st.dead {
			continue
		}
		m := procMember{pid: st.pid, group: st.group, start: st.start}
		if st.session == s.session {
			m.group = 0 // never a group that may be ours
		}
		found = append(found, m)
	}
	return found, cookies
}

// procWalk gathers a process and its descendants.
type procWalk struct {
	seen  map[int]bool
	kids  func(pid int) []procStat
	found []procMember
}

// add goes down from st, breadth first.
func (w *procWalk) add(st procStat) {
	for queue := []procStat{st}; len(queue) > 0; queue = queue[1:] {
		st := queue[0]
		if w.seen[st.pid] {
			continue
		}
		w.seen[st.pid] = true
		if !st.dead {
			w.found = append(w.found, procMember{pid: st.pid, group: st.group, start: st.start})
		}
		queue = append(queue, w.kids(st.pid)...)
	}
}

// procKids gives the children of all threads of a process.
func procKids(parent int) []procStat {
	task := "/proc/" + strconv.Itoa(parent) + "/task/"
	threads, err := os.ReadDir(task)
	if err != nil {
		return nil // it has gone, and its children have come to us
	}
	var kids []procStat
	for _, t := range threads {
		text, _ := procSlurp(task + t.Name() + "/children")
		for _, pid := range procNumbers(text) {
			if st, ok := procStatOf(pid); ok && st.parent == parent {
				kids = append(kids, st)
			}
		}
	}
	return kids
}

// procScan gives every process that there is, and a function for the children of one.
func procScan() ([]procStat, func(int) []procStat) {
	dir, _ := os.ReadDir("/proc") // a part is better than nothing
	var all []procStat
	kids := map[int][]procStat{}
	for _, e := range dir {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, ok := procStatOf(pid); ok {
			all = append(all, st)
			kids[st.parent] = append(kids[st.parent], st)
		}
	}
	return all, func(pid int) []procStat { return kids[pid] }
}

// procNumbers reads a list of children.
func procNumbers(text []byte) []int {
	var pids []int
	for _, f := range bytes.Fields(text) {
		if pid, err := strconv.Atoi(string(f)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// procStatOf reads the stat of a process; it is false if there is none. The name in it may hold anything, so the fields
// are counted from the last parenthesis.
func procStatOf(pid int) (procStat, bool) {
	if pid <= 0 {
		return procStat{}, false
	}
	text, err := procSlurp("/proc/" + strconv.Itoa(pid) + "/stat")
	f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if err != nil || len(f) < 20 {
		return procStat{}, false
	}
	num := func(i int) int { n, _ := strconv.Atoi(string(f[i])); return n }
	zombie := f[0][0] == 'Z' || f[0][0] == 'X'
	return procStat{
		pid: pid, parent: num(1), group: num(2), session: num(3),
		start: string(f[19]), dead: zombie && num(17) <= 1, kernel: num(6)&procKernelFlag != 0,
	}, true
}

// procCookie reads the cookie of a process. In the middle of an exec the environment reads as empty, so an empty one is
// read again for some milliseconds. A thread of the kernel has none, and is not read. (It is in session 0; but inside a
// container everything that was started outside is in session 0 too.)
func procCookie(st procStat, key string) (cookie string, found bool) {
	if st.kernel {
		return "", false
	}
	path := "/proc/" + strconv.Itoa(st.pid) + "/environ"
	var text []byte
	for wait := 50 * time.Microsecond; wait < 5*time.Millisecond; wait *= 2 {
		var err error
		text, err = procSlurp(path)
		if err != nil || len(text) > 0 {
			break
		}
		if now, ok := procStatOf(st.pid); !ok || now.dead {
			break
		}
		time.Sleep(wait)
	}
	for kv := range bytes.SplitSeq(text, []byte{0}) {
		if name, value, ok := bytes.Cut(kv, []byte{'='}); ok && string(name) == key {
			return string(value), true
		}
	}
	return "", false
}

// procNameless makes a file without a name, in memory where the system can (Linux 3.17).
func procNameless() (*os.File, error) {
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return procUnlinked()
	}
	return os.NewFile(uintptr(fd), "stdin"), nil
}

// procSlurp reads a file of /proc. os.ReadFile needs twice the system calls, and every task passes here.
func procSlurp(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return procReadAll(fd, make([]byte, 0, 512))
}

// procReadAll reads the whole of a file into buf, which is empty.
func procReadAll(fd int, buf []byte) ([]byte, error) {
	for {
		n, err := unix.Pread(fd, buf[len(buf):cap(buf)], int64(len(buf)))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return buf, err
		}
		buf = buf[:len(buf)+n]
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// await waits until the members have ended, or d has passed, or force or hurry is closed; then it returns true. Of very
// many it watches the first procAwaitMax; the caller looks again anyway.
func (s *procSys) await(members []procMember, d time.Duration, force, hurry <-chan struct{}) (cut bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	poll, err := newProcPoll()
	if err != nil {
		return procAwaitSteps(members, procLives, timer, force, hurry)
	}
	defer poll.close()
	open := map[int]bool{}
	defer func() {
		for fd := range open {
			unix.Close(fd)
		}
	}()
	for _, m := range members[:min(len(members), procAwaitMax)] {
		fd, err := unix.PidfdOpen(m.pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil { // before Linux 5.3, or out of descriptors
			return procAwaitSteps(members, procLives, timer, force, hurry)
		}
		open[fd] = true
		if err := poll.add(fd); err != nil {
			return procAwaitSteps(members, procLives, timer, force, hurry)
		}
		if !procLives(m) { // the pid may be another's by now
			unix.Close(fd)
			delete(open, fd)
		}
	}
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-force:
			cut = true
		case <-hurry:
			cut = true
		case <-timer.C:
		case <-over:
		}
		poll.interrupt()
	})
	for len(open) > 0 {
		ready, ok := poll.wait(true)
		if !ok {
			break
		}
		for _, fd := range ready {
			poll.remove(fd)
			unix.Close(fd)
			delete(open, fd)
		}
	}
	close(over)
	watch.Wait()
	return cut
}

// procName gives the name of a process, at most 15 bytes; "" when it has gone.
func procName(pid int) string {
	text, _ := procSlurp("/proc/" + strconv.Itoa(pid) + "/comm")
	return string(bytes.TrimSuffix(text, []byte("\n")))
}

// procDescribe says what a process is; it is false when the process has ended.
func procDescribe(m procMember) (procLeft, bool) {
	st, ok := procStatOf(m.pid)
	another := m.start != "" && m.start != st.start
	if !ok || st.dead || another {
		return procLeft{}, false
	}
	l := procLeft{PID: m.pid, Start: st.start}
	status, _ := procSlurp("/proc/" + strconv.Itoa(m.pid) + "/status")
	for line := range bytes.Lines(status) {
		if ids, is := bytes.CutPrefix(line, []byte("Uid:")); is {
			if f := bytes.Fields(ids); len(f) > 1 {
				l.UID, _ = strconv.Atoi(string(f[1])) // whom it acts as
			}
			break
		}
	}
	args, _ := procSlurp("/proc/" + strconv.Itoa(m.pid) + "/cmdline")
	l.Command = string(bytes.TrimSpace(bytes.ReplaceAll(args, []byte{0}, []byte(" "))))
	if l.Command == "" { // it has none, or we may not read it
		l.Command = procName(m.pid)
	}
	l.Command = strings.ToValidUTF8(l.Command, "\uFFFD")
	if len(l.Command) > procMaxCommand {
		l.Command = strings.ToValidUTF8(l.Command[:procMaxCommand-len(procCommandCut)], "") + procCommandCut
	}
	return l, true
}

// procLives says whether a member has not ended yet.
func procLives(m procMember) bool {
	st, ok := procStatOf(m.pid)
	return ok && !st.dead && st.start == m.start
}

// procPoll waits for several descriptors. It is an epoll set that the Go runtime's own poller watches, so that a
// goroutine waits and no thread, and a deadline can wake it. epoll reports descriptors in the order in which they
// became ready. It is told to report each once when something has come (EPOLLET). By itself it would report it for as
// long as there is something, and keep it in front of the others. One goroutine uses it; interrupt may come from
// others.
type procPoll struct {
	fd     int
	file   *os.File
	raw    syscall.RawConn
	events [8]unix.EpollEvent
	ready  []int
}

// newProcPoll makes an empty set.
func newProcPoll() (*procPoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // os.NewFile takes this as: pollable
		unix.Close(fd)
		return nil, err
	}
	q := &procPoll{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	err = q.file.SetReadDeadline(time.Time{}) // fails if the runtime cannot poll it
	if err == nil {
		q.raw, err = q.file.SyscallConn()
	}
	if err != nil {
		q.file.Close()
		return nil, err
	}
	return q, nil
}

// add watches fd for input, or for the end of the process of a pidfd. It is reported once when that comes: the caller
// must read until there is no more.
func (q *procPoll) add(fd int) error {
	return unix.EpollCtl(q.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET,
		Fd: int32(fd)})
}

// remove stops watching fd.
func (q *procPoll) remove(fd int) {
	unix.EpollCtl(q.fd, unix.EPOLL_CTL_DEL, fd, &unix.EpollEvent{}) // kernels before 2.6.9 want the last one
}

// wait returns the descriptors that have become ready, the first one first, or false after interrupt. Without block it
// returns none when there are none.
func (q *procPoll) wait(block bool) ([]int, bool) {
	q.ready = q.ready[:0]
	err := q.raw.Read(func(uintptr) bool { return q.take() || !block })
	return q.ready, err == nil && (len(q.ready) > 0 || !block)
}

// last returns the descriptors that have become ready, also after interrupt.
func (q *procPoll) last() []int {
	q.ready = q.ready[:0]
	q.take()
	return q.ready
}

// take gathers what is ready now. It is false when there is nothing, and no fault.
func (q *procPoll) take() bool {
	n, err := unix.EpollWait(q.fd, q.events[:], 0)
	for _, e := range q.events[:max(n, 0)] {
		q.ready = append(q.ready, int(e.Fd))
	}
	return n > 0 || err != nil && err != unix.EINTR
}

// interrupt makes wait return false, now and until resume.
func (q *procPoll) interrupt() { q.file.SetReadDeadline(time.Unix(1, 0)) }

// limit makes wait return false once d has passed, until resume.
func (q *procPoll) limit(d time.Duration) { q.file.SetReadDeadline(time.Now().Add(d)) }

// resume undoes interrupt and limit.
func (q *procPoll) resume() { q.file.SetReadDeadline(time.Time{}) }

// close frees the set.
func (q *procPoll) close() { q.file.Close() }

// procPipe makes a pipe whose reading end does not block. No other process inherits it.
func procPipe() (r, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, err
	}
	_, err = unix.FcntlInt(uintptr(fds[0]), unix.F_SETFL, unix.O_NONBLOCK) // it had no other flag
	return fds[0], fds[1], err
}

const (
	procDiskBlock = 512 // bytes: the kernel counts what went to a disk and came from one in these
	// bytes by which the kernel's count of memory may be off, which each processor keeps its own
	procMemoryGap = 1 << 20
)

// used says what a process used, as wait4 gives it. A child that becomes its program takes along what we had in memory
// at most: so less than that is not known, and left out. We are only asked where there may be more to say.
func (s *procSys) used(of *unix.Rusage) procUse {
	u := procUse{CPU: time.Duration(of.Utime.Nano() + of.Stime.Nano()), Read: int64(of.Inblock) * procDiskBlock,
		Written: int64(of.Oublock) * procDiskBlock}
	most := int64(of.Maxrss) << 10
	if most <= s.ownMost.Load()+procMemoryGap {
		return u
	}
	var own unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &own) == nil {
		s.ownMost.Store(int64(own.Maxrss) << 10)
		if most > s.ownMost.Load()+procMemoryGap {
			u.Memory = most
		}
	}
	return u
}

// endOf gives a descriptor that has something to read when one of our children has ended, -1 where there is none such:
// before Linux 5.3, or out of descriptors.
func (s *procSys) endOf(pid int) int {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1
	}
	return fd
}
