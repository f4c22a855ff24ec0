// The figures of a principal with an agent in it: how soon it is ready, what it costs while nothing happens, how soon a
// task starts after it was asked for, and what a run writes to the disk.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-zeromq/zmq4"
)

// daemon is a principal with an agent, as a process of its own.
type daemon struct {
	cmd    *exec.Cmd
	pid    int // of the principal: cmd may be strace
	dir    string
	socket string
	log    *strings.Builder
	ready  string // its line that says so, with its addresses
	drain  chan struct{}
	took   time.Duration // from the start of the process to "ready"
}

// start starts a principal on a folder of workflows and waits until it is ready. before is put in front of its command.
func (b *bench) start(workflows string, before ...string) (*daemon, error) {
	dir, err := os.MkdirTemp(b.dir, "state.")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir, socket: filepath.Join(dir, "sock"), log: &strings.Builder{}, drain: make(chan struct{})}
	argv := append(before, b.cdktr, "start", "principal", "--with-agent", "--no-scheduler", "--workflows", workflows,
		"--state", filepath.Join(dir, "state"), "--socket", d.socket)
	d.cmd = exec.Command(argv[0], argv[1:]...)
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		d.log.WriteString(line)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("principal ended before it was ready: %s", d.log), d.cmd.Wait())
		}
		if strings.Contains(line, "msg=ready") {
			d.ready = line
			break
		}
	}
	d.took = time.Since(began)
	go func() { // ends with the process
		io.Copy(d.log, lines)
		close(d.drain)
	}()
	d.pid = d.cmd.Process.Pid
	if len(before) > 0 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.pid, d.pid))
		if err != nil {
			return nil, err
		}
		if child := strings.TrimSpace(string(text)); child == "" { // before has become the principal
		} else if d.pid, err = strconv.Atoi(child); err != nil {
			return nil, fmt.Errorf("find the principal below %s: %w", before[0], err)
		}
	}
	return d, nil
}

// stop ends it, and is an error when it did not end well.
func (d *daemon) stop() error {
	syscall.Kill(d.pid, syscall.SIGTERM)
	<-d.drain
	if err := d.cmd.Wait(); err != nil {
		return fmt.Errorf("principal: %w: %s", err, d.log)
	}
	return nil
}

