// Tests of what root does in a state folder that belongs to a service's user, whose tasks can put anything there: the
// real program, as root and as that user.

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

const ownerUID, ownerOther = 12345, 12346 // two users that no box has

// ownerRig is an installation of a service that runs as ownerUID, and a secret of root's.
type ownerRig struct {
	*e2e
	state, secret string
}

// ownerNew makes one; it needs root.
func ownerNew(t *testing.T) *ownerRig {
	t.Helper()
	if os.Geteuid() != 0 {
		harness.Lacks(t, "only root can act as another user")
	}
	x := e2eNew(t)
	r := &ownerRig{x, x.Dir + "/state", x.Dir + "/secret"}
	r.must(os.Chmod(x.Dir, 0o755), os.Mkdir(r.state, 0o700), os.Chown(r.state, ownerUID, ownerUID),
		os.WriteFile(r.secret, []byte(ownerSecret), 0o600))
	x.Env = append(x.Env, "CDKTR_STATE=", "CDKTR_SOCKET="+r.state+"/s")
	return r
}

const ownerSecret = "a secret of root\n"

func (r *ownerRig) must(errs ...error) {
	r.T.Helper()
	for _, err := range errs {
		if err != nil {
			r.T.Fatal(err)
		}
	}
}

// keys makes the keys folder as the service has it.
func (r *ownerRig) keys() string {
	r.T.Helper()
	r.OK("authorize", "--new", "first", "--role", "agent", "--endpoint", "tcp://hub:1", "--state", r.state)
	return r.state + "/keys"
}

// sound wants all of the state folder to be its owner's, without the secret, and the secret to be root's as it was.
func (r *ownerRig) sound() {
	r.T.Helper()
	r.must(filepath.WalkDir(r.state, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if uid, _ := ownerIDs(info); uid != ownerUID && info.Mode()&fs.ModeSymlink == 0 {
			r.T.Errorf("%s belongs to uid %d", name, uid)
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		if text, err := os.ReadFile(name); err != nil || bytes.Contains(text, []byte(ownerSecret)) {
			r.T.Errorf("%s has the secret of root, or: %v", name, err)
		}
		return nil
	}))
	info, err := os.Lstat(r.secret)
	r.must(err)
	text, err := os.ReadFile(r.secret)
	if uid, _ := ownerIDs(info); uid != 0 || err != nil || string(text) != ownerSecret || info.Mode() != 0o600 {
		r.T.Errorf("the secret belongs to uid %d, has mode %s and the text %q, %v", uid, info.Mode(), text, err)
	}
}

// TestOwnerAuthorize: what root's commands make in a service's state is the service's, and what they are told to write
// elsewhere is root's.
func TestOwnerAuthorize(t *testing.T) {
	r := ownerNew(t)
	r.OK("authorize", "--new", "edge", "--role", "agent", "--endpoint", "tcp://hub:1", "--state", r.state, "-o",
		r.Dir+"/edge.cred")
	r.OK("authorize", "ci", authTestKey, "--role", "viewer", "--state", r.state)
	r.OK("authorize", "--remove", "ci", "--state", r.state)
	if out := r.OK("authorize", "--list", "--state", r.state); !strings.Contains(out, "edge ") ||
		strings.Contains(out, "ci ") {
		t.Errorf("list: %s", out)
	}
	cred, err := credentialRead(t.Context(), nil, r.Dir+"/edge.cred")
	r.must(err)
	if out := r.OK("keygen", "--show-server", "--state", r.state); strings.TrimSpace(out) != cred.Server.String() {
		t.Errorf("server key %s, not %s", out, cred.Server)
	}
	info, err := os.Stat(r.Dir + "/edge.cred")
	r.must(err)
	if uid, _ := ownerIDs(info); uid != 0 {
		t.Errorf("the credential of root belongs to uid %d", uid)
	}
	r.sound()
}

