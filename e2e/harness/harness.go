// End-to-end tests: the real program as processes of its own, driven through its command line and its socket. This file
// is the harness and the verbs; faults, crashes, schedules and the wire are in the e2e_ files.
//
// The test binary is the program: started with CDKTR_TEST_MAIN set it is main and nothing else, so that the race
// detector and coverage see what the tests do. Each test has a folder of its own with state, socket and workflows. What
// it starts is stopped at its end, and a process that is left over fails it.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// makes main of this binary; a duration is its patience with a principal that is away
	e2eMainEnv  = "CDKTR_TEST_MAIN"
	e2eRootEnv  = "CDKTR_TEST_ROOT" // the folder of all tests; every process below us carries it
	e2ePatience = 60 * time.Second  // for what must come, on a machine that is busy with other things
	e2ePoll     = 20 * time.Millisecond
	e2eAtOnce   = 4 // tests that run at once, for each core
)

func TestMain(m *testing.M) {
	if os.Getenv(tortureMainEnv) != "" {
		os.Exit(tortureMain())
	}
	if os.Getenv(attackMainEnv) != "" {
		os.Exit(attackMain())
	}
	if os.Getenv(termMainEnv) != "" {
		os.Exit(termMain())
	}
	if os.Getenv(e2eMainEnv) != "" {
		patience, err := time.ParseDuration(os.Getenv(e2eMainEnv))
		if err != nil {
			patience = dialPatience
		}
		os.Exit(mainWith(patience))
	}
	os.Exit(e2eAll(m))
}

// e2eAll runs every test of the package, and afterwards sees that nothing is left of them.
func e2eAll(m *testing.M) int {
	e2eSideBySide()
	if signal.Ignored(syscall.SIGHUP) { // by nohup: caught here instead, no process of a test inherits that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	if os.Getenv(e2eRootEnv) != "" { // a test started us, perhaps to kill us: what is left is looked at there
		return m.Run()
	}
	root, err := os.MkdirTemp("", "cdktr-e2e-")
	if err == nil {
		err = errors.Join(os.Chmod(root, 0o755), os.Setenv(e2eRootEnv, root))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make folder of the tests:", err)
		return 1
	}
	code := m.Run()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if bytes.Contains(stacks, []byte(".(*e2e")) {
		fmt.Fprintf(os.Stderr, "goroutines of the harness are left:\n%s\n", stacks)
		code = 1
	}
	if left := e2eAlive(root); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "processes are left:", left)
		code = 1
	}
	if (&procSys{}).charged() {
		fmt.Fprintln(os.Stderr, "a test left this process in charge of orphans: those of others become its zombies")
		code = 1
	}
	if err := os.RemoveAll(root); err != nil {
		fmt.Fprintln(os.Stderr, "remove folder of the tests:", err)
		code = 1
	}
	return code
}

// e2eSideBySide has more tests run at once than there are cores, unless -parallel says how many: most of them wait for
// processes of their own more than they compute.
func e2eSideBySide() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(e2eAtOnce*runtime.NumCPU())) // a number is always taken
	}
}

// e2eAlive lists the live processes, this one apart, with text in their environment, and zombies that are ours.
func e2eAlive(text string) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil || pid == os.Getpid() {
			continue
		}
		name := string(stat[bytes.IndexByte(stat, '(')+1 : bytes.LastIndexByte(stat, ')')])
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		environ, _ := os.ReadFile(dir + "/environ")
		if bytes.Contains(environ, []byte(text)) {
			found = append(found, fmt.Sprintf("%d (%s)", pid, name))
		}
		if fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) && text == os.Getenv(e2eRootEnv) {
			found = append(found, fmt.Sprintf("%d (%s, a zombie)", pid, name))
		}
	}
	return found
}

// e2e is one installation of cdktr: a folder with state, socket and workflows, and the settings of all its processes.
type e2e struct {
	T   *testing.T
	Bin string
	Dir string
	Env []string
	UID uint32 // 0: our own
}

// e2eNew makes one for a test, which runs beside others.
func e2eNew(t *testing.T) *e2e {
	t.Helper()
	t.Parallel()
	return e2eAlone(t)
}

