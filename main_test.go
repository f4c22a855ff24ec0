// Tests of main: the table of all verbs, errors as JSON, and how a signal ends a verb. This file also makes the test
// binary what each test needs: the tests of the package, or a process that one of them starts.
//
// The end-to-end tests of this package are those that need its internals; what can be seen from outside is tested in
// e2e. Here the test binary is the program: started with CDKTR_TEST_MAIN set it is main and nothing else, so that the
// race detector and coverage see what the tests do.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"cdktr/e2e/harness"
)

// e2eMainEnv makes main of this binary; a duration is its patience with a principal that is away.
const e2eMainEnv = "CDKTR_TEST_MAIN"

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
	os.Exit(harness.Main(m, harness.Program{
		Find:  func(string) (string, error) { return os.Executable() },
		Env:   []string{e2eMainEnv + "=1"},
		After: procTestCharged,
	}))
}

// allocsOf measures how many allocations a call of fn makes. What else goes on in this process counts too, and under
// the race detector a pool forgets now and then what it was given. Both only add: it takes the least of several
// measures.
func allocsOf(runs int, fn func()) float64 {
	least := testing.AllocsPerRun(runs, fn)
	for range 4 {
		least = min(least, testing.AllocsPerRun(runs, fn))
	}
	return least
}

// procTestCharged says whether a test has left this process in charge of orphans.
func procTestCharged() error {
	if (&procSys{}).charged() {
		return errors.New("a test left this process in charge of orphans: those of others become its zombies")
	}
	return nil
}

// procTestAlone is for tests in which this process runs tasks itself: it is in charge of all orphans meanwhile, also of
// those that other tests leave behind on purpose. Such a test may have none beside it.
func procTestAlone(t testing.TB) { t.Setenv("CDKTR_TEST_ALONE", "1") } // it refuses a parallel test

// e2e is an installation of cdktr, of which tests here also see the inside.
type e2e struct{ harness.Site }

// e2eNew makes one for a test, which runs beside others.
func e2eNew(t *testing.T) *e2e {
	t.Helper()
	t.Parallel()
	return e2eAlone(t)
}

// e2eAlone makes one for a test that has none of this package beside it.
func e2eAlone(t *testing.T) *e2e {
	t.Helper()
	return &e2e{*harness.Open(t)}
}

// run runs a workflow to its end.
func (x *e2e) run(id string, flags ...string) *Run {
	x.T.Helper()
	r := x.Cdktr(append([]string{"run", id, "--wait", "--json"}, flags...)...)
	if r.Out == "" {
		x.T.Fatalf("run %s: exit code %d, %s", id, r.Code, r.Err)
	}
	return harness.Decode[Run](x.T, r.Out)
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

// TestHelp: every verb has help with examples that name it, and is in the list; the overview fits a small terminal.
func TestHelp(t *testing.T) {
	x := e2eNew(t)
	overview, list := x.OK(), x.OK("help")
	for _, args := range [][]string{{"--help"}, {"-h"}, {"-h", "run"}, {"--json", "--help"}} {
		if x.OK(args...) != overview {
			t.Errorf("%v does not give the overview", args)
		}
	}
	if n := strings.Count(overview, "\n"); n > 24 {
		t.Errorf("the overview has %d lines, and a terminal 24:\n%s", n, overview)
	}
	for line := range strings.Lines(overview) {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("too wide: %s", line)
		}
	}
	for _, v := range mainVerbs() {
		if strings.Count(list, fmt.Sprintf("\n  %-16s %s\n", v.name, v.help)) != 1 ||
			!strings.Contains(overview, v.name) {
			t.Errorf("help, or the overview, lacks %s", v.name)
		}
		text := x.OK(append(strings.Fields(v.name), "--help")...)
		_, examples, ok := strings.Cut(text, "Examples:\n")
		if !ok || !strings.Contains(examples, "cdktr "+v.name) {
			t.Errorf("%s --help has no example:\n%s", v.name, text)
		}
		if !strings.Contains(text, "--json") || !strings.Contains(text, "--principal") {
			t.Errorf("%s --help lacks the flags that every verb has:\n%s", v.name, text)
		}
		if other := x.OK(append([]string{"help"}, strings.Fields(v.name)...)...); other != text {
			t.Errorf("help %s and %s --help differ", v.name, v.name)
		}
	}
	for _, v := range harness.Lines[struct{ Verb, Topic, Group, Help string }](t, x.OK("help", "--json")) {
		if v.Help == "" || (v.Verb == "") == (v.Topic == "") || (v.Verb == "") != (v.Group == "") {
			t.Errorf("help --json has %+v", v)
		}
	}
}

