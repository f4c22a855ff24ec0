// Tests of whose a process is: cookies of agents beside and within each other, and names of processes that look like
// the fields behind them. The rules are those of exec_test.go.

package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An agent that starts ends what an earlier life of its own left, and nothing of agents whose folder begins like its
// own, or has in its name what stands behind the folder in a cookie.
func TestAgentLeftoversOfOthers(t *testing.T) {
	top := t.TempDir()
	for name, c := range map[string]struct {
		folder       string
		mine, others []string // folders of agents, or whole cookies
	}{
		"plain": {top + "/a", nil, []string{top + "/ab", top + "/a/b", top, "x" + top + "/a", top + "/a|b", top +
			"/a|r1|t", top + "/a|", top + "/a%7C"}},
		"with |":   {top + "/a|b", nil, []string{top + "/a", top + "/a|b|c", top + "/a|", top + "/b", top + "/a%7Cb"}},
		"with %":   {top + "/100%", nil, []string{top + "/100", top + "/100%25", top + "/100%|r"}},
		"as a run": {top + "/a|01JD3V5K8Q2M4N6P8R0S000000|t|1", nil, []string{top + "/a"}},
		// As versions before wrote them, for a folder without either character.
		"whole": {top + "/c", []string{top + "/c|r1|t|1", top + "/c|r2|t|x|3"},
			[]string{top + "/c", top + "/cb|r1|t|1"}},
	} {
		t.Run(name, func(t *testing.T) {
			cookies := func(folders []string) (cookies []string) {
				for _, folder := range folders {
					if name == "whole" {
						cookies = append(cookies, folder)
						continue
					}
					cookies = append(cookies, attemptCookie(folder, "01JD3V5K8Q2M4N6P8R0S000000", "t", 1))
				}
				return cookies
			}
			if c.mine == nil {
				c.mine = []string{c.folder}
			}
			mine, others := cookies(c.mine), cookies(c.others)
			agentTestLeftovers(t, c.folder, mine, others)
		})
	}
}

