package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestDagText(t *testing.T) {
	diamond := dagTasks("fetch", "transform:fetch", "audit:fetch", "load:transform,audit", "alarm:transform?failure")
	many := "all:" + strings.Join(strings.Fields("extract-one extract-two extract-three extract-four extract-five"),
		",") + "?always"
	wide := dagTasks("extract-one", "extract-two", "extract-three", "extract-four", "extract-five", many)
	for _, c := range []struct {
		name  string
		tasks []Task
		width int
		want  string
	}{
		{"empty", nil, 0, `
TASK  WHEN  AFTER
`},
		{"diamond", diamond, 0, `
TASK         WHEN     AFTER
fetch
  transform           fetch
  audit               fetch
    load              transform audit
    alarm    failure  transform
`},
		{"a node stands once, however many ways lead to it", dagTasks("d:b,c,d2", "b:a", "c:a", "a", "d2:a,a?success"), 0, `
TASK   WHEN  AFTER
a
  b          a
  c          a
  d2         a
    d        b c d2
`},
		{"uncut", wide, 0, `
TASK           WHEN    AFTER
extract-one
extract-two
extract-three
extract-four
extract-five
  all          always  extract-one extract-two extract-three extract-four extract-five
`},
		{"cut", wide, 60, `
TASK           WHEN    AFTER
extract-one
extract-two
extract-three
extract-four
extract-five
  all          always  extract-one extract-two +3 more
`},
		{"cut to the count", wide, 30, `
TASK           WHEN    AFTER
extract-one
extract-two
extract-three
extract-four
extract-five
  all          always  +5 more
`},
		{"conditions and what may fail", []Task{{ID: "a", If: "test -e \"x\""}, {ID: "b", When: whenAlways, If: "y",
			AllowFailure: ExitCodes{3}, Depends: []string{"a"}}, {ID: "c", AllowFailure: ExitCodes{}}}, 0, `
TASK  WHEN                  AFTER
a     if
  b   always, if, may fail  a
c     may fail
`},
		{"how often", []Task{{ID: "a", Foreach: &Foreach{Items: []string{"x", "y"}}}, {ID: "b", When: whenFailure,
			Foreach: &Foreach{From: "${params.hosts}"}}, {ID: "c", Repeat: &Repeat{}}}, 0, `
TASK  WHEN                              AFTER
a     each of 2
b     failure, each of ${params.hosts}
c     repeat
`},
		{"what is waited for", []Task{{ID: "a", Pool: map[string]int{"db": 2}, Workflow: "etl.daily"},
			{ID: "b", Approve: "Go?", Depends: []string{"a"}}}, 0, `
TASK  WHEN                       AFTER
a     pool db, run of etl.daily
  b   asks a person              a
`},
		{"ids that are not plain", dagTasks("", "two words", "é\x1b[2J", `q"b\`, "z:,two words"), 0, `
TASK             WHEN  AFTER
""
"two words"
"\u00e9\x1b[2J"
"q\"b\\"
  z                    "" "two words"
`},
		{"faults are drawn as written", dagTasks("b:a", "a:b", "c:nowhere"), 0, `
TASK  WHEN  AFTER
b           a
a           b
c           nowhere
`},
	} {
		w := &Workflow{ID: "w", Tasks: c.tasks}
		got, want := dagText(w, c.width), c.want[1:]
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
		dagDrawFits(t, w, c.width)
	}
}

// dagDrawFits checks what holds for every drawing: a row a task and one above, ASCII without control characters, no
// spaces at the ends; in DOT as many nodes as tasks, in strings that close.
func dagDrawFits(t *testing.T, w *Workflow, width int) {
	t.Helper()
	text := dagText(w, width)
	if got := strings.Count(text, "\n"); got != len(w.Tasks)+1 {
		t.Fatalf("%d rows for %d tasks:\n%s", got, len(w.Tasks), text)
	}
	if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); at >= 0 {
		t.Fatalf("byte %d is not plain ASCII: %q", at, text)
	}
	if strings.Contains(text, " \n") {
		t.Fatalf("a row ends in spaces: %q", text)
	}
	dagDotReads(t, w)
}

// dagDotReads reads DOT back, by the rules of the language's own scanner: in a quoted string a backslash takes the next
// character with it. The first word of each node line must be the string of that task.
func dagDotReads(t *testing.T, w *Workflow) {
	t.Helper()
	dot := dagDot(w)
	lines := strings.Split(strings.TrimSuffix(dot, "\n"), "\n")
	nodes, edges, wantEdges := 0, 0, 0
	for i := range w.Tasks {
		wantEdges += len(dagAfter(&w.Tasks[i]))
	}
	for _, line := range lines[2 : len(lines)-1] {
		plain, open := "", false
		for k := 0; k < len(line); k++ {
			switch {
			case line[k] == '"':
				open = !open
				plain += `"`
			case open && line[k] == '\\':
				k++
			case !open:
				plain += line[k : k+1]
			}
		}
		switch plain {
		case "\t\"\" [label=\"\"];":
			nodes++
		case "\t\"\" -> \"\";":
			edges++
		default:
			t.Fatalf("line %q reads as %q", line, plain)
		}
	}
	if nodes != len(w.Tasks) || edges != wantEdges {
		t.Fatalf("%d nodes and %d edges for %d and %d:\n%s", nodes, edges, len(w.Tasks), wantEdges, dot)
	}
}