// With --json errors are JSON too, for every verb and also where the command line makes no sense; without it they are
// text.
func TestMainJSONErrors(t *testing.T) {
	nowhere := "ipc://" + filepath.Join(t.TempDir(), "none.sock")
	for _, c := range []struct {
		args       []string
		code       string
		exit       int
		text, hint string
	}{
		{[]string{"ps", "--json", "--principal", nowhere}, "unreachable", exitUnreachable,
			"no principal has made the socket", "is it running?"},
		{[]string{"--json", "ps", "--principal", nowhere}, "unreachable", exitUnreachable,
			"no principal has made the socket", "is it running?"},
		{[]string{"ls", "--wiat", "--json"}, codeInvalid, exitUsage, "ls has no flag --wiat", ""},
		{[]string{"lss", "--json"}, codeInvalid, exitUsage, `unknown verb "lss"`, "did you mean"},
		{[]string{"run", "x", "--json", "--detach", "--wait"}, codeInvalid, exitUsage, "--detach leaves at once", ""},
		{[]string{"run", "x", "--json", "-p", "p=" + strings.Repeat("x", paramsMax)}, codeInvalid, exitUsage,
			"the parameters have 131081 bytes and may have 131072", ""},
		{[]string{"run", "./x.yml", "-p", "p=" + strings.Repeat("x", paramsMax)}, "", exitUsage,
			"the parameters have 131081 bytes", ""},
		{[]string{"lss"}, "", exitUsage, `unknown verb "lss"`, "did you mean"},
		{[]string{"lss", "--", "--json"}, "", exitUsage, `unknown verb "lss"`, ""},
	} {
		var out, report strings.Builder
		cl := &cli{in: strings.NewReader(""), out: &out, err: &report, getenv: func(string) string { return "" }}
		exit := cl.main(t.Context(), c.args)
		said, text, asJSON := report.String(), c.text, c.code != ""
		var fault struct{ Error mainErrorJSON }
		err := json.Unmarshal([]byte(said), &fault)
		if asJSON {
			text = strings.ReplaceAll(c.text, `"`, `\"`)
		}
		if exit != c.exit || out.Len() > 0 || !strings.Contains(said, text) || !strings.Contains(said, c.hint) {
			t.Errorf("%.80q: exit %d, %.300q", c.args, exit, said)
		}
		if (err == nil) != asJSON || fault.Error.Code != c.code || asJSON && strings.Count(said, "\n") != 1 {
			t.Errorf("%.80q: code %q, %v: %.300q", c.args, fault.Error.Code, err, said)
		}
	}
}

// A verb that hangs is given up some time after the first signal. One that has begun to serve is not, and one that ends
// by itself gives its own result.
func TestMainUntil(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		settle time.Duration // from the start, 0: never
		ends   time.Duration
		taken  time.Duration
		want   string
	}{
		{"ends before", 0, time.Second, time.Second, "done"},
		{"ends by itself", 0, 14 * time.Second, 14 * time.Second, "done"},
		{"hangs", 0, time.Hour, 15 * time.Second,
			"interrupted (got signal terminated), and given up after 5s: something does not answer"},
		{"serves", time.Second, time.Hour, time.Hour, "done"},
		{"serves at last", 13 * time.Second, time.Hour, time.Hour, "done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(10*time.Second, func() { cancel(&signalError{syscall.SIGTERM}) })
				began, x := time.Now(), &cli{}
				err := x.mainUntil(ctx, func() error {
					if c.settle > 0 {
						time.Sleep(c.settle)
						x.settle()
					}
					time.Sleep(c.ends - c.settle)
					return errors.New("done")
				})
				if taken := time.Since(began); taken != c.taken || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("%v after %s, want %s after %s", err, taken, c.want, c.taken)
				}
				if exit, ok := errors.AsType[*exitError](err); c.want != "done" &&
					(!ok || exit.code != exitInterrupted) {
					t.Errorf("exit code: %v", err)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}
