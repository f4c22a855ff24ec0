package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// valuesFixture is a run of three tasks, c behind b behind a, all of which set the same names in different places.
func valuesFixture(t testing.TB) (*assignment, *dag, []taskOutputs) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vars.env")
	if err := os.WriteFile(file, []byte("FROM_FILE=file\nBOTH_FILE=file\nLEVEL=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &Workflow{ID: "etl.daily", EnvFile: []string{file}, WorkingDirectory: "/srv/${params.day}",
		Env: map[string]string{"FROM_WORKFLOW": "workflow", "BOTH_FILE": "workflow", "LEVEL": "workflow",
			"out": "workflow", "PARAM_DAY": "workflow", "USES": "${env.FROM_FILE}/${params.day}"},
		Tasks: []Task{{ID: "a", Run: "x"}, {ID: "b", Run: "x", Depends: []string{"a"}},
			{ID: "c", Run: "echo ${env.FROM_FILE}", Depends: []string{"b"},
				Env: map[string]string{"LEVEL": "task", "PARAM_MODE": "task",
					"REF": "${tasks.b.outputs.rows}-${run.id}-${run.scheduled_at}-$${x}", "CDKTR_RUN_ID": "mine"}}}}
	d, err := dagBuild(w.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	as := &assignment{Run: "R1", Attempt: 1, Spec: w, Params: map[string]string{"day": "2026-01-31", "mode": "full"},
		Scheduled: stampOf(time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC))}
	return as, d, []taskOutputs{{values: map[string]string{"out": "a", "rows": "1", "far": "a"}, order: 1},
		{values: map[string]string{"out": "b", "rows": "42"}, order: 2}, {}}
}

// walkOf is the graph of an assignment with what its tasks handed on.
func walkOf(as *assignment, d *dag, outputs []taskOutputs) *agentWalk {
	return &agentWalk{tasks: as.Spec.Tasks, dag: d, outputs: outputs}
}

// Who wins where two set the same variable: the later of agent, env file, workflow, outputs, params, task, facts.
func TestValuesPrecedence(t *testing.T) {
	as, d, outputs := valuesFixture(t)
	v, warnings, err := environOfTask(newEnviron([]string{"HOME=/root", "LEVEL=agent", "FROM_WORKFLOW=agent",
		"broken", "out=agent"}).copy(), as, walkOf(as, d, outputs), 2, 3, "/tmp/out", func(string) {})
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	got := newEnviron(v.env)
	for key, want := range map[string]string{"HOME": "/root", "LEVEL": "task", "FROM_FILE": "file",
		"BOTH_FILE": "workflow", "FROM_WORKFLOW": "workflow", "out": "b", "far": "a", "rows": "42",
		"PARAM_DAY": "2026-01-31", "PARAM_MODE": "task", "USES": "file/2026-01-31",
		"REF":          "42-R1-2026-01-31T02:30:00Z-${x}",
		"CDKTR_RUN_ID": "R1", "CDKTR_WORKFLOW_ID": "etl.daily", "CDKTR_TASK_ID": "c", "CDKTR_ATTEMPT": "3",
		"CDKTR_SCHEDULED_AT": "2026-01-31T02:30:00Z", "CDKTR_OUTPUT": "/tmp/out"} {
		if got.get(key) != want {
			t.Errorf("%s is %q, want %q", key, got.get(key), want)
		}
	}
	if len(got.list) != len(v.env) {
		t.Errorf("a variable is there twice: %q", v.env)
	}
	// no text goes into a shell line
	if v.dir != "/srv/2026-01-31" || !slices.Equal(v.argv, []string{"/bin/sh", "-c", "echo ${env.FROM_FILE}"}) {
		t.Errorf("%q in %q", v.argv, v.dir)
	}
}

