// The documents against the program: workflows in them load, verbs and flags in them exist, and nothing that there is
// is left out of them.

package main

import (
	"flag"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docsRead reads a document, and docsAll all of them by name.
func docsRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func docsAll(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	github, err := filepath.Glob(".github/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, github...)
	for _, name := range append(names, "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
		".github/pull_request_template.md") {
		all[name] = docsRead(t, name)
	}
	if len(all) < 20 {
		t.Fatalf("only %d documents are here", len(all))
	}
	return all
}

var docsDiff = regexp.MustCompile("(?ms)^```diff\n.*?^```$")

var docsBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// TestDocsWorkflows loads every workflow in the documents.
func TestDocsWorkflows(t *testing.T) {
	found := 0
	for name, text := range docsAll(t) {
		for _, block := range docsBlock.FindAllStringSubmatch(text, -1) {
			if block[1] != "yaml" || !regexp.MustCompile(`(?m)^tasks:`).MatchString(block[2]) {
				continue
			}
			found++
			if _, faults := workflowParse(name, "w", []byte(block[2])); len(faults) > 0 {
				t.Errorf("%v\n%s", faults, block[2])
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d workflows found", found)
	}
}

// TestDocsVerbs looks up each verb that a document mentions, in the text or after a prompt.
func TestDocsVerbs(t *testing.T) {
	known := []string{"help"}
	for _, v := range mainVerbs() {
		known = append(known, v.name)
		if v.other != "" {
			known = append(known, v.other)
		}
	}
	mention := regexp.MustCompile("(?:`|\\$ |\\$\\(|-u cdktr )cdktr ([a-z]+)(?: ([a-z]+))?")
	found := 0
	for name, text := range docsAll(t) {
		text = docsDiff.ReplaceAllString(text, "") // a recipe makes a verb that is not there
		for _, m := range mention.FindAllStringSubmatch(text, -1) {
			found++
			if !slices.Contains(known, m[1]) && !slices.Contains(known, m[1]+" "+m[2]) {
				t.Errorf("%s: there is no verb %q", name, strings.TrimSpace(m[0]))
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d mentions found", found)
	}
}

// TestDocsVerbsInSource looks up each verb that the program tells its user to type.
func TestDocsVerbsInSource(t *testing.T) {
	t.Parallel()
	known := []string{"help"}
	for _, v := range mainVerbs() {
		known = append(known, strings.Fields(v.name)[0], v.name)
		if meantHint(meantVerbs, v.name) != "" {
			t.Errorf("%s is a verb: meantVerbs must not name another for it", v.name)
		}
	}
	// words behind the program's name
	prose := []string{"is", "was", "has", "that", "can", "does", "and", "of", "runs", "knows", "itself", "with",
		"wrote"}
	mention := regexp.MustCompile("(?:^|[^a-z])cdktr ([a-z]+)(?: ([a-z]+))?")
	found, src := 0, layersParse(t)
	for _, name := range sortedKeys(src.files) {
		if name == "main_completion.go" { // shell code, in which the name stands for the function
			continue
		}
		ast.Inspect(src.files[name], func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			for _, m := range mention.FindAllStringSubmatch(lit.Value, -1) {
				found++
				if !slices.Contains(known, m[1]) && !slices.Contains(known, m[1]+" "+m[2]) &&
					!slices.Contains(prose, m[1]) {
					t.Errorf("%s: there is no verb %q", src.fset.Position(lit.Pos()), strings.TrimSpace(m[0]))
				}
			}
			return true
		})
	}
	if found < 100 {
		t.Errorf("only %d mentions found", found)
	}
}

// TestDocsCommandLine wants every verb, flag and setting in docs/command-line.md, and every long flag there to exist.
func TestDocsCommandLine(t *testing.T) {
	t.Parallel()
	text := docsRead(t, "docs/command-line.md")
	flags := map[string]bool{"help": true}
	for _, v := range mainVerbs() {
		if !strings.Contains(text, "`cdktr "+v.name) {
			t.Errorf("verb %s is not in it", v.name)
		}
		if v.other != "" && !strings.Contains(text, "`cdktr "+v.other+"`") {
			t.Errorf("%s, another name of %s, is not in it", v.other, v.name)
		}
		f := newCLIFlags(v.name)
		if v.flags != nil {
			v.flags(f)
		}
		for _, name := range docsFlags(f) {
			flags[name] = true
			dashes := "--"
			if len(name) == 1 {
				dashes = "-"
			}
			if !regexp.MustCompile("[` ]" + dashes + regexp.QuoteMeta(name) + "[ `]").MatchString(text) {
				t.Errorf("flag %s%s of %s is not in it", dashes, name, v.name)
			}
		}
	}
	for _, m := range regexp.MustCompile("[ `]--([a-z][a-z-]*)").FindAllStringSubmatch(text, -1) {
		if !flags[m[1]] {
			t.Errorf("there is no flag --%s", m[1])
		}
	}
	for _, key := range configKeys {
		for _, name := range append([]string{key.name}, key.env...) {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("setting %s: %s is not in it", key.name, name)
			}
		}
	}
}

// docsFlags lists the names of a verb's flags.
func docsFlags(f *cliFlags) (names []string) {
	f.VisitAll(func(fl *flag.Flag) { names = append(names, fl.Name) })
	return names
}

// TestDocsAPI wants every op of the request API with its fields, and every kind of event, in docs/protocol.md.
func TestDocsAPI(t *testing.T) {
	text := docsRead(t, "docs/protocol.md")
	for _, v := range protoOps {
		row := docsRow(text, v.Op, 5)
		if row == "" {
			t.Errorf("op %s has no row in the table of ops", v.Op)
			continue
		}
		for _, field := range v.Fields {
			name, needed := strings.CutSuffix(field, "*")
			told := "`" + name + "`"
			if needed {
				told += `\*`
			}
			if !strings.Contains(row, told) {
				t.Errorf("op %s: field %s is not in its row", v.Op, field)
			}
		}
	}
	kinds := regexp.MustCompile(`(?m)^\tev\w+ += "([a-z.]+)"`).FindAllStringSubmatch(docsRead(t, "state.go"), -1)
	if len(kinds) < 15 {
		t.Fatalf("only %d kinds of event found in state.go", len(kinds))
	}
	for _, kind := range kinds {
		if docsRow(text, kind[1], 3) == "" {
			t.Errorf("event %s has no row in the table of events", kind[1])
		}
	}
}

// docsRow finds the row of a name in a table with so many columns. It gives "" when there is none.
func docsRow(text, name string, columns int) string {
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == columns+2 && strings.TrimSpace(cells[1]) == "`"+name+"`" {
			return line
		}
	}
	return ""
}

// docsAnchor gives the anchor that a heading gets.
func docsAnchor(heading string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == ' ':
			return '-'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			return c
		}
		return -1
	}, strings.ToLower(heading))
}

