package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
)

// Build makes the program, and gives its path. It is the one that is given out, unless the tests run with the race
// detector or count what they cover: then the program does so too.
func Build(root string) (string, error) {
	var flags []string
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		flags = append(flags, "-race")
	}
	if testing.CoverMode() != "" {
		flags = append(flags, "-cover")
	}
	if flags == nil {
		return plain()
	}
	bin := filepath.Join(root, "cdktr")
	return bin, build(bin, nil, flags...)
}

// Plain gives the program as it is given out, in a folder, for what the race detector and the test binary would blur.
// It is built once for all tests.
func Plain(t *testing.T, dir string) string {
	t.Helper()
	built, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	bin := dir + "/cdktr"
	if err := os.Link(built, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

var plain = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp(os.Getenv(rootEnv), "plain")
	if err != nil {
		return "", err
	}
	bin := dir + "/cdktr"
	if err := build(bin, []string{"CGO_ENABLED=0", "GOFLAGS="}, "-ldflags=-s -w"); err != nil {
		return "", err
	}
	return bin, os.Chmod(bin, 0o755) // others run it, whatever the umask
})

// build makes the program from the folder above that of the tests, or from theirs.
func build(bin string, env []string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", bin}, flags...), "cdktr")...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