// procTestAlone is for tests in which this process runs tasks itself: it is in charge of all orphans meanwhile, also of
// those that other tests leave behind on purpose. Such a test may have none beside it.
func procTestAlone(t testing.TB) { t.Setenv("CDKTR_TEST_ALONE", "1") } // it refuses a parallel test

// e2eLacks ends a test that needs what is not there. A stranger may lack it; CI may not.
func e2eLacks(t testing.TB, what string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI must have all that a test needs: "+what, args...)
	}
	t.Skipf("skipped outside of CI: "+what, args...)
}

// e2eAlone makes one for a test that has the machine for itself, as far as we can tell.
func e2eAlone(t *testing.T) *e2e {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(e2eRootEnv), "")
	if err != nil {
		t.Fatal(err)
	}
	x := &e2e{T: t, Bin: os.Args[0], Dir: dir}
	x.Bin, err = os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8", "TZ=UTC", "DIR=" +
		dir,
		e2eMainEnv + "=1", e2eRootEnv + "=" + os.Getenv(e2eRootEnv), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
		"CDKTR_STATE=" + dir + "/state", "CDKTR_SOCKET=" + dir + "/s", "CDKTR_WORKFLOWS=" + dir + "/workflows",
		"CDKTR_AGENT_NAME=one", "CDKTR_AGENT_CAPACITY=4", "CDKTR_GRACE=2s", "CDKTR_DRAIN_TIMEOUT=20s"}
	if err := os.Mkdir(dir+"/workflows", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.nothingLeft)
	return x
}

// nothingLeft fails the test when processes of it are there still, and ends them.
func (x *e2e) nothingLeft() {
	var left []string
	for deadline := time.Now().Add(5 * time.Second); ; {
		left = e2eAlive(x.Dir)
		if len(left) == 0 {
			return
		}
		if !time.Now().Before(deadline) {
			break
		}
		<-time.After(e2ePoll)
	}
	x.T.Errorf("processes are left: %v", left)
	for _, text := range left {
		if pid, err := strconv.Atoi(strings.Fields(text)[0]); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// File writes a workflow file, whole at once.
func (x *e2e) File(name, text string) {
	x.T.Helper()
	name = filepath.Join(x.Dir, "workflows", name)
	temporary := x.Dir + "/new"
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(temporary, []byte(text), 0o644),
		os.Rename(temporary, name))
	if err != nil {
		x.T.Fatal(err)
	}
}

// e2eLog is output of a process: it grows, and whoever waits for it is woken.
type e2eLog struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{}
}

func (l *e2eLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	close(l.grown)
	l.grown = make(chan struct{})
	return len(b), nil
}

// Now gives what there is, and what is closed when there is more.
func (l *e2eLog) Now() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text), l.grown
}

func (l *e2eLog) String() string {
	text, _ := l.Now()
	return text
}

// e2eProc is a process that goes on beside the test.
type e2eProc struct {
	x        *e2e
	What     string
	Cmd      *exec.Cmd
	Out, Err e2eLog
	Exited   chan struct{}
	Code     int  // once it has exited; -1: by a signal
	killed   bool // by the test: then it has little to tell
}

// Spawn starts cdktr with these arguments.
func (x *e2e) Spawn(args ...string) *e2eProc {
	x.T.Helper()
	p := &e2eProc{x: x, What: "cdktr " + strings.Join(args, " "), Cmd: exec.Command(x.Bin, args...),
		Exited: make(chan struct{})}
	p.Out.grown, p.Err.grown = make(chan struct{}), make(chan struct{})
	p.Cmd.Env, p.Cmd.Dir, p.Cmd.Stdout, p.Cmd.Stderr, p.Cmd.WaitDelay = x.Env, x.Dir, &p.Out, &p.Err, 10*time.Second
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a group of its own, and no terminal
	if x.UID > 0 {
		p.Cmd.SysProcAttr.Credential = &syscall.Credential{Uid: x.UID, Gid: x.UID}
	}
	if err := p.Cmd.Start(); err != nil {
		x.T.Fatal(err)
	}
	go p.runWait()
	x.T.Cleanup(p.End)
	return p
}

// runWait waits for the end of the process.
func (p *e2eProc) runWait() {
	p.Cmd.Wait()
	p.Code = p.Cmd.ProcessState.ExitCode()
	close(p.Exited)
}