// TestOwnerLinks: whatever the service's user puts in the place of a file, root's commands end with an error, soon, and
// neither read nor write anything else.
func TestOwnerLinks(t *testing.T) {
	r := ownerNew(t)
	r.keys()
	elsewhere := r.Dir + "/elsewhere"
	r.must(os.Mkdir(elsewhere, 0o700))
	verbs := [][]string{
		{"authorize", "ci", authTestKey, "--role", "viewer", "--state", r.state},
		{"authorize", "--new", "cj", "--role", "viewer", "--endpoint", "tcp://hub:1", "--state", r.state},
		{"authorize", "--remove", "first", "--state", r.state},
		{"authorize", "--list", "--state", r.state},
	}
	server := [][]string{verbs[1], {"keygen", "--show-server", "--state", r.state}}
	for _, c := range []struct {
		name, file string
		plant      func(at string) error
		verbs      [][]string
	}{
		{"link to a secret", "keys/authorized", func(at string) error { return os.Symlink(r.secret, at) }, verbs},
		{"link within the folder", "keys/authorized", func(at string) error { return os.Symlink("server.pub", at) },
			verbs},
		{"second name of a secret", "keys/authorized", func(at string) error { return os.Link(r.secret, at) }, verbs},
		{"pipe", "keys/authorized", func(at string) error { return syscall.Mkfifo(at, 0o600) }, verbs},
		{"folder", "keys/authorized", func(at string) error { return os.Mkdir(at, 0o700) }, verbs},
		{"file of another user", "keys/authorized", func(at string) error {
			return errors.Join(os.WriteFile(at, nil, 0o600), os.Chown(at, ownerOther, ownerOther), os.Chmod(at, 0o644))
		}, verbs},
		{"key that is a link", "keys/server.key", func(at string) error { return os.Symlink(r.secret, at) }, server},
		{"key that is a pipe", "keys/server.key", func(at string) error { return syscall.Mkfifo(at, 0o600) }, server},
		{"folder of root's", "keys", func(at string) error { return os.Symlink(elsewhere, at) }, verbs},
		{"folder of another user", "keys", func(at string) error {
			return errors.Join(os.Mkdir(at, 0o755),
				os.Chown(at, ownerOther, ownerOther))
		}, verbs},
		{"folder within the state", "keys", func(at string) error { return os.Symlink("keys.old", at) }, verbs},
	} {
		at := filepath.Join(r.state, c.file)
		r.must(os.Rename(at, at+".old"), c.plant(at))
		if c.name == "pipe" || c.name == "folder" || c.name == "key that is a pipe" {
			r.must(os.Chown(at, ownerUID, ownerUID))
		}
		for _, args := range c.verbs {
			got := r.Cdktr(args...)
			if got.Code == 0 || strings.Contains(got.Out+got.Err, "a secret of") {
				t.Errorf("%s: cdktr %q: exit code %d, %s%s", c.name, args, got.Code, got.Out, got.Err)
			}
		}
		r.must(os.RemoveAll(at), os.Rename(at+".old", at))
		r.sound()
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("in root's folder: %v, %v", left, err)
	}
}

// TestOwnerRace exchanges what root's commands are about to use, again and again: the file beside that is to get the
// name, the authorized file, the folder. Nothing of root's changes its owner or is read.
func TestOwnerRace(t *testing.T) {
	r := ownerNew(t)
	keys := r.keys()
	elsewhere := r.Dir + "/elsewhere"
	r.must(os.Mkdir(elsewhere, 0o700), os.WriteFile(elsewhere+"/authorized", []byte(ownerSecret), 0o600))
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() { // until stop; errors are lost races
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			beside, _ := filepath.Glob(keys + "/.authorized.*")
			for _, name := range beside {
				os.Remove(name)
				os.Symlink(r.secret, name)
			}
			if i%20 == 0 {
				os.Rename(keys, keys+".aside")
				os.Symlink(elsewhere, keys)
				os.Remove(keys)
				os.Rename(keys+".aside", keys)
			}
			if i%20 == 10 {
				os.Rename(keys+"/authorized", keys+"/aside")
				os.Symlink(r.secret, keys+"/authorized")
				os.Remove(keys + "/authorized")
				os.Rename(keys+"/aside", keys+"/authorized")
			}
		}
	})
	for i := range 12 {
		args := []string{"authorize", "ci", authTestKey, "--role", "viewer", "--state", r.state}
		if i%2 == 1 {
			args = []string{"authorize", "--remove", "ci", "--state", r.state}
		}
		if got := r.Cdktr(args...); strings.Contains(got.Out+got.Err, "a secret of") {
			t.Errorf("cdktr %q: %s%s", args, got.Out, got.Err)
		}
	}
	close(stop)
	swapper.Wait()
	r.sound()
	if text, err := os.ReadFile(elsewhere + "/authorized"); err != nil || string(text) != ownerSecret {
		t.Errorf("root's other file: %q, %v", text, err)
	}
}

