// workflow_test.go: what good files become, which files of CDKTR's must load, ids, references, and that no input breaks
// the reader. The messages for bad files are in workflow_faults_test.go.

package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// workflowTestLoad reads a file that must load and gives it and the warnings.
func workflowTestLoad(t *testing.T, file, text string) (*Workflow, string) {
	t.Helper()
	spec, faults := workflowParse(file, "w", []byte(text))
	var lines []string
	for _, fault := range faults {
		lines = append(lines, fault.String())
	}
	if spec == nil {
		t.Fatalf("does not load:\n%s\n%s", text, strings.Join(lines, "\n"))
	}
	return spec, strings.Join(lines, "\n")
}

// workflowTestSame fails unless got and want are the same down to the last field, shown as JSON.
func workflowTestSame(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

const workflowTestWhole = `
name: Nightly backup
description: Dump, compress, ship
schedule: ["30 2 * * *", "@daily"]
timezone: Europe/London
start_time: 2026-01-01 00:00:00Z
end_time: 2027-01-01t00:00:00.5+01:00
catchup: once
catchup_window: 24h
overlap: queue
jitter: 30s
priority: -10
timeout: 2h
retries: 1
failover: rerun
agent: {site: london, disk: ssd, cores: 4}
params:
  day: {default: "", pattern: "\\d{4}-\\d{2}-\\d{2}", description: the day to dump}
  year: 2026
  who:
env: {PGHOST: db1, ON: yes, N: 007, F: 1.50, E: "", NIL: , NULL: null}
env_file: /etc/backup.env
working_directory: /srv/${params.day}
max_active_tasks: 4
tasks:
  dump:
    name: Dump
    description: the database
    run: pg_dump "${DB:-mydb}" > ${foo}
    shell: bash -euo pipefail -c
    timeout: 30m
    retries: 3
  verify:
    depends: dump
    cmd: zstd
    args: [-t, "${params.day}", "$${x}", 1, true, 1.50, 0x10, ~, 2020-01-01]
    env: {ROWS: "${tasks.dump.outputs.rows} ${env.HOME}"}
    working_directory: /tmp/${run.id}/${run.scheduled_at}
    retries: 1
    retry_delay: 10m
  report:
    depends: [verify, verify]
    when: always
    python: {script: report.py, packages: [pandas], project: true, uv: /opt/uv, working_directory: "${tasks.dump.outputs.dir}"}
    retries: 2
    retry_delay: 0
    retry_max_delay: 1m
`

func TestWorkflowWhole(t *testing.T) {
	got, warnings := workflowTestLoad(t, "w.yml", workflowTestWhole)
	if want := `w.yml:17:1: warning: parameter "who" has no default, and a schedule gives none: its fires cannot run
w.yml:44:33: warning: task "report": python: packages does nothing in a project: write them into its pyproject.toml`; warnings != want {
		t.Errorf("warnings:\n%s\nwant:\n%s", warnings, want)
	}
	second := Duration(time.Second)
	workflowTestSame(t, got, &Workflow{
		ID: "w", Name: "Nightly backup", Description: "Dump, compress, ship",
		Schedule: []string{"30 2 * * *", "@daily"}, Timezone: "Europe/London",
		StartTime: stampOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		EndTime:   stampOf(time.Date(2026, 12, 31, 23, 0, 0, 5e8, time.UTC)),
		Catchup:   "once", CatchupWindow: 86400 * second, Overlap: "queue", Jitter: 30 * second, Priority: -10,
		Timeout: 7200 * second, Retries: 1, Failover: "rerun",
		Agent: map[string]string{"site": "london", "disk": "ssd", "cores": "4"},
		Params: map[string]Param{"day": {Pattern: `\d{4}-\d{2}-\d{2}`, Description: "the day to dump"},
			"year": {Default: "2026"}, "who": {Required: true}},
		Env:     map[string]string{"PGHOST": "db1", "ON": "yes", "N": "007", "F": "1.50", "E": ""},
		EnvFile: []string{"/etc/backup.env"}, WorkingDirectory: "/srv/${params.day}", MaxActiveTasks: 4,
		Tasks: []Task{
			{ID: "dump", Name: "Dump", Description: "the database", Run: `pg_dump "${DB:-mydb}" > ${foo}`,
				Shell: "bash -euo pipefail -c", Timeout: 1800 * second, Retries: 3, RetryDelay: 10 * second,
				RetryMaxDelay: 300 * second},
			{ID: "verify", Depends: []string{"dump"}, Cmd: "zstd",
				Args: []string{"-t", "${params.day}", "$${x}", "1", "true", "1.50", "0x10", "~",
					"2020-01-01"},
				Env:              map[string]string{"ROWS": "${tasks.dump.outputs.rows} ${env.HOME}"},
				WorkingDirectory: "/tmp/${run.id}/${run.scheduled_at}",
				Retries:          1, RetryDelay: 600 * second, RetryMaxDelay: 600 * second},
			{ID: "report", Depends: []string{"verify"}, When: "always",
				Python: &Python{Script: "report.py", Packages: []string{"pandas"}, Project: true, UV: "/opt/uv",
					WorkingDirectory: "${tasks.dump.outputs.dir}"},
				Retries: 2, RetryMaxDelay: 60 * second},
		},
	})
}

// TestWorkflowForms has files that say the same in different ways.
func TestWorkflowForms(t *testing.T) {
	shell := []Task{{ID: "a", Run: "x\n"}}
	pair := []Task{{ID: "a", Cmd: "ls", Args: []string{"-l"}}, {ID: "b", Cmd: "ls", Args: []string{"-l"},
		Depends: []string{"a"}}}
	python := []Task{{ID: "a", Python: &Python{Script: "x.py", Packages: []string{"p"}}}}
	for _, c := range []struct {
		name, file, text string
		tasks            []Task
	}{
		{"block", "w.yml", "tasks:\n  a:\n    run: |\n      x\n", shell},
		{"folded", "w.yml", "tasks:\n  a:\n    run: >\n      x\n", shell},
		{"quoted", "w.yaml", "tasks: {a: {run: \"x\\n\"}}", shell},
		{"CRLF", "w.yml", "tasks:\r\n  a:\r\n    run: |\r\n      x\r\n", shell},
		{"byte order mark", "w.yml", "\uFEFFtasks:\n  a:\n    run: |\n      x\n", shell},
		{"document marks", "w.yml", "---\ntasks:\n  a:\n    run: |\n      x\n...\n", shell},
		{"YAML directive", "w.yml", "%YAML 1.2\n---\ntasks: {a: {run: \"x\\n\"}}", shell},
		{"JSON", "w.json", "{\n\t\"tasks\": {\n\t\t\"a\": {\"run\": \"x\\n\", \"depends\": []}\n\t}\n}", shell},
		{"list of one, and null", "w.yml",
			"tasks:\n  a: {cmd: ls, args: [-l], name: , depends: }\n  b: {cmd: ls, args: [-l], depends: [a]}", pair},
		{"anchor", "w.yml", "tasks:\n  a: {cmd: ls, args: &x [-l]}\n  b: {cmd: ls, args: *x, depends: a}", pair},
		{"merge", "w.yml", "tasks:\n  a: &a {cmd: ls, args: [-l]}\n  b:\n    <<: *a\n    depends: a", pair},
		{"merge of two", "w.yml", "tasks:\n  a: &a {cmd: ls, args: [-l]}\n  b:\n    <<: [*a, {cmd: never, depends: a}]",
			pair},
		{"long", "w.yml", "tasks:\n  a: {config: !Subprocess {cmd: ls, args: [-l]}}\n  b:\n    depends: [a, a]\n    " +
			"config: !Subprocess\n      cmd: ls\n      args:\n        - -l", pair},
		{"both forms", "w.yml", "tasks:\n  a: {cmd: ls, args: [-l]}\n  b:\n    depends: [a]\n    config: " +
			"!Subprocess\n      cmd: ls\n      args: [-l]", pair},
		{"python", "w.yml", "tasks:\n  a: {python: {script: x.py, packages: [p]}}", python},
		{"long python", "w.yml", "tasks:\n  a: {config: !UvPython {script_path: x.py, packages: [p], is_uv_project: " +
			"False, uv_path: , working_directory: }}", python},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, warnings := workflowTestLoad(t, c.file, c.text)
			workflowTestSame(t, got, &Workflow{ID: "w", Tasks: c.tasks})
			if warnings != "" {
				t.Errorf("warnings:\n%s", warnings)
			}
		})
	}
}

