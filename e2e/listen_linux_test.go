// End-to-end tests of listeners: what fires a workflow besides its schedule.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// listenRuns gives what the runs of a workflow that were fired by events have printed, sorted.
func listenRuns(x *site, id string) (said []string) {
	x.T.Helper()
	r, err := x.ask(Request{Op: "ps", Workflow: id, All: true, N: 500})
	if err != nil {
		return nil
	}
	for _, run := range r.Runs {
		if run.Workflow == id && run.Trigger == "event" && run.State == runSucceeded {
			said = append(said, strings.TrimSpace(x.OK("logs", run.ID)))
		}
	}
	sort.Strings(said)
	return said
}

// listenAlive counts the processes whose command line begins so.
func listenAlive(line string) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if text, _ := os.ReadFile(file); strings.HasPrefix(string(text), line) {
			n++
		}
	}
	return n
}

// listenWant waits until the runs of a workflow have printed just that.
func listenWant(x *site, id string, want ...string) {
	x.T.Helper()
	var said []string
	x.Until(fmt.Sprintf("the runs of %s say %q", id, want), func() bool {
		said = listenRuns(x, id)
		return strings.Join(said, "|") == strings.Join(want, "|")
	})
}

// TestListenFile: files that come, are moved in or are written again fire once each, and those that came while the
// principal was dead fire when it is back. What was there before does not, nor what does not match.
func TestListenFile(t *testing.T) {
	x := newSite(t)
	in := filepath.Join(x.Dir, "in")
	exampleWrite(t, in+"/old.csv", "old\n")
	x.File("w.yml", "on:\n  - file: {path: "+in+"/*.csv, settle: 100ms}\ntasks:\n  a:\n"+
		"    run: 'echo \"$EVENT_KIND $(basename $EVENT_PATH) $(cat $EVENT_PATH)\"'\n")
	p := x.Principal("--with-agent")
	x.Until("it listens", func() bool { return len(x.workflow("w").Listeners) == 1 })
	if out := x.OK("ls"); !strings.Contains(out, " on file ") {
		t.Errorf("ls does not say what fires it: %s", out)
	}
	exampleWrite(t, in+"/a.csv", "one\n")
	exampleWrite(t, in+"/b.txt", "no\n")
	exampleWrite(t, in+"/.c.csv", "no\n")
	exampleWrite(t, in+"/d.tmp", "four\n")
	if err := os.Rename(in+"/d.tmp", in+"/d.csv"); err != nil {
		t.Fatal(err)
	}
	listenWant(x, "w", "file a.csv one", "file d.csv four")
	if err := os.Chmod(in+"/a.csv", 0o600); err != nil { // no new content
		t.Fatal(err)
	}
	exampleWrite(t, in+"/old.csv", "new\n")
	listenWant(x, "w", "file a.csv one", "file d.csv four", "file old.csv new")
	p.Kill()
	exampleWrite(t, in+"/e.csv", "five\n")
	p = x.Principal("--with-agent")
	all := []string{"file a.csv one", "file d.csv four", "file e.csv five", "file old.csv new"}
	listenWant(x, "w", all...)

	// a pause holds events back, also over a restart
	x.OK("pause", "w")
	exampleWrite(t, in+"/f.csv", "six\n")
	x.Until("an event waits", func() bool { l := x.workflow("w").Listeners; return len(l) == 1 && l[0].Waiting == 1 })
	p.Kill()
	x.Principal("--with-agent")
	x.Until("it waits again", func() bool { l := x.workflow("w").Listeners; return len(l) == 1 && l[0].Waiting == 1 })
	x.OK("resume", "w")
	listenWant(x, "w", "file a.csv one", "file d.csv four", "file e.csv five", "file f.csv six", "file old.csv new")

	// the folder goes, and comes back
	if err := os.RemoveAll(in); err != nil {
		t.Fatal(err)
	}
	x.Until("the missing folder is told of", func() bool {
		return strings.Contains(x.OK("show", "w"), "there is no folder "+in) &&
			strings.Contains(x.OK("attention"), "file "+in+"/*.csv: there is no folder "+in)
	})
	exampleWrite(t, in+"/g.csv", "seven\n")
	listenWant(x, "w", "file a.csv one", "file d.csv four", "file e.csv five", "file f.csv six", "file g.csv seven",
		"file old.csv new")
	if out := x.OK("attention"); !strings.Contains(out, "nothing needs attention") {
		t.Errorf("with its folder: %s", out)
	}
	if why := x.OK("why", "w"); !strings.Contains(why, "file "+in+"/g.csv") ||
		!strings.Contains(why, "with the next event") {
		t.Errorf("why does not say what fired: %s", why)
	}
}

