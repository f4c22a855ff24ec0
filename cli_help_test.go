// Tests of help: what is said is in the program, fits a terminal, and is sound for those who read man pages.

package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"cdktr/e2e/harness"
)

// TestHelpTexts: help.gz is help.txt, which has a text for each topic and no other. With -update it is written anew.
func TestHelpTexts(t *testing.T) {
	want, err := os.ReadFile("help.txt")
	if err != nil {
		t.Fatal(err)
	}
	if *protocolUpdate {
		var zip bytes.Buffer
		w, err := gzip.NewWriterLevel(&zip, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.Write(want); errors.Join(err, w.Close(), os.WriteFile("help.gz", zip.Bytes(), 0o644)) != nil {
			t.Fatal(err)
		}
		return // what is in this binary is from before
	}
	if text, err := helpTexts(); err != nil || text != string(want) {
		t.Fatalf("help.gz is not help.txt (%v): write it anew with go test -run TestHelpTexts -update .", err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^== (.*)$`).FindAllStringSubmatch(string(want), -1) {
		names = append(names, m[1])
		if helpTopicOf(m[1]) == nil {
			t.Errorf("%s is no topic", m[1])
		}
	}
	if len(names) != len(helpTopics) {
		t.Errorf("help.txt has %v, and there are %d topics", names, len(helpTopics))
	}
	for i := range helpTopics {
		topic := &helpTopics[i]
		text, err := topic.text()
		if err != nil || len(text) < 500 || regexp.MustCompile(`(?m)^@[a-z-]+$`).MatchString(text) {
			t.Errorf("%s: %v, %q", topic.name, err, text)
		}
		for line := range strings.Lines(helpPlain(text)) {
			if utf8.RuneCountInString(line) > helpWidth+1 {
				t.Errorf("%s: too wide: %s", topic.name, line)
			}
		}
		for _, word := range strings.Fields(topic.words) {
			if helpTopicOf(word) != topic {
				t.Errorf("%s is a word of two topics", word)
			}
		}
	}
}

// What the tables of help say is what the documents say, and what is.
func TestHelpTables(t *testing.T) {
	doc, err := os.ReadFile("docs/command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range cliExits {
		if !strings.Contains(string(doc), "\n| "+strconv.Itoa(e.code)+" | ") {
			t.Errorf("docs/command-line.md has no exit code %d", e.code)
		}
	}
	for _, role := range authRoles {
		if !strings.Contains(helpRoles(), role+"\t") {
			t.Errorf("help has no role %s", role)
		}
	}
	if len(helpRoleTexts) != len(authRoles) {
		t.Errorf("help has %d roles, not %d", len(helpRoleTexts), len(authRoles))
	}
	environment, err := helpTopicOf("environment").text()
	if err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile("docs/workflow-files.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| (`[A-Z_]+`(?:, `[A-Z_]+`)*)")
	for _, m := range rows.FindAllStringSubmatch(string(seen), -1) {
		for _, name := range strings.Split(strings.ReplaceAll(m[1], "`", ""), ", ") {
			if !strings.Contains(environment, name) {
				t.Errorf("help environment has no %s, which docs/workflow-files.md has", name)
			}
		}
	}
}

// Each example of a verb, and each command in a topic, is a command line that the program takes: its verb and its flags
// are there.
func TestHelpExamples(t *testing.T) {
	var lines []string
	for _, v := range mainVerbs() {
		lines = append(lines, v.examples...)
	}
	text, err := helpTexts()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text + mainFirst) {
		if strings.HasPrefix(line, "  cdktr ") {
			lines = append(lines, line)
		}
	}
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	for _, line := range lines {
		_, rest, found := strings.Cut(" "+line, "cdktr ")
		if !found || strings.Contains(line, "_cdktr") {
			continue
		}
		rest, _, _ = strings.Cut(quoted.ReplaceAllString(rest, "quoted"), " #")
		if end := strings.IndexAny(rest, "|>;&<)"); end >= 0 {
			rest = rest[:end]
		}
		verb, words, err := mainFind(strings.Fields(rest))
		if err != nil || verb == nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		f := newCLIFlags(verb.name)
		if verb.flags != nil {
			verb.flags(f)
		}
		if _, err := f.parse(words); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// groff and mandoc have nothing to say against any page, and each page has what a page has.
func TestHelpMan(t *testing.T) {
	for _, tool := range []string{"mandoc", "groff", "man"} {
		if _, err := exec.LookPath(tool); err != nil {
			harness.Lacks(t, "apt install mandoc groff-base man-db: %v", err)
		}
	}
	dir := t.TempDir()
	pages, err := mainPages()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, p := range pages {
		file := filepath.Join(dir, filepath.Base(p.name))
		if err := os.WriteFile(file, []byte(p.text), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		at := 0
		if strings.HasSuffix(file, ".1") {
			for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS",
				"SEE ALSO"} {
				next := strings.Index(p.text, "\n.SH "+section+"\n")
				if next < at {
					t.Errorf("%s: no %s in its place", p.name, section)
				}
				at = next
			}
		}
		for _, other := range regexp.MustCompile(`cdktr\\-[a-z\\-]+\([157]\)`).FindAllString(p.text, -1) {
			name, section, _ := strings.Cut(strings.ReplaceAll(strings.TrimSuffix(other, ")"), `\-`, "-"), "(")
			if !strings.Contains(pagesNames(pages), "man"+section+"/"+name+"."+section+"\n") {
				t.Errorf("%s: there is no %s", p.name, other)
			}
		}
	}
	for _, command := range [][]string{{"mandoc", "-T", "lint", "-W", "warning"},
		{"groff", "-man", "-ww", "-z", "-Tutf8"}} {
		out, err := exec.Command(command[0], append(command[1:], files...)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%v: %v\n%.2000s", command, err, out)
		}
	}
	man := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", filepath.Join(dir, "cdktr-run.1"))
	man.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
	out, err := man.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("cdktr run etl.daily -p day=2026-01-31 --wait && echo loaded")) {
		t.Errorf("man: %v\n%.2000s", err, out)
	}
}

func pagesNames(pages []cliText) string {
	var b strings.Builder
	for _, p := range pages {
		b.WriteString(p.name + "\n")
	}
	return b.String()
}

// Text that looks like requests of roff is shown as it is.
func TestHelpRoff(t *testing.T) {
	page := helpPage{"cdktr-x", "a 'help' with \\ and -", "# Description\n.so /etc/passwd\n'br\n  .nf\n  \\fBx\n" +
		"a\tb\n.a\t.b\n\nend ~ ^ ` \"…\"\n", 1}
	got := helpRoff(&page)
	for _, want := range []string{"\n\\&.so /etc/passwd\n", "\n\\&\\(aqbr\n", "\n\\&.nf\n", "\n\\efBx\n", "\n.B a\nb\n",
		"\n.B \\&.a\n\\&.b\n", "\nend \\(ti \\(ha \\(ga \\(dq\\[u2026]\\(dq\n",
		`cdktr\-x \- a \(aqhelp\(aq with \e and \-`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q has no %q", got, want)
		}
	}
}

// The words of a text stay, in lines that are narrow enough, whatever they are.
func TestHelpPlain(t *testing.T) {
	long := strings.Repeat("x", 200)
	text := "# Head\none\ntwo " + long + " three\n\n  as   it is\na\tb " + long + "\n" + long + "\tc\nlonger\td\n"
	want := "Head:\none two\n" + long + "\nthree\n\n  as   it is\n  a       b\n          " + long + "\n  " + long +
		"\n          c\n  longer  d\n"
	if got := helpPlain(text); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}
