// exec_start.go: the start of a process: it finds the program, makes the environment with the cookie, and forks. All of
// that may hang for as long as a file system does not answer.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start runs a process. It is begin, and has run called.
func (ps *procs) start(ctx context.Context, spec procSpec) (*proc, error) {
	p, err := ps.begin(ctx, spec)
	if err == nil {
		go p.run()
	}
	return p, err
}

// begin starts a process; the caller calls run next. An error names the program or the directory and says what to do
// about it. Where a file system does not answer the system may hold begin up for any time: no loop may call it. When
// ctx ends before the process has begun, the process never begins; begin returns when the system lets it.
func (ps *procs) begin(ctx context.Context, spec procSpec) (*proc, error) {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return nil, errors.New("exec: no program: the task's command is empty")
	}
	if spec.Grace <= 0 {
		spec.Grace = procGrace
	}
	if spec.Stage == nil {
		spec.Stage = func(string) {}
	}
	path, err := procLook(spec)
	if err != nil {
		return nil, err
	}
	stage := procStage(spec, path)
	spec.Stage(stage)
	traits, err := procTraitsOf(&spec)
	if err != nil {
		return nil, err
	}
	stdin, err := ps.openStdin(&spec)
	if err != nil {
		return nil, procStartError(spec, path, fmt.Errorf("hand over its standard input: %w", err))
	}
	if stdin != ps.null {
		defer stdin.Close()
	}
	p := &proc{
		ps: ps, spec: spec,
		readDone: make(chan struct{}), force: make(chan struct{}), doneCh: make(chan struct{}),
	}
	p.roster.find = p.members
	if err := p.openPipes(); err != nil {
		return nil, procStartError(spec, path, fmt.Errorf("open pipes: %w", err))
	}
	ps.mu.Lock()
	err = context.Cause(ctx)
	if ps.closed {
		err = errProcsClosed
	}
	if err != nil {
		ps.mu.Unlock()
		p.closePipes()
		return nil, err
	}
	ps.work.Add(1) // for finish; close waits for it
	ps.starting++
	ps.mu.Unlock()

	p.limit(stage)
	traits.hold = p.hold
	attr := &syscall.ProcAttr{
		Dir: spec.Dir, Env: ps.environ(spec), Files: []uintptr{stdin.Fd(), uintptr(p.out[0].end),
			uintptr(p.out[1].end)},
	}
	p.started = time.Now()
	p.pid, err = ps.sys.fork(ctx, path, spec.Argv, attr, traits, p.awaitBirth)
	p.hold.began(p.pid)
	if err != nil {
		p.dropCgroup()
		ps.mu.Lock()
		ps.starting--
		ps.mu.Unlock()
		ps.work.Done()
		p.closePipes()
		return nil, procStartError(spec, path, err)
	}
	p.sealed.Store(ctx.Err() != nil)
	p.watchEnd(p.pid)
	p.register()
	if ctx.Err() != nil {
		p.kill(context.Cause(ctx).Error())
		go p.run()
		return nil, context.Cause(ctx)
	}
	return p, nil
}

// procStage words the stage of a start.
func procStage(spec procSpec, path string) string {
	if spec.Dir != "" {
		return "start " + path + " in " + spec.Dir
	}
	return "start " + path
}

// limit puts its limits in force for a process that is about to start. What follows is the stage next.
func (p *proc) limit(next string) {
	if p.spec.Limits != nil {
		p.spec.Stage("put its limits in force")
		p.hold = p.ps.sys.hold(p.spec.Limits)
		p.spec.Stage(next)
	}
}

// procNoUmask stands for no umask of its own.
const procNoUmask = -1

// procTraits is what a child changes of itself before it becomes its program.
type procTraits struct {
	umask int       // procNoUmask: ours
	user  *procUser // nil: ours
	hold  *procHold // nil: it has no limits
}

// procTraitsOf gives what a process is to change.
func procTraitsOf(spec *procSpec) (traits procTraits, err error) {
	traits = procTraits{umask: procNoUmask, user: spec.User}
	if spec.Umask != "" {
		mask, err := strconv.ParseUint(spec.Umask, 8, 9)
		if err != nil {
			return traits, fmt.Errorf("exec: umask %q: want three octal digits", spec.Umask)
		}
		traits.umask = int(mask)
	}
	return traits, nil
}