// TestOwnerPath: root works in no folder that a third user can exchange for another one.
func TestOwnerPath(t *testing.T) {
	r := ownerNew(t)
	r.keys()
	r.must(os.Mkdir(r.Dir+"/open", 0o777), os.Chmod(r.Dir+"/open", 0o777), os.Mkdir(r.Dir+"/third", 0o755),
		os.Chown(r.Dir+"/third", ownerOther, ownerOther))
	for name, want := range map[string]string{"open": "chmod o-w", "third": "belongs to uid 12346"} {
		at := filepath.Join(r.Dir, name, "state")
		r.must(os.Rename(r.state, at))
		r.Refused(exitRefused, []string{want, filepath.Dir(at)}, "authorize", "ci", authTestKey, "--role", "viewer",
			"--state", at)
		r.Refused(exitRefused, []string{want, filepath.Dir(at)}, "check", "--repair", "--state", at)
		r.must(os.Rename(at, r.state))
	}
	r.must(os.Symlink(r.state, r.Dir+"/link"), os.Lchown(r.Dir+"/link", ownerOther, ownerOther))
	r.Refused(exitRefused, []string{"belongs to uid 12346"}, "authorize", "ci", authTestKey, "--role", "viewer",
		"--state", r.Dir+"/link")
	r.must(os.Lchown(r.Dir+"/link", 0, 0))
	// root's own link is as good as a folder
	r.OK("authorize", "ci", authTestKey, "--role", "viewer", "--state", r.Dir+"/link")
	r.sound()
}

// TestOwnerInit: an example in a folder of another user's is that user's, and lies in it.
func TestOwnerInit(t *testing.T) {
	r := ownerNew(t)
	elsewhere := r.Dir + "/elsewhere"
	r.must(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, r.state+"/workflows"))
	if got := r.Cdktr("init", r.state); got.Code == 0 {
		t.Errorf("through a link to root's folder: %s", got.Out)
	}
	r.must(os.Remove(r.state + "/workflows"))
	r.OK("init", r.state)
	r.OK("init", r.state+"/new/one")
	r.sound()
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("in root's folder: %v, %v", left, err)
	}
}

// TestOwnerService: a service's journal that root repairs, and a backup that root takes and unpacks, are the service's,
// which starts on them; root does not start on them itself.
func TestOwnerService(t *testing.T) {
	r := ownerNew(t)
	r.Bin = harness.Plain(t, r.Dir) // the other user can reach it
	r.File("w.yml", "tasks: {a: {run: echo hi}}\n")
	r.UID = ownerUID
	p := r.Principal("--with-agent", "--state", r.state)
	run := r.run("w")
	r.must(os.Symlink(r.secret, r.state+"/logs/w/2020-01-01.jsonl"), os.Symlink(r.secret,
		r.state+"/history/w/2020-01.jsonl"))
	r.OK("backup", r.Dir+"/b.tar.gz") // the principal that answers says where
	p.Stop()
	r.Refused(exitRefused, []string{"belongs to uid 12345", "this is root", "sudo -u '#12345'"}, "start", "agent",
		"--state", r.state)
	r.Refused(exitRefused, []string{"belongs to uid 12345", "this is root"}, "start", "principal", "--state", r.state)
	r.Refused(exitRefused, []string{"belongs to uid 12345", "this is root"}, "run", r.Dir+"/workflows/w.yml", "--state",
		r.state)
	r.must(os.Remove(r.state+"/logs/w/2020-01-01.jsonl"), os.Remove(r.state+"/history/w/2020-01.jsonl"),
		os.RemoveAll(r.state+"/snapshot.json"))
	segments, err := filepath.Glob(r.state + "/journal/*.jsonl")
	r.must(err)
	text, err := os.ReadFile(segments[0])
	r.must(err)
	next := r.state + "/journal/" + filepath.Base(storeSegmentName(1000))
	// it does not go on where the first ends
	r.must(os.WriteFile(next, text[:len(text)/2], 0o600), os.Chown(next, ownerUID, ownerUID))
	r.OK("check", "--repair", "--state", r.state)
	r.sound()
	for _, dir := range []string{r.state, r.Dir + "/restored"} {
		if dir != r.state {
			r.must(os.Mkdir(dir, 0o700), os.Chown(dir, ownerUID, ownerUID))
			if out, err := exec.Command("tar", "-xzf", r.Dir+"/b.tar.gz", "-C", dir).CombinedOutput(); err != nil {
				t.Fatalf("tar: %v\n%s", err, out)
			}
			r.state = dir
			r.sound()
		}
		again := r.Principal("--with-agent", "--state", dir)
		if out := r.OK("logs", run.ID); out != "hi\n" {
			t.Errorf("output of the run before: %q", out)
		}
		again.Stop()
		if got := r.Cdktr("check", "--state", dir); got.Code != 0 {
			t.Errorf("check: %s%s", got.Out, got.Err)
		}
	}
	r.must(os.Chown(r.state+"/snapshot.json", 0, 0))
	if got := r.Cdktr("check", "--state", r.state); got.Code != exitUsage ||
		!strings.Contains(got.Out, "snapshot.json: it belongs to root (uid 0)") {
		t.Errorf("a file of root's: exit code %d, %s%s", got.Code, got.Out, got.Err)
	}
}