// TestDocsLinks follows every link within the repository: to files and to headings.
func TestDocsLinks(t *testing.T) {
	for name, text := range docsAll(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(docsBlock.ReplaceAllString(text,
			""), -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link %s: %v", name, m[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			headings := regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(docsRead(t, target), -1)
			if !slices.ContainsFunc(headings, func(h []string) bool { return docsAnchor(h[1]) == anchor }) {
				t.Errorf("%s: link %s: there is no such heading", name, m[1])
			}
		}
	}
}

// TestDocsDependencies wants every module that go.mod names to be accounted for in the README, and none that it does
// not.
func TestDocsDependencies(t *testing.T) {
	module := regexp.MustCompile(`[a-z0-9.-]+\.[a-z]+/[a-z0-9./-]+`)
	readme := docsRead(t, "README.md")
	_, section, found := strings.Cut(readme, "\n## Dependencies\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("README.md has no section of dependencies")
	}
	wanted := module.FindAllString(docsRead(t, "go.mod"), -1)
	if len(wanted) < 4 {
		t.Fatalf("only %q found in go.mod", wanted)
	}
	told := module.FindAllString(section, -1)
	for _, name := range wanted {
		if !slices.Contains(told, name) {
			t.Errorf("README.md does not say what %s is for", name)
		}
	}
	for _, name := range told {
		if !slices.Contains(wanted, name) {
			t.Errorf("README.md names %s, which go.mod does not", name)
		}
	}
}

// docsRecipesInto is a copy of the tree that TestDocsRecipes puts the recipes of CONTRIBUTING.md into. .ci/recipes goes
// on from there: it builds the copy and runs tests in it.
var docsRecipesInto = flag.String("recipes.into", "", "folder with a copy of this tree, for TestDocsRecipes to change")

// TestDocsRecipes holds the patches in CONTRIBUTING.md to the tree: what each one says is there is there, once.
func TestDocsRecipes(t *testing.T) {
	files := map[string]string{}
	patches := 0
	for _, block := range docsBlock.FindAllStringSubmatch(docsRead(t, "CONTRIBUTING.md"), -1) {
		if block[1] != "diff" {
			continue
		}
		var name, lines string
		create := false
		for line := range strings.Lines(block[2] + "--- \n") {
			mark, next, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if !found || mark != "---" && mark != "+++" {
				lines += line
				continue
			}
			if name != "" {
				patches++
				docsPatch(t, files, name, create, lines)
			}
			name, lines, create = next, "", mark == "+++"
		}
	}
	if patches < 15 {
		t.Errorf("only %d patches found", patches)
	}
	for name, text := range files {
		if *docsRecipesInto != "" && !t.Failed() {
			if err := os.WriteFile(filepath.Join(*docsRecipesInto, name), []byte(text), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}

// docsPatch applies the lines of a patch to a file, which may be a new one.
func docsPatch(t *testing.T, files map[string]string, name string, create bool, lines string) {
	t.Helper()
	var older, newer strings.Builder
	for line := range strings.Lines(lines) {
		if line[0] != '+' {
			older.WriteString(line[1:])
		}
		if line[0] != '-' {
			newer.WriteString(line[1:])
		}
	}
	if create {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("CONTRIBUTING.md makes %s, which is there", name)
		}
		files[name] = newer.String()
		return
	}
	if _, ok := files[name]; !ok {
		files[name] = docsRead(t, name)
	}
	if n := strings.Count(files[name], older.String()); n != 1 {
		t.Errorf("CONTRIBUTING.md changes a part of %s that is there %d times: write what is there now into the "+
			"recipe:"+
			"\n%s", name, n, older.String())
	}
	files[name] = strings.Replace(files[name], older.String(), newer.String(), 1)
}
