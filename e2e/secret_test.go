// End-to-end tests of secrets: tasks get them, and nothing else does.

package e2e

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// secretValue is a secret of these tests.
const secretValue = "correct-horse+battery/staple"

// secretPut writes a secret of the agent with that state.
func secretPut(x *site, state, name, value string) {
	x.T.Helper()
	if err := os.MkdirAll(state+"/secrets", 0o700); err != nil {
		x.T.Fatal(err)
	}
	if err := os.WriteFile(state+"/secrets/"+name, []byte(value), 0o600); err != nil {
		x.T.Fatal(err)
	}
}

// secretHidden looks for the secret, as it is and as base64, in all files of the site but its own.
func secretHidden(x *site) {
	x.T.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(secretValue))
	err := filepath.WalkDir(x.Dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || filepath.Base(filepath.Dir(name)) == "secrets" {
			return nil // what has gone meanwhile has gone
		}
		text, _ := os.ReadFile(name)
		for _, secret := range []string{secretValue, encoded} {
			if at := bytes.Index(text, []byte(secret)); at >= 0 {
				x.T.Errorf("%s has the secret at byte %d", name, at)
			}
		}
		return nil
	})
	if err != nil {
		x.T.Fatal(err)
	}
}

// TestSecrets: a task gets the secrets that it asks for, and what it and others say of it has *** in their place: in
// the log, beyond its bound, in outputs, in errors, and in all files. A restart of both in the middle of it changes
// nothing.
func TestSecrets(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", `secrets: [TOKEN]
env: {URL: "https://u:${env.TOKEN}@host"}
log: {max_size: 1K}
tasks:
  has: {run: 'test "$TOKEN" = "$(cat $DIR/one/secrets/TOKEN)" && test -z "$OTHER"'}
  says:
    depends: [has]
    secrets: [OTHER]
    run: |
      echo "$TOKEN"; echo "$URL and $OTHER" >&2
      printf %s "$TOKEN" | base64; printf "user:$TOKEN" | base64
      printf 'begun: correct-'; sleep 0.1; echo horse+battery/staple
      i=0; while [ $i -lt 200 ]; do echo "$i $TOKEN"; i=$((i+1)); done
  hands: {depends: [has], run: 'echo "K=<$TOKEN>" >>$CDKTR_OUTPUT'}
  odd: {depends: [has], run: 'echo "$TOKEN" >>$CDKTR_OUTPUT'}
  until: {depends: [has], run: 'echo "K=$TOKEN" >>$CDKTR_OUTPUT', repeat: {every: 100ms, times: 2, until: 'true'}}
  start: {depends: [has], run: 'true', shell: /nowhere/sh, working_directory: "/x/$${env.TOKEN}"}
`)
	secretPut(x, x.Dir+"/one", "TOKEN", secretValue+"\n")
	secretPut(x, x.Dir+"/one", "OTHER", "another")
	p := x.Principal()
	agent := x.Agent("one")
	run := x.run("w")
	if want := "hands=failed has=succeeded odd=failed says=succeeded start=failed until=failed"; statesOf(run) != want {
		t.Errorf("%s, want %s: %+v", statesOf(run), want, run.Tasks)
	}
	for task, want := range map[string]string{
		"hands": "the output K has a secret in it, and outputs are stored",
		"until": "the output K has a secret in it, and outputs are stored",
		"odd":   "$CDKTR_OUTPUT:1: want KEY=value, not \"***\"",
	} {
		if r := run.task(task); !strings.Contains(r.Reason, want) {
			t.Errorf("%s: %s", task, r.Reason)
		}
	}
	out := x.OK("logs", run.ID, "--task", "says")
	begun, _, _ := strings.Cut(out, "begun: ***\n")
	first := strings.Split(begun, "\n") // of two streams, whose order is theirs
	sort.Strings(first)
	if want := "|***|***|dXNlcjp***|https://u:***@host and ***"; strings.Join(first, "|") != want ||
		!strings.Contains(out, "begun: ***\n") || !strings.HasSuffix(out, "199 ***\n") {
		t.Errorf("the log: %q, want it to begin with %q\n%s", first, want, out)
	}
	p.Kill()
	agent.Kill()
	x.Principal()
	x.Agent("one")
	secretHidden(x)
	for _, args := range [][]string{{"show", "w", "--json"}, {"show", run.ID, "--json"}, {"events", "--json"},
		{"graph", "w"}} {
		if out := x.OK(args...); strings.Contains(out, secretValue) {
			t.Errorf("%q says the secret", args)
		}
	}
}

// TestSecretStopped: a task with a secret that is stopped, or whose agent is killed, leaves nothing of it behind.
func TestSecretStopped(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "secrets: [TOKEN]\ntasks:\n  a: {run: 'printf \"$TOKEN\\n$TOKEN\"; touch $DIR/said; exec sleep "+
		"1000'}\n")
	secretPut(x, x.Dir+"/one", "TOKEN", secretValue)
	x.Principal()
	agent := x.Agent("one")
	begin := func() string {
		os.Remove(x.Dir + "/said")
		run := x.Start("w")
		x.Until("it has said it", func() bool { _, err := os.Stat(x.Dir + "/said"); return err == nil })
		return run
	}
	for _, force := range [][]string{nil, {"--force"}} {
		run := begin()
		x.OK(append([]string{"cancel", run}, force...)...)
		if r := x.await(run); r.State != runCancelled {
			t.Errorf("the run is %s: %s", r.State, r.Reason)
		}
		if out := x.OK("logs", run); out != "***\n***\n" {
			t.Errorf("the log: %q", out)
		}
	}
	run := begin()
	agent.Kill()
	x.Agent("one")
	if r := x.await(run); r.State != "crashed" {
		t.Errorf("the run is %s: %s", r.State, r.Reason)
	}
	secretHidden(x)
}

// TestSecretMissing: an attempt without its secret fails, and says where it was looked for and what is wrong.
func TestSecretMissing(t *testing.T) {
	x := newSite(t)
	secrets := x.Dir + "/one/secrets/"
	text := "tasks:\n"
	for _, name := range []string{"NONE", "OPEN", "LINK", "FOLDER", "EMPTY", "LARGE", "NUL", "MANY", "CRED"} {
		text += "  " + strings.ToLower(name) + ": {secrets: " + name + ", run: 'echo \"<$" + name + ">\"'}\n"
	}
	text += "  again: {secrets: NONE, run: 'true', retries: 3}\n  until: {secrets: NONE, run: 'true', " +
		"repeat: {every: 1s, until: 'true'}}\n  yes: {secrets: NONE, run: 'true', if: 'true'}\n" +
		"  no: {secrets: NONE, run: 'true', if: 'false'}\n"
	x.File("w.yml", text)
	for name, value := range map[string]string{"OPEN": "x", "EMPTY": "\n", "LARGE": strings.Repeat("x", 20<<10),
		"NUL": "a\x00b", "MANY": strings.Repeat("x\n", 501)} {
		secretPut(x, x.Dir+"/one", name, value)
	}
	if err := os.Chmod(secrets+"OPEN", 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("OPEN", secrets+"LINK"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(secrets+"FOLDER", 0o700); err != nil {
		t.Fatal(err)
	}
	x.Principal()
	agent := x.Agent("one")
	check := func(want map[string]string) {
		t.Helper()
		run := x.run("w")
		for task, words := range want {
			if r := run.task(task); r.State != runFailed || !strings.HasPrefix(r.Reason,
				"secret "+strings.ToUpper(task)+": "+
					words) {
				t.Errorf("%s is %s: %s", task, r.State, r.Reason)
			}
		}
	}
	check(map[string]string{
		"none": "it is not on this agent, which has looked for " + secrets + "NONE and $CREDENTIALS_DIRECTORY/NONE " +
			"(which is not set): write it there with mode 0600",
		"open":   "read " + secrets + "OPEN: others may read it (its mode is 0640): chmod 600 " + secrets + "OPEN",
		"link":   "read " + secrets + "LINK: it is a link",
		"folder": "read " + secrets + "FOLDER: not a regular file",
		"empty":  secrets + "EMPTY is empty",
		"large":  secrets + "LARGE is larger than 16 KiB",
		"nul":    "the text in " + secrets + "NUL has a NUL byte in it",
		"many":   "it has 501 lines, and the secrets of a task may have 500 together: leave out what is not secret",
	})
	// what would find it missing again is not tried again, and a task that is skipped needs none
	last := x.show(x.workflow("w").Last.ID)
	for task, want := range map[string]string{"again": runFailed, "until": runFailed, "yes": runFailed,
		"no": "skipped"} {
		r := last.task(task)
		why := "secret NONE: it is not on this agent"
		if task == "no" {
			why = "if: exit 1"
		}
		if r.State != want || r.Attempts != 1 || !strings.HasPrefix(r.Reason, why) {
			t.Errorf("%s is %s after %d attempts: %s", task, r.State, r.Attempts, r.Reason)
		}
	}
	agent.Stop()
	cred := x.Dir + "/cred"
	if err := os.Mkdir(cred, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cred+"/CRED", []byte("given"), 0o440); err != nil {
		t.Fatal(err)
	}
	x.Env = append(x.Env, "CREDENTIALS_DIRECTORY="+cred)
	if err := os.Chmod(secrets, 0o777); err != nil {
		t.Fatal(err)
	}
	x.Agent("one")
	check(map[string]string{
		"open": "read " + secrets + "OPEN: others may write in its folder: chmod go-w ",
		"none": "it is not on this agent, which has looked for " + secrets + "NONE and " + cred +
			"/NONE: write it there",
	})
	run := x.workflow("w").Last.ID
	if out := x.OK("logs", run, "--task", "cred"); out != "<***>\n" {
		t.Errorf("a credential: %q", out)
	}
	// of a file that is run here, only credentials are there
	r := x.Code(1, "run", x.Dir+"/workflows/w.yml")
	for _, words := range []string{"<***>", "secret NONE: it is not on this agent, which has looked for " + cred +
		"/NONE: " +
		"set CREDENTIALS_DIRECTORY to a folder that has it"} {
		if !strings.Contains(r.Out+r.Err, words) {
			t.Errorf("run FILE says %q and %q, without %q", r.Out, r.Err, words)
		}
	}
}
