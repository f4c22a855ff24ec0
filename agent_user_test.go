package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

// TestUserFor: users and their groups are those of the files, and what is not as it must be is said.
func TestUserFor(t *testing.T) {
	dir := t.TempDir()
	passwd, group := dir+"/passwd", dir+"/group"
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(passwd, "root:x:0:0:root:/root:/bin/bash\n# comment\nana:x:1000:100:Ana,,,:/home/ana:\nodd:x:many:1:::\n"+
		"me:x:7:7::/me:/bin/sh")
	write(group, "root:x:0:\nusers:x:100:bob,ana\ndisk:x:6:ana\nanas:x:9:anastasia\nbad:x:no:ana\nadm:x:4:ana,bob\n")
	user, entry, err := userFor("ana", passwd, group, 0)
	if err != nil || user.UID != 1000 || user.GID != 100 || !slices.Equal(user.Groups, []uint32{100, 6, 4}) {
		t.Errorf("ana: %+v, %v", user, err)
	}
	env := newEnviron([]string{"HOME=/root", "SHELL=/bin/zsh", "X=y"})
	env.become(entry)
	if got := strings.Join(env.list, " "); got != "HOME=/home/ana SHELL=/bin/sh X=y USER=ana LOGNAME=ana" {
		t.Errorf("the environment: %s", got)
	}
	if user, entry, err := userFor("me", passwd, group, 7); user != nil || entry == nil || err != nil {
		t.Errorf("ourselves: %+v %v %v", user, entry, err)
	}
	for _, c := range []struct {
		name, passwd, group string
		own                 int
		want                string
	}{
		{"bob", passwd, group, 0, "user bob: there is no such user in " + passwd + " on this agent"},
		{"odd", passwd, group, 0, "user odd: its line in " + passwd + " has no numbers"},
		{"ana", passwd, group, 7, "user ana: this agent runs as me, and only root may start a task as another user: " +
			"run " +
			"an agent as root, or leave user out"},
		{"ana", passwd, dir + "/none", 0, "user ana: read " + dir + "/none: no such file"},
		{"ana", dir + "/none", group, 0, "user ana: read " + dir + "/none: no such file"},
	} {
		if user, _, err := userFor(c.name, c.passwd, c.group, c.own); user != nil || err == nil ||
			!strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v; want %s", c.name, user, err, c.want)
		}
	}
}

// TestUserOutClear: what an earlier life has left goes, what another agent has made stays.
func TestUserOutClear(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ours, other := userOutFolder("/a")+"R.0.1", userOutFolder("/b")+"R.0.1"
	for _, dir := range []string{ours, other} {
		if err := userOutMake(filepath.Join(dir, "output"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if userOutClear("/a"); fileThere(ours) || !fileThere(other) {
		t.Errorf("ours is there: %v, another's: %v", fileThere(ours), fileThere(other))
	}
}

// fileThere says whether there is a file or folder of that name.
func fileThere(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// TestUserEvent: whatever runs as another user can read the paths of the event that fired its run, and nothing of them
// stays.
func TestUserEvent(t *testing.T) {
	if userID() != 0 {
		harness.Lacks(t, "only root can start a process of another user")
	}
	t.Setenv("TMPDIR", t.TempDir())
	g := &agent{environ: newEnvironBase(nil)}
	g.cfg.StateDir = t.TempDir()
	w := &Workflow{ID: "w", User: "daemon", If: "x", Tasks: []Task{{ID: "a", If: "x", Run: "x",
		Repeat: &Repeat{Every: 1, Until: "x"}}}}
	d, err := dagBuild(w.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	r := &agentRun{as: &assignment{Run: "R1", Spec: w, Event: &RunEvent{Kind: listenOnFile,
		Paths: []string{"/p", "/q"}}},
		agentWalk: agentWalk{tasks: w.Tasks, dag: d, outputs: make([]taskOutputs, 1)}, guard: &Task{If: w.If}}
	for name, start := range map[string]*attemptStart{
		"if of the run":  {task: r.guard, guards: true, index: ifOfRun},
		"if of the task": {task: &w.Tasks[0], guards: true},
		"task":           {task: &w.Tasks[0]},
		"until":          {task: &w.Tasks[0], asks: &repeatAsk{}},
	} {
		start.t = &taskTry{run: r, of: start.task, index: start.index}
		start.run, start.walk, start.output = r.as, r.agentWalk, start.t.outputsFile(&g.cfg)
		spec, _, err := g.procSpecOf(&step{}, start)
		if err != nil || !slices.Contains(spec.Env, "EVENT_PATHS="+start.paths) {
			t.Fatalf("%s: %v, %q", name, err, spec.Env)
		}
		text, err := fileReadOwn(filepath.Dir(start.paths), filepath.Base(start.paths), outputsMax)
		info, statErr := os.Stat(start.paths)
		if string(text) != "/p\n/q\n" || err != nil || statErr != nil ||
			info.Sys().(*syscall.Stat_t).Uid != spec.User.UID {
			t.Errorf("%s: %q, %v, %v", name, text, err, statErr)
		}
		if start.end(); fileThere(start.paths) || start.guards && fileThere(filepath.Dir(start.paths)) {
			t.Errorf("%s: the paths stay", name)
		}
	}
}

// TestAttemptWrite: a file for another user is not written through a link that this user has put in its place.
func TestAttemptWrite(t *testing.T) {
	dir := t.TempDir()
	other, file := filepath.Join(dir, "other"), filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(other, []byte("ours"), 0o600), os.Symlink(other, file)); err != nil {
		t.Fatal(err)
	}
	if err := attemptWrite(file, strings.NewReader("theirs"), nil); err != nil {
		t.Error(err)
	}
	text, _ := os.ReadFile(other)
	written, _ := os.ReadFile(file)
	if string(text) != "ours" || string(written) != "theirs" {
		t.Errorf("%q is written, and the other file has %q", written, text)
	}
}

// What no other attempt could begin with either is not tried again.
func TestAgentUserUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: []Task{{ID: "a", Run: "true", User: "no-such-user", Retries: 3,
			RetryDelay: Duration(time.Second)}}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := g.events("R1"); got != "run.started, task.started a, task.finished a failed, run.finished failed" {
			t.Errorf("%s", got)
		}
		g.end()
	})
}
