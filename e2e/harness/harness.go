// Package harness starts the real program as processes of its own, drives it through its command line, and looks at
// what it does. The tests of e2e and those of package main share it.
//
// Each test has a folder of its own with state, socket and workflows. What it starts is stopped at its end, and a
// process that is left over fails it.
package harness

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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	Patience = 60 * time.Second // for what must come, on a machine that is busy with other things
	Poll     = 20 * time.Millisecond

	rootEnv = "CDKTR_TEST_ROOT" // the folder of all tests; every process below us carries it
	atOnce  = 4                 // tests that run at once, for each core
)

// Program is what the tests of a package run.
type Program struct {
	// Find gives its path, given the folder of all tests.
	Find func(root string) (string, error)
	// Source is the folder of its source, when go test does not know that the tests depend on it.
	Source string
	// Env is what its environment needs beside the settings of each site.
	Env []string
	// After runs when all tests have ended, and finds what they left behind.
	After func() error
}

// program is what Main was given; nothing writes to it afterwards.
var program struct {
	bin, source string
	env         []string
}

// Main runs every test of a package and gives the exit code. Afterwards it sees that nothing is left of them.
func Main(m *testing.M, p Program) int {
	sideBySide()
	if signal.Ignored(syscall.SIGHUP) { // by nohup: caught here instead, no process of a test inherits that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	program.env, program.source = p.Env, p.Source
	var err error
	if os.Getenv(rootEnv) != "" { // a test started us, perhaps to kill us: what is left is looked at there
		program.bin, err = p.Find(os.Getenv(rootEnv))
		if err != nil {
			return complain("find the program: %v", err)
		}
		return m.Run()
	}
	root, err := os.MkdirTemp("", "cdktr-e2e-")
	if err == nil {
		err = errors.Join(os.Chmod(root, 0o755), os.Setenv(rootEnv, root))
	}
	if err != nil {
		return complain("make folder of the tests: %v", err)
	}
	code := 1
	program.bin, err = p.Find(root)
	if err != nil {
		complain("find the program: %v", err)
	} else {
		code = max(m.Run(), leftovers(root, p.After))
	}
	if err := os.RemoveAll(root); err != nil {
		code = complain("remove folder of the tests: %v", err)
	}
	return code
}

// leftovers complains of goroutines and processes that the tests have left behind.
func leftovers(root string, after func() error) (code int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if bytes.Contains(stacks, []byte("harness.(*")) {
		code = complain("goroutines of the harness are left:\n%s", stacks)
	}
	if left := Alive(root); len(left) > 0 {
		code = complain("processes are left: %v", left)
	}
	if after != nil {
		if err := after(); err != nil {
			code = complain("%v", err)
		}
	}
	return code
}

// complain says on standard error what is wrong with all tests together, and gives the exit code for it.
func complain(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return 1
}

// sideBySide runs more tests at once than there are cores, unless -parallel says how many: most tests wait for their
// processes more than they compute.
func sideBySide() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(atOnce*runtime.NumCPU())) // a number is always taken
	}
}

// Alive lists the other live processes that have this text in their environment. For the text of all tests it lists our
// zombies too.
func Alive(text string) []string {
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
		if fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) && text == os.Getenv(rootEnv) {
			found = append(found, fmt.Sprintf("%d (%s, a zombie)", pid, name))
		}
	}
	return found
}

// Site is one installation of cdktr: a folder with state, socket and workflows, and the settings of all its processes.
type Site struct {
	T   *testing.T
	Bin string   // the program
	Dir string   // of this site alone: removed with all others when the tests have ended
	Env []string // of all its processes
	UID uint32   // theirs; 0: our own
}

// Lacks skips a test whose tool is missing here. In CI the test fails instead.
func Lacks(t testing.TB, what string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI must have all that a test needs: "+what, args...)
	}
	t.Skipf("skipped outside of CI: "+what, args...)
}

