// Each key of a workflow file is used where people look for it, and by a test of the whole program: this reads the
// examples, the document and the end-to-end tests, and says which key is nowhere in them.

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// usesTables are the tables of keys by the name of the map that they are for.
func usesTables() map[string][]string {
	return map[string][]string{
		"":                         workflowNames(workflowKeys),
		"params.":                  workflowNames(workflowParamKeys),
		"log.":                     workflowNames(workflowLogKeys),
		"limits.":                  workflowNames(workflowLimitsKeys),
		"expect.":                  workflowNames(workflowExpectKeys),
		"on.":                      workflowNames(workflowListenerKeys),
		"on.file.":                 workflowNames(workflowListenFileKeys),
		"on.workflow.":             workflowNames(workflowListenWorkflowKeys),
		"on.command.":              workflowNames(workflowListenCommandKeys),
		"task.":                    workflowNames(workflowTaskKeys),
		"task.repeat.":             workflowNames(workflowRepeatKeys),
		"task.http.":               workflowNames(workflowHTTPKeys),
		"task.python.":             workflowNames(workflowPythonKeys),
		"task.config.!UvPython.":   workflowNames(workflowUvPythonKeys),
		"task.config.!Subprocess.": workflowNames(workflowSubprocessKeys),
	}
}

// uses are the keys that a text has, by their names with the name of their map before them.
type uses map[string]bool

// read notes the keys of a workflow file, or of a defaults.yml, and says whether the text is one.
func (u uses) read(text string) bool {
	var doc yaml.Node
	if yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return false
	}
	u.note("", doc.Content[0])
	return true
}

// note notes the keys of a map, and of the maps in it. What is merged into it counts as its own.
func (u uses) note(table string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			u.note(table, item)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		if key == "<<" {
			u.note(table, value)
			continue
		}
		name := table + key
		u[name] = true
		switch name {
		case "tasks", handlerFailure, handlerSuccess, handlerExit:
			u.each("task.", value)
		case "params":
			u.each("params.", value)
		case "task.config":
			u.note(name+"."+value.Tag+".", value)
		case "limits", "task.limits":
			u.note("limits.", value)
		case "log", "expect", "on", "on.file", "on.workflow", "on.command", "task.repeat", "task.http", "task.python":
			u.note(name+".", value)
		}
	}
}

// each notes the keys of each of the maps in a map.
func (u uses) each(table string, n *yaml.Node) {
	for i := 1; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		u.note(table, n.Content[i])
	}
}

// want tells of each key that is not there, but of those that need not be.
func (u uses) want(t *testing.T, where string, but map[string]string) {
	t.Helper()
	tables := usesTables()
	for _, table := range sortedKeys(tables) {
		for _, key := range tables[table] {
			name := table + key
			why, excused := but[name]
			switch {
			case !u[name] && !excused:
				t.Errorf("%s has no workflow with the key %s", where, name)
			case u[name] && excused:
				t.Errorf("%s has the key %s: it needs no excuse (%s)", where, name, why)
			}
		}
	}
}

// usesOfCDKTR excuses the keys of a task of CDKTR for Python.
func usesOfCDKTR(why string) map[string]string {
	but := map[string]string{}
	for _, key := range workflowNames(workflowUvPythonKeys) {
		but["task.config.!UvPython."+key] = why
	}
	return but
}