// dial connects to the principal as any ZeroMQ client would.
func (d *daemon) dial(ctx context.Context) (zmq4.Socket, error) {
	s := zmq4.NewReq(ctx)
	if err := s.Dial("ipc://" + d.socket); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// ask sends a request and reads one reply.
func ask(s zmq4.Socket, request map[string]any) error {
	request["v"], request["id"] = 1, "1"
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := s.Send(zmq4.NewMsg(body)); err != nil {
		return err
	}
	msg, err := s.Recv()
	if err != nil {
		return err
	}
	reply := struct {
		OK    bool
		Error json.RawMessage
	}{}
	if err := json.Unmarshal(msg.Bytes(), &reply); err != nil {
		return err
	}
	if !reply.OK {
		return fmt.Errorf("%v: refused: %s", request, reply.Error)
	}
	return nil
}

// ready is the time from the start of the process to its line "ready", with no workflow and with 100.
func (b *bench) ready() error {
	for _, n := range []int{0, 100} {
		folder := filepath.Join(b.dir, fmt.Sprint("ready", n))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		for i := range n {
			if _, err := b.file(fmt.Sprintf("ready%d/w%d.yml", n,
				i), fmt.Sprintf("schedule: \"%d 3 * * *\"\ntasks:\n  a: {run: echo a}\n  b: {run: echo b, depends: "+
				"[a]}\n  c: {run: echo c, depends: [a, b]}\n", i%60)); err != nil {
				return err
			}
		}
		var t times
		for range b.samples(15, 3) {
			d, err := b.start(folder)
			if err != nil {
				return err
			}
			t = append(t, d.took)
			if err := d.stop(); err != nil {
				return err
			}
		}
		limit := 0.0
		if n == 100 {
			limit = 50
		}
		b.line(fmt.Sprintf("start to ready, %d files", n), t.String(), ms64(t.median()), limit, "50 ms median")
	}
	return nil
}

// idle is the memory of a principal with an agent and 100 workflows that nobody asks for anything, and how often it
// wakes.
func (b *bench) idle() error {
	d, err := b.start(filepath.Join(b.dir, "ready100"))
	if err != nil {
		return err
	}
	settle, window := 15*time.Second, 10*time.Second // the Go runtime tidies up for some seconds after a start
	if b.quick {
		settle, window = time.Second, 2*time.Second
	}
	time.Sleep(settle)
	before, cpu, err := d.switches()
	if err != nil {
		return err
	}
	time.Sleep(window)
	after, cpuAfter, err := d.switches()
	if err != nil {
		return err
	}
	rss, err := statusField(fmt.Sprintf("/proc/%d/status", d.pid), "VmRSS:")
	if err != nil {
		return err
	}
	anon, err := statusField(fmt.Sprintf("/proc/%d/status", d.pid), "RssAnon:")
	if err != nil {
		return err
	}
	b.line("idle: memory (RSS)", fmt.Sprintf("%.1f MB, of it private %.1f MB", float64(rss)*1024/1e6,
		float64(anon)*1024/1e6), float64(rss)*1024/1e6, 16, "16 MB")
	rate := float64(after-before) / window.Seconds()
	b.line("idle: context switches", fmt.Sprintf("%d in %s, %.1f a second; %d ms of processor", after-before, window,
		rate, (cpuAfter-cpu)*10), rate, 1, "1 a second")
	return d.stop()
}

// switches sums the context switches of all threads, and the processor time in hundredths of a second.
func (d *daemon) switches() (n, cpu int, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.pid))
	if err != nil {
		return 0, 0, err
	}
	for _, thread := range threads {
		for _, field := range []string{"voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"} {
			v, err := statusField(thread, field)
			if err != nil {
				return 0, 0, err
			}
			n += v
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return n, user + system, nil
}

// statusField reads one number of a /proc/PID/status.
func statusField(file, field string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field {
			return strconv.Atoi(words[1])
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, field)
}

// trigger is the time from sending a request to the first thing that the task does: it writes to a named pipe. Beside
// it stands the same shell started by this process itself.
func (b *bench) trigger() error {
	pipe := filepath.Join(b.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return fmt.Errorf("make named pipe: %w", err)
	}
	task := "echo x > " + pipe
	if _, err := b.file("trigger/now.yml", "overlap: queue\ntasks:\n  a: {run: '"+task+"'}\n"); err != nil {
		return err
	}
	d, err := b.start(filepath.Join(b.dir, "trigger"))
	if err != nil {
		return err
	}
	s, err := d.dial(context.Background())
	if err != nil {
		return err
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // a writer too: reading never ends
	if err != nil {
		return err
	}
	defer reader.Close()
	starts := []func() error{
		func() error { return ask(s, map[string]any{"op": "run", "workflow": "now"}) },
		func() error { return exec.Command("/bin/sh", "-c", task).Start() },
	}
	all := make([]times, len(starts))
	for round := range b.samples(50, 5) + 1 {
		for i, start := range starts {
			done := make(chan time.Time, 1)
			go func() { // ends with two bytes
				io.ReadFull(reader, make([]byte, 2))
				done <- time.Now()
			}()
			began := time.Now()
			if err := start(); err != nil {
				return err
			}
			if at := <-done; round > 0 {
				all[i] = append(all[i], at.Sub(began))
			}
		}
		time.Sleep(20 * time.Millisecond) // the run ends
	}
	b.line("request to the task's first write", all[0].String(), 0, 0, "")
	b.line("the same shell, started here", all[1].String(), 0, 0, "")
	return errors.Join(s.Close(), d.stop())
}

var (
	traceWrite = regexp.MustCompile(`(?:write|pwrite64|writev)\(\d+<([^>]*)>.*\) = (\d+)$`)
	traceSync  = regexp.MustCompile(`(fsync|fdatasync)\(\d+<([^>]*)>`)
)

// writes counts what one run of one task writes to the disk, and how often it waits for it.
func (b *bench) writes() error {
	if _, err := b.file("writes/one.yml", "overlap: queue\ntasks:\n  a: {run: echo hello}\n"); err != nil {
		return err
	}
	trace := filepath.Join(b.dir, "trace")
	d, err := b.start(filepath.Join(b.dir, "writes"), "strace", "-f", "-y", "-qq", "-o", trace, "-e",
		"trace=write,pwrite64,writev,fsync,fdatasync,ftruncate,rename,renameat")
	if err != nil {
		return err
	}
	s, err := d.dial(context.Background())
	if err != nil {
		return err
	}
	// the first makes files and folders
	if err := ask(s, map[string]any{"op": "run", "workflow": "one", "wait": true}); err != nil {
		return err
	}
	time.Sleep(time.Second)
	from, err := os.Stat(trace)
	if err != nil {
		return err
	}
	n := b.samples(20, 3)
	for range n {
		if err := ask(s, map[string]any{"op": "run", "workflow": "one", "wait": true}); err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond) // each run for itself: under load they share their fsyncs
	}
	time.Sleep(time.Second)
	text, err := os.ReadFile(trace)
	if err != nil {
		return err
	}
	bytes, syncs := map[string]int{}, map[string]int{}
	allBytes, allSyncs := 0, 0
	for line := range strings.Lines(string(text[from.Size():])) {
		if m := traceWrite.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil &&
			strings.HasPrefix(m[1], d.dir) {
			size, _ := strconv.Atoi(m[2])
			bytes[room(d, m[1])] += size
			allBytes += size
		}
		if m := traceSync.FindStringSubmatch(line); m != nil {
			syncs[room(d, m[2])]++
			allSyncs++
		}
	}
	per := float64(n)
	b.line("one run: bytes to the disk", fmt.Sprintf("%.0f (%s)", float64(allBytes)/per, parts(bytes, per)),
		float64(allBytes)/per, 4096, "4 kB")
	b.line("one run: fsyncs", fmt.Sprintf("%.2f (%s)", float64(allSyncs)/per, parts(syncs, per)),
		math.Round(10*float64(allSyncs)/per)/10, 2, "2")
	if allBytes == 0 {
		return errors.New("no write was seen in the trace")
	}
	return errors.Join(s.Close(), d.stop())
}

// room names the folder below the state that a file is in.
func room(d *daemon, file string) string {
	rest := strings.TrimPrefix(file, filepath.Join(d.dir, "state")+"/")
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// parts writes counts a run, by name.
func parts(m map[string]int, per float64) string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		s = append(s, fmt.Sprintf("%s %.1f", name, float64(m[name])/per))
	}
	return strings.Join(s, ", ")
}