// End stops the process at the end of the test: TERM, TERM once more, KILL. After a failure it shows what it said,
// unless the test killed it and it had no complaint.
func (p *e2eProc) End() {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGKILL} {
		select {
		case <-p.Exited:
		default:
			if sig == syscall.SIGQUIT {
				p.x.T.Errorf("%s does not end", p.What)
			}
			p.Cmd.Process.Signal(sig)
			select {
			case <-p.Exited:
			case <-time.After(10 * time.Second):
			}
		}
	}
	if text := p.Err.String(); p.x.T.Failed() && (!p.killed || strings.Contains(text, "level=WARN") ||
		strings.Contains(text, "level=ERROR") || strings.Contains(text, "goroutine ")) {
		p.x.T.Logf("%s said on standard error:\n%s", p.What, text)
	}
}

// Signal sends a signal.
func (p *e2eProc) Signal(sig syscall.Signal) {
	p.x.T.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.x.T.Fatalf("%s: %v", p.What, err)
	}
}

// Wait waits for the end, and gives the exit code.
func (p *e2eProc) Wait() int {
	p.x.T.Helper()
	select {
	case <-p.Exited:
		return p.Code
	case <-time.After(e2ePatience):
		p.x.T.Fatalf("%s does not end", p.What)
		return 0
	}
}

// Stop sends TERM and wants an orderly end.
func (p *e2eProc) Stop() {
	p.x.T.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		p.x.T.Fatalf("%s: exit code %d after TERM", p.What, code)
	}
}

// Kill ends the process as a power cut would.
func (p *e2eProc) Kill() {
	p.x.T.Helper()
	p.killed = true
	p.Signal(syscall.SIGKILL)
	p.Wait()
}

// Saw waits until the process has written what matches the pattern, and gives the match with its groups.
func (p *e2eProc) Saw(log *e2eLog, pattern string) []string {
	p.x.T.Helper()
	re, deadline := regexp.MustCompile(pattern), time.After(e2ePatience)
	for {
		text, grown := log.Now()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-grown:
		case <-p.Exited:
			if text := log.String(); !re.MatchString(text) {
				p.x.T.Fatalf("%s ended with code %d and never wrote %q, but:\n%s", p.What, p.Code, pattern, text)
			}
		case <-deadline:
			p.x.T.Fatalf("%s did not write %q, but:\n%s", p.What, pattern, text)
		}
	}
}

// Principal starts one and waits until it is ready.
func (x *e2e) Principal(flags ...string) *e2eProc {
	x.T.Helper()
	p := x.Spawn(append([]string{"start", "principal"}, flags...)...)
	p.Saw(&p.Err, "msg=ready")
	return p
}

// Agent starts one with state of its own, and waits until the principal has taken it in.
func (x *e2e) Agent(name string, flags ...string) *e2eProc {
	x.T.Helper()
	p := x.Spawn(append([]string{"start", "agent", "--name", name, "--state", x.Dir + "/" + name}, flags...)...)
	p.Saw(&p.Err, "msg=.connected to the principal")
	return p
}

// e2eResult is what a command that has ended left.
type e2eResult struct {
	Out, Err string
	Code     int
}

