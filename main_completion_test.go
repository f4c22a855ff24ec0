package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// completionCLI is an invocation with no principal behind it.
func completionCLI(t *testing.T) *cli {
	t.Helper()
	cfg, err := configLoad(t.Context(), map[string]string{"principal": "ipc://" +
		filepath.Join(t.TempDir(), "none.sock")}, "", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return &cli{cfg: cfg, flags: newCLIFlags("completion")}
}

func TestCompletionWords(t *testing.T) {
	c := completionCLI(t)
	for _, test := range []struct {
		words string // a comma between them
		has   []string
		not   []string
	}{
		{"", []string{"run", "ls", "start", "completion"}, []string{"start principal"}},
		{"re", []string{"retry", "resume"}, []string{"run"}},
		{"start,", []string{"agent", "principal"}, []string{"run"}},
		{"start,pr", []string{"principal"}, []string{"agent"}},
		{"ps,--w", []string{"--watch", "--workflow"}, []string{"--all"}},
		{"run,x,-", []string{"-p", "--follow", "--json"}, nil},
		{"nonsense,", nil, []string{"run"}},
		{"run,", nil, []string{"run"}},
	} {
		got := c.completions(t.Context(), strings.Split(test.words, ","))
		for _, word := range test.has {
			if !slices.Contains(got, word) {
				t.Errorf("%q: %q has no %q", test.words, got, word)
			}
		}
		for _, word := range test.not {
			if slices.Contains(got, word) {
				t.Errorf("%q: %q has %q", test.words, got, word)
			}
		}
	}
}

// TestCompletionShells has each shell read its script and complete a verb with it; cdktr is a stand-in that shows what
// it was asked, so that the words arrive as they were typed.
func TestCompletionShells(t *testing.T) {
	dir := t.TempDir()
	fake := "#!/bin/sh\n[ \"$1 $2 $3\" = 'completion words --' ] || exit 1\nshift 3\n[ $# = 2 ] && [ \"$1\" = run ] " +
		"&& printf 'etl.daily\\netl.hourly\\nother\\n'\n"
	if err := os.WriteFile(filepath.Join(dir, "cdktr"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	for shell, script := range map[string]string{
		"bash": completionScript("bash") +
			"\nCOMP_WORDS=(cdktr run etl.); COMP_CWORD=2; _cdktr; printf '%s\\n' \"${COMPREPLY[@]}\"",
		"fish": completionScript("fish") + "\ncomplete -C 'cdktr run etl.'",
		"zsh": "compdef() { :; }; _files() { :; }; compadd() { print -l -- \"${(@P)2}\" }\n" +
			completionScript("zsh") +
			"\nwords=(cdktr run etl.); CURRENT=3; _cdktr",
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				harness.Lacks(t, "apt install %s: %v", shell, err)
			}
			cmd := exec.Command(shell, "-c", script)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			got := strings.Fields(string(out))
			if !slices.Contains(got, "etl.daily") || !slices.Contains(got, "etl.hourly") {
				t.Errorf("completed to %q\n%s", got, stderr.String())
			}
		})
	}
}
