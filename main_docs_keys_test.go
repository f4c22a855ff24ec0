// The tables of keys in the documents are made of the tables that the parser reads files by.

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDocsKeys holds the tables of keys in the documents to the program; with -update it writes them anew.
func TestDocsKeys(t *testing.T) {
	for _, page := range []struct {
		file   string
		tables map[string]string
	}{
		{"docs/workflow-files.md", map[string]string{
			"keys of the workflow": docsKeysTable(workflowKeys) + docsKeysLater(workflowLater),
			"keys of a task":       docsKeysTable(workflowTaskKeys),
			"keys of a parameter":  docsKeysTable(workflowParamKeys),
			"keys of repeat":       docsKeysTable(workflowRepeatKeys),
			"keys of limits":       docsKeysTable(workflowLimitsKeys),
			"keys of http":         docsKeysTable(workflowHTTPKeys),
			"keys of python":       docsKeysTable(workflowPythonKeys),
			"keys of log":          docsKeysTable(workflowLogKeys),
			"keys of a listener":   docsKeysTable(workflowListenerKeys),
			"keys of file":         docsKeysTable(workflowListenFileKeys),
			"keys of workflow":     docsKeysTable(workflowListenWorkflowKeys),
			"keys of command":      docsKeysTable(workflowListenCommandKeys),
			"keys of expect":       docsKeysTable(workflowExpectKeys),
		}},
		{"docs/coming-from-others.md", map[string]string{"keys of other systems": docsForeignTables()}},
		{"docs/security.md", map[string]string{"lines of units": docsUnits()}},
	} {
		had := docsRead(t, page.file)
		text := had
		for _, name := range sortedKeys(page.tables) {
			front := "<!-- " + name + " -->\n"
			head, rest, found := strings.Cut(text, front)
			_, tail, ended := strings.Cut(rest, "<!-- end -->")
			if !found || !ended {
				t.Fatalf("%s: nothing is between %q and <!-- end -->", page.file, front)
			}
			text = head + front + page.tables[name] + "<!-- end -->" + tail
		}
		if text == had {
			continue
		}
		if !*protocolUpdate {
			t.Errorf("the tables of keys in %s are not those of the program: go test -run TestDocsKeys -update .",
				page.file)
			continue
		}
		if err := os.WriteFile(page.file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := docsRead(t, "docs/coming-from-cdktr.md")
	for _, key := range slices.Concat(workflowNames(workflowUvPythonKeys), workflowNames(workflowSubprocessKeys)) {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("docs/coming-from-cdktr.md: key %s is not in it", key)
		}
	}
}

// docsKeysTable writes a table of keys in Markdown.
func docsKeysTable[T any](keys []workflowKey[T]) string {
	var text strings.Builder
	text.WriteString("| Key | Type, default | Meaning | Example |\n|---|---|---|---|\n")
	for i := range keys {
		k := &keys[i]
		kind := workflowKindText(k.kind)
		if k.unset != "" {
			kind += "; " + k.unset
		}
		example := ""
		if k.example != "" {
			example = "`" + strings.ReplaceAll(k.example, "|", `\|`) + "`"
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", k.name, kind, strings.ReplaceAll(k.does, "|", `\|`), example)
	}
	return text.String()
}

// docsKeysLater says which keys this version refuses by name, "" where there are none.
func docsKeysLater(later []string) string {
	if len(later) == 0 {
		return ""
	}
	later = slices.Sorted(slices.Values(later))
	return "\nThese are planned, and refused by name: `" + strings.Join(later, "`, `") + "`.\n"
}

// docsForeignTables writes the keys of each other system, and at the end those that people try.
func docsForeignTables() string {
	var text strings.Builder
	for _, system := range []string{foreignDagu, foreignAirflow, foreignActions, foreignAnsible, foreignSystemd, ""} {
		title := system
		if system == "" {
			title = "Names that people try"
		}
		fmt.Fprintf(&text, "\n## %s\n\n| There | Here |\n|---|---|\n", title)
		for i := range workflowForeign {
			row := &workflowForeign[i]
			if !slices.Contains(strings.Split(row.of, ", "), system) {
				continue
			}
			here := docsCode(row.ours)
			switch {
			case row.how != "" && here != "":
				here += "; " + row.how
			case row.how != "":
				here = row.how
			}
			fmt.Fprintf(&text, "| %s | %s |\n", docsCode(row.names), strings.ReplaceAll(here, "|", `\|`))
		}
	}
	return text.String() + "\n"
}

// docsCode writes words as code, with commas between them.
func docsCode(words string) string {
	if words == "" {
		return ""
	}
	return "`" + strings.Join(strings.Fields(words), "`, `") + "`"
}

// TestWorkflowKeys holds each row of the tables of keys: its kind is known, it says what the key does, its name is
// there once, and its example is read without a fault that is about the key.
func TestWorkflowKeys(t *testing.T) {
	workflowKeysWant(t, "workflow", workflowKeys)
	workflowKeysWant(t, "task", workflowTaskKeys)
	workflowKeysWant(t, "param", workflowParamKeys)
	workflowKeysWant(t, "log", workflowLogKeys)
	workflowKeysWant(t, "repeat", workflowRepeatKeys)
	workflowKeysWant(t, "on", workflowListenerKeys)
	workflowKeysWant(t, "file of on", workflowListenFileKeys)
	workflowKeysWant(t, "workflow of on", workflowListenWorkflowKeys)
	workflowKeysWant(t, "command of on", workflowListenCommandKeys)
	workflowKeysWant(t, "expect", workflowExpectKeys)
	workflowKeysWant(t, "python", workflowPythonKeys)
	workflowKeysWant(t, "config: !UvPython", workflowUvPythonKeys)
	workflowKeysWant(t, "config: !Subprocess", workflowSubprocessKeys)
	for _, k := range workflowKeys {
		if _, faults := workflowParse("w.yml", "w", []byte(workflowKeysTop(k.name, k.example))); len(faults) > 0 {
			t.Errorf("the example of %s: %v", k.name, faults)
		}
	}
	for _, k := range workflowTaskKeys {
		text := workflowKeysTask(k.name, k.example)
		if _, faults := workflowParse("w.yml", "w", []byte(text)); len(faults) > 0 {
			t.Errorf("the example of %s: %v\n%s", k.name, faults, text)
		}
	}
}

// workflowKeysTop writes a workflow with the example of a key.
func workflowKeysTop(name, example string) string {
	if name == "tasks" {
		return example + "\n"
	}
	text := example + "\ntasks: {a: {run: \"true\"}}\n"
	if name == "catchup" || name == "catchup_window" || name == "overlap" || name == "jitter" ||
		name == "except" || name == "only" || name == "expect" {
		text = "schedule: \"0 4 * * *\"\n" + text
	}
	return text
}

// workflowKeysTask writes a workflow with the example of a key of a task.
func workflowKeysTask(name, example string) string {
	text := "params: {db: shop}\ntasks:\n  fetch: {run: \"true\"}\n  clean: {run: \"true\"}\n  a:\n    " + example +
		"\n"
	if strings.HasPrefix(name, "retry") {
		text += "    retries: 1\n"
	}
	if name == "max_parallel" {
		text += "    foreach: [eu, us]\n"
	}
	switch {
	case name == "args":
		text += "    cmd: pg_dump\n"
	case name == "params", name == "wait":
		text += "    workflow: etl.daily\n"
	case name == "approvers":
		text += "    approve: Go on?\n"
	case !slices.Contains(workflowActions, name):
		text += "    run: \"true\"\n"
	}
	return text
}

func workflowKeysWant[T any](t *testing.T, table string, keys []workflowKey[T]) {
	t.Helper()
	seen := map[string]bool{}
	for i := range keys {
		k := &keys[i]
		if seen[k.name] {
			t.Errorf("%s: %s is there twice", table, k.name)
		}
		seen[k.name] = true
		if workflowKindText(k.kind) == "" {
			t.Errorf("%s: %s has kind %q, which is not in workflowKinds", table, k.name, k.kind)
		}
		if !strings.HasSuffix(k.does, ".") || k.read == nil {
			t.Errorf("%s: %s must say in sentences what it does, and be read", table, k.name)
		}
		if k.example != "" && !strings.HasPrefix(k.example, k.name+":") {
			t.Errorf("%s: the example of %s is %q: want %s: ...", table, k.name, k.example, k.name)
		}
	}
}

// TestWorkflowForeign holds the table of the keys of other systems: a system has a word in one row, and it is no key
// of ours, unless its row says what is different; the keys that it names are ours.
func TestWorkflowForeign(t *testing.T) {
	ours := slices.Concat(workflowNames(workflowKeys), workflowNames(workflowTaskKeys), workflowLater)
	systems := []string{foreignDagu, foreignAirflow, foreignActions, foreignAnsible, foreignSystemd, ""}
	first := map[string]string{}
	for i := range workflowForeign {
		row := &workflowForeign[i]
		for _, of := range strings.Split(row.of, ", ") {
			if !slices.Contains(systems, of) {
				t.Errorf("%s: system %q is not known", row.names, of)
			}
		}
		for _, word := range strings.Fields(row.ours) {
			if !slices.Contains(ours, word) {
				t.Errorf("%s: %s is no key", row.names, word)
			}
		}
		if row.ours == "" && row.how == "" {
			t.Errorf("%s: nothing says what it is here", row.names)
		}
		for _, name := range strings.Fields(row.names) {
			word := row.of + " " + workflowForeignWord(name)
			if slices.Contains(ours, name) && row.how == "" {
				t.Errorf("%s is a key here: say what is different", name)
			}
			if other, ok := first[word]; ok && other != row.ours+row.how {
				t.Errorf("%s is there twice, as %q and %q", name, other, row.ours+row.how)
			}
			first[word] = row.ours + row.how
		}
	}
	for _, c := range []struct{ file, want string }{
		{"steps: []\ntasks: {a: {run: x}}\n", `w.yml:1:1: key "steps" is not known (here it is "tasks")`},
		{"tasks: {a: {run: x, needs: b}}\n", `w.yml:1:21: task "a": key "needs" is not known (here it is "depends")`},
		{"tasks: {a: {run: x, schedule: x}}\n", `task "a": key "schedule" is not known: it belongs to the workflow, ` +
			"not to a part of it"},
		{"depends: a\ntasks: {a: {run: x}}\n", `w.yml:1:1: key "depends" is not known: it belongs to a task`},
		{"tasks: {a: {run: x, retry-policy: b}}\n", `key "retry-policy" is not known (here it is "retries")`},
		{"tasks: {a: {run: x, trigger_rule: b}}\n", `key "trigger_rule" is not known (here it is "when"): ` +
			"all_success is success, all_done is always, one_failed is failure"},
		{"tasks: {a: {run: x, priority_weight: 3}}\n", `key "priority_weight" is not known (here it is "priority", ` +
			"of the workflow)"},
		{"command: x\ntasks: {a: {run: x}}\n", `key "command" is not known (here it is "run", of a task)`},
		{"until: x\ntasks: {a: {run: x}}\n", `key "until" is not known (here it is "repeat", of a task): ` +
			"repeat: {until: CMD, every: 10s, times: 20}"},
		{"when: x\ntasks: {a: {run: x}}\n", `key "when" is not known: it belongs to a task`},
		{"tasks: {a: {run: x, when: a.rc == 0}}\n", `when: want success, failure or always, not "a.rc == 0": a ` +
			"condition goes into if, as a shell line"},
		{"OnSuccess: x.service\ntasks: {a: {run: x}}\n", `key "OnSuccess" is not known (here it is "on_success"): ` +
			"a command, not the name of a unit"},
		{"on: push\ntasks: {a: {run: x}}\n", `not "push": nothing follows a repository by itself: its hook says ` +
			"cdktr run ID -p branch=main"},
		{"on: {push: {}}\ntasks: {a: {run: x}}\n", `on: key "push" is not known: nothing follows a repository`},
		{"tasks: {a: {run: 'echo ${{ x }}'}}\n", "${{ }} is an error to a shell: a parameter day is $PARAM_DAY"},
		{"tasks: {a: {run: 'echo ${x} ${params.day}'}}\n", `w.yml:1:18: warning: task "a": ${params.day} is not ` +
			"replaced in a shell line: write $PARAM_DAY"},
		{"tasks: {a: {run: x, if: 'test ${tasks.b.outputs.K} = 1'}}\n", "${tasks.b.outputs.K} is not replaced in a " +
			"shell line: write $K"},
		{"tasks: {a: {run: 'echo ${run.id}'}}\n", "write $CDKTR_RUN_ID"},
		{"tasks: {a: {foreach: [x], run: 'echo ${item}'}}\n", "write $ITEM"},
		{"tasks: {a: {foreach: {os: [x]}, run: 'echo ${item.os}'}}\n", "write $ITEM_os"},
		{"if: '${{ x }}'\ntasks: {a: {run: x}}\n", "w.yml:1:5: warning: ${{ }} is an error to a shell"},
		{"tasks: {a: {run: x, append_env: b}}\n", `key "append_env" is not known: a task always has the agent's ` +
			"environment too"},
	} {
		_, faults := workflowParse("w.yml", "w", []byte(c.file))
		if !slices.ContainsFunc(faults, func(f workflowFault) bool { return strings.Contains(f.Error(), c.want) }) {
			t.Errorf("%q: %v, want %q", c.file, faults, c.want)
		}
	}
	for _, file := range []string{
		"tasks: {a: {shell: node -e, run: 'x = `${params.day}`'}}\n",
		"tasks: {a: {foreach: [x], run: 'for item in $ITEM; do echo ${item}; done'}}\n",
		"tasks: {a: {run: 'echo ${item} ${day} ${'}}\n",
		"tasks: {a: {cmd: x, args: ['${run.id}']}}\n",
	} {
		if _, faults := workflowParse("w.yml", "w", []byte(file)); len(faults) > 0 {
			t.Errorf("%q: %v", file, faults)
		}
	}
}

// TestWorkflowKeysMisused: each key tells of a value that it cannot be, in a sentence that begins with its name.
func TestWorkflowKeysMisused(t *testing.T) {
	inTask := func(rest string) func(string) string {
		return func(pair string) string { return "tasks:\n  a:\n    " + strings.ReplaceAll(rest, "PAIR", pair) + "\n" }
	}
	top := func(rest string) func(string) string {
		return func(pair string) string {
			return strings.ReplaceAll(rest, "PAIR", pair) + "\ntasks: {a: {run: \"true\"}}\n"
		}
	}
	workflowKeysMisused(t, workflowKeys, top("PAIR"))
	workflowKeysMisused(t, workflowTaskKeys, inTask("PAIR"))
	workflowKeysMisused(t, workflowParamKeys, top("params: {p: {PAIR}}"))
	workflowKeysMisused(t, workflowLogKeys, top("log: {PAIR}"))
	workflowKeysMisused(t, workflowExpectKeys, top("schedule: 0 4 * * *\nexpect: {PAIR}"))
	workflowKeysMisused(t, workflowListenerKeys, top("on: [{PAIR}]"))
	workflowKeysMisused(t, workflowListenFileKeys, top("on: [{file: {PAIR}}]"))
	workflowKeysMisused(t, workflowListenWorkflowKeys, top("on: [{workflow: {PAIR}}]"))
	workflowKeysMisused(t, workflowListenCommandKeys, top("on: [{command: {PAIR}}]"))
	workflowKeysMisused(t, workflowRepeatKeys, inTask("{run: x, repeat: {PAIR}}"))
	workflowKeysMisused(t, workflowHTTPKeys, inTask("http: {PAIR}"))
	workflowKeysMisused(t, workflowPythonKeys, inTask("python: {PAIR}"))
	workflowKeysMisused(t, workflowUvPythonKeys, inTask("config: !UvPython {PAIR}"))
	workflowKeysMisused(t, workflowSubprocessKeys, inTask("config: !Subprocess {PAIR}"))
}

// workflowKeysMisused gives each key of a table a value of no kind, and one that is near to what it wants. file makes a
// workflow with a key and its value in the place of them.
func workflowKeysMisused[T any](t *testing.T, keys []workflowKey[T], file func(pair string) string) {
	t.Helper()
	for i := range keys {
		k := &keys[i]
		wrong := map[string]string{"{odd: {odder: [x]}}": ""}
		switch {
		case workflowKindWords(k.kind) != nil:
			wrong["sometimes"] = "want "
		case strings.Contains(k.kind, ".."):
			wrong["many"], wrong["99999999"], wrong["1.5"] = "", "", ""
		case k.kind == "duration":
			wrong["soon"] = "\"soon\" is not a duration"
		case k.kind == "flag":
			wrong["maybe"] = "want true or false, not \"maybe\""
		case k.kind == "size":
			wrong["big"] = "\"big\""
		}
		for value, want := range wrong {
			text := file(k.name + ": " + value)
			_, faults := workflowParse("w.yml", "w", []byte(text))
			if !slices.ContainsFunc(faults, func(f workflowFault) bool {
				said := f.Error()
				return (strings.Contains(said, k.name+": ") || strings.Contains(said, "odd")) &&
					strings.Contains(said, want)
			}) {
				t.Errorf("nothing is said of %s, but %v", text, faults)
			}
		}
	}
}
