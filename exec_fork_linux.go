// exec_fork_linux.go: the fork, on Linux. Package syscall shares its memory with the child until the child has entered
// its directory and become the program (vfork), and stops the thread meanwhile in a way that the runtime cannot see.
// Where the file system of either does not answer, nobody else can fork, the next collection of garbage waits for it,
// and with that the whole program. Here no thread stops, and whoever started the child waits in its epoll set. Where we
// have the few instructions for it (exec_fork_linux_*.s) the child shares our memory all the same, and has a stack of
// its own. Elsewhere, where the system refuses that, and for a child that others may end (see procForkRaw), it has a
// copy of the memory, which costs the more the more there is. This fork also puts each signal back to its default;
// package syscall does so only for those that Go has caught, and a task under nohup would ignore HUP.
//
// Before Linux 5.16 a signal that dumps core (QUIT, SEGV, ABRT) ends all that share the memory of its process, and so
// the agent, where somebody sends it to the child itself before that has become its program.

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These belong to the runtime, which keeps them for package syscall and for others that fork themselves.

//go:linkname procBeforeFork syscall.runtime_BeforeFork
func procBeforeFork()

//go:linkname procAfterFork syscall.runtime_AfterFork
func procAfterFork()

const (
	procAtCgroup  = 1 << 16 // beside the number of a fault: it happened on the way into the cgroup
	procExitBirth = 253     // exit code of a child that did not become the program; nobody sees it
	// after so many numbers in a row without a descriptor a child looks no further: the lowest is given out first
	procForkGap = 1024
	// bytes of the stack of a child that shares our memory: it calls nothing that may take more than the 800 bytes that
	// the linker allows, and no signal is handled on it
	procForkStack = 2 << 10
)

// procBirth is what a child needs between the fork and its program, where it can allocate nothing. It must stay where
// it is until the child has closed the pipe said.
type procBirth struct {
	path, dir *byte // dir nil: ours
	argv, env []*byte
	fds       [3]uintptr
	said      uintptr         // the pipe that a failure is written to
	nofile    *syscall.Rlimit // nil: as it is
	umask     int             // procNoUmask: as it is
	cgroup    uintptr         // what it writes its number to, so that it is in its cgroup; 0: it has none
	self      [1]byte         // that number, as the system knows the writer: 0
	nices     bool            // it sets its nice
	nice      uintptr
	data      *syscall.Rlimit // nil: as it is
	become    bool            // another user, by these calls and with these numbers
	calls     struct{ setgroups, setgid, setuid uintptr }
	uid, gid  uintptr
	groups    []uint32
	name      [16]byte // what it is called meanwhile
	none      [64]byte // no signal, as a mask, and the default, as an action
	maskSize  uintptr  // bytes
	signals   uintptr  // how many there are
	errno     int32
	stack     [procForkStack]byte
}

// fork starts a process, and returns when it has become the program or could not, however long the file system holds
// that up. When ctx ends before, the child is killed and never becomes the program; its pid is returned all the same.
// The fork is made from a thread that is not our first one: then the children of the first thread are orphans, and at
// most what other code started from there. attr has a directory, an environment, three files and a session of its own.
// fork calls wait, unless it is nil, with the child's pid, to wait until a descriptor has something to read, or the
// child has ended, without holding a thread.
func (s *procSys) fork(ctx context.Context, path string, argv []string, attr *syscall.ProcAttr, traits procTraits,
	wait func(pid, fd int)) (pid int, err error) {
	birth, from, err := s.birth(path, argv, attr)
	if err != nil {
		return 0, err
	}
	birth.adopt(&traits)
	to := int(birth.said)
	forked := make(chan error, 1)
	fork := func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if unix.Gettid() == unix.Getpid() {
			forked <- errProcFirstThread
			return
		}
		var errno syscall.Errno
		syscall.ForkLock.Lock() // others hold it while they make a descriptor that children would inherit
		pid, errno = procForkRaw(birth)
		procAfterFork()
		syscall.ForkLock.Unlock()
		if errno != 0 {
			forked <- errno
			return
		}
		forked <- nil
	}
	fork()
	err = <-forked
	if err == errProcFirstThread {
		runtime.LockOSThread() // so that the other goroutine gets another thread
		go fork()
		err = <-forked
		runtime.UnlockOSThread()
	}
	unix.Close(to)
	defer unix.Close(from)
	if err != nil {
		return 0, err
	}
	pid, err = procAwaitBirth(ctx, pid, from, wait)
	runtime.KeepAlive(birth) // the system closes the pipe of a child after it has let go of the memory
	return pid, err
}