func TestWorkflowJSONEscapes(t *testing.T) {
	got, _ := workflowTestLoad(t, "w.JSON", `{"name": "a\ud83d\ude00\u00e9\/\\ud83d\\ude00", "tasks": {}}`)
	if want := `a😀é/\ud83d\ude00`; got.Name != want {
		t.Errorf("got %q, want %q", got.Name, want)
	}
}

// TestWorkflowUpstreamFiles has the example files of the system whose files must load as they are.
func TestWorkflowUpstreamFiles(t *testing.T) {
	simple := "name: Simple cmd flow\ncron: \"*/2 * * * * *\"\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n  " +
		"task1:\n    name: Task 1\n    description: Runs first\n" +
		"    config: !Subprocess\n      cmd: echo\n      args:\n        - hello\n        - world\n"
	got, warnings := workflowTestLoad(t, "w.yml", simple)
	start := stampOf(time.Unix(1737376200, 0))
	workflowTestSame(t, got, &Workflow{ID: "w", Name: "Simple cmd flow", Schedule: []string{"*/2 * * * * *"},
		Timezone: "UTC", StartTime: start,
		Tasks: []Task{{ID: "task1", Name: "Task 1", Description: "Runs first", Cmd: "echo",
			Args: []string{"hello", "world"}}}})
	if warnings != "" {
		t.Errorf("warnings:\n%s", warnings)
	}

	multi := "name: Multi\ncron: 0 1 * * * *\nstart_time: 2025-01-20T12:30:00Z\ntasks:\n"
	for id, depends := range map[string]string{"task1": "", "task2": `["task1"]`, "task3": `["task2"]`,
		"task4": "\n      - task2"} {
		multi += "  " + id + ":\n    name: " + id + "\n    depends: " + depends +
			"\n    config: !Subprocess\n      cmd: echo\n      args: [hi]\n"
	}
	got, _ = workflowTestLoad(t, "w.yml", multi)
	for id, depends := range map[string][]string{"task1": nil, "task2": {"task1"}, "task3": {"task2"},
		"task4": {"task2"}} {
		if task := got.task(id); task == nil || !reflect.DeepEqual(task.Depends, depends) {
			t.Errorf("task %s: %+v, want depends %v", id, task, depends)
		}
	}

	uvpy := "name: uv\ncron: \"*/40 * * * * *\"\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n  task0:\n    name: " +
		"pwd\n    config: !Subprocess\n      cmd: \"pwd\"\n      args: []\n" +
		"  task1:\n    name: py\n    dependencies: [task0]\n    config: !UvPython\n      script_path: ./uv_py.py\n  " +
		"    packages:\n        - \"pandas>=2.3.1,<3.0.0\"\n" +
		"      is_uv_project: false\n      working_directory: ./test_artifacts\n"
	got, warnings = workflowTestLoad(t, "w.yml", uvpy)
	workflowTestSame(t, got.Tasks, []Task{{ID: "task0", Name: "pwd", Cmd: "pwd"},
		{ID: "task1", Name: "py", Depends: []string{"task0"},
			Python: &Python{Script: "./uv_py.py", Packages: []string{"pandas>=2.3.1,<3.0.0"},
				WorkingDirectory: "./test_artifacts"}}})
	if want := `w.yml:2:7: warning: schedule "*/40 * * * * *": */40 in the second field does not come out even: 40 is followed by 0, not after 40 seconds
w.yml:12:5: warning: task "task1": dependencies is read as depends: write depends (CDKTR ignores it)`; warnings != want {
		t.Errorf("warnings:\n%s\nwant:\n%s", warnings, want)
	}
}

