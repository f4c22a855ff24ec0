// What the start of the program costs, by counts.

package e2e

import (
	"os/exec"
	"regexp"
	"strconv"
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
	const most = 40 // three for each sync.OnceValue
	if allocs, _ := strconv.Atoi(string(main[2])); allocs > most {
		t.Errorf("the start of package main makes %s things of %s bytes, more than %d", main[2], main[1], most)
	}
}