// Open makes a site for a test.
func Open(t *testing.T) *Site {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(rootEnv), "")
	if err != nil {
		t.Fatal(err)
	}
	x := &Site{T: t, Bin: Bin(), Dir: dir}
	x.Env = append(BareEnv(dir), "LANG=C.UTF-8", "TZ=UTC", "DIR="+dir,
		"CDKTR_STATE="+dir+"/state", "CDKTR_SOCKET="+dir+"/s", "CDKTR_WORKFLOWS="+dir+"/workflows",
		"CDKTR_AGENT_NAME=one", "CDKTR_AGENT_CAPACITY=4", "CDKTR_GRACE=2s", "CDKTR_DRAIN_TIMEOUT=20s")
	if err := os.Mkdir(dir+"/workflows", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.nothingLeft)
	return x
}

// Bin gives the program under test. It also reads the folder of its source: go test runs a test again when something
// that the test itself has read is changed. What Main reads does not count.
func Bin() string {
	if program.source != "" {
		os.ReadDir(program.source)
	}
	return program.bin
}

// BareEnv is the environment of a program under test: no settings, and this folder as its home.
func BareEnv(home string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home,
		rootEnv + "=" + os.Getenv(rootEnv), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}, program.env...)
}

// nothingLeft fails the test when processes of it still live, and kills them.
func (x *Site) nothingLeft() {
	var left []string
	for deadline := time.Now().Add(5 * time.Second); ; {
		left = Alive(x.Dir)
		if len(left) == 0 {
			return
		}
		if !time.Now().Before(deadline) {
			break
		}
		<-time.After(Poll)
	}
	x.T.Errorf("processes are left: %v", left)
	for _, text := range left {
		if pid, err := strconv.Atoi(strings.Fields(text)[0]); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// File writes a workflow file in one step, so that nobody reads half of it.
func (x *Site) File(name, text string) {
	x.T.Helper()
	name = filepath.Join(x.Dir, "workflows", name)
	temporary := x.Dir + "/new"
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(temporary, []byte(text), 0o644),
		os.Rename(temporary, name))
	if err != nil {
		x.T.Fatal(err)
	}
}

// Log is output of a process: it grows, and whoever waits for it is woken.
type Log struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // nil: nobody has asked yet
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
	return len(b), nil
}

// Now gives the text so far, and a channel that is closed when there is more.
func (l *Log) Now() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown == nil {
		l.grown = make(chan struct{})
	}
	return string(l.text), l.grown
}

// String gives the text so far.
func (l *Log) String() string {
	text, _ := l.Now()
	return text
}

// Proc is a process that runs beside the test.
type Proc struct {
	x        *Site
	What     string // for the messages of a test
	Cmd      *exec.Cmd
	Out, Err Log
	Exited   chan struct{} // closed once it has exited
	Code     int           // once it has exited; -1: by a signal
	killed   bool          // by the test: then it has little to tell
}

// Spawn starts cdktr with these arguments.
func (x *Site) Spawn(args ...string) *Proc {
	x.T.Helper()
	cmd := exec.Command(x.Bin, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = x.Env, x.Dir, 10*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a group of its own, and no terminal
	if x.UID > 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: x.UID, Gid: x.UID}
	}
	return x.Watch("cdktr "+strings.Join(args, " "), cmd)
}

// Watch starts a process, keeps what it says, and ends it with the test.
func (x *Site) Watch(what string, cmd *exec.Cmd) *Proc {
	x.T.Helper()
	p := &Proc{x: x, What: what, Cmd: cmd, Exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.Out, &p.Err
	if err := cmd.Start(); err != nil {
		x.T.Fatal(err)
	}
	go p.runWait()
	x.T.Cleanup(p.End)
	return p
}

// runWait waits for the end of the process.
func (p *Proc) runWait() {
	p.Cmd.Wait()
	p.Code = p.Cmd.ProcessState.ExitCode()
	close(p.Exited)
}

// End stops the process at the end of the test: TERM, TERM once more, KILL. After a failure it shows what the process
// said on standard error, unless the test killed it and it had no complaint.
func (p *Proc) End() {
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
func (p *Proc) Signal(sig syscall.Signal) {
	p.x.T.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.x.T.Fatalf("%s: %v", p.What, err)
	}
}

// Wait waits for the end, and gives the exit code.
func (p *Proc) Wait() int {
	p.x.T.Helper()
	select {
	case <-p.Exited:
		return p.Code
	case <-time.After(Patience):
		p.x.T.Fatalf("%s does not end", p.What)
		return 0
	}
}

// Stop sends TERM and wants an orderly end.
func (p *Proc) Stop() {
	p.x.T.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		p.x.T.Fatalf("%s: exit code %d after TERM", p.What, code)
	}
}