func TestDagTextDeep(t *testing.T) {
	w := &Workflow{}
	for i := range 1000 {
		task := Task{ID: fmt.Sprint("t", i)}
		if i > 0 {
			task.Depends = []string{fmt.Sprint("t", i-1)}
		}
		w.Tasks = append(w.Tasks, task)
	}
	for _, width := range []int{0, 30, 60, 80} {
		dagDrawFits(t, w, width)
		for line := range strings.Lines(dagText(w, width)) {
			if columns := len(line) - 1; columns > 60 || width > 0 && columns > width {
				t.Fatalf("width %d: a row of %d columns: %q", width, columns, line)
			}
		}
	}
}

// TestDagTextWidth tries every width: no row is wider where there is room for the columns and a count at all, what fits
// exactly is not cut, and what is cut is counted right.
func TestDagTextWidth(t *testing.T) {
	w := &Workflow{Tasks: dagTasks("a", "bb", "ccc", "dddd", "eeeee", "f:a,bb,ccc,dddd,eeeee")}
	lastRow := func(width int) string {
		text := strings.TrimSuffix(dagText(w, width), "\n")
		return text[strings.LastIndexByte(text, '\n')+1:]
	}
	for width := 1; width < 60; width++ {
		last := lastRow(width)
		if width >= 25 {
			if len(last) > width {
				t.Errorf("width %d: %q", width, last)
			}
			if tight := lastRow(len(last)); tight != last {
				t.Errorf("width %d, just what %q needs: %q", len(last), last, tight)
			}
		}
		names := strings.Fields(last)[1:]
		if _, cut, ok := strings.Cut(last, "+"); ok {
			var more int
			if _, err := fmt.Sscanf(cut, "%d more", &more); err != nil || more+len(names)-2 != 5 {
				t.Errorf("width %d: %q counts wrong", width, last)
			}
		} else if len(names) != 5 {
			t.Errorf("width %d: %q has lost names", width, last)
		}
	}
}

func TestDagDot(t *testing.T) {
	w := &Workflow{ID: "etl.daily", Tasks: dagTasks("load:fetch", "fetch", "alarm:load,fetch,load?failure")}
	want := `digraph "etl.daily" {
	node [shape=box];
	"fetch" [label="fetch"];
	"load" [label="load"];
	"alarm" [label="alarm\nwhen: failure"];
	"fetch" -> "load";
	"load" -> "alarm";
	"fetch" -> "alarm";
}
`
	if got := dagDot(w); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := dagDot(&Workflow{ID: "w"}); got != "digraph \"w\" {\n\tnode [shape=box];\n}\n" {
		t.Errorf("empty: %q", got)
	}
	w = &Workflow{ID: "w", Tasks: []Task{{ID: `<b>"x"\`, When: `"o`}, {ID: "R&amp;D\n"}}}
	want = `digraph "w" {
	node [shape=box];
	"<b>\"x\"\\" [label="<b>\"x\"\\\nwhen: \"o"];
	"R&amp;D\n" [label="R&amp;amp;D\n"];
}
`
	if got := dagDot(w); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	dagDotReads(t, w)
}

func TestDagQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":            `""`,
		"a b":         `"a b"`,
		`say "hi"`:    `"say \"hi\""`,
		`c:\`:         `"c:\\"`,
		`\"`:          `"\\\""`,
		"a\nb":        `"a\nb"`,
		"\r\x00\x1b":  `"\\x0d\\x00\\x1b"`,
		"\xff\xef":    `"\\xff\\xef"`,
		"\u0085 é 日本": `"\\x85 é 日本"`,
		"\uFFFD":      "\"\uFFFD\"",
	} {
		if got := dagQuote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
