// What the start of the program costs, by counts.

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestStartMakesNothing: before main, the program's own package makes next to nothing. Each verb pays for a package
// variable that is made at the start, such as a map or a regular expression: a table is a slice or an array, and what
// must be made is made when it is first used (sync.OnceValue).
func TestStartMakesNothing(t *testing.T) {
	cmd := exec.Command(harness.Bin(), "version")
	cmd.Env = append(harness.BareEnv(t.TempDir()), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	main := regexp.MustCompile(`(?m)^init main @.* (\d+) bytes, (\d+) allocs$`).FindSubmatch(out)
	if main == nil {
		t.Fatalf("the runtime says nothing of main: %s", out)
	}
	most := 40 + startErrors(t) // three for each sync.OnceValue
	if allocs, _ := strconv.Atoi(string(main[2])); allocs > most {
		t.Errorf("the start of package main makes %s things of %s bytes, more than %d", main[2], main[1], most)
	}
}

// startErrors counts the package variables that errors.New makes. The compiler makes these only where it may inline,
// which it may not in a release (.ci/targets). Each is one thing of 16 bytes.
func startErrors(t *testing.T) (n int) {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of the program: %v", len(files), err)
	}
	made := regexp.MustCompile(`(?m)^(?:var |\t)err\w+ += errors\.New\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			n += len(made.FindAll(text, -1))
		}
	}
	return n
}

// TestRunFileWritesLittle: what cdktr run FILE makes on the disk before its task begins, each of which costs it as much
// as a message: the folder of output.
func TestRunFileWritesLittle(t *testing.T) {
	x := newSite(t)
	x.File("look.yml", "tasks:\n  a: {run: 'cd \"$TMPDIR\" && find . -mindepth 1 && ls -A'}\n")
	temp := x.Dir + "/temp"
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Bin(), "run", x.Dir+"/workflows/look.yml")
	cmd.Env = append(harness.BareEnv(x.Dir), "TMPDIR="+temp)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := strings.Fields(string(out))
	slices.Sort(found)
	want := regexp.MustCompile(`^\./(cdktr-\d+) \./(cdktr-\d+)/logs (cdktr-\d+)$`)
	if !want.MatchString(strings.Join(found, " ")) {
		t.Errorf("there is %q", found)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