// Kill ends the process as a power cut would.
func (p *Proc) Kill() {
	p.x.T.Helper()
	p.killed = true
	p.Signal(syscall.SIGKILL)
	p.Wait()
}

// Saw waits until the process has written what matches the pattern, and gives the match with its groups.
func (p *Proc) Saw(log *Log, pattern string) []string {
	p.x.T.Helper()
	re, deadline := regexp.MustCompile(pattern), time.After(Patience)
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
func (x *Site) Principal(flags ...string) *Proc {
	x.T.Helper()
	p := x.Spawn(append([]string{"start", "principal"}, flags...)...)
	p.Saw(&p.Err, "msg=ready")
	return p
}

// Agent starts one with state of its own, and waits until the principal has accepted it.
func (x *Site) Agent(name string, flags ...string) *Proc {
	x.T.Helper()
	p := x.Spawn(append([]string{"start", "agent", "--name", name, "--state", x.Dir + "/" + name}, flags...)...)
	p.Saw(&p.Err, "msg=.connected to the principal")
	return p
}

// Result is what a command that has ended left.
type Result struct {
	Out, Err string
	Code     int
}

// Feed runs cdktr to its end with that standard input.
func (x *Site) Feed(stdin string, args ...string) Result {
	x.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, x.Bin, args...)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = x.Env, x.Dir, strings.NewReader(stdin), &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		x.T.Fatalf("cdktr %q: %v\n%s%s", args, err, out.String(), stderr.String())
	}
	return Result{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Cdktr runs the program to its end.
func (x *Site) Cdktr(args ...string) Result {
	x.T.Helper()
	return x.Feed("", args...)
}

// OK runs the program, wants exit code 0, and gives its standard output.
func (x *Site) OK(args ...string) string {
	x.T.Helper()
	return x.Code(0, args...).Out
}

// Code runs the program and wants that exit code.
func (x *Site) Code(code int, args ...string) Result {
	x.T.Helper()
	r := x.Cdktr(args...)
	if r.Code != code {
		x.T.Fatalf("cdktr %q: exit code %d, want %d\n%s%s", args, r.Code, code, r.Out, r.Err)
	}
	return r
}

// Refused runs the program, wants that exit code and a message with all these words.
func (x *Site) Refused(code int, words []string, args ...string) {
	x.T.Helper()
	r := x.Code(code, args...)
	for _, word := range words {
		if !strings.Contains(r.Err, word) {
			x.T.Errorf("cdktr %q says %q, without %q", args, r.Err, word)
		}
	}
}

// Start queues a run and gives its id.
func (x *Site) Start(id string, flags ...string) string {
	x.T.Helper()
	return strings.TrimSpace(x.OK(append([]string{"run", id, "--detach"}, flags...)...))
}

// Until polls until done says yes: for what nobody reports.
func (x *Site) Until(what string, done func() bool) {
	x.T.Helper()
	for deadline := time.Now().Add(Patience); !done(); {
		if !time.Now().Before(deadline) {
			x.T.Fatalf("waited %s in vain: %s\n%s", Patience, what, x.Cdktr("ps", "--all").Out)
		}
		<-time.After(Poll)
	}
}

// Decode reads one JSON object.
func Decode[T any](t *testing.T, text string) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// Lines reads one JSON object a line.
func Lines[T any](t *testing.T, text string) []T {
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

// Fields wants these names among the fields of the first JSON object of a text: they are promised and must never be
// renamed.
func Fields(t *testing.T, text, names string) {
	t.Helper()
	list := Lines[map[string]json.RawMessage](t, text)
	if len(list) == 0 {
		t.Fatalf("no JSON object, want one with %s", names)
	}
	for name := range strings.FieldsSeq(names) {
		if _, ok := list[0][name]; !ok {
			t.Errorf("there is no field %q in %s", name, text)
		}
	}
}
