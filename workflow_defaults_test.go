package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWorkflowDefaults: the nearest defaults win key by key, env and agent are joined, and each fault is said where it
// is.
func TestWorkflowDefaults(t *testing.T) {
	file := "timeout:\nenv: {A: own}\ntasks:\n  a: {run: x}\n"
	near := workflowDefaults{file: "etl/defaults.yml", data: []byte("timeout: 1m\nenv: {A: near, B: near}\nx-y: 1\n")}
	far := workflowDefaults{file: "defaults.yml", data: []byte("timeout: 2m\nretries: 2\nenv: {B: far, C: far}\n" +
		"agent: {site: x}\non_failure: mail\nname:\n")}
	w, faults, from := workflowParseAt("etl/w.yml", "etl.w", []byte(file), []workflowDefaults{near, far},
		workflowClock{})
	if w == nil || len(faults) > 0 {
		t.Fatal(faults)
	}
	got := fmt.Sprint(w.Timeout, w.Retries, w.Env, w.Agent, len(w.OnFailure))
	if got != "1m 2 map[A:own B:near C:far] map[site:x] 1" {
		t.Error(got)
	}
	if got := fmt.Sprint(from); got != "map[agent:defaults.yml env.B:etl/defaults.yml env.C:defaults.yml "+
		"on_failure:defaults.yml retries:defaults.yml timeout:etl/defaults.yml x-y:etl/defaults.yml]" {
		t.Error(got)
	}
	for _, c := range []struct{ defaults, want string }{
		{"", ""},
		{"schedule: '@daily'\nname: x\n",
			"defaults.yml:1:1: key \"schedule\" does not belong in defaults.yml: each " +
				"workflow says it by itself\ndefaults.yml:2:1: key \"name\" does not belong in defaults.yml: each " +
				"workflow " +
				"says it by itself"},
		{"retires: 1\n", "defaults.yml:1:1: key \"retires\" is not known (did you mean \"retries\"?)"},
		{"timeout: soon\n", "defaults.yml:1:10: timeout: \"soon\" is not a duration: write it as 90s, 30m, 2h30m, 1d " +
			"or 2w"},
		{"- a\n", "defaults.yml:1:1: want a map of keys such as env and on_failure, not a list"},
		{"\ta: b\n", "defaults.yml:1:1: a tab cannot indent: use spaces"},
	} {
		w, faults, _ := workflowParseAt("w.yml", "w", []byte("tasks:\n  a: {run: x}\n"),
			[]workflowDefaults{{file: "defaults.yml", data: []byte(c.defaults)}}, workflowClock{})
		var said []string
		for _, fault := range faults {
			said = append(said, fault.String())
		}
		if got := strings.Join(said, "\n"); got != c.want || (w == nil) != (c.want != "") {
			t.Errorf("%q:\n%s", c.defaults, got)
		}
	}
}

// TestWorkflowDefaultsReach: what a file merges by "<<" wins over defaults, and a default that says something of
// schedules is none of a workflow without one.
func TestWorkflowDefaultsReach(t *testing.T) {
	defaults := []workflowDefaults{{file: "defaults.yml", data: []byte("timeout: 2m\nretries: 3\nexcept: sat-sun\n" +
		"expect: {by: \"04:00\"}\n")}}
	w, faults, from := workflowParseAt("w.yml", "w", []byte("x-base: &base {timeout: 1h}\n<<: *base\ntasks:\n"+
		"  a: {run: x}\n"), defaults, workflowClock{})
	if w == nil || len(faults) > 0 || w.Timeout != Duration(time.Hour) || w.Retries != 3 || from["timeout"] != "" {
		t.Error(w, faults, from)
	}
}

// TestFolderDefaults: a change of a defaults.yml changes what it reaches, a fault of it is one of each of these, with
// the last good version in force, and it is no workflow.
func TestFolderDefaults(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := newWorkflowFolder(dir)
	scan := func() string {
		t.Helper()
		changed, removed, err := f.scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, w := range changed {
			text += fmt.Sprintf("%s %s %v %d; ", w.ID, w.Spec.Timeout, w.Defaults, len(w.Faults))
		}
		return text + strings.Join(removed, " ")
	}
	write("w.yml", "tasks: {a: {run: x}}\n")
	write("etl/w.yml", "tasks: {a: {run: x}}\n")
	write("defaults.yml", "timeout: 1m\n")
	for _, step := range []struct{ file, text, want string }{
		{"", "", "etl.w 1m map[timeout:defaults.yml] 0; w 1m map[timeout:defaults.yml] 0; "},
		{"", "", ""},
		{"etl/defaults.yml", "timeout: 2m\n", "etl.w 2m map[timeout:etl/defaults.yml] 0; "},
		{"defaults.yml", "timeout: 10m\n",
			"etl.w 2m map[timeout:etl/defaults.yml] 0; w 10m map[timeout:defaults.yml] 0; "},
		{"etl/defaults.yml", "timeout: soon\n", "etl.w 2m map[timeout:etl/defaults.yml] 1; "},
		{"etl/defaults.yml", "-", "etl.w 10m map[timeout:defaults.yml] 0; "},
		{"defaults.yml", "-", "etl.w 0s map[] 0; w 0s map[] 0; "},
		{"etl/defaults.yml", "|", "etl.w 0s map[] 1; "},
		{"etl/defaults.yml", "-", "etl.w 0s map[] 0; "},
		{"defaults.yml", "/", "etl.w 0s map[] 1; w 0s map[] 1; "},
	} {
		switch step.text {
		case "":
		case "|":
			if err := syscall.Mkfifo(filepath.Join(dir, step.file), 0o600); err != nil {
				t.Fatal(err)
			}
		case "/":
			if err := os.Mkdir(filepath.Join(dir, step.file), 0o755); err != nil {
				t.Fatal(err)
			}
		case "-":
			os.Remove(filepath.Join(dir, step.file))
		default:
			write(step.file, step.text)
		}
		if got := scan(); got != step.want {
			t.Errorf("%s %q: %q, want %q", step.file, step.text, got, step.want)
		}
	}
}