// errProcFirstThread says that the fork must be made by another thread.
var errProcFirstThread = errors.New("this is the first thread")

// birth prepares a fork. from is the other end of the pipe that a failure is written to.
func (s *procSys) birth(path string, argv []string, attr *syscall.ProcAttr) (b *procBirth, from int, err error) {
	b = &procBirth{nofile: s.nofile(), name: s.birthName, maskSize: 8, signals: 64,
		umask: procNoUmask}
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		b.maskSize, b.signals = 16, 128
	}
	b.path, err = syscall.BytePtrFromString(path)
	if err != nil {
		return nil, -1, err
	}
	if attr.Dir != "" {
		b.dir, err = syscall.BytePtrFromString(attr.Dir)
		if err != nil {
			return nil, -1, err
		}
	}
	b.argv, err = syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return nil, -1, err
	}
	b.env, err = syscall.SlicePtrFromStrings(attr.Env)
	if err != nil {
		return nil, -1, err
	}
	copy(b.fds[:], attr.Files)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, err
	}
	b.said = uintptr(pipe[1])
	return b, pipe[0], nil
}

// adopt notes what the child is to change of itself.
func (b *procBirth) adopt(traits *procTraits) {
	b.umask = traits.umask
	if h := traits.hold; h != nil {
		b.cgroup, b.self[0], b.data = uintptr(h.entry), '0', h.dataLimit()
		if h.nice {
			b.nices, b.nice = true, uintptr(*h.limits.Nice)
		}
	}
	u := traits.user
	if u == nil {
		return
	}
	b.become, b.uid, b.gid, b.groups = true, uintptr(u.UID), uintptr(u.GID), u.Groups
	b.calls.setgroups, b.calls.setgid, b.calls.setuid = unix.SYS_SETGROUPS, unix.SYS_SETGID, unix.SYS_SETUID
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" { // there these take 16 bits, and others take all
		b.calls.setgroups, b.calls.setgid, b.calls.setuid = 206, 214, 213
	}
}

// procBirthName is what the children of an agent are called until they have become their programs. By that name the
// next life finds one that hangs: it has no cookie yet, and would run its program after the end of its agent.
func procBirthName(life string) (name [16]byte) {
	sum := fnv.New64a()
	sum.Write([]byte(life))
	copy(name[:15], fmt.Sprintf("birth-%016x", sum.Sum64()))
	return name
}

// births gives the children that have not become their programs, of an earlier life of this agent or of this one.
func (s *procSys) births() (found []procMember) {
	all, _ := procScan()
	name, _, _ := strings.Cut(string(s.birthName[:]), "\x00")
	for _, st := range all {
		if st.session == st.pid && procName(st.pid) == name {
			found = append(found, procMember{pid: st.pid, group: st.group, start: st.start})
		}
	}
	return found
}

// procForkRaw forks. The child shares our memory where that is possible, and where it stays ours. Another user may send
// signals to its process before that has become its program, and what ends it would end us. And in a cgroup it may have
// less memory than its arguments and its environment need: then the system ends all that share the memory with it.
//
//go:noinline
//go:norace
//go:nocheckptr
func procForkRaw(b *procBirth) (int, syscall.Errno) {
	procBeforeFork() // blocks all signals, in the child too
	pid, errno := uintptr(0), syscall.Errno(unix.EINVAL)
	if !b.become && b.cgroup == 0 {
		pid, errno = procForkShared(uintptr(unix.CLONE_VM|unix.SIGCHLD), b)
	}
	switch errno {
	case unix.EINVAL, unix.EPERM, unix.ENOSYS: // as qemu says, and filters of system calls
	default:
		return int(pid), errno
	}
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		procBeBorn(b)
	}
	return int(pid), errno
}