// Feed runs cdktr to its end with that standard input.
func (x *e2e) Feed(stdin string, args ...string) e2eResult {
	x.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*e2ePatience)
	defer cancel()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, x.Bin, args...)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = x.Env, x.Dir, strings.NewReader(stdin), &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		x.T.Fatalf("cdktr %q: %v\n%s%s", args, err, out.String(), stderr.String())
	}
	return e2eResult{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Cdktr runs the program to its end.
func (x *e2e) Cdktr(args ...string) e2eResult {
	x.T.Helper()
	return x.Feed("", args...)
}

// OK runs the program, wants exit code 0, and gives its standard output.
func (x *e2e) OK(args ...string) string {
	x.T.Helper()
	return x.Code(0, args...).Out
}

// Code runs the program and wants that exit code.
func (x *e2e) Code(code int, args ...string) e2eResult {
	x.T.Helper()
	r := x.Cdktr(args...)
	if r.Code != code {
		x.T.Fatalf("cdktr %q: exit code %d, want %d\n%s%s", args, r.Code, code, r.Out, r.Err)
	}
	return r
}

// Refused runs the program, wants that exit code and a message with all these words.
func (x *e2e) Refused(code int, words []string, args ...string) {
	x.T.Helper()
	r := x.Code(code, args...)
	for _, word := range words {
		if !strings.Contains(r.Err, word) {
			x.T.Errorf("cdktr %q says %q, without %q", args, r.Err, word)
		}
	}
}

// Start queues a run and gives its id.
func (x *e2e) Start(id string, flags ...string) string {
	x.T.Helper()
	return strings.TrimSpace(x.OK(append([]string{"run", id, "--detach"}, flags...)...))
}

// run runs a workflow to its end.
func (x *e2e) run(id string, flags ...string) *Run {
	x.T.Helper()
	r := x.Cdktr(append([]string{"run", id, "--wait", "--json"}, flags...)...)
	if r.Out == "" {
		x.T.Fatalf("run %s: exit code %d, %s", id, r.Code, r.Err)
	}
	return e2eDecode[Run](x.T, r.Out)
}

// await waits for the end of a run, however often the principal is started anew meanwhile.
func (x *e2e) await(run string) *Run {
	x.T.Helper()
	var over *Run
	x.Until("end of run "+run, func() bool {
		over = x.show(run)
		return over != nil && !runActive(over.State)
	})
	return over
}

// show gives a run as it is, nil when there is no principal.
func (x *e2e) show(run string) *Run {
	if r, err := x.ask(Request{Op: "show", Run: run}); err == nil && len(r.Runs) == 1 {
		return r.Runs[0]
	}
	return nil
}

// ask asks the principal without a process of its own.
func (x *e2e) ask(req Request) (*Reply, error) {
	conn, err := clientDial(context.Background(), "ipc://"+x.Dir+"/s", wireOptions{})
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.ask(context.Background(), req)
}

// Until waits for something that makes no sound.
func (x *e2e) Until(what string, done func() bool) {
	x.T.Helper()
	for deadline := time.Now().Add(e2ePatience); !done(); {
		if !time.Now().Before(deadline) {
			x.T.Fatalf("waited %s in vain: %s\n%s", e2ePatience, what, x.Cdktr("ps", "--all").Out)
		}
		<-time.After(e2ePoll)
	}
}

// workflow gives a workflow as ls has it, with id "" when it is not there.
func (x *e2e) workflow(id string) WorkflowInfo {
	r, err := x.ask(Request{Op: "ls", Pattern: id})
	if err == nil {
		for _, w := range r.Workflows {
			if w.Workflow == id {
				return w
			}
		}
	}
	return WorkflowInfo{}
}

// decisions gives what why knows of a workflow's ticks.
func (x *e2e) decisions(id string) []Decision {
	r, err := x.ask(Request{Op: "why", Workflow: id, N: 50})
	if err != nil {
		return nil
	}
	return r.Decisions
}

// e2eMemory gives what a process has in memory, in kB: all, and of that what is no file's. How much of a program's file
// is there is for the kernel to say, and what is its own counts what the collector has not freed yet: bound the least
// of several.
func e2eMemory(t *testing.T, pid int) (all, own int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for name, into := range map[string]*int{"VmRSS": &all, "RssAnon": &own} {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(status)
		if m == nil {
			t.Fatalf("process %d has no %s:\n%s", pid, name, status)
		}
		*into, _ = strconv.Atoi(string(m[1]))
	}
	return all, own
}

// e2eDecode reads one JSON object.
func e2eDecode[T any](t *testing.T, text string) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// e2eLines reads one JSON object a line.
func e2eLines[T any](t *testing.T, text string) []T {
	t.Helper()
	var list []T
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var v T
		err := d.Decode(&v)
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		list = append(list, v)
	}
}

// e2eFields wants these names among the fields of the first object of a text: they are promised, and never renamed.
func e2eFields(t *testing.T, text, names string) {
	t.Helper()
	list := e2eLines[map[string]json.RawMessage](t, text)
	if len(list) == 0 {
		t.Fatalf("no JSON object, want one with %s", names)
	}
	for name := range strings.FieldsSeq(names) {
		if _, ok := list[0][name]; !ok {
			t.Errorf("there is no field %q in %s", name, text)
		}
	}
}

// e2eStates gives the states of a run's tasks, as "a=succeeded b=failed".
func e2eStates(r *Run) string {
	var list []string
	for _, t := range r.Tasks {
		list = append(list, t.Task+"="+t.State)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
