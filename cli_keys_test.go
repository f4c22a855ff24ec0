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
)

// TestKeysFound: without --state, the verbs about a principal's own files work on the state of the one that answers.
// With none there they make nothing, and say what to name.
func TestKeysFound(t *testing.T) {
	x := e2eNew(t)
	p := x.principal("--bind", "tcp://127.0.0.1:0")
	endpoint := p.saw(&p.err, `(tcp://127\.0\.0\.1:[1-9]\d*)"? state=`)[1]
	// the default of who gives the commands, where there may be a state too
	mine := filepath.Join(x.dir, ".local/state/cdktr")
	x.env = append(x.env, "CDKTR_STATE=")
	cred := x.dir + "/op.cred"
	x.ok("authorize", "--new", "op", "--role", "operator", "--endpoint", endpoint, "-o", cred)
	x.ok("ping", "--credential", cred)
	// where this user's other commands go
	x.env = append(x.env, "CDKTR_PRINCIPAL=tcp://elsewhere:1", "CDKTR_CREDENTIAL="+cred)
	if out := x.ok("authorize", "--list"); !strings.Contains(out, "op ") {
		t.Errorf("list: %s", out)
	}
	read, err := credentialRead(t.Context(), nil, cred)
	if err != nil {
		t.Fatal(err)
	}
	if out := x.ok("keygen", "--show-server"); strings.TrimSpace(out) != read.Server.String() {
		t.Errorf("server key %s, not %s", out, read.Server)
	}
	x.refused(exitRefused, []string{"holds it", x.dir + "/state"}, "check")
	x.refused(exitUsage, []string{"on its own box", "ssh://hub"}, "authorize", "--list", "-H", "hub")
	x.ok("backup", x.dir+"/b.tar.gz")
	other := x.dir + "/other"
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := x.code(0, "authorize", "--new", "op", "--role", "operator", "--endpoint", endpoint, "--state",
		other); !strings.Contains(r.err, "keeps its state in "+x.dir+"/state") {
		t.Errorf("a new key in another folder beside a running service: %s", r.err)
	}
	p.stop()
	for _, made := range []bool{false, true} { // no folder of the caller's, or one without keys
		if made {
			if err := os.MkdirAll(mine, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"authorize", "--new", "x", "--role", "viewer", "--endpoint", endpoint},
			{"authorize", "x", authTestKey, "--role", "viewer"},
			{"authorize", "--remove", "op"}, {"authorize", "--list"}, {"keygen", "--show-server"}} {
			x.refused(exitRefused, []string{"no principal answers at ipc://" + x.dir + "/s", mine, "--state DIR"},
				args...)
		}
		x.refused(exitUsage, []string{"no principal answers", "--state DIR"}, "check")
		x.refused(exitUsage, []string{"no principal answers", "--state DIR"}, "check", "--repair")
		x.refused(exitUnreachable, []string{"no principal answers", "--state DIR"}, "backup", x.dir+"/none.tar.gz")
	}
	if left, err := os.ReadDir(mine); err != nil || len(left) > 0 {
		t.Errorf("in the caller's own folder: %v, %v", left, err)
	}
	x.ok("authorize", "--list", "--state", x.dir+"/state")
	x.ok("check", "--state", x.dir+"/state")
}

// TestKeysFoundForeign: a principal that names a folder of somebody else's is not believed.
func TestKeysFoundForeign(t *testing.T) {
	r := ownerNew(t)
	r.bin = e2ePlain(t, r.dir)
	r.uid = ownerUID
	r.principal("--state", r.state)
	r.must(os.Chown(r.state, 0, 0))
	r.refused(exitRefused, []string{"runs as uid 12345", "belongs to root (uid 0)"}, "authorize", "--new", "x",
		"--role", "viewer", "--endpoint", "tcp://hub:1")
}

