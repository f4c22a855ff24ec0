package main

import (
	"os"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestProcUser: a process gets the user and exactly the groups that are named, and its program and folder are looked at
// as that user sees them.
func TestProcUser(t *testing.T) {
	if os.Geteuid() != 0 {
		harness.Lacks(t, "only root can start a process of another user")
	}
	ps := procTestNew(t)
	user := &procUser{Name: "someone", UID: 70_001, GID: 70_002, Groups: []uint32{70_002, 70_004, 1}}
	var out strings.Builder
	spec := procSpec{Argv: []string{"/bin/sh", "-c",
		"id -u; id -g; id -G; umask; echo x >/dev/stderr; head -c1 /dev/stdin"},
		User: user, Umask: "027", Stdin: "yes", Output: func(l procLines) { out.Write(l.Text) }}
	p, err := ps.start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	<-p.done()
	if got := strings.Join(strings.Fields(out.String()), " "); p.result().Reason != "" ||
		got != "70001 70002 70002 1 70004 0027 x y" && got != "70001 70002 70002 70004 1 0027 x y" {
		t.Errorf("it says %q, and ends with %q", got, p.result().Reason)
	}
	dir := t.TempDir() // root's, 0700 above it
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec procSpec
		want string
	}{
		{procSpec{Argv: []string{"/bin/true"}, Dir: dir,
			User: user}, "user someone may not execute it, or may not enter " +
			dir},
		{procSpec{Argv: []string{dir}, User: user}, "user someone may not execute it"},
	} {
		if _, err := ps.start(t.Context(), c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.spec.Argv, err, c.want)
		}
	}
}