// TestListenJoined: with debounce several files are one fire, which has all their names.
func TestListenJoined(t *testing.T) {
	x := newSite(t)
	in := filepath.Join(x.Dir, "in")
	exampleWrite(t, in+"/.keep", "")
	x.File("w.yml", "on:\n  - file: {path: "+in+"/*, settle: 50ms}\n    debounce: 1s\ntasks:\n  a:\n"+
		"    run: 'echo $EVENT_COUNT $(sort $EVENT_PATHS | xargs -n1 basename); echo $EVENT_PATHS >"+x.Dir+"/paths'\n")
	x.Principal("--with-agent")
	x.Until("it listens", func() bool { return len(x.workflow("w").Listeners) == 1 })
	x.OK("pause", "w") // so that they wait together however slow this machine is
	for i := range 20 {
		exampleWrite(t, fmt.Sprintf("%s/f%02d", in, i), "x\n")
	}
	x.Until("all wait", func() bool { l := x.workflow("w").Listeners; return len(l) == 1 && l[0].Waiting == 20 })
	x.OK("resume", "w")
	want := "20"
	for i := range 20 {
		want += fmt.Sprintf(" f%02d", i)
	}
	listenWant(x, "w", want)
	paths, err := os.ReadFile(x.Dir + "/paths")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(paths))); !os.IsNotExist(err) {
		t.Errorf("the file of paths is left: %v", err)
	}
}

// TestListenWorkflow: the end of a run fires the next workflow, once, also when the principal was killed in between.
func TestListenWorkflow(t *testing.T) {
	x := newSite(t)
	x.File("up.yml", "params: {code: 0}\ntasks: {a: {run: 'exit $PARAM_CODE'}}\n")
	x.File("good.yml", "on: {workflow: {id: up}}\ntasks: {a: {run: 'echo $EVENT_WORKFLOW $EVENT_STATE $EVENT_RUN'}}\n")
	x.File("bad.yml", "on: {workflow: {id: up, state: failed}}\ntasks: {a: {run: 'echo $EVENT_STATE'}}\n")
	x.File("ping.yml", "on: {workflow: {id: pong}}\ntasks: {a: {run: 'true'}}\n")
	x.File("pong.yml", "on: {workflow: {id: ping}}\ntasks: {a: {run: 'true'}}\n")
	x.File("own.yml", "on: {workflow: {id: own}}\ntasks: {a: {run: 'true'}}\n")
	p := x.Principal("--with-agent")
	one := x.run("up")
	listenWant(x, "good", "up succeeded "+one.ID)
	x.run("up", "-p", "code=3")
	listenWant(x, "bad", "failed")
	p.Kill()
	p = x.Principal("--with-agent")
	two := x.run("up")
	listenWant(x, "good", "up succeeded "+one.ID, "up succeeded "+two.ID)
	x.run("ping")
	x.Until("the chain ends", func() bool {
		return strings.Contains(x.OK("why", "ping"), "16 runs in a row") ||
			strings.Contains(x.OK("why", "pong"), "16 runs in a row")
	})
	if text := x.workflow("own").Error; !strings.Contains(text, "would listen to itself") {
		t.Errorf("own: %q", text)
	}
	p.Stop()
}

// TestListenCommand: lines of a command fire, a command that ends is started again, a flood is counted and held to the
// rate, and a stop leaves nothing of it.
func TestListenCommand(t *testing.T) {
	x := newSite(t)
	pipe := x.Dir + "/lines"
	exampleWrite(t, pipe, "")
	x.File("w.yml", "on:\n  - command: {run: 'exec tail -n 0 -f "+pipe+"', match: '^go'}\ntasks:\n"+
		"  a: {run: 'echo \"$EVENT\"'}\n")
	x.File("flood.yml", "on:\n  - command: {run: 'yes flood-"+filepath.Base(x.Dir)+"'}\n    rate: 2\n"+
		"tasks: {a: {run: 'true'}}\n")
	x.File("ends.yml", "on:\n  - command: {run: 'echo first; echo why >&2; exit 3'}\n    rate: 1\ntasks: {a: {run: "+
		"'echo $EVENT'}}\n")
	p := x.Principal("--with-agent")
	x.Until("it runs", func() bool { return listenAlive("tail\x00-n\x000\x00-f\x00"+pipe) == 1 })
	f, err := os.OpenFile(pipe, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, "stay\ngo $(touch "+x.Dir+"/bad) 'x\nwe go\n")
	listenWant(x, "w", "go $(touch "+x.Dir+"/bad) 'x")
	x.Until("the end of a command is told of", func() bool {
		return strings.Contains(x.OK("show",
			"ends"), "(exit status 3: why); started again after ")
	})
	x.Until("somebody is told to look at it", func() bool {
		out := x.OK("attention")
		return strings.Contains(out, "ends does not hear all that should fire it") &&
			strings.Contains(out, "the command ended 3 times in a row (exit status 3: why)") &&
			strings.Contains(out, "flood does not hear all that should fire it") &&
			!strings.Contains(out, "w does not hear")
	})
	listenWant(x, "ends", "first")
	x.Until("the flood is counted", func() bool {
		l := x.workflow("flood").Listeners
		return len(l) == 1 && l[0].Fired >= 2 && l[0].Dropped > 1000
	})
	if l := x.workflow("flood").Listeners; l[0].Fired > 10 {
		t.Errorf("a rate of 2 a minute let %d fires through", l[0].Fired)
	}
	p.Stop()
	x.Until("nothing is left", func() bool {
		return listenAlive("tail\x00-n\x000\x00-f\x00"+pipe) == 0 &&
			listenAlive("yes\x00flood-"+filepath.Base(x.Dir)) == 0
	})
}