// A key without a value counts as not written, however that is spelt: a value that it would have replaced stays.
func TestWorkflowNothing(t *testing.T) {
	const file = "params: {day: %[1]s, who: {default: %[1]s, pattern: %[1]s, description: %[1]s}}\nenv: {A: %[1]s, " +
		"B: x}\nagent: %[1]s\ntimeout: %[1]s\nlog: {max_size: %[1]s, keep: %[1]s}\n" +
		"tasks:\n  a: {run: echo, env: {B: %[1]s, A: %[1]s}, retries: %[1]s, shell: %[1]s}\n  b: {run: echo, env: " +
		"{<<: {P: 1, Q: 2}, P: %[1]s}}\n"
	want := &Workflow{}
	for i, nothing := range []string{"", "null", "~", "Null", "NULL", "!!null ''"} {
		text := fmt.Sprintf(file, nothing)
		w, faults := workflowParse("w.yml", "w", []byte(text))
		if w == nil {
			t.Fatalf("%q: %v", nothing, faults)
		}
		if i == 0 {
			want = w
			if !reflect.DeepEqual(w.Env, map[string]string{"B": "x"}) || w.Tasks[0].Env != nil ||
				!reflect.DeepEqual(w.Tasks[1].Env, map[string]string{"Q": "2"}) ||
				!w.Params["day"].Required || !w.Params["who"].Required || w.Agent != nil || w.LogMaxSize != 0 {
				t.Errorf("%+v", w)
			}
		} else if !reflect.DeepEqual(w, want) {
			t.Errorf("%q is not read as nothing is:\n%+v\n%+v", nothing, w, want)
		}
		if w, faults := workflowParse("w.yml", "w", fmt.Appendf(nil, "agent: {site: %s}\ntasks: {a: {run: echo}}\n",
			nothing)); w != nil || !strings.Contains(fmt.Sprint(faults), `label "site" has no value`) {
			t.Errorf("label %q: %v, %v", nothing, w, faults)
		}
		if w, faults := workflowParse("w.yml", "w", fmt.Appendf(nil, "env: {1A: %s}\ntasks: {a: {run: echo}}\n",
			nothing)); w != nil {
			t.Errorf("a name that is none, %q: %v", nothing, faults)
		}
	}
	w, faults := workflowParse("w.yml", "w",
		[]byte("params: {day: 'null', ok: ''}\nenv: {A: 'null', B: \"~\", C: '', D: nil, E: none}\ntasks: {a: {run: "+
			"echo}}\n"))
	if w == nil || w.Params["day"].Default != "null" || w.Params["ok"].Required ||
		!reflect.DeepEqual(w.Env, map[string]string{"A": "null", "B": "~", "C": "", "D": "nil", "E": "none"}) {
		t.Errorf("what is written is read as %+v, %v", w, faults)
	}
}

