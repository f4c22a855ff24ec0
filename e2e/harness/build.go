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

// Build builds the program and gives its path. The flags are those of a release. When the tests run with the race
// detector, so does the program; and it records its coverage where GOCOVERDIR names a folder for that.
func Build(root string) (string, error) {
	var flags []string
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		flags = append(flags, "-race")
	}
	if os.Getenv("GOCOVERDIR") != "" {
		flags = append(flags, "-cover")
	}
	if flags == nil {
		return plain()
	}
	bin := filepath.Join(root, "cdktr")
	return bin, build(bin, nil, flags...)
}

// Plain puts the program as it is released into a folder: for measurements that the race detector or the test binary
// would distort. It is built once for all tests.
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
	if err := Release(bin); err != nil {
		return "", err
	}
	return bin, os.Chmod(bin, 0o755) // others run it, whatever the umask
})

// Release builds the program as it is released (.ci/targets).
func Release(bin string) error {
	return build(bin, []string{"CGO_ENABLED=0", "GOFLAGS="}, "-gcflags=-l", "-ldflags=-s -w -funcalign=16")
}

// build builds the program of this module.
func build(bin string, env []string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", bin}, flags...), "cdktr")...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