// procBeBorn is what the child does up to its program. Nothing else of Go works there. The child may have no other
// thread, and any lock may be held. Or it is not known to the runtime, and the runtime goes on beside it. So this calls
// only the system, and neither allocates, nor grows its stack, nor writes a pointer.
//
//go:nosplit
//go:noinline
//go:norace
//go:nocheckptr
func procBeBorn(b *procBirth) {
	errno, said, where := syscall.Errno(0), b.said, int32(0)
	for sig := uintptr(1); sig <= b.signals; sig++ {
		// not of KILL and STOP
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&b.none)), 0, b.maskSize, 0, 0)
	}
	// before it takes signals: one to our group must not end it while it has our memory
	_, _, errno = syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	if errno != 0 {
		goto failed
	}
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&b.none)), 0, b.maskSize, 0,
		0)
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b.name)), 0, 0, 0, 0)
	if b.cgroup != 0 { // before it is another user, and has a descriptor there
		_, _, errno = syscall.RawSyscall(unix.SYS_WRITE, b.cgroup, uintptr(unsafe.Pointer(&b.self)), 1)
		if errno != 0 {
			where = procAtCgroup
			goto failed
		}
	}
	if b.nices {
		syscall.RawSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, b.nice)
	}
	for i := range b.fds {
		_, _, errno = syscall.RawSyscall(unix.SYS_DUP3, b.fds[i], uintptr(i), 0)
		if errno != 0 {
			goto failed
		}
	}
	_, _, errno = syscall.RawSyscall(unix.SYS_DUP3, said, 3, unix.O_CLOEXEC)
	if errno == 0 {
		said = 3 // EINVAL: it is that already
	}
	// A child that hangs below keeps no connection open, no lock, and no pipe of another birth. The loop is for Linux
	// before 5.9, and for containers that forbid the call.
	_, _, errno = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 4, 1<<31-1, 0)
	if errno != 0 {
		for fd, free := uintptr(4), 0; free < procForkGap; fd++ {
			_, _, errno = syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
			if errno != 0 {
				free++
			} else {
				free = 0
			}
		}
	}
	if b.become {
		errno = procBecome(b)
		if errno != 0 {
			goto failed
		}
	}
	if b.dir != nil {
		_, _, errno = syscall.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(b.dir)), 0, 0)
		if errno != 0 {
			goto failed
		}
	}
	if b.umask != procNoUmask {
		syscall.RawSyscall(unix.SYS_UMASK, uintptr(b.umask), 0, 0)
	}
	if b.nofile != nil {
		syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(b.nofile)), 0, 0, 0)
	}
	if b.data != nil {
		syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_DATA, uintptr(unsafe.Pointer(b.data)), 0, 0, 0)
	}
	_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(b.path)),
		uintptr(unsafe.Pointer(unsafe.SliceData(b.argv))), uintptr(unsafe.Pointer(unsafe.SliceData(b.env))))
failed:
	b.errno = int32(errno) | where
	syscall.RawSyscall(unix.SYS_WRITE, said, uintptr(unsafe.Pointer(&b.errno)), 4)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, procExitBirth, 0, 0)
	}
}

// procBecome makes the child another user. It is a part of procBeBorn.
//
//go:nosplit
//go:noinline
//go:norace
//go:nocheckptr
func procBecome(b *procBirth) syscall.Errno {
	_, _, errno := syscall.RawSyscall(b.calls.setgroups, uintptr(len(b.groups)),
		uintptr(unsafe.Pointer(unsafe.SliceData(b.groups))), 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(b.calls.setgid, b.gid, 0, 0)
	}
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(b.calls.setuid, b.uid, 0, 0)
	}
	return errno
}

// procAwaitBirth waits until a child has become its program, which closes the pipe, or has written why it could not.
func procAwaitBirth(ctx context.Context, pid, from int, wait func(pid, fd int)) (int, error) {
	var mu sync.Mutex
	over := false
	unhook := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	if wait != nil {
		wait(pid, from)
	}
	var errno int32
	n, err := 0, error(nil)
	for {
		n, err = unix.Read(from, unsafe.Slice((*byte)(unsafe.Pointer(&errno)), 4))
		if err != unix.EINTR {
			break
		}
	}
	unhook()
	mu.Lock() // from here on somebody may collect it, and its pid may be another's
	over = true
	mu.Unlock()
	if err == nil && n == 0 {
		return pid, nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
		if n == 4 {
			err = syscall.Errno(errno &^ procAtCgroup)
			if errno&procAtCgroup != 0 {
				err = fmt.Errorf("enter its cgroup: %s", err) // it says nothing of the program
			}
		}
	}
	for {
		if _, fault := unix.Wait4(pid, nil, 0, nil); fault != unix.EINTR {
			return 0, err
		}
	}
}

// procNofile gives how many descriptors a task may have, nil for the limit that is in force. When a program starts Go
// raises this limit for itself, to one less than the most, and keeps what it was before for processes that package
// syscall starts. So this starts one, and asks it.
func procNofile() *syscall.Rlimit {
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) != nil || now.Cur != now.Max-1 {
		return nil
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer from.Close()
	child, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "ulimit -Sn"},
		&os.ProcAttr{Files: []*os.File{nil, to, nil}})
	to.Close()
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(from, 64)) // the next line finds what is wrong with it
	soft, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if _, wait := child.Wait(); err != nil || wait != nil || soft >= now.Max {
		return nil
	}
	now.Cur = soft
	return &now
}