// TestWorkflowUpstreamFacts holds the single facts of that system's grammar: what it accepts loads.
func TestWorkflowUpstreamFacts(t *testing.T) {
	task := "    name: a\n    config: !Subprocess {cmd: echo, args: []}\n"
	for _, c := range []struct {
		name, text string
		check      func(w *Workflow) bool
	}{
		{"name a number", "name: 5\ntasks:\n  a:\n" + task, func(w *Workflow) bool { return w.Name == "5" }},
		{"description null", "description: ~\ntasks:\n  a:\n" + task,
			func(w *Workflow) bool { return w.Description == "" }},
		{"cron null", "cron: ~\ntasks:\n  a:\n" + task, func(w *Workflow) bool { return w.Schedule == nil }},
		{"start_time with a space", "start_time: 2025-01-20 12:30:00+01:00\ntasks:\n  a:\n" + task,
			func(w *Workflow) bool { return w.StartTime.Unix() == 1737372600 }},
		{"start_time quoted", "start_time: \"2025-01-20T12:30:00Z\"\ntasks:\n  a:\n" + task,
			func(w *Workflow) bool { return w.StartTime.Unix() == 1737376200 }},
		{"empty tasks", "name: x\ntasks: {}\n", func(w *Workflow) bool { return w.Tasks != nil && len(w.Tasks) == 0 }},
		{"tasks null", "name: x\ntasks:\n", func(w *Workflow) bool { return w.Tasks != nil && len(w.Tasks) == 0 }},
		{"args of any kind", "tasks:\n  a:\n    config: !Subprocess {cmd: echo, args: [1, true, 1.5, null]}\n",
			func(w *Workflow) bool {
				return reflect.DeepEqual(w.Tasks[0].Args, []string{"1", "true", "1.5", "null"})
			}},
		{"no args", "tasks:\n  a:\n    config: !Subprocess {cmd: echo}\n",
			func(w *Workflow) bool { return w.Tasks[0].Args == nil }},
		{"unknown keys at each level", "x: [1]\ngate: 5\ntasks:\n  a:\n    user: root\n    color: red\n    config: " +
			"!Subprocess {cmd: echo, args: [], stdin: {a: b}}\n",
			func(w *Workflow) bool { return w.Tasks[0].Cmd == "echo" }},
		{"id of any text", "tasks:\n  Größe & co:\n" + task + "  1:\n" + task,
			func(w *Workflow) bool { return w.Tasks[0].ID == "Größe & co" && w.Tasks[1].ID == "1" }},
		{"depends twice", "tasks:\n  a:\n" + task + "  b:\n    depends: [a, a]\n" + task,
			func(w *Workflow) bool { return len(w.Tasks[1].Depends) == 1 }},
		{"depends null", "tasks:\n  a:\n    depends:\n" + task,
			func(w *Workflow) bool { return w.Tasks[0].Depends == nil }},
		{"shell text in args", "tasks:\n  a:\n    config: !Subprocess {cmd: sh, args: [-c, 'echo ${HOME} $${x} ${ " +
			"${params.x} ${tasks.q.outputs.x}']}\n",
			func(w *Workflow) bool {
				back, err := workflowExpand(w.Tasks[0].Args[1], func(string) (string, bool) { return "", false })
				return err == nil && back == "echo ${HOME} $${x} ${ ${params.x} ${tasks.q.outputs.x}"
			}},
		{"but our references", "params: {x: 1}\ntasks:\n  a:\n    config: !Subprocess {cmd: sh, args: ['${params.x} " +
			"${run.id}']}\n",
			func(w *Workflow) bool { return w.Tasks[0].Args[0] == "${params.x} ${run.id}" }},
		{"anchors", "tasks:\n  a: &a\n" + task + "  b: *a\n",
			func(w *Workflow) bool { return w.Tasks[1].Cmd == "echo" }},
		{"seconds in six fields", "cron: 0 0 9 * * *\ntasks:\n  a:\n" + task,
			func(w *Workflow) bool { return w.Schedule[0] == "0 0 9 * * *" }},
		{"short keys beside config", "timeout: 5m\ntasks:\n  a:\n    retries: 2\n    when: always\n" + task,
			func(w *Workflow) bool { return w.Tasks[0].Retries == 2 && w.Timeout > 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := workflowTestLoad(t, "w.yml", c.text); !c.check(got) {
				text, _ := json.Marshal(got)
				t.Errorf("%s\nbecame %s", c.text, text)
			}
		})
	}
}