func TestValuesArgv(t *testing.T) {
	lookup := func(ref string) (string, bool) {
		v, ok := map[string]string{"params.x": "a b; rm -rf /", "env.HOME": "/root"}[ref]
		return v, ok
	}
	for _, c := range []struct {
		task Task
		want []string
		dir  string
	}{
		{Task{Run: "echo ${params.x}"}, []string{"/bin/sh", "-c", "echo ${params.x}"}, "/d"},
		{Task{Run: "x", Shell: "bash  -euo pipefail -c"}, []string{"bash", "-euo", "pipefail", "-c", "x"}, "/d"},
		{Task{Cmd: "${env.HOME}/bin", Args: []string{"--x=${params.x}", "$${params.x}", ""}},
			[]string{"/root/bin", "--x=a b; rm -rf /", "${params.x}", ""}, "/d"},
		{Task{Python: &Python{Script: "s.py", Packages: []string{"a", "b==1"}}},
			[]string{"uv", "run", "--with", "a", "--with", "b==1", "s.py"}, "/d"},
		{Task{Python: &Python{Script: "${params.x}", Project: true, Packages: []string{"a"}, UV: "/opt/uv",
			WorkingDirectory: "/p", Args: []string{"-x", "${params.x}"}}},
			[]string{"/opt/uv", "run", "a b; rm -rf /", "-x", "a b; rm -rf /"}, "/p"},
	} {
		argv, err := taskArgv(&Workflow{}, &c.task, "/out", lookup)
		dir := taskFolder(&c.task, &Workflow{WorkingDirectory: "/d"})
		if err != nil || !slices.Equal(argv, c.want) || dir != c.dir {
			t.Errorf("%+v: %q in %q, %v", c.task, argv, dir, err)
		}
	}
	if _, err := taskArgv(&Workflow{}, &Task{Cmd: "${params.y}"}, "/out", lookup); err == nil ||
		!strings.Contains(err.Error(), "${params.y} has no value") {
		t.Error(err)
	}
}

func TestValuesFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*assignment)
		want   string
	}{
		"no env file": {func(as *assignment) { as.Spec.EnvFile = []string{"/no/such/file"} },
			"read env_file /no/such/file: no such file"},
		"workflow env": {func(as *assignment) { as.Spec.Env["X"] = "${tasks.a.outputs.none}" },
			"env X: ${tasks.a.outputs.none} has no value"},
		"task env": {func(as *assignment) { as.Spec.Tasks[2].Env["X"] = "${params.none}" },
			"env X: ${params.none}"},
		"folder": {func(as *assignment) { as.Spec.Tasks[2].WorkingDirectory = "${params.none}" },
			"${params.none}"},
		"unfinished": {func(as *assignment) { as.Spec.Tasks[2].Env["X"] = "${params.none" }, "env X"},
		"too long": {func(as *assignment) {
			as.Spec.Tasks[2].Env["X"] = "${params.big}"
			as.Params["big"] = strings.Repeat("x", workflowMaxExpanded+1)
		}, "grows past"},
		"unknown run fact": {func(as *assignment) { as.Spec.Tasks[2].Env["X"] = "${run.nothing}" }, "env X"},
	} {
		as, d, outputs := valuesFixture(t)
		c.change(as)
		if _, _, err := environOfTask(newEnviron(nil), as, walkOf(as, d, outputs), 2, 1, "",
			func(string) {}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if got := scheduledText(&assignment{}); got != "" {
		t.Errorf("no tick is %q", got)
	}
}

// Of two tasks that hand on one key the nearer wins; at the same distance the one that ended later, with a warning.
func TestValuesOutputs(t *testing.T) {
	//   a   b      all four set k
	//    \ / \
	//     c   d
	//      \ /
	//       e
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "x"}, {ID: "b", Run: "x"},
		{ID: "c", Run: "x", Depends: []string{"a", "b"}}, {ID: "d", Run: "x", Depends: []string{"b"}},
		{ID: "e", Run: "x", Depends: []string{"c", "d"}}}}
	d, err := dagBuild(w.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	out := func(order int, pairs ...string) taskOutputs {
		o := taskOutputs{values: map[string]string{}, order: order}
		for i := 0; i < len(pairs); i += 2 {
			o.values[pairs[i]] = pairs[i+1]
		}
		return o
	}
	for _, c := range []struct {
		name    string
		outputs []taskOutputs
		task    int
		want    string
		warning string
	}{
		{"the nearer", []taskOutputs{out(1, "k", "a"), out(2), out(3, "k", "c"), out(4), {}}, 4, "map[k:c]", ""},
		{"from afar", []taskOutputs{out(1, "k", "a"), out(2, "l", "b"), out(3), out(4), {}}, 4, "map[k:a l:b]", ""},
		{"a tie", []taskOutputs{out(1), out(2), out(9, "k", "c"), out(4, "k", "d"), {}}, 4, "map[k:c]",
			"both c and d hand on k: c ended later and wins"},
		{"a tie the other way", []taskOutputs{out(1), out(2), out(3, "k", "c"), out(4, "k", "d"), {}}, 4, "map[k:d]",
			"both c and d hand on k: d ended later and wins"},
		{"a tie afar", []taskOutputs{out(2, "k", "a"), out(1, "k", "b"), out(3), out(4), {}}, 4, "map[k:a]",
			"both a and b hand on k: a ended later and wins"},
		{"a tie that is hidden", []taskOutputs{out(2, "k", "a"), out(1, "k", "b"), out(3, "k", "c"), out(4), {}}, 4,
			"map[k:c]", ""},
		{"of others", []taskOutputs{out(1), out(2), out(3, "k", "c"), out(4), {}}, 3, "map[]", ""},
		{"by an earlier attempt", []taskOutputs{out(-1), out(-1), out(-1, "k", "c"), out(-1, "k", "d"), {}}, 4,
			"map[k:d]", "both c and d hand on k: d ended later and wins"},
	} {
		values, warnings := outputsBefore(&agentWalk{tasks: w.Tasks, dag: d, outputs: c.outputs}, c.task)
		if got := fmt.Sprint(values); got != c.want || strings.Join(warnings, "|") != c.warning {
			t.Errorf("%s: %s, warnings %q", c.name, got, warnings)
		}
	}
}