// openStdin opens what a process reads on its standard input. A text is in a file without a name, which is gone with
// the last process that has it: so nobody need write while the process reads, as fast or slowly as it likes. Of a file
// it gives a copy, for the fork wants a descriptor above 2. The caller closes what is not ps.null.
func (ps *procs) openStdin(spec *procSpec) (*os.File, error) {
	text := spec.Stdin
	if spec.Input != nil {
		fd, err := unix.FcntlInt(spec.Input.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err == unix.EBADF { // it was closed before we began
			return ps.null, nil
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), spec.Input.Name()), nil
	}
	if text == "" {
		return ps.null, nil
	}
	f, err := procNameless()
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteString(text); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// procUnlinked makes a file on a disk, which has no name any more.
func procUnlinked() (*os.File, error) {
	f, err := os.CreateTemp("", "cdktr-stdin-")
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

// awaitBirth waits until a child that was forked has become its program, which closes the pipe from, or has failed to.
// Most tasks are short, or soon write something: so first it waits for that, and is woken once for both. What has come
// of the output by then, and of the end, is left to run.
func (p *proc) awaitBirth(pid, from int) {
	p.watchEnd(pid)
	if p.endFd >= 0 {
		p.poll.limit(p.ps.look)
		p.early, _ = p.poll.wait(true)
		p.early = slices.Clone(p.early)
		p.poll.resume()
		if slices.Contains(p.early, p.endFd) {
			return
		}
	}
	if p.poll.add(from) != nil {
		return
	}
	for !slices.Contains(p.early, from) {
		ready, ok := p.poll.wait(true)
		if !ok {
			break // the caller's read waits
		}
		p.early = append(p.early, ready...)
	}
	p.early = slices.DeleteFunc(p.early, func(ready int) bool { return ready == from })
	p.poll.remove(from)
}

// watchEnd has run hear of the end of the main process, where the system can say so.
func (p *proc) watchEnd(pid int) {
	if p.endFd >= 0 {
		return
	}
	p.endFd = p.ps.sys.endOf(pid)
	if p.endFd >= 0 && p.poll.add(p.endFd) != nil {
		unix.Close(p.endFd)
		p.endFd = -1
	}
}

// unwatchEnd undoes watchEnd.
func (p *proc) unwatchEnd() {
	if p.endFd >= 0 {
		p.poll.remove(p.endFd)
		unix.Close(p.endFd)
		p.endFd = -1
	}
}

// environ gives the environment of a process: the task's own, and the cookie.
func (ps *procs) environ(spec procSpec) []string {
	env := make([]string, 0, len(spec.Env)+1)
	for _, kv := range spec.Env {
		if name, _, _ := strings.Cut(kv, "="); name != ps.key {
			env = append(env, kv)
		}
	}
	if spec.Cookie != "" {
		env = append(env, ps.key+"="+spec.Cookie)
	}
	return env
}

// procLook finds the program as execvp(3) would, in the PATH that the process will have. A result that is relative is
// meant from the process's directory.
func procLook(spec procSpec) (string, error) {
	name, path := spec.Argv[0], procPath
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range spec.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	denied := ""
	for _, dir := range filepath.SplitList(path) {
		spec.Stage("look for the program " + name + " in " + dir)
		if dir == "" {
			continue // for execvp it is the current directory, which nobody means
		}
		file := filepath.Join(dir, name)
		at := file
		if !filepath.IsAbs(file) {
			file, at = "./"+file, filepath.Join(spec.Dir, file)
		}
		fault := unix.Access(at, unix.X_OK)
		if fault == unix.ENOENT {
			continue
		}
		if fi, err := os.Stat(at); err != nil || fi.IsDir() {
			continue
		}
		if fault == nil {
			return file, nil
		}
		denied = at
	}
	if denied != "" {
		return "", fmt.Errorf("exec: %q: %w: make it executable: chmod +x %s", name, os.ErrPermission, denied)
	}
	return "", fmt.Errorf("command %q not found in PATH of the agent: install it there, or give its whole path: %w",
		name, os.ErrNotExist)
}

// procStartError turns what the system said about a start into what a user can do about it.
func procStartError(spec procSpec, path string, err error) error {
	name, dir, hint := spec.Argv[0], spec.Dir, ""
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	dirInfo, dirErr := os.Stat(dir)
	info, pathErr := os.Stat(path)
	switch {
	case dir != "" && errors.Is(dirErr, os.ErrNotExist):
		hint = "directory " + dir + " does not exist on this agent: make it or correct the task's directory"
	case dir != "" && dirErr == nil && !dirInfo.IsDir():
		hint = dir + " is not a directory: correct the task's directory"
	case dir != "" && unix.Access(dir, unix.X_OK) != nil:
		hint = "directory " + dir + " may not be entered by the agent's user"
	case spec.User != nil && errors.Is(err, unix.EACCES):
		hint = "user " + spec.User.Name + " may not execute it"
		if dir != "" {
			hint += ", or may not enter " + dir
		}
	case spec.User != nil && errors.Is(err, unix.EPERM):
		hint = "the agent may not become user " + spec.User.Name + ": it lacks CAP_SETUID or CAP_SETGID"
	case errors.Is(err, unix.ENOENT) && pathErr == nil:
		hint = "the interpreter in its first line, or its loader, is not on this agent"
	case errors.Is(err, unix.ENOENT):
		hint = "not found: check the path, it is looked up on the agent"
	case errors.Is(err, unix.EACCES) && pathErr == nil && info.IsDir():
		hint = "it is a directory"
	case errors.Is(err, unix.EACCES):
		hint = "make it executable for the agent's user (chmod +x), on a file system mounted without noexec"
	case errors.Is(err, unix.ENOEXEC):
		hint = "it has no #! line, or is built for another kind of machine"
	case errors.Is(err, unix.E2BIG):
		hint = "its arguments and environment are too long: pass a file instead"
	case errors.Is(err, unix.EAGAIN):
		hint = "no more processes allowed: raise the limit (ulimit -u, TasksMax) or run fewer tasks"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		hint = "no more open files allowed, and a task needs up to eight: raise the limit (ulimit -n, LimitNOFILE) " +
			"or " +
			"run fewer tasks"
	case errors.Is(err, unix.ENOMEM):
		hint = "no memory for one more process, which may begin as a copy of the agent: free some, or allow " +
			"overcommit (vm.overcommit_memory)"
	case errors.Is(err, unix.EINVAL):
		hint = "an argument or an environment value contains a NUL byte"
	default:
		return fmt.Errorf("exec: %q: %w", name, err)
	}
	return fmt.Errorf("exec: %q: %s: %w", name, hint, err)
}
