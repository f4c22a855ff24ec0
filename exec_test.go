//go:build linux

// Tests of exec.go with real processes. They wait for events, each with a deadline; only children sleep.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	procTestKey  = "CDKTR_COOKIE"
	procTestWait = 30 * time.Second // for what must happen, on a busy machine
)

// procLine is a line of output, or a piece of one.
type procLine struct {
	Time    time.Time
	Err     bool
	Text    []byte // without the newline
	Partial bool   // the line goes on in the next procLine of the same stream
}

// procTestEach makes an Output that gives fn each line.
func procTestEach(fn func(procLine)) func(procLines) {
	return func(x procLines) {
		for line := range bytes.Lines(x.Text) {
			fn(procLine{x.Time, x.Err, bytes.Clone(bytes.TrimSuffix(line, []byte("\n"))), x.Partial})
		}
	}
}

// procTestLog gathers output.
type procTestLog struct {
	mu    sync.Mutex
	lines []procLine
}

func (l *procTestLog) add(line procLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// text is what one stream wrote, with newlines where there were any but for the last.
func (l *procTestLog) text(isErr bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, line := range l.lines {
		if line.Err == isErr {
			b.Write(line.Text)
			if !line.Partial {
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// procTestNew makes a procs that must leave no process and no zombie behind.
func procTestNew(t testing.TB) *procs {
	t.Helper()
	procTestAlone(t)
	ps, err := newProcs(procTestKey, procTestCookie(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ps.close()
		if len(ps.live) > 0 || len(ps.mains) > 0 {
			t.Errorf("after close: %d live, %d mains", len(ps.live), len(ps.mains))
		}
		procTestNoneLeft(t, ps, procTestCookie(t))
	})
	return ps
}

func procTestCookie(t testing.TB) string { return "test/" + t.Name() + "/" }

// procTestSh is a task that runs a script.
func procTestSh(t testing.TB, script string, log *procTestLog) procSpec {
	spec := procSpec{
		Argv: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
		Cookie: procTestCookie(t), Grace: 300 * time.Millisecond,
	}
	if log != nil {
		spec.Output = procTestEach(log.add)
	}
	return spec
}

func procTestStart(t testing.TB, ps *procs, spec procSpec) *proc {
	t.Helper()
	p, err := ps.start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// procTestDone waits for done.
func procTestDone(t testing.TB, p *proc) procResult {
	t.Helper()
	procTestRecv(t, p.done(), "end of process")
	return p.result()
}

func procTestRecv[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(procTestWait):
		t.Fatalf("no %s after %v", what, procTestWait)
	}
	return v
}

// procTestRun runs a script to its end.
func procTestRun(t testing.TB, ps *procs, script string) (procResult, *procTestLog) {
	t.Helper()
	log := &procTestLog{}
	return procTestDone(t, procTestStart(t, ps, procTestSh(t, script, log))), log
}

// procTestUntil tries again until ok, which must come true without our doing.
func procTestUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(procTestWait); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after %v", what, procTestWait)
		}
	}
}

// procTestZombies are our dead children outside our session.
func procTestZombies() []int {
	session, _ := unix.Getsid(0)
	var pids []int
	all, _ := procScan()
	for _, st := range all {
		if st.parent == os.Getpid() && st.dead && st.session != session {
			pids = append(pids, st.pid)
		}
	}
	return pids
}

// procTestAlive are the live processes with a cookie that begins like this.
func procTestAlive(ps *procs, cookie string) []procMember {
	found, _ := ps.sys.withCookie(procTestKey, func(c string) bool { return strings.HasPrefix(c, cookie) })
	return found
}

// procTestNoneLeft checks that nothing with the cookie lives and that zombies are gone.
func procTestNoneLeft(t testing.TB, ps *procs, cookie string) {
	t.Helper()
	if left := procTestAlive(ps, cookie); len(left) > 0 {
		t.Errorf("still alive: %v", left)
		ps.signal(left, unix.SIGKILL)
	}
	procTestUntil(t, "no zombies", func() bool { return len(procTestZombies()) == 0 })
}

// procTestLine is an Output that hands over the first line.
func procTestLine() (func(procLine), <-chan string) {
	ch := make(chan string, 1)
	return func(l procLine) {
		select {
		case ch <- string(l.Text):
		default:
		}
	}, ch
}

func TestProcExitCodes(t *testing.T) {
	ps := procTestNew(t)
	for _, code := range []int{0, 1, 3, 126, 127, 200, 255} {
		r, _ := procTestRun(t, ps, fmt.Sprintf("exit %d", code))
		want := ""
		if code > 0 {
			want = fmt.Sprintf("exit %d", code)
		}
		if r.Exit != code || r.Reason != want || r.Signal != "" || r.Stopped || r.TimedOut {
			t.Errorf("exit %d: %+v", code, r)
		}
		if r.Elapsed <= 0 || r.Finished.Sub(r.Started) != r.Elapsed {
			t.Errorf("exit %d: odd numbers: %+v", code, r)
		}
	}
	if r, _ := procTestRun(t, ps, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"); r.Used.CPU <= 0 ||
		r.Used.CPU > r.Elapsed+time.Second {
		t.Errorf("cpu: %+v", r)
	}
}

func TestProcSignals(t *testing.T) {
	ps := procTestNew(t)
	for _, c := range []struct {
		sig  int
		name string
	}{{1, "SIGHUP"}, {9, "SIGKILL"}, {11, "SIGSEGV"}, {15, "SIGTERM"}, {34, "SIG34"}} {
		r, _ := procTestRun(t, ps, fmt.Sprintf("ulimit -c 0; kill -%d $$", c.sig))
		if r.Exit != 128+c.sig || r.Signal != c.name || r.Reason != "signal "+c.name || r.Stopped {
			t.Errorf("signal %d: %+v", c.sig, r)
		}
	}
}

func TestProcStartErrors(t *testing.T) {
	ps := procTestNew(t)
	dir := t.TempDir()
	plain, script, odd := dir+"/plain", dir+"/script", dir+"/odd"
	for file, text := range map[string]string{plain: "x", script: "#!/no/such/interpreter\n", odd: "\x7fELF"} {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	before := procTestFds(t, ps)
	for _, c := range []struct {
		spec procSpec
		want string
		is   error
	}{
		{procSpec{}, "command is empty", nil},
		{procSpec{Argv: []string{"pg_dumb"}},
			`command "pg_dumb" not found in PATH of the agent: install it there, or give its whole path: file`,
			os.ErrNotExist},
		{procSpec{Argv: []string{"plain"}, Env: []string{"PATH=" + dir}}, "chmod +x " + plain, os.ErrPermission},
		{procSpec{Argv: []string{plain}}, "chmod +x", os.ErrPermission},
		{procSpec{Argv: []string{dir}}, "is a directory", os.ErrPermission},
		{procSpec{Argv: []string{"/no/such"}}, `"/no/such": not found: check the path`, os.ErrNotExist},
		{procSpec{Argv: []string{script}}, "interpreter in its first line", os.ErrNotExist},
		{procSpec{Argv: []string{odd}}, "another kind of machine", unix.ENOEXEC},
		{procSpec{Argv: []string{"true"}, Dir: dir + "/gone"}, "directory " + dir + "/gone does not exist",
			os.ErrNotExist},
		{procSpec{Argv: []string{"true"}, Dir: plain}, "is not a directory", unix.ENOTDIR},
		{procSpec{Argv: []string{"true", "a\x00b"}}, "NUL byte", unix.EINVAL},
		{procSpec{Argv: []string{"true", strings.Repeat("x", 4<<20)}}, "too long", unix.E2BIG},
	} {
		p, err := ps.start(context.Background(), c.spec)
		if err == nil {
			t.Errorf("%.40q: started", c.spec.Argv)
			procTestDone(t, p)
		} else if !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%.40q: %v; want %q and %v", c.spec.Argv, err, c.want, c.is)
		}
	}
	for cause, want := range map[error]string{unix.ENOMEM: "vm.overcommit_memory", unix.EMFILE: "LimitNOFILE",
		unix.ENFILE: "LimitNOFILE"} {
		err := procStartError(procSpec{Argv: []string{"true"}}, "/bin/true", fmt.Errorf("open pipes: %w", cause))
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", cause, err)
		}
	}
	procTestFdsLeft(t, ps, before)
	ps.close()
	if _, err := ps.start(context.Background(), procSpec{Argv: []string{"true"}}); !errors.Is(err, errProcsClosed) {
		t.Errorf("start after close: %v", err)
	}
}

func TestProcEnvAndDir(t *testing.T) {
	t.Setenv("PROC_TEST_OURS", "leak")
	ps := procTestNew(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/here", []byte("#!/bin/sh\necho here in $(pwd -P); env\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"./here", "here"} {
		log := &procTestLog{}
		spec := procSpec{
			Argv: []string{name}, Dir: dir, Cookie: "a b=c", Output: procTestEach(log.add),
			Env: []string{"PATH=.:/usr/bin:/bin", "A=1", procTestKey + "=forged"},
		}
		procTestDone(t, procTestStart(t, ps, spec))
		lines := strings.Split(strings.TrimSpace(log.text(false)), "\n")
		slices.Sort(lines[1:])
		got := strings.Join(slices.DeleteFunc(lines, func(s string) bool { // sh sets these itself
			return strings.HasPrefix(s, "PWD=") || strings.HasPrefix(s, "_=") || strings.HasPrefix(s, "SHLVL=") ||
				strings.HasPrefix(s, "OLDPWD=")
		}), "|")
		if want := "here in " + dir + "|A=1|" + procTestKey + "=a b=c|PATH=.:/usr/bin:/bin"; got != want {
			t.Errorf("%s: got %s want %s", name, got, want)
		}
	}
}

func TestProcTimeout(t *testing.T) {
	ps := procTestNew(t)
	spec := procTestSh(t, "sleep 100", nil)
	spec.Timeout = 50 * time.Millisecond
	r := procTestDone(t, procTestStart(t, ps, spec))
	if r.Reason != "timed out after 50ms" || !r.TimedOut || r.Stopped || r.Signal != "SIGTERM" || r.Exit != 143 {
		t.Errorf("%+v", r)
	}
	if r.Elapsed < spec.Timeout {
		t.Errorf("ended early: %v", r.Elapsed)
	}
	spec = procTestSh(t, "exit 4", nil)
	spec.Timeout = time.Hour
	p := procTestStart(t, ps, spec)
	if r := procTestDone(t, p); r.TimedOut || r.Exit != 4 {
		t.Errorf("%+v", r)
	}
	if p.timeout != nil && p.timeout.Stop() {
		t.Error("timer left behind")
	}
	for d, want := range map[time.Duration]string{
		30 * time.Minute: "30m", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s",
		time.Minute + time.Second: "1m1s", time.Hour + 10*time.Second: "1h0m10s", 20 * time.Minute: "20m", 0: "0s",
	} {
		if got := procDuration(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

// procTestReason gives the reason without the words that p rightly adds where a busy machine does not end it in time.
func procTestReason(p *proc, r procResult) string {
	reason, _, _ := strings.Cut(r.Reason, fmt.Sprintf(" (process %d has not died of SIGKILL yet)", p.pid))
	return reason
}

// procTestStop stops p with reason and checks that done comes within the grace and the 0.2 s promised, and some
// more for a busy machine under the race detector.
func procTestStop(t testing.TB, p *proc, grace time.Duration) procResult {
	t.Helper()
	begin := time.Now()
	p.stop("stopped by test")
	r := procTestDone(t, p)
	if took := time.Since(begin); took > grace+200*time.Millisecond+procTestSlack {
		t.Errorf("stop took %v with a grace of %v", took, grace)
	}
	if procTestReason(p, r) != "stopped by test" || !r.Stopped || r.TimedOut {
		t.Errorf("%+v", r)
	}
	return r
}

// procTestSlack is what a busy machine may take beyond what a stop takes. What would never end takes longer than that.
const procTestSlack = 20 * time.Second

func TestProcIgnoresTerm(t *testing.T) {
	ps := procTestNew(t)
	output, ready := procTestLine()
	spec := procTestSh(t, "trap '' TERM; echo ready; while :; do sleep 1; done", nil)
	spec.Output = procTestEach(output)
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	r := procTestStop(t, p, spec.Grace)
	if r.Signal != "SIGKILL" || r.Exit != 137 || r.Elapsed < spec.Grace {
		t.Errorf("%+v", r)
	}
	ps.work.Wait()
	procTestNoneLeft(t, ps, spec.Cookie)
}

func TestProcKillCutsGrace(t *testing.T) {
	ps := procTestNew(t)
	output, ready := procTestLine()
	spec := procTestSh(t, "trap '' TERM; echo ready; sleep 100 & wait; wait; sleep 100", nil)
	spec.Output, spec.Grace = procTestEach(output), time.Hour
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	p.stop("first")
	p.stop("second")
	p.kill("third")
	p.kill("fourth")
	if r := procTestDone(t, p); procTestReason(p, r) != "first" || r.Signal != "SIGKILL" {
		t.Errorf("%+v", r)
	}
	p.stop("too late")
	if r := p.result(); procTestReason(p, r) != "first" {
		t.Errorf("%+v", r)
	}
}

func TestProcTermIsHandled(t *testing.T) {
	ps := procTestNew(t)
	log := &procTestLog{}
	output, ready := procTestLine()
	spec := procTestSh(t, "trap 'echo bye; exit 7' TERM; echo ready; sleep 100 & wait", nil)
	spec.Grace = time.Hour
	spec.Output = procTestEach(func(l procLine) { log.add(l); output(l) })
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	if err := unix.Kill(p.pid, unix.SIGSTOP); err != nil { // a stopped process is woken to handle it
		t.Fatal(err)
	}
	p.stop("stopped by test")
	if r := procTestDone(t, p); r.Exit != 7 || r.Signal != "" || r.Reason != "stopped by test" {
		t.Errorf("%+v", r)
	}
	if got := log.text(false); got != "ready\nbye\n" {
		t.Errorf("got %q", got)
	}
}

func TestProcTermReachesAll(t *testing.T) {
	ps := procTestNew(t)
	log := &procTestLog{}
	output, ready := procTestLine()
	spec := procTestSh(t, "trap 'wait; echo outer; exit 7' TERM; (trap 'echo inner; exit' TERM; echo ready; "+
		"while :; do sleep 0.02; done) & wait", nil)
	spec.Grace = time.Hour
	spec.Output = procTestEach(func(l procLine) { log.add(l); output(l) })
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	p.stop("stopped by test")
	if r := procTestDone(t, p); r.Exit != 7 || log.text(false) != "ready\ninner\nouter\n" {
		t.Errorf("%+v %q", r, log.text(false))
	}
}

func TestProcUnkillable(t *testing.T) {
	ps := procTestNew(t)
	ps.kill = func(int, syscall.Signal) error { return nil } // as for a process that waits for a dead disk
	output, ready := procTestLine()
	spec := procTestSh(t, "echo ready; exec sleep 100", nil)
	spec.Output = procTestEach(output)
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	begin := time.Now()
	p.stop("stopped by test")
	r := procTestDone(t, p)
	if took := time.Since(begin); took > spec.Grace+200*time.Millisecond+procTestSlack {
		t.Errorf("took %v", took)
	}
	if want := fmt.Sprintf("stopped by test (process %d has not died of SIGKILL yet)", p.pid); r.Reason != want ||
		r.Exit != 137 {
		t.Errorf("%+v", r)
	}
	if err := unix.Kill(-p.pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
	ps.work.Wait()
}

func TestProcGrandchildHoldsOutput(t *testing.T) {
	ps := procTestNew(t)
	log := &procTestLog{}
	spec := procTestSh(t, "trap '' TERM; sleep 1000 & echo out; echo err >&2; printf tail", log)
	spec.Grace = time.Hour
	p := procTestStart(t, ps, spec)
	r := procTestDone(t, p)
	if r.Reason != "" || r.Elapsed > 10*time.Second {
		t.Errorf("%+v", r)
	}
	if log.text(false) != "out\ntail\n" || log.text(true) != "err\n" {
		t.Errorf("got %q %q", log.text(false), log.text(true))
	}
	if !slices.Equal(r.Left, []string{"sleep"}) {
		t.Errorf("left behind: %q", r.Left)
	}
	if alive := procTestAlive(ps, spec.Cookie); len(alive) != 1 {
		t.Errorf("the grandchild has %d lives: it ignores TERM and has an hour", len(alive))
	}
	p.kill("now")
	ps.work.Wait()
	procTestNoneLeft(t, ps, spec.Cookie)
}

// TestProcPassesOn: the way of many a script to keep a log of its own. The tee has the last lines when the script ends.
// On a machine that is busy it may take longer than procLinger, and is ended then; not each time.
func TestProcPassesOn(t *testing.T) {
	ps := procTestNew(t)
	for tries, good := 0, 0; good < 10; tries++ {
		log := &procTestLog{}
		spec := procTestSh(t, "", log)
		spec.Argv = []string{"bash", "-c", "exec > >(sleep 0.02; tee /dev/null); seq 1 2000; echo last"}
		r := procTestDone(t, procTestStart(t, ps, spec))
		text := log.text(false)
		if len(r.Left) > 0 && tries < 100 {
			continue
		}
		if good++; !strings.HasSuffix(text, "\n2000\nlast\n") || r.Exit != 0 || len(r.Left) != 0 {
			t.Fatalf("%+v, %d bytes: %q", r, len(text), text[max(len(text)-40, 0):])
		}
	}
}

// TestProcKillAtOnce: what is killed gets no TERM before, which it would begin to clean up at.
func TestProcKillAtOnce(t *testing.T) {
	ps := procTestNew(t)
	for range 10 {
		output, ready := procTestLine()
		log := &procTestLog{}
		spec := procTestSh(t, "trap 'echo cleaning up; exit 3' TERM; echo ready; while :; do sleep 0.01; done", nil)
		spec.Output = procTestEach(func(l procLine) { output(l); log.add(l) })
		p := procTestStart(t, ps, spec)
		procTestRecv(t, ready, "line")
		p.kill("now")
		if r := procTestDone(t, p); r.Exit != 137 || log.text(false) != "ready\n" {
			t.Fatalf("%+v, %q", r, log.text(false))
		}
		ps.work.Wait()
	}
}

func TestProcLeftoverWritesForEver(t *testing.T) {
	ps := procTestNew(t)
	var bytesOut int
	spec := procTestSh(t, "trap '' TERM PIPE; yes & exec true", nil)
	spec.Output = procTestEach(func(l procLine) { bytesOut += len(l.Text) })
	if r := procTestDone(t, procTestStart(t, ps, spec)); r.Exit != 0 {
		t.Errorf("%+v", r)
	}
	ps.work.Wait()
	procTestNoneLeft(t, ps, spec.Cookie)
}

func TestProcBinaryOutput(t *testing.T) {
	ps := procTestNew(t)
	_, log := procTestRun(t, ps, `printf 'a\000b\n\377\376\nwin\r\n\n\nlast'; printf '\000\n\001' >&2`)
	if got, want := log.text(false), "a\x00b\n\xff\xfe\nwin\r\n\n\nlast\n"; got != want {
		t.Errorf("stdout %q want %q", got, want)
	}
	if got, want := log.text(true), "\x00\n\x01\n"; got != want {
		t.Errorf("stderr %q want %q", got, want)
	}
	for _, l := range log.lines {
		if l.Partial || l.Time.IsZero() || time.Since(l.Time) > procTestWait {
			t.Errorf("%+v", l)
		}
	}
}

func Test34StderrLines(t *testing.T) {
	ps := procTestNew(t)
	_, log := procTestRun(t, ps, "i=1; while [ $i -le 34 ]; do echo line $i >&2; i=$((i+1)); done; exit 1")
	if n := strings.Count(log.text(true), "\n"); n != 34 || !strings.HasSuffix(log.text(true), "line 34\n") {
		t.Errorf("%d lines", n)
	}
}

func Test200kBStderrWhileStdoutOpen(t *testing.T) {
	ps := procTestNew(t)
	r, log := procTestRun(t, ps, "head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2; echo done")
	if got := log.text(true); got != strings.Repeat("x", 200000)+"\n" {
		t.Errorf("%d bytes", len(got))
	}
	if log.text(false) != "done\n" || r.Exit != 0 {
		t.Errorf("%q %+v", log.text(false), r)
	}
}

// TestProcOrder: lines alternate between the streams, each after the one before has been delivered.
func TestProcOrder(t *testing.T) {
	ps := procTestNew(t)
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	turn, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close()
	log := &procTestLog{}
	spec := procTestSh(t, `exec 3<`+fifo+`; i=0; while [ $i -lt 100 ]; do
		echo $i; read x <&3; i=$((i+1)); echo $i >&2; read x <&3; i=$((i+1)); done`, nil)
	spec.Output = procTestEach(func(l procLine) {
		log.add(l)
		turn.Write([]byte{'\n'})
	})
	procTestDone(t, procTestStart(t, ps, spec))
	if len(log.lines) != 100 {
		t.Fatalf("%d lines", len(log.lines))
	}
	for i, l := range log.lines {
		if string(l.Text) != strconv.Itoa(i) || l.Err != (i%2 == 1) || i > 0 && l.Time.Before(log.lines[i-1].Time) {
			t.Errorf("%d: %q %v", i, l.Text, l.Err)
		}
	}
}

// TestProcOrderUnread: what was written to both streams while nobody read comes in the order in which it was written,
// whether the process has ended meanwhile or goes on, and whichever stream was read before.
func TestProcOrderUnread(t *testing.T) {
	ps := procTestNew(t)
	for _, test := range []struct{ script, want string }{
		{"echo a; read x <in; echo b >&2; echo c", "a !b c"},
		{"echo a; read x <in; echo b; echo c >&2", "a b !c"},
		{"echo a >&2; read x <in; echo b >&2; echo c", "!a !b c"},
		{"echo a >&2; read x <in; echo b; echo c >&2", "!a b !c"},
		{"echo a; read x <in; echo b >&2; printf c", "a !b c"},
		{"echo a; read x <in; printf b >&2; echo c", "a c !b"}, // a line is delivered when it ends
		{"echo a; read x <in; head -c 50000 /dev/zero | tr '\\0' b >&2; echo >&2; echo c", "a !b c"},
	} {
		for _, stays := range []bool{false, true} {
			dir := t.TempDir()
			for _, name := range []string{"in", "out", "stay"} {
				if err := unix.Mkfifo(dir+"/"+name, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := os.OpenFile(dir+"/out", os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			script := "exec 3>out; " + test.script + "; exec 3>&-"
			if stays {
				script += "; read x <stay"
			}
			log, got := &procTestLog{}, ""
			spec := procTestSh(t, script, nil)
			spec.Dir = dir
			spec.Output = procTestEach(func(l procLine) {
				if log.add(l); l.Text[0] == 'a' { // it goes on, and until it has written all we do not read
					os.WriteFile(dir+"/in", []byte("\n"), 0)
					io.ReadAll(out)
				}
				if l.Text[0] == 'c' && stays {
					os.WriteFile(dir+"/stay", []byte("\n"), 0)
				}
			})
			if stays && strings.Contains(script, "printf") {
				continue // what has no end comes with the end
			}
			procTestDone(t, procTestStart(t, ps, spec))
			for _, l := range log.lines {
				if l.Err {
					got += " !"
				} else {
					got += " "
				}
				got += string(l.Text[:1])
			}
			if got != " "+test.want {
				t.Errorf("%s, stays %v: %s, want %s", test.script, stays, got, test.want)
			}
		}
	}
}

func TestProcLongLine(t *testing.T) {
	ps := procTestNew(t)
	for _, size := range []int{procMaxLine - 1, procMaxLine, procMaxLine + 1, 2 * procMaxLine, 2*procMaxLine + 1,
		1 << 20} {
		for _, newline := range []string{"", "\n"} {
			_, log := procTestRun(t, ps, fmt.Sprintf("echo; head -c %d /dev/zero | tr '\\0' y; printf '%s'", size,
				newline))
			if got := log.text(false); got != "\n"+strings.Repeat("y", size)+"\n" {
				t.Errorf("%d%q: %d bytes", size, newline, len(got))
			}
			pieces := (size + procMaxLine - 1) / procMaxLine
			if len(log.lines) != pieces+1 {
				t.Errorf("%d%q: %d pieces, want %d", size, newline, len(log.lines)-1, pieces)
			}
			for i, l := range log.lines {
				if len(l.Text) > procMaxLine || l.Partial != (i > 0 && i < len(log.lines)-1) {
					t.Errorf("%d%q: piece %d: %d bytes, %v", size, newline, i, len(l.Text), l.Partial)
				}
			}
		}
	}
}

// TestProcMemory: much output, short lines and none at all, needs no memory.
func TestProcMemory(t *testing.T) {
	ps := procTestNew(t)
	for _, script := range []string{"head -c 100000000 /dev/zero", "yes | head -c 20000000"} {
		var n, calls int
		spec := procTestSh(t, script, nil)
		spec.Output = procTestEach(func(l procLine) {
			calls++
			n += len(l.Text)
		})
		p := procTestStart(t, ps, spec)
		procTestDone(t, p)
		for i := range p.out {
			if n := len(p.out[i].buf); n > procMaxLine+1 {
				t.Errorf("buffer of %d bytes", n)
			}
		}
		if n != 100000000 && n+calls != 20000000 {
			t.Errorf("%s: %d bytes in %d calls", script, n, calls)
		}
	}
}

func TestProcBlockedCallbackStop(t *testing.T) {
	ps := procTestNew(t)
	in, out := make(chan bool, 1), make(chan bool)
	var calls []bool // whether done was closed when the call began
	var p *proc
	started := make(chan bool)
	spec := procTestSh(t, "trap '' TERM; yes & yes", nil)
	spec.Output = func(procLines) {
		<-started
		select {
		case <-p.done():
			calls = append(calls, true)
		default:
			calls = append(calls, false)
		}
		if len(calls) == 1 {
			in <- true
			<-out
		}
	}
	p = procTestStart(t, ps, spec)
	close(started)
	procTestRecv(t, in, "call")
	if r := procTestStop(t, p, spec.Grace); r.Signal != "SIGKILL" {
		t.Errorf("%+v", r)
	}
	ps.work.Wait()
	procTestNoneLeft(t, ps, spec.Cookie)
	close(out)
	procTestRecv(t, p.readDone, "end of reader")
	if len(calls) != 1 || calls[0] {
		t.Errorf("%d calls, after done %v", len(calls), calls)
	}
}

// TestProcBlockedCallbackEnds: the end of a process alone does not cut a callback short; a stop then does.
func TestProcBlockedCallbackEnds(t *testing.T) {
	ps := procTestNew(t)
	in, out := make(chan bool, 1), make(chan bool)
	spec := procTestSh(t, "echo a; exit 6", nil)
	spec.Output = func(procLines) { in <- true; <-out }
	p := procTestStart(t, ps, spec)
	procTestRecv(t, in, "call")
	procTestUntil(t, "collected", func() bool { ps.mu.Lock(); defer ps.mu.Unlock(); return p.ended })
	select {
	case <-p.done():
		t.Error("done while its output is being delivered")
	default:
	}
	p.kill("late")
	if r := procTestDone(t, p); r.Exit != 6 || r.Reason != "exit 6" || r.Stopped {
		t.Errorf("%+v", r)
	}
	close(out)
	procTestRecv(t, p.readDone, "end of reader")
}

// then is called once, by whoever ends the process; of one that has ended it says so.
func TestProcThen(t *testing.T) {
	ps := procTestNew(t)
	in, out, ended := make(chan bool, 1), make(chan bool), make(chan procResult, 2)
	spec := procTestSh(t, "echo a; exit 6", nil)
	spec.Output = func(procLines) { in <- true; <-out }
	p := procTestStart(t, ps, spec)
	procTestRecv(t, in, "call")
	if !p.then(func(res procResult) { ended <- res }) {
		t.Error("it has not ended")
	}
	select {
	case res := <-ended:
		t.Errorf("called too early: %+v", res)
	default:
	}
	close(out)
	if res := procTestRecv(t, ended, "the end"); res.Exit != 6 {
		t.Errorf("%+v", res)
	}
	procTestRecv(t, p.readDone, "end of reader")
	if p.then(func(procResult) { t.Error("called") }) {
		t.Error("it has ended")
	}
	p.kill("late")
	if len(ended) > 0 {
		t.Error("called again")
	}
}

func TestProcStdinNull(t *testing.T) {
	ps := procTestNew(t)
	r, log := procTestRun(t, ps, "cat; readlink /proc/$$/fd/0; (: </dev/tty) 2>/dev/null || echo no tty")
	if log.text(false) != "/dev/null\nno tty\n" || r.Exit != 0 {
		t.Errorf("%q %+v", log.text(false), r)
	}
}

func TestProcStorm(t *testing.T) {
	ps := procTestNew(t)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			log := &procTestLog{}
			p, err := ps.start(context.Background(), procTestSh(t, fmt.Sprintf("echo out %d; echo err %d >&2; exit %d",
				i, i, i), log))
			if err != nil {
				t.Error(err)
				return
			}
			if r := procTestDone(t, p); r.Exit != i || log.text(false) != fmt.Sprintf("out %d\n", i) ||
				log.text(true) != fmt.Sprintf("err %d\n", i) {
				t.Errorf("%d: %+v %q %q", i, r, log.text(false), log.text(true))
			}
		})
	}
	wg.Wait()
}

// TestProcStopWithoutFds: a stop needs no descriptor. It runs itself to use them up.
func TestProcStopWithoutFds(t *testing.T) {
	const inner = "PROC_TEST_INNER_STOP"
	if os.Getenv(inner) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcStopWithoutFds$", "-test.v")
		cmd.Env = append(os.Environ(), inner+"=1")
		if text, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(text, []byte("--- PASS")) {
			t.Errorf("%v: %s", err, text)
		}
		return
	}
	ps := procTestNew(t)
	output, ready := procTestLine()
	spec := procTestSh(t, "trap '' TERM; echo ready; while :; do sleep 1; done", nil)
	spec.Output = procTestEach(output)
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	limit := unix.Rlimit{Cur: 3, Max: 1024}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if r := procTestStop(t, p, spec.Grace); r.Signal != "SIGKILL" {
		t.Errorf("%+v", r)
	}
	limit.Cur = 1024
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// Without descriptors nobody could wait for the end of what was killed.
	procTestUntil(t, "all dead", func() bool { return len(procTestAlive(ps, spec.Cookie)) == 0 })
}

// TestProcClose: close ends what runs, whatever it does.
func TestProcClose(t *testing.T) {
	ps := procTestNew(t)
	var ps2 []*proc
	for range 5 {
		output, ready := procTestLine()
		spec := procTestSh(t, "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 1000; :' &); echo ready; sleep "+
			"1000; sleep 1000", nil)
		spec.Output, spec.Grace = procTestEach(output), time.Hour
		ps2 = append(ps2, procTestStart(t, ps, spec))
		procTestRecv(t, ready, "line")
	}
	ps.close()
	for _, p := range ps2 {
		if r := procTestDone(t, p); procTestReason(p, r) != "agent stopped" {
			t.Errorf("%+v", r)
		}
	}
	procTestNoneLeft(t, ps, procTestCookie(t))
}

func BenchmarkProcTrue(b *testing.B) {
	ps := procTestNew(b)
	spec := procSpec{Argv: []string{"/bin/true"}, Output: func(procLines) {}, Cookie: procTestCookie(b)}
	b.ReportAllocs()
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := ps.start(context.Background(), spec)
		if err != nil {
			b.Fatal(err)
		}
		<-p.done()
	}
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/1e3/float64(b.N), "own-cpu-µs/op")
	b.ReportMetric(float64(after.Nvcsw-before.Nvcsw)/float64(b.N), "switches/op")
}

func BenchmarkProcTrueOsExec(b *testing.B) {
	for b.Loop() {
		cmd := exec.Command("/bin/true")
		cmd.Stdout, cmd.Stderr = &bytes.Buffer{}, &bytes.Buffer{}
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// A stop begins with the signal that the task wants; what the task left behind gets TERM all the same.
func TestProcStopSignal(t *testing.T) {
	ps := procTestNew(t)
	output, ready := procTestLine()
	spec := procTestSh(t, "trap 'exit 7' INT; trap 'exit 8' TERM; echo ready; while :; do sleep 0.01; done", nil)
	spec.Output, spec.StopSignal, spec.Grace = procTestEach(output), unix.SIGINT, time.Hour
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	p.stop("stopped by test")
	if r := procTestDone(t, p); r.Exit != 7 || r.Exited || r.Reason != "stopped by test" {
		t.Errorf("%+v", r)
	}
	spec = procTestSh(t, "sleep 100 & exit 3", nil) // a background job ignores INT
	spec.StopSignal, spec.Grace = unix.SIGINT, time.Hour
	if r := procTestDone(t, procTestStart(t, ps, spec)); r.Exit != 3 || !r.Exited {
		t.Errorf("%+v", r)
	}
	ps.work.Wait()
	procTestNoneLeft(t, ps, spec.Cookie)
}

func TestProcUmask(t *testing.T) {
	ps := procTestNew(t)
	own := unix.Umask(0o022)
	defer unix.Umask(own)
	for mask, want := range map[string]string{"": "0022\n", "027": "0027\n", "000": "0000\n", "777": "0777\n"} {
		log := &procTestLog{}
		spec := procTestSh(t, "umask", log)
		spec.Umask = mask
		if r := procTestDone(t, procTestStart(t, ps, spec)); r.Exit != 0 || log.text(false) != want {
			t.Errorf("%s: %+v, %q", mask, r, log.text(false))
		}
	}
	if now := unix.Umask(0o022); now != 0o022 {
		t.Errorf("ours has become %03o", now)
	}
	spec := procTestSh(t, "umask", nil)
	spec.Umask = "9"
	if _, err := ps.start(t.Context(), spec); err == nil {
		t.Error("a umask of 9 is taken")
	}
}