func TestWorkflowID(t *testing.T) {
	for _, c := range []struct{ rel, id, err string }{
		{"daily.yml", "daily", ""},
		{"etl/daily.yml", "etl.daily", ""},
		{"sub1/sub2/workflow3.yaml", "sub1.sub2.workflow3", ""},
		{"myworkflow.draft.yml", "myworkflow.draft", ""},
		{"a.b/c.JSON", "a.b.c", ""},
		{"A.YML", "A", ""},
		{"x.yml/a.Yaml", "x.yml.a", ""},
		{"two words.yml", "two words", ""},
		{"größe.yml", "größe", ""},
		{"README", "", `name workflow "README": a workflow file ends in .yml, .yaml or .json`},
		{"a.yml.bak", "", `name workflow "a.yml.bak": a workflow file ends in .yml, .yaml or .json`},
		{".yml", "", `name workflow ".yml": not the path of a file below the workflow folder`},
		{"a/.json", "", `name workflow "a/.json": not the path of a file below the workflow folder`},
		{"../a.yml", "", `name workflow "../a.yml": not the path of a file below the workflow folder`},
		{"/a.yml", "", `name workflow "/a.yml": not the path of a file below the workflow folder`},
		{"a//b.yml", "", `name workflow "a//b.yml": not the path of a file below the workflow folder`},
		{"a\nb.yml", "", `name workflow "a\nb.yml": an id cannot hold '\n': rename the file`},
		{"a\x01b.yml", "", `name workflow "a\x01b.yml": an id cannot hold '\x01': rename the file`},
		{"a\x1b[0m.yml", "", `name workflow "a\x1b[0m.yml": an id cannot hold '\x1b': rename the file`},
		{"a\u202eb.yml", "", `name workflow "a\u202eb.yml": an id cannot hold '\u202e': rename the file`},
		{`a\b.yml`, "", `name workflow "a\\b.yml": an id cannot hold '\\': rename the file`},
		{"a\xffb.yml", "", `name workflow "a\xffb.yml": an id must be UTF-8 text: rename the file`},
		{strings.Repeat("a", 200) + ".yml", strings.Repeat("a", 200), ""},
		{strings.Repeat("a", 201) + ".yml", "", `name workflow "` + strings.Repeat("a", 201) +
			`.yml": an id of 201 bytes is longer than 200: rename the file`},
	} {
		id, err := workflowID(c.rel)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if id != c.id || text != c.err {
			t.Errorf("workflowID(%q) = %q, %q; want %q, %q", c.rel, id, text, c.id, c.err)
		}
	}
}

