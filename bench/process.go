// The processes that the bench starts, and what the kernel says of processes.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// missing says that a row cannot be measured because a tool is not here.
type missing struct {
	tool string
	soft bool // it may be missing in CI too
}

func (m *missing) Error() string { return "no " + m.tool }

// need looks a tool up.
func need(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", &missing{tool: names[0]}
}

// processes is what has been started and has not ended. Each has a process group of its own, so that a signal of the
// terminal reaches the bench alone.
type processes struct {
	mu   sync.Mutex
	live map[*process]bool
}

// process is one that was started.
type process struct {
	*exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, once ended is closed
}

// start starts a process. Its output is whatever the command says; a writer has all of it once the process has ended.
func (p *processes) start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for output, if something that it left holds the pipe
	one := &process{Cmd: cmd, ended: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if p.live == nil {
		p.live = map[*process]bool{}
	}
	p.live[one] = true
	go func() { // ends with the process
		one.err = cmd.Wait()
		close(one.ended)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.live, one)
	}()
	return one, nil
}

// stop asks a process and its group to end and waits for it: TERM twice, for a cdktr that has tasks ends them at the
// second, and then KILL.
func (p *process) stop() error {
	syscall.Kill(-p.Process.Pid, syscall.SIGTERM)
	for _, next := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.ended:
			return p.err
		case <-time.After(5 * time.Second):
			syscall.Kill(-p.Process.Pid, next)
		}
	}
	<-p.ended
	return p.err
}

// end ends all that is left, at once, and what is left of their groups.
func (p *processes) end() {
	p.mu.Lock()
	left := slices.Collect(maps.Keys(p.live))
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, one := range left {
		all.Go(func() {
			one.stop()
			syscall.Kill(-one.Process.Pid, syscall.SIGKILL)
		})
	}
	all.Wait()
}

// spent is what a process that has ended has used.
type spent struct {
	wall time.Duration
	cpu  time.Duration // of it and of what it waited for
	out  string
}

// once runs a command to its end in the folder of the bench. Its output, both streams, is kept.
func (b *bench) once(argv ...string) (spent, error) {
	return b.do(exec.Command(argv[0], argv[1:]...))
}

// do is once for a command that is made.
func (b *bench) do(cmd *exec.Cmd) (spent, error) {
	var out bytes.Buffer
	if cmd.Dir == "" {
		cmd.Dir = b.dir
	}
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &out
	}
	if err := b.ctx.Err(); err != nil {
		return spent{}, err
	}
	began := time.Now()
	p, err := b.procs.start(cmd)
	if err != nil {
		return spent{}, err
	}
	select {
	case <-p.ended:
	case <-b.ctx.Done(): // what ends the bench ends it
		return spent{}, b.ctx.Err()
	}
	took := spent{wall: time.Since(began), out: out.String()}
	if p.err != nil {
		return took, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), p.err, took.out)
	}
	took.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return took, nil
}

// inTurns runs commands in turns, n rounds after one to warm up, and gives the wall time of each in nanoseconds.
func (b *bench) inTurns(n int, commands ...[]string) ([]samples, error) {
	all := make([]samples, len(commands))
	for round := range n + 1 {
		for i, argv := range commands {
			took, err := b.once(argv...)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				all[i] = append(all[i], float64(took.wall))
			}
		}
	}
	return all, nil
}

// statusField reads one number of a file of the form of /proc/PID/status.
func statusField(file, field string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return fieldOf(string(text), field)
}

// fieldOf finds "field: number" in a text of lines.
func fieldOf(text, field string) (float64, error) {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field+":" {
			return strconv.ParseFloat(words[1], 64)
		}
	}
	return 0, fmt.Errorf("no field %s", field)
}

// memory gives a field of memory of a process in bytes: VmRSS, VmHWM (the most so far), RssAnon (private).
func memory(pid int, field string) (float64, error) {
	kB, err := statusField(fmt.Sprintf("/proc/%d/status", pid), field)
	return kB * 1024, err
}

// cpuTime gives the processor time of a process, of all threads that it has and had, without its children.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return statTime(string(text))
}

// statTime reads user and system time out of /proc/PID/stat, whose second field may have anything in it.
func statTime(text string) (time.Duration, error) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of a process: %q", text)
	}
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err, err2) // USER_HZ is 100
}

// wakeups sums how often the threads of a process have slept, which is how often they were woken: voluntary context
// switches. The involuntary ones say how busy others are.
func wakeups(pid int) (n float64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("threads of process %d: %w", pid, errors.Join(err, os.ErrNotExist))
	}
	for _, thread := range threads {
		v, err := statusField(thread, "voluntary_ctxt_switches")
		if err == nil { // else the thread has ended
			n += v
		}
	}
	return n, nil
}