// agentTestLeftovers starts a process with each of the cookies, and then an agent: of the processes those that are its
// own end.
func agentTestLeftovers(t *testing.T, dir string, mine, others []string) {
	t.Helper()
	cmds := map[string]*exec.Cmd{}
	for _, cookie := range append(slices.Clone(mine), others...) {
		cmd := exec.Command("sleep", "1000")
		cmd.Env, cmd.SysProcAttr = []string{"CDKTR_COOKIE=" + cookie}, &unix.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		cmds[cookie] = cmd
	}
	log := &principalLog{}
	procTestAlone(t)
	a, err := agentOpen(agentConfig{Name: "x", Capacity: 1, StateDir: dir, Grace: procTestWait,
		Log: slog.New(slog.NewTextHandler(log, nil)), now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	a.procs.close()
	a.spool.close()
	for cookie, cmd := range cmds {
		if st, ok := procStatOf(cmd.Process.Pid); ok && !st.dead != slices.Contains(others, cookie) {
			t.Errorf("the agent of %s: %q lives: %v", dir, cookie, !st.dead)
		}
	}
	if !strings.Contains(log.String(), fmt.Sprintf("count=%d", len(mine))) {
		t.Errorf("logged:\n%s", log.String())
	}
}

// What a task of an agent within a task starts carries the cookie of the inner one, once, whatever its environment has.
func TestProcCookieNested(t *testing.T) {
	ps := procTestNew(t)
	outer := "outer of " + procTestCookie(t)
	output, ready := procTestLine()
	spec := procTestSh(t, "echo; exec sleep 1000", nil)
	spec.Output = procTestEach(output)
	spec.Env = append([]string{procTestKey + "=" + outer}, append(spec.Env, procTestKey+"=",
		procTestKey+"="+outer+"2")...)
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	// it is just becoming sleep
	for end := time.Now().Add(procTestWait); len(text) == 0 && err == nil && time.Now().Before(end); runtime.Gosched() {
		text, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	}
	if err != nil || strings.Count("\x00"+string(text), "\x00"+procTestKey+"=") != 1 {
		t.Errorf("%q, %v", text, err)
	}
	if found := procTestAlive(ps, outer); len(found) != 0 {
		t.Errorf("the outer agent would end %v", found)
	}
	if found := procTestAlive(ps, spec.Cookie); len(found) != 1 || found[0].pid != p.pid {
		t.Errorf("the inner agent would end %v, not %d", found, p.pid)
	}
	procTestStop(t, p, spec.Grace)
}

// The same with the program itself: a run within a task of a run.
func TestRunNestedCookie(t *testing.T) {
	x := e2eNew(t)
	const tell = `tr '\0' '\n' </proc/$$/environ | grep ^CDKTR_COOKIE=`
	x.File("inner.yml", "env: {CDKTR_COOKIE: own}\ntasks:\n  in: {run: \""+strings.ReplaceAll(tell, `\`, `\\`)+"\"}\n")
	x.File("outer.yml", "tasks:\n  out:\n    run: |\n      "+tell+"\n      "+
		x.Bin+" run "+x.Dir+"/workflows/inner.yml 2>/dev/null\n")
	lines := strings.Split(strings.TrimSpace(x.Code(0, "run", "./workflows/outer.yml").Out), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "|out|1") || !strings.HasSuffix(lines[1], "|in|1") {
		t.Fatalf("the tasks have the cookies %q", lines)
	}
	one, _, _ := strings.Cut(lines[0], "|")
	two, _, _ := strings.Cut(lines[1], "|")
	if one == two {
		t.Errorf("both agents are %s", one)
	}
}

// The name of a process may hold anything, also what ends it in /proc/PID/stat.
func TestProcNames(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a)b", ")", ") Z 1 1 1 (", "(a) (b)", "a\nb) T 1", " "} {
		t.Run(name, func(t *testing.T) {
			ps := procTestNew(t)
			link := filepath.Join(t.TempDir(), name)
			if err := os.Symlink(sh, link); err != nil {
				t.Fatal(err)
			}
			output, line := procTestLine()
			// One of that name escapes, and has no cookie: it is known as the task's by its parent alone.
			spec := procTestSh(t, "", nil)
			spec.Argv = []string{link, "-c",
				`setsid env -i "$0" -c 'echo $$; trap "" TERM; while :; do /bin/sleep 1000; done' & wait`, link}
			spec.Output = procTestEach(output)
			p := procTestStart(t, ps, spec)
			pid, err := strconv.Atoi(procTestRecv(t, line, "pid"))
			if err != nil {
				t.Fatal(err)
			}
			if got := procName(p.pid); got != name {
				t.Fatalf("the process is called %q", got)
			}
			st, ok := procStatOf(p.pid)
			if !ok || st.parent != os.Getpid() || st.group != p.pid || st.session != p.pid || st.dead || st.kernel {
				t.Errorf("%+v, %v", st, ok)
			}
			child, ok := procStatOf(pid)
			if !ok || child.session != pid || child.group != pid || child.dead {
				t.Errorf("%+v, %v", child, ok)
			}
			procTestStop(t, p, spec.Grace)
			ps.work.Wait()
			if procLives(procMember{pid: pid, start: child.start}) {
				t.Errorf("%d lives", pid)
				unix.Kill(pid, unix.SIGKILL)
			}
		})
	}
}

// What a cookie of an agent says is what was put into it, whatever its folder and the task are called; of another
// agent's it says nothing.
func TestAttemptCookieOf(t *testing.T) {
	const run = "01JD3V5K8Q2M4N6P8R0S000000"
	folders := []string{"/a", "/a|b", "/a%7Cb", "/a%257Cb", "/100%", "/a|" + run + "|t|1", "/a|", "/|"}
	for _, folder := range folders {
		for _, task := range []string{"t", "t|x", "|", "%7C", "1"} {
			cookie, want := attemptCookie(folder, run, task, 3), agentAttempt{Run: run, Task: task, Attempt: 3}
			for _, of := range folders {
				if got, ok := attemptCookieOf(cookie, of); ok != (of == folder) || ok && got != want {
					t.Errorf("%s, taken apart by the agent of %s: %+v, %v", cookie, of, got, ok)
				}
			}
		}
	}
	for _, cookie := range []string{"", "/a", "/a|", "/a|" + run, "/a|" + run + "|3", "/a|" + run + "|t|", "/a|" + run +
		"|t|x"} {
		if got, ok := attemptCookieOf(cookie, "/a"); ok {
			t.Errorf("%q is taken for one of an agent: %+v", cookie, got)
		}
	}
}

// What an agent finds left of its earlier life it knows by run, task and attempt, also where its folder has a | in its
// name.
func TestAgentLeftNamed(t *testing.T) {
	for _, name := range []string{"plain", "a|b", "50%|"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			st, _ := procStatOf(cmd.Process.Pid)
			of := agentAttempt{Run: "01JD3V5K8Q2M4N6P8R0S000000", Task: "t", Attempt: 2}
			left := agentLeftoversNew(&agentConfig{StateDir: dir, Log: slog.New(slog.DiscardHandler)})
			var looked []agentAttempt
			left.read(map[string][]procLeft{attemptCookie(dir, of.Run, of.Task,
				of.Attempt): {{PID: st.pid, Start: st.start}}},
				func(of agentAttempt, _ []procLeft) { looked = append(looked, of) })
			if list := left.sorted(); len(list) != 1 || list[0].agentAttempt != of ||
				!slices.Equal(looked, []agentAttempt{of}) {
				t.Errorf("%+v, looked after %+v", list, looked)
			}
		})
	}
}