func TestValuesEnvFile(t *testing.T) {
	for text, want := range map[string]string{
		"": "map[]", "\n\n# A=1\n  # x\n": "map[]", "A=1": "map[A:1]", "A=1\r\nB=2\r\n": "map[A:1 B:2]",
		"A=": "map[A:]", "A=1\nA=2": "map[A:2]",
		`A="x y"`: "map[A:x y]", `A='x'`: "map[A:x]", `A=""`: "map[A:]", "A=x=y": "map[A:x=y]", `A=x"y"`: `map[A:x"y"]`,
		`A="it's"`: "map[A:it's]", `A= 'x'  `: "map[A:x]",
		"export A=1": "map[A:1]", "  A =1": "map[A:1]", "A= 1 ": "map[A:1]", "_a1=ü": "map[_a1:ü]",
		"A=\ufffd": "map[A:\ufffd]", "A=a\u00a0": "map[A:a\u00a0]",
		"A=1 # one": "map[A:1]", "A=1#2": "map[A:1#2]", "A=# nothing": "map[A:]", "A=1\t#": "map[A:1]",
		`A="1 # 2" # three`: "map[A:1 # 2]", "A='#'": "map[A:#]", "A=x<<y": "map[A:x<<y]",
		"A=" + strings.Repeat("x", 70_000): "map[A:" + strings.Repeat("x", 70_000) + "]",
	} {
		got, err := envFileParse([]byte(text), "f")
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%.40q: %.60v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"A": "f:1: want KEY=value", "x\n": "f:1:",
		"A=1\n=2": "f:2: want KEY=value", "1A=x": "f:1:", "A-B=x": "f:1:",
		"A=1\n\nB=\x00": "f:3: the value of B has a NUL",
		"ü=1":           "f:1:", "\xff=1": "f:1:", "{\"a\": 1}": "f:1:", "A<<END\nx\nEND": "f:1: want KEY=value",
		"A=1\nB=\"x": `f:2: the value of B begins with " and nothing on its line closes that`,
		"A='x\ny'":   "f:1: the value of A begins with ' and", `A="`: "f:1:", `A='x"`: "f:1:",
		`A="x"y`:  `f:1: the value of A goes on behind the quote that closes it: "y"`,
		`A="x"#y`: "f:1: the value of A goes on", `A="x" y`: "f:1: the value of A goes on",
		"A=1\nB=caf\xe9": "f:2: the value of B is not UTF-8: byte 4 is 0xe9",
		"B='\xc3'":       "f:1: the value of B is not UTF-8: byte 2 is 0xc3"} {
		if got, err := envFileParse([]byte(text), "f"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestValuesOutputsParse(t *testing.T) {
	for text, want := range map[string]string{
		"A=1 # one": "map[A:1 # one]", `A="x`: `map[A:"x]`, `A="x"`: "map[A:x]", "A= 1 ": "map[A: 1 ]",
		"A=x<<y": "map[A:x<<y]", "\n# x\nexport A=1\r\n": "map[A:1]",
		"A<<END\n1\n 2 # two\n\nEND\nB=3": "map[A:1\n 2 # two\n B:3]", "A<<END\nEND": "map[A:]",
		"A<<x=y\n\"1\"\nx=y\n": `map[A:"1"]`, "A <<E\nB=1\nE": "map[A:B=1]",
	} {
		got, err := outputsParse([]byte(text))
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"A=1\nB<<END\nx\n": "$CDKTR_OUTPUT:2: B<<END: there is no line END",
		"A<<\nx\n": "$CDKTR_OUTPUT:1: want", "1<<E\nx\nE": "$CDKTR_OUTPUT:1: want",
		"A<<E\n1\nE\nB=\xff": "$CDKTR_OUTPUT:4: the value of B is not UTF-8: byte 1 is 0xff",
		"A<<E\n1\n\x00\nE":   "$CDKTR_OUTPUT:1: the value of A has a NUL byte in it, at byte 3"} {
		if got, err := outputsParse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzValuesEnvParse(f *testing.F) {
	for _, text := range []string{"A=1", "export B='x'\n#\n\nC=\"\"", "A\x00=1", "A=\r\n", strings.Repeat("A=1\n", 100),
		"A<<END\nx\nEND", "A='x' # y"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if values, err := envFileParse(text, "f"); err == nil {
			again := ""
			for _, k := range sortedKeys(values) {
				quote := "'"
				if strings.Contains(values[k], quote) {
					quote = `"`
				}
				if !envNameOK(k) || textFault(values[k]) != nil || strings.Contains(values[k], "\n") {
					t.Errorf("%q: %q", k, values[k])
				}
				if !strings.Contains(values[k], quote) {
					again += k + "=" + quote + values[k] + quote + "\n"
				} else {
					delete(values, k)
				}
			}
			if back, err := envFileParse([]byte(again), "f"); err != nil || fmt.Sprint(back) != fmt.Sprint(values) {
				t.Errorf("%q comes back as %q, %v", values, back, err)
			}
		}
		values, err := outputsParse(text)
		if err != nil {
			return
		}
		again := ""
		for _, k := range sortedKeys(values) {
			end := "E"
			for strings.Contains(values[k], end) {
				end += "E"
			}
			again += k + "<<" + end + "\n" + values[k] + "\n" + end + "\n"
		}
		if back, err := outputsParse([]byte(again)); err != nil || len(back) != len(values) {
			t.Errorf("%q comes back as %q, %v", values, back, err)
		}
	})
}

// What a task may write: to its outputs 64 KiB, to an env file 1 MiB.
func TestValuesLimits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if values, err := outputsRead(file); values != nil || err != nil {
		t.Errorf("no file: %v, %v", values, err)
	}
	write("A=1\n" + "B=" + strings.Repeat("x", outputsMax-6))
	if values, err := outputsRead(file); err != nil || len(values) != 2 {
		t.Errorf("at the bound: %d, %v", len(values), err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	write(strings.Repeat("A=1\n", outputsMax/4) + "\n")
	if _, err := outputsRead(file); err == nil || !strings.Contains(err.Error(), "more than 64 KiB") {
		t.Error(err)
	}
	write("what")
	if _, err := outputsRead(file); err == nil || !strings.Contains(err.Error(), "$CDKTR_OUTPUT:1: want KEY=value") {
		t.Error(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := outputsRead(file); err == nil || !strings.Contains(err.Error(), "read outputs") {
		t.Error(err)
	}
	big := filepath.Join(t.TempDir(), "big.env")
	if err := os.WriteFile(big, make([]byte, envFileMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newEnviron(nil).addFile(big); err == nil || !strings.Contains(err.Error(),
		"the file has 1048577 bytes, more than 1048576") {
		t.Error(err)
	}
}

func TestUserEnviron(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passwd")
	if err := os.WriteFile(file, []byte("# x\nroot:x:0:0:root:/root:/bin/bash\nbroken:x:7\nplain:x:7:7::/home/p:\nnobody:x:65534:65534:::/bin/false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	all := "HOME=/h USER=u LOGNAME=l SHELL=/s"
	for _, c := range []struct {
		environ string
		file    string
		uid     int
		want    string
	}{
		{"PATH=/bin", file, 0, "PATH=/bin HOME=/root USER=root LOGNAME=root SHELL=/bin/bash"},
		{"HOME=/h USER=u", file, 0, "HOME=/h USER=u LOGNAME=root SHELL=/bin/bash"},
		{"HOME=", file, 0, "HOME= USER=root LOGNAME=root SHELL=/bin/bash"},
		{all, file, 0, all}, {all, dir + "/none", 0, all},
		{"A=1", file, 7, "A=1 HOME=/home/p USER=plain LOGNAME=plain SHELL=/bin/sh"},
		{"A=1", file, 65534, "A=1 USER=nobody LOGNAME=nobody SHELL=/bin/false"},
		{"A=1", file, 1000, "A=1"}, {"A=1", dir + "/none", 0, "A=1"}, {"A=1", dir + "/fifo", 0, "A=1"},
		{"A=1", dir, 0, "A=1"}, {"A=1", "/dev/zero", 0, "A=1"},
	} {
		environ := strings.Fields(c.environ)
		if got := strings.Join(userEnviron(environ, c.file, c.uid), " "); got != c.want ||
			fmt.Sprint(environ) != "["+c.environ+"]" {
			t.Errorf("%s for %d in %s: %s, want %s", c.environ, c.uid, c.file, got, c.want)
		}
	}
}

// What all tasks begin with is made once, and again when the passwd file has changed. What one of them sets is not in
// the others.
func TestValuesBase(t *testing.T) {
	b := newEnvironBase([]string{"A=1"})
	b.file = filepath.Join(t.TempDir(), "passwd")
	say := func(home string) {
		t.Helper()
		if err := os.WriteFile(b.file, fmt.Appendf(nil, "u:x:%d:0::%s:/bin/sh\n", b.uid, home), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(list string) {
		t.Helper()
		e := b.copy()
		if got := strings.Join(e.list, " "); got != list {
			t.Errorf("%s, want %s", got, list)
		}
		e.set("A", "2")
		e.set("HOME", "/mine")
		e.set("B", "3")
		if e.get("A") != "2" || e.get("HOME") != "/mine" || e.get("B") != "3" {
			t.Errorf("what was set is not there: %q", e.list)
		}
	}
	want("A=1")
	say("/home/u")
	want("A=1 HOME=/home/u USER=u LOGNAME=u SHELL=/bin/sh")
	made := b.made
	want("A=1 HOME=/home/u USER=u LOGNAME=u SHELL=/bin/sh")
	if b.made != made {
		t.Error("made anew of the same file")
	}
	say("/home/other")
	want("A=1 HOME=/home/other USER=u LOGNAME=u SHELL=/bin/sh")
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	want("A=1")
}

// environTestOf makes what the environment of a task of 100 others, all before it, is made of.
func environTestOf(t testing.TB) (*environBase, *assignment, *dag, []taskOutputs) {
	t.Helper()
	var own []string
	for i := range 40 {
		own = append(own, fmt.Sprintf("VARIABLE_%d=some value", i))
	}
	w := &Workflow{ID: "etl"}
	for i := range 101 {
		task := Task{ID: fmt.Sprint("t", i), Run: "true"}
		if i > 0 {
			task.Depends = []string{fmt.Sprint("t", i-1)}
		}
		w.Tasks = append(w.Tasks, task)
	}
	d, err := dagBuild(w.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	return newEnvironBase(own), &assignment{Run: "R1", Spec: w}, d, make([]taskOutputs, len(w.Tasks))
}

// The environment of a task costs what the task adds to it, however many variables and tasks there are before it.
func TestValuesAllocs(t *testing.T) {
	base, as, d, outputs := environTestOf(t)
	walk := walkOf(as, d, outputs)
	stage := func(string) {}
	n := allocsOf(100, func() {
		if _, _, err := environOfTask(base.copy(), as, walk, 100, 1, "/tmp/out", stage); err != nil {
			t.Fatal(err)
		}
	})
	if n > 16 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnvironOfTask(b *testing.B) {
	base, as, d, outputs := environTestOf(b)
	walk := walkOf(as, d, outputs)
	stage := func(string) {}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := environOfTask(base.copy(), as, walk, 100, 1, "/tmp/out", stage); err != nil {
			b.Fatal(err)
		}
	}
}