func TestWorkflowExpand(t *testing.T) {
	values := map[string]string{"params.day": "mon", "tasks.a.b.outputs.k": "${params.day}", "run.id": "01H",
		"env.HOME": ""}
	for _, c := range []struct{ text, want, err string }{
		{"", "", ""},
		{"plain $HOME $ {x} $$", "plain $HOME $ {x} $$", ""},
		{"${params.day}", "mon", ""},
		{"a${params.day}b${run.id}${env.HOME}c", "amonb01Hc", ""},
		{"${tasks.a.b.outputs.k}", "${params.day}", ""},
		{"$${params.day}", "${params.day}", ""},
		{"$$${params.day} $${", "$${params.day} ${", ""},
		{"}${params.day}}", "}mon}", ""},
		{"${params.night}", "", "${params.night} has no value"},
		{"${params.day", "", `"${params.day" has no closing }: write $${ for a plain ${`},
		{"${tasks.a.outputs.k-1}", "", `"${tasks.a.outputs.k-1}" is not a reference: want ` + workflowForms +
			"; $${ is a plain ${"},
	} {
		got, err := workflowExpand(c.text, func(ref string) (string, bool) { v, ok := values[ref]; return v, ok })
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || text != c.err {
			t.Errorf("workflowExpand(%q) = %q, %q; want %q, %q", c.text, got, text, c.want, c.err)
		}
	}
	big := strings.Repeat("x", workflowMaxExpanded/2+1)
	if _, err := workflowExpand("${run.id}${run.id}", func(string) (string, bool) { return big, true }); err == nil {
		t.Error("a text of more than workflowMaxExpanded bytes is no error")
	}
}

