// Tests of which folder the verbs about keys work on, and of keys folders that are not as they must be: the real
// program.

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestKeysFound: without --state, the verbs about a principal's own files work on the state of the one that answers.
// With none there they make nothing, and say what to name.
func TestKeysFound(t *testing.T) {
	x := e2eNew(t)
	p := x.Principal("--bind", "tcp://127.0.0.1:0")
	endpoint := p.Saw(&p.Err, `(tcp://127\.0\.0\.1:[1-9]\d*)"? state=`)[1]
	// the default of who gives the commands, where there may be a state too
	mine := filepath.Join(x.Dir, ".local/state/cdktr")
	x.Env = append(x.Env, "CDKTR_STATE=")
	cred := x.Dir + "/op.cred"
	x.OK("authorize", "--new", "op", "--role", "operator", "--endpoint", endpoint, "-o", cred)
	x.OK("ping", "--credential", cred)
	// where this user's other commands go
	x.Env = append(x.Env, "CDKTR_PRINCIPAL=tcp://elsewhere:1", "CDKTR_CREDENTIAL="+cred)
	if out := x.OK("authorize", "--list"); !strings.Contains(out, "op ") {
		t.Errorf("list: %s", out)
	}
	read, err := credentialRead(t.Context(), nil, cred)
	if err != nil {
		t.Fatal(err)
	}
	if out := x.OK("keygen", "--show-server"); strings.TrimSpace(out) != read.Server.String() {
		t.Errorf("server key %s, not %s", out, read.Server)
	}
	x.Refused(exitRefused, []string{"holds it", x.Dir + "/state"}, "check")
	x.Refused(exitUsage, []string{"on its own box", "ssh://hub"}, "authorize", "--list", "-H", "hub")
	x.OK("backup", x.Dir+"/b.tar.gz")
	other := x.Dir + "/other"
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := x.Code(0, "authorize", "--new", "op", "--role", "operator", "--endpoint", endpoint, "--state",
		other); !strings.Contains(r.Err, "keeps its state in "+x.Dir+"/state") {
		t.Errorf("a new key in another folder beside a running service: %s", r.Err)
	}
	p.Stop()
	for _, made := range []bool{false, true} { // no folder of the caller's, or one without keys
		if made {
			if err := os.MkdirAll(mine, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"authorize", "--new", "x", "--role", "viewer", "--endpoint", endpoint},
			{"authorize", "x", authTestKey, "--role", "viewer"},
			{"authorize", "--remove", "op"}, {"authorize", "--list"}, {"keygen", "--show-server"}} {
			x.Refused(exitRefused, []string{"no principal answers at ipc://" + x.Dir + "/s", mine, "--state DIR"},
				args...)
		}
		x.Refused(exitUsage, []string{"no principal answers", "--state DIR"}, "check")
		x.Refused(exitUsage, []string{"no principal answers", "--state DIR"}, "check", "--repair")
		x.Refused(exitUnreachable, []string{"no principal answers", "--state DIR"}, "backup", x.Dir+"/none.tar.gz")
	}
	if left, err := os.ReadDir(mine); err != nil || len(left) > 0 {
		t.Errorf("in the caller's own folder: %v, %v", left, err)
	}
	x.OK("authorize", "--list", "--state", x.Dir+"/state")
	x.OK("check", "--state", x.Dir+"/state")
}

// TestKeysFoundForeign: a principal that names a folder of somebody else's is not believed.
func TestKeysFoundForeign(t *testing.T) {
	r := ownerNew(t)
	r.Bin = harness.Plain(t, r.Dir)
	r.UID = ownerUID
	r.Principal("--state", r.state)
	r.must(os.Chown(r.state, 0, 0))
	r.Refused(exitRefused, []string{"runs as uid 12345", "belongs to root (uid 0)"}, "authorize", "--new", "x",
		"--role", "viewer", "--endpoint", "tcp://hub:1")
}

// TestAuthKeyGone: where a key was, no other is made.
func TestAuthKeyGone(t *testing.T) {
	x := e2eNew(t)
	p := x.Principal("--bind", "tcp://127.0.0.1:0")
	x.OK("authorize", "--new", "op", "--role", "operator", "--endpoint", "tcp://hub:1", "-o", x.Dir+"/op.cred")
	p.Stop()
	keys := x.Dir + "/state/keys/"
	pub, err := os.ReadFile(keys + "server.pub")
	err = errors.Join(err, os.Rename(keys+"server.key", x.Dir+"/kept"))
	if err != nil {
		t.Fatal(err)
	}
	says := []string{"server.key is gone", "put the old file back", "server.pub"}
	x.Refused(exitFailed, says, "start", "principal", "--bind", "tcp://127.0.0.1:0")
	x.Refused(exitFailed, says, "authorize", "--new", "other", "--role", "viewer", "--endpoint", "tcp://hub:1", "-o",
		x.Dir+"/other.cred")
	if _, err := os.Lstat(x.Dir + "/other.cred"); err == nil {
		t.Error("a credential was written")
	}
	if r := x.Cdktr("check"); r.Code != exitUsage || !strings.Contains(r.Out, "server.key: it is gone") {
		t.Errorf("check: exit code %d, %s%s", r.Code, r.Out, r.Err)
	}
	if found, _ := x.doctorSays(); found["keys"].State != doctorWarn ||
		!strings.Contains(found["keys"].Text, "it is gone") {
		t.Errorf("doctor: %+v", found["keys"])
	}
	if err := errors.Join(os.Rename(x.Dir+"/kept", keys+"server.key"), os.Remove(keys+"server.pub")); err != nil {
		t.Fatal(err)
	}
	x.Principal("--bind", "tcp://127.0.0.1:0").Stop() // only the public half is gone: it is known from the other
	if now, err := os.ReadFile(keys + "server.pub"); err != nil || string(now) != string(pub) {
		t.Errorf("server.pub: %q, %v; it was %q", now, err, pub)
	}
}

