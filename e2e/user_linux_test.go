// End-to-end tests of tasks of another user than the agent's, who is root. They need root, and the users daemon and
// nobody, which every Linux has.

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// userRig is an installation of root's whose folder others may enter, as /var/lib is.
func userRig(t *testing.T) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		harness.Lacks(t, "only root can start a process of another user")
	}
	x := newSite(t)
	if err := os.Chmod(x.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return x
}

// userOuts lists the folders of outputs of other users' tasks.
func userOuts(x *site) []string {
	found, err := filepath.Glob(x.Dir + "/cdktr-out-*")
	if err != nil {
		x.T.Fatal(err)
	}
	return found
}

// TestUser: tasks run as the users that the file names, with what belongs to those, and hand values on.
func TestUser(t *testing.T) {
	x := userRig(t)
	const who = `echo $(id -un) $(id -gn) $HOME $USER $LOGNAME $SHELL`
	x.File("w.yml", `user: daemon
env: {FROM_HOME: "${env.HOME}"}
tasks:
  a:
    run: |
      `+who+` $FROM_HOME
      echo said >/dev/stderr
      echo K=v >>$CDKTR_OUTPUT
  b: {depends: [a], user: nobody, run: '`+who+` $K; cat', stdin: given}
  c: {depends: [b], user: root, run: '`+who+` $K; echo L=w >>$CDKTR_OUTPUT'}
  d: {depends: [c], cmd: ls, args: [state], when: always}
  e: {depends: [c], run: 'cat state/journal/* /etc/shadow $HOME/../../root/x; echo $L'}
`)
	x.Principal("--with-agent")
	run := x.run("w")
	if want := "a=succeeded b=succeeded c=succeeded d=failed e=succeeded"; statesOf(run) != want {
		t.Errorf("%s, want %s: %+v", statesOf(run), want, run.Tasks)
	}
	for task, want := range map[string]string{
		"a": "daemon daemon /usr/sbin daemon daemon /usr/sbin/nologin /usr/sbin\nsaid\n",
		"b": "nobody nogroup /nonexistent nobody nobody /usr/sbin/nologin v\ngiven\n",
		"c": "root root /root root root /bin/bash v\n",
	} {
		if out := x.OK("logs", run.ID, "--task", task); out != want {
			t.Errorf("%s: %q, want %q", task, out, want)
		}
	}
	if out := x.OK("logs", run.ID, "--task", "e"); strings.Count(out, "ermission denied") != 3 ||
		!strings.HasSuffix(out,
			"w\n") {
		t.Errorf("what daemon may not read: %s", out)
	}
	if left := userOuts(x); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if out := x.OK("show", "w"); !strings.Contains(out, "user         daemon, b as nobody, c as root\n") {
		t.Errorf("show: %s", out)
	}
}

// TestUserRefused: the attempt fails, and says why, where there is no such user, and where the agent is not root. Its
// own user every agent may name.
func TestUserRefused(t *testing.T) {
	x := leftRig(t) // its agent is nobody
	x.File("w.yml", `tasks:
  unknown: {user: nobdy, run: 'true'}
  other: {user: daemon, run: 'true'}
  own: {user: nobody, run: 'echo $USER $HOME; echo K=v >>$CDKTR_OUTPUT'}
`)
	x.Principal("--with-agent")
	run := x.run("w")
	for task, words := range map[string]string{
		"unknown": "user nobdy: there is no such user in /etc/passwd on this agent",
		"other":   "user daemon: this agent runs as nobody, and only root may start a task as another user",
	} {
		if r := run.task(task); r.State != runFailed || !strings.HasPrefix(r.Reason, words) || r.Exit != nil {
			t.Errorf("%s is %s: %s", task, r.State, r.Reason)
		}
	}
	if own := run.task("own"); own.State != runSucceeded || own.Outputs["K"] != "v" {
		t.Errorf("own: %+v", own)
	}
	if out := x.OK("logs", run.ID, "--task", "own"); out != "nobody /nonexistent\n" {
		t.Errorf("own: %q", out)
	}
}

// TestUserOutputs: what a task of another user puts in the place of its outputs does not make root read anything else.
func TestUserOutputs(t *testing.T) {
	x := userRig(t)
	if err := os.WriteFile(x.Dir+"/roots", []byte("SECRET=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.File("w.yml", `user: daemon
tasks:
  link: {run: 'ln -s $DIR/roots $CDKTR_OUTPUT'}
  folder: {run: 'mkdir $CDKTR_OUTPUT'}
  pipe: {run: 'mkfifo $CDKTR_OUTPUT'}
`)
	x.Principal("--with-agent")
	run := x.run("w")
	for _, task := range []string{"link", "folder", "pipe"} {
		r := run.task(task)
		if r.State != runFailed || !strings.HasPrefix(r.Reason, "read outputs: $CDKTR_OUTPUT: ") ||
			len(r.Outputs) > 0 {
			t.Errorf("%s is %s: %s %v", task, r.State, r.Reason, r.Outputs)
		}
	}
	if left := userOuts(x); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestUserStopped: cancel, cancel --force and the next life of an agent that was killed end all processes of another
// user's task, and clear up after it.
func TestUserStopped(t *testing.T) {
	x := userRig(t)
	x.File("w.yml", `user: daemon
tasks:
  load:
    run: |
      echo K=v >>$CDKTR_OUTPUT
      [ ! -e $DIR/stubborn ] || trap '' TERM
      (setsid sh -c 'sleep 1000; :' &)
      sleep 1000 &
      wait
  free: {run: 'true'}
`)
	x.Principal()
	agent := x.Agent("one")
	begin := func() (run, mark string) {
		run = x.Start("w")
		mark = "|" + run + "|load|"
		x.Until("load is at work", func() bool { return len(harness.Alive(mark)) >= 4 })
		return run, mark
	}
	gone := func(run, mark, state string) {
		t.Helper()
		if r := x.await(run); r.State != state {
			t.Errorf("the run is %s: %s", r.State, r.Reason)
		}
		x.Until("its processes are gone", func() bool { return len(harness.Alive(mark)) == 0 })
		x.Until("its folder is gone", func() bool { return len(userOuts(x)) == 0 })
	}
	run, mark := begin()
	x.OK("cancel", run)
	gone(run, mark, runCancelled)
	if err := os.WriteFile(x.Dir+"/stubborn", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run, mark = begin()
	x.OK("cancel", run, "--force")
	gone(run, mark, runCancelled)
	run, mark = begin()
	agent.Kill()
	x.Agent("one")
	gone(run, mark, "crashed")
}

// TestUserFiles: what an attempt is given in a file, its user can read: a long script, and the place for the head of an
// answer.
func TestUserFiles(t *testing.T) {
	harness.Need(t, "apt install curl", "curl", "--version")
	x := userRig(t)
	server := httpServer(t)
	x.File("w.yml", `user: daemon
tasks:
  long:
    run: |
      id -un; stat -c '%U %a' $CDKTR_OUTPUT.script
`+strings.Repeat("      # nothing to be seen here\n", 4000)+`
  ask: {http: {url: "`+server.URL+`/status/200"}}
  behind: {depends: [ask], run: 'echo $status'}
`)
	x.Principal("--with-agent")
	run := x.run("w")
	for task, want := range map[string]string{"long": "daemon\ndaemon 600\n", "ask": "this is 200\n",
		"behind": "200\n"} {
		if out := x.OK("logs", run.ID, "--task", task); out != want || run.task(task).State != runSucceeded {
			t.Errorf("%s wrote %q, want %q, and is %s", task, out, want, processEnd(run, task))
		}
	}
	if left := userOuts(x); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