// TestWorkflowPattern: a pattern matches whole values only.
func TestWorkflowPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		match          bool
	}{{"a|b", "a", true}, {"a|b", "ab", false}, {"a|b", "xb", false}, {"(?m)a$", "a\nb", false},
		{"[a-z]+", "abc\n", false}, {"^a$", "a", true}} {
		re, err := paramPattern(c.pattern)
		if err != nil || re.MatchString(c.value) != c.match {
			t.Errorf("pattern %q, value %q: %v, error %v", c.pattern, c.value, !c.match, err)
		}
	}
}

// TestWorkflowBounds: a file that would grow without end is stopped soon, with one plain fault.
func TestWorkflowBounds(t *testing.T) {
	t.Parallel()
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	bomb := "params:\n  a0: &a0 {<<: {x: 1}}\n" + lines(15, "  b%d: 1\n")
	for i := 1; i <= 18; i++ {
		bomb += fmt.Sprintf("  a%d: &a%d {<<: [*a%d, *a%d, *a%d]}\n", i, i, i-1, i-1, i-1)
	}
	for _, c := range []struct{ name, text, first string }{
		{"large file", "#" + strings.Repeat("x",
			workflowMaxFile), "w.yml: the file has 1048577 bytes, more than 1048576: a workflow is a text of a few " +
			"pages"},
		{"many tasks", "tasks:\n" + lines(1001,
			"  t%d: {run: x}\n"), "w.yml:1002:3: there are 1001 tasks, more than 1000: split the workflow"},
		{"merge bomb", bomb + "tasks: {}\n",
			"w.yml:2:12: the file grows past 200000 values or 4194304 bytes of text here: use fewer aliases (*name)"},
		{"list bomb", "tasks:\n  a: {cmd: x, args: &x [" + strings.Repeat("a,", 50000) + "]}\n" +
			lines(900, "  b%d: {cmd: x, args: *x}\n"), ""},
		{"text bomb", "tasks:\n  a: {run: &x '" + strings.Repeat("a", 500000) + "'}\n" +
			lines(900, "  b%d: {run: *x}\n"), ""},
		{"merge of itself", "tasks:\n  a: &a {run: x, <<: *a}\n", ""},
		{"many faults", "tasks:\n" + lines(500, "  t%d: {run: x, timeout: soon}\n"),
			`w.yml:2:25: task "t0": timeout: "soon" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w`},
		{"many unknown dependencies", "tasks:\n" + lines(1000,
			"  some_long_task_name_%d: {run: x, depends: [another_long_name_a, another_long_name_b, "+
				"another_long_name_c]}\n"), ""},
		{"many references", "params: {" + lines(90, "p%d: 1, ") + "}\ntasks:\n  a: {cmd: '" +
			strings.Repeat("${params.x}", 50000) + "'}\n" + lines(900, "  t%d: {run: x}\n"), ""},
		{"many depends", "tasks:\n  a: {run: x, depends: [" + lines(100000, "a%d,") + "]}\n",
			"w.yml:2:24: task \"a\": depends: there are 100000 ids, more than 1000"},
		{"many parameters", "params: {" + lines(101, "p%d: 1, ") + "}\ntasks: {}\n",
			"w.yml:1:9: params: there are 101 parameters, more than 100"},
		{"many expressions", "schedule: [" + strings.Repeat("'@daily',", 101) + "]\ntasks: {}\n",
			"w.yml:1:11: schedule: there are 101 expressions, more than 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			spec, faults := workflowParse("w.yml", "w", []byte(c.text))
			if spec != nil || len(faults) == 0 || len(faults) > workflowMaxFaults+1 {
				t.Fatalf("loads %v, %d faults", spec != nil, len(faults))
			}
			if c.first != "" && faults[0].String() != c.first {
				t.Errorf("got  %s\nwant %s", faults[0], c.first)
			}
			if took := time.Since(begin); took > 30*time.Second { // a bomb that is not seen would take for ever
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestWorkflowLargest: a workflow of the most tasks that there may be loads, each depending on those before.
func TestWorkflowLargest(t *testing.T) {
	var b strings.Builder
	b.WriteString("tasks:\n  t0: {run: x}\n")
	for i := 1; i < workflowMaxTasks; i++ {
		fmt.Fprintf(&b, "  t%d: {cmd: x, args: ['${tasks.t0.outputs.k}'], depends: [t%d, t%d]}\n", i, i-1, i/2)
	}
	if got, _ := workflowTestLoad(t, "w.yml", b.String()); len(got.Tasks) != workflowMaxTasks {
		t.Errorf("%d tasks", len(got.Tasks))
	}
}

// FuzzWorkflowParse: no input breaks the reader, what loads is the same when it is read again, and its texts expand.
func FuzzWorkflowParse(f *testing.F) {
	f.Add([]byte(workflowTestWhole), true)
	for _, c := range workflowFaultCases {
		f.Add([]byte(c.file), len(c.file)%2 == 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, asJSON bool) {
		file := "w.yml"
		if asJSON {
			file = "w.json"
		}
		spec, faults := workflowParse(file, "w", data)
		if (spec == nil) != workflowBroken(faults) {
			t.Fatalf("loads %v with faults %v", spec != nil, faults)
		}
		for i, fault := range faults {
			if fault.Message == "" || strings.ContainsAny(fault.Message, "\n\x1b") || i > workflowMaxFaults {
				t.Errorf("fault %d: %q", i, fault.Message)
			}
		}
		if spec == nil {
			return
		}
		if again, _ := workflowParse(file, "w", data); !reflect.DeepEqual(again, spec) {
			t.Error("read twice, it is two workflows")
		}
		for _, task := range spec.Tasks {
			for _, text := range append(task.Args, task.Cmd, task.WorkingDirectory) {
				if _, err := workflowExpand(text, func(string) (string, bool) { return "", true }); err != nil {
					t.Errorf("task %s: %v", task.ID, err)
				}
			}
		}
	})
}

func BenchmarkWorkflowParse(b *testing.B) {
	b.SetBytes(int64(len(workflowTestWhole)))
	for b.Loop() {
		workflowParse("w.yml", "w", []byte(workflowTestWhole))
	}
}

func TestWorkflowLog(t *testing.T) {
	for text, want := range map[string]int64{"": 10 << 20, "log: {max_size: 10M}": 10 << 20,
		"log: {max_size: 2048}": 2048, "log: {max_size: 1.5g}": 3 << 29, "log: {keep: 30d}": 10 << 20} {
		w, faults := workflowParse("w.yml", "w", []byte(text+"\ntasks: {a: {run: echo}}\n"))
		if w == nil || len(faults) > 0 {
			t.Errorf("%q: %v", text, faults)
		} else if w.logMaxSize() != want {
			t.Errorf("%q: %d bytes, want %d", text, w.logMaxSize(), want)
		}
	}
	for text, want := range map[string]string{
		"log: {max_size: many}":             `w.yml:1:17: log: max_size: "many" is not a size`,
		"log: {max_size: 1}":                `is less than 1K`,
		"log: {max_size: -5M}":              `is not a size`,
		"log: {max_size: 99999999T}":        `is not a size`,
		"log: 5M":                           `a map such as {max_size: 10M, keep: 30d}`,
		"log: {keep: soon}":                 `"soon" is not a duration`,
		"log: {maxsize: 5M}":                `did you mean "max_size"?`,
		"log: {max_size: 5M, max_size: 6M}": `max_size`,
	} {
		w, faults := workflowParse("w.yml", "w", []byte(text+"\ntasks: {a: {run: echo}}\n"))
		if w != nil || len(faults) != 1 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%q: %v, want %s", text, faults, want)
		}
	}
}