// TestUsesInExamples: an example of the examples folder has each key.
func TestUsesInExamples(t *testing.T) {
	u := uses{}
	err := filepath.WalkDir("examples", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".yml") && !u.read(docsRead(t, name)) {
			t.Errorf("%s is no workflow", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	u.want(t, "examples/", usesOfCDKTR("of CDKTR's form, in which nobody should write anew: legacy.yml has a bit of it"))
}

// TestUsesInDocs: an example of the document about workflow files has each key.
func TestUsesInDocs(t *testing.T) {
	u := uses{}
	for _, block := range docsBlock.FindAllStringSubmatch(docsRead(t, "docs/workflow-files.md"), -1) {
		if block[1] == "yaml" && !u.read(block[2]) {
			t.Errorf("an example is no workflow:\n%s", block[2])
		}
	}
	but := usesOfCDKTR("of CDKTR's form, for which coming-from-cdktr.md is")
	for _, key := range []string{"cron", "task.config", "task.config.!Subprocess.cmd", "task.config.!Subprocess.args"} {
		but[key] = "the same"
	}
	u.want(t, "docs/workflow-files.md", but)
}

// TestUsesEndToEnd: a workflow of an end-to-end test has each key, and something happens in the middle of it: a kill of
// the principal and of the agent, a cancel, and one with --force.
func TestUsesEndToEnd(t *testing.T) {
	files, err := filepath.Glob("e2e/*_test.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d tests, %v", len(files), err)
	}
	texts := usesTexts{}
	parsed, tests := map[string]*ast.File{}, map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed[file] = f
		texts.constants(f)
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	all, middle := uses{}, uses{}
	for _, file := range files {
		ast.Inspect(parsed[file], func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := texts.of(e)
			if !ok {
				return true
			}
			if strings.Contains(text, "tasks:") {
				all.read(text)
				if file == "e2e/middle_test.go" {
					middle.read(text)
				}
			}
			return false
		})
	}
	all.want(t, "e2e/", nil)
	elsewhere := map[string]string{}
	for _, row := range usesMiddle {
		for key := range strings.FieldsSeq(row.keys) {
			elsewhere[key] = row.where
		}
		for word := range strings.FieldsSeq(row.where) {
			if strings.HasPrefix(word, "Test") && !tests[strings.TrimRight(word, ",.:")] {
				t.Errorf("there is no %s, which is to be the test of %s", word, row.keys)
			}
		}
	}
	middle.want(t, "e2e/middle_test.go", elsewhere)
}

// usesMiddle are the keys that TestMiddle does without: the tests that do to them what it does, or why there is nothing
// to do.
var usesMiddle = []struct{ keys, where string }{
	{"schedule", "TestScheduleFires TestScheduleCatchup TestScheduleDays"},
	{"except only", "TestScheduleDays TestScheduleKeys: a day says no before there is a run"},
	{"timezone jitter", "TestScheduleKeys TestExpectBy: all is said of a time before there is a run"},
	{"catchup catchup_window", "TestScheduleCatchup: a restart is what they are for"},
	{"overlap", "TestScheduleOverlap TestPools"},
	{"on on.file on.file.path on.file.settle on.debounce", "TestListenFile TestListenJoined"},
	{"on.workflow on.workflow.id on.workflow.state", "TestListenWorkflow"},
	{"on.command on.command.run on.command.match on.rate", "TestListenCommand"},
	{"pool", "TestPools"},
	{"expect expect.within expect.by", "TestExpect TestExpectBy"},
	{"if", "TestIfInTheMiddle"},
	{"task.agent", "TestPartStopped TestPartRestarts TestPartLost"},
}

// usesTexts are the constants of the tests.
type usesTexts map[string]ast.Expr

// constants notes the constants and variables of a file that are given a value once.
func (c usesTexts) constants(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
			for i, name := range spec.Names {
				c[name.Name] = spec.Values[i]
			}
		}
		return true
	})
}

var (
	usesVerb  = regexp.MustCompile(`%[sdqv]`)
	usesPlace = regexp.MustCompile(`(?m)^ *KEYS$`) // where a test puts more keys
)

// of gives the text that an expression makes, without the parts that only a run of the test knows; ok is false where it
// knows no part.
func (c usesTexts) of(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); e.Kind == token.STRING && err == nil {
			return usesPlace.ReplaceAllString(usesVerb.ReplaceAllString(text, "word"), ""), true
		}
	case *ast.BinaryExpr:
		x, okX := c.of(e.X)
		y, okY := c.of(e.Y)
		if e.Op == token.ADD && (okX || okY) {
			return x + y, true
		}
	case *ast.Ident:
		if value := c[e.Name]; value != nil {
			return c.of(value)
		}
	}
	return "", false
}