// TestAuthDoubts: what lets others at the keys, or locks everybody out, is said by start, check and doctor.
func TestAuthDoubts(t *testing.T) {
	x := e2eNew(t)
	x.Principal("--bind", "tcp://127.0.0.1:0").Stop()
	x.OK("authorize", "ci", authTestKey, "--role", "viewer")
	state := x.Dir + "/state"
	mode := func(name string, mode os.FileMode) func() error {
		return func() error { return os.Chmod(filepath.Join(state, name), mode) }
	}
	pub, err := os.ReadFile(state + "/keys/server.pub")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) func() error {
		return func() error { return os.WriteFile(state+"/keys/server.pub", []byte(text), 0o600) }
	}
	for _, c := range []struct {
		name, want  string
		spoil, mend func() error
	}{
		{"state open to all", "others can write in this folder (mode 0777)", mode(".", 0o777), mode(".", 0o700)},
		{"state open to its group", "others can write in this folder (mode 0770)", mode(".", 0o770), mode(".", 0o700)},
		{"keys open to all", "others can write in this folder (mode 0777)", mode("keys", 0o777), mode("keys", 0o700)},
		{"authorized open to its group", "others can write", mode("keys/authorized", 0o620),
			mode("keys/authorized", 0o600)},
		{"authorized open to all", "others can write", mode("keys/authorized", 0o602), mode("keys/authorized", 0o600)},
		{"authorized with a second name",
			"authorized is the same file as one elsewhere (a hard link), through which others may write it: make it " +
				"a file of its own: cp -p ",
			func() error { return os.Link(state+"/keys/authorized", x.Dir+"/second") },
			func() error { return os.Remove(x.Dir + "/second") }},
		{"another's server.pub", "not the public half of server.key", write(authTestKey + "\n"), write(string(pub))},
		{"an empty server.pub", "not the public half of server.key", write(""), write(string(pub))},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		if r := x.Cdktr("check"); r.Code != exitUsage || !strings.Contains(r.Out, c.want) {
			t.Errorf("%s: check: exit code %d, %s%s", c.name, r.Code, r.Out, r.Err)
		}
		if found, _ := x.doctorSays(); found["keys"].State != doctorWarn ||
			!strings.Contains(found["keys"].Text, c.want) {
			t.Errorf("%s: doctor: %+v", c.name, found["keys"])
		}
		p := x.Spawn("start", "principal")
		p.Saw(&p.Err, "level=WARN.*"+regexp.QuoteMeta(c.want))
		p.Saw(&p.Err, "msg=ready")
		p.Stop()
		if err := c.mend(); err != nil {
			t.Fatal(err)
		}
	}
	if r := x.Cdktr("check"); r.Code != 0 {
		t.Errorf("mended: %s%s", r.Out, r.Err)
	}
	if found, _ := x.doctorSays(); found["keys"].State != "" {
		t.Errorf("mended: %+v", found["keys"])
	}
}

// TestAuthWritable: who can write the authorized file can let anybody in: one that others can write counts for nothing.
func TestAuthWritable(t *testing.T) {
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: true, 0o620: false, 0o602: false,
		0o660: false, 0o622: false} {
		state := t.TempDir()
		k, _, err := authOpen(state)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(k.dir, authFile)
		authTestWrite(t, file, "a "+authTestKey+" role=operator\n")
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.load(); (err == nil) != fine || (k.lookup(authTestKey) != nil) != fine {
			t.Errorf("mode %04o: %v, and the key is known: %v", mode, err, k.lookup(authTestKey) != nil)
		}
		if g := k.adopt(authTestKey); (g != nil) != fine {
			t.Errorf("mode %04o: a newcomer with the key: %v", mode, g)
		}
		if _, _, err := authReadFile(k.dir); (err == nil) != fine {
			t.Errorf("mode %04o: read: %v", mode, err)
		}
	}
}

// TestAuthHardLink: an authorized file that has a second name lets nobody in and no verb changes it, until it is made a
// file of its own, as the error says.
func TestAuthHardLink(t *testing.T) {
	x := e2eNew(t)
	x.Principal("--bind", "tcp://127.0.0.1:0").Stop()
	x.OK("authorize", "ci", authTestKey, "--role", "viewer")
	file := x.Dir + "/state/keys/authorized"
	before, err := os.ReadFile(file)
	if err := errors.Join(err, os.Link(file, x.Dir+"/second")); err != nil {
		t.Fatal(err)
	}
	want := []string{file + " is the same file as one elsewhere (a hard link)", "cp -p " + file + " " + file +
		".own && mv " + file + ".own " + file}
	for _, args := range [][]string{{"--remove", "ci"}, {"--new", "cj", "--role", "viewer", "--endpoint",
		"tcp://hub:1"}, {"--list"}} {
		if r := x.Cdktr(append([]string{"authorize"}, args...)...); r.Code == 0 || !strings.Contains(r.Err, want[0]) ||
			!strings.Contains(r.Err, want[1]) {
			t.Errorf("authorize %q: exit code %d, %s%s", args, r.Code, r.Out, r.Err)
		}
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(before) {
		t.Errorf("now it has %q, %v", now, err)
	}
	if grants, _, err := authReadFile(filepath.Dir(file)); err == nil || len(grants) > 0 {
		t.Errorf("%d keys are let in, %v", len(grants), err)
	}
	if out, err := exec.Command("sh", "-c", want[1]).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out := x.OK("authorize", "--list"); !strings.Contains(out, "ci ") {
		t.Errorf("mended: %s", out)
	}
}