// TestAuthKeyGone: where a key was, no other is made.
func TestAuthKeyGone(t *testing.T) {
	x := e2eNew(t)
	p := x.principal("--bind", "tcp://127.0.0.1:0")
	x.ok("authorize", "--new", "op", "--role", "operator", "--endpoint", "tcp://hub:1", "-o", x.dir+"/op.cred")
	p.stop()
	keys := x.dir + "/state/keys/"
	pub, err := os.ReadFile(keys + "server.pub")
	if err = errors.Join(err, os.Rename(keys+"server.key", x.dir+"/kept")); err != nil {
		t.Fatal(err)
	}
	says := []string{"server.key is gone", "put the old file back", "server.pub"}
	x.refused(exitFailed, says, "start", "principal", "--bind", "tcp://127.0.0.1:0")
	x.refused(exitFailed, says, "authorize", "--new", "other", "--role", "viewer", "--endpoint", "tcp://hub:1", "-o",
		x.dir+"/other.cred")
	if _, err := os.Lstat(x.dir + "/other.cred"); err == nil {
		t.Error("a credential was written")
	}
	if r := x.cdktr("check"); r.code != exitUsage || !strings.Contains(r.out, "server.key: it is gone") {
		t.Errorf("check: exit code %d, %s%s", r.code, r.out, r.err)
	}
	if found, _ := x.doctorSays(); found["keys"].State != doctorWarn ||
		!strings.Contains(found["keys"].Text, "it is gone") {
		t.Errorf("doctor: %+v", found["keys"])
	}
	if err := errors.Join(os.Rename(x.dir+"/kept", keys+"server.key"), os.Remove(keys+"server.pub")); err != nil {
		t.Fatal(err)
	}
	x.principal("--bind", "tcp://127.0.0.1:0").stop() // only the public half is gone: it is known from the other
	if now, err := os.ReadFile(keys + "server.pub"); err != nil || string(now) != string(pub) {
		t.Errorf("server.pub: %q, %v; it was %q", now, err, pub)
	}
}

// TestAuthDoubts: what lets others at the keys, or locks everybody out, is said by start, check and doctor.
func TestAuthDoubts(t *testing.T) {
	x := e2eNew(t)
	x.principal("--bind", "tcp://127.0.0.1:0").stop()
	x.ok("authorize", "ci", authTestKey, "--role", "viewer")
	state := x.dir + "/state"
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
			func() error { return os.Link(state+"/keys/authorized", x.dir+"/second") },
			func() error { return os.Remove(x.dir + "/second") }},
		{"another's server.pub", "not the public half of server.key", write(authTestKey + "\n"), write(string(pub))},
		{"an empty server.pub", "not the public half of server.key", write(""), write(string(pub))},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		if r := x.cdktr("check"); r.code != exitUsage || !strings.Contains(r.out, c.want) {
			t.Errorf("%s: check: exit code %d, %s%s", c.name, r.code, r.out, r.err)
		}
		if found, _ := x.doctorSays(); found["keys"].State != doctorWarn ||
			!strings.Contains(found["keys"].Text, c.want) {
			t.Errorf("%s: doctor: %+v", c.name, found["keys"])
		}
		p := x.spawn("start", "principal")
		p.saw(&p.err, "level=WARN.*"+regexp.QuoteMeta(c.want))
		p.saw(&p.err, "msg=ready")
		p.stop()
		if err := c.mend(); err != nil {
			t.Fatal(err)
		}
	}
	if r := x.cdktr("check"); r.code != 0 {
		t.Errorf("mended: %s%s", r.out, r.err)
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

// TestAuthHardLink: an authorized file that has a second name lets nobody in, and no verb changes it, until it is made
// a file of its own as the error says.
func TestAuthHardLink(t *testing.T) {
	x := e2eNew(t)
	x.principal("--bind", "tcp://127.0.0.1:0").stop()
	x.ok("authorize", "ci", authTestKey, "--role", "viewer")
	file := x.dir + "/state/keys/authorized"
	before, err := os.ReadFile(file)
	if err := errors.Join(err, os.Link(file, x.dir+"/second")); err != nil {
		t.Fatal(err)
	}
	want := []string{file + " is the same file as one elsewhere (a hard link)", "cp -p " + file + " " + file +
		".own && mv " + file + ".own " + file}
	for _, args := range [][]string{{"--remove", "ci"}, {"--new", "cj", "--role", "viewer", "--endpoint",
		"tcp://hub:1"}, {"--list"}} {
		if r := x.cdktr(append([]string{"authorize"}, args...)...); r.code == 0 || !strings.Contains(r.err, want[0]) ||
			!strings.Contains(r.err, want[1]) {
			t.Errorf("authorize %q: exit code %d, %s%s", args, r.code, r.out, r.err)
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
	if out := x.ok("authorize", "--list"); !strings.Contains(out, "ci ") {
		t.Errorf("mended: %s", out)
	}
}
