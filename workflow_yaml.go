// workflow_yaml.go: from the bytes of a workflow file to values with a place. It turns YAML (and JSON, which is YAML
// but for one escape) into nodes, and puts the decoder's complaints into plain words. It reads maps, lists, texts,
// numbers and durations from nodes, and notes a fault with line and column where a node is not what was wanted. It
// knows no key of a workflow: see workflow_keys.go.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds of one file. To pass one is a fault. Values and text count again each time that an alias (*name) repeats them:
// so a small file cannot become a large workflow.
const (
	workflowMaxFile   = 1 << 20 // bytes of a file; a larger one does not load
	workflowMaxDepth  = 100     // maps and lists within each other; what is deeper is a fault
	workflowMaxMerge  = 20      // "<<" within "<<"
	workflowMaxValues = 200_000 // values in a file with its anchors written out; more are a fault
	workflowMaxText   = 4 << 20 // bytes of text in a file with its anchors written out; more are a fault
	workflowMaxFaults = 100     // faults that are shown of a file; more are only counted
)

// workflowReader reads the nodes of one file and gathers what is wrong with them.
type workflowReader struct {
	file   string
	clock  workflowClock
	legacy bool                  // the file is wholly in CDKTR's form: see complainf
	files  map[*yaml.Node]string // of what comes from other files; nil: nothing does

	ofWorkflows, ofTasks []string // the keys at the top of a file and those of a task, to say where a key belongs

	where   string // goes before each message: `task "load": `
	faults  []workflowFault
	unshown int // how many faults there are beyond workflowMaxFaults

	values   int  // nodes read so far
	text     int  // bytes of text in them
	merging  int  // depth of "<<" at this moment
	overdone bool // the file has too many values or too much text: reading stops
}

// workflowPair is one key of a map and its value. Aliases are followed already.
type workflowPair struct {
	key       string
	at, value *yaml.Node
}

// workflowItem is one text of a list.
type workflowItem struct {
	text string
	at   *yaml.Node
}

// errorf notes a fault at n that keeps the file from loading.
func (r *workflowReader) errorf(n *yaml.Node, format string, args ...any) {
	r.note(n, false, fmt.Sprintf(format, args...))
}

// warnf notes a fault at n with which the file loads.
func (r *workflowReader) warnf(n *yaml.Node, format string, args ...any) {
	r.note(n, true, fmt.Sprintf(format, args...))
}

// complainf notes what CDKTR accepts and ignores: a warning where the file is CDKTR's, an error in all others.
func (r *workflowReader) complainf(n *yaml.Node, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if r.legacy {
		message += "; it is ignored"
	}
	r.note(n, r.legacy, message)
}

func (r *workflowReader) note(n *yaml.Node, warning bool, message string) {
	switch {
	case r.overdone: // further faults are only there because reading has stopped
	case r.full() && !warning:
		r.unshown++
	case !r.full():
		r.faults = append(r.faults, workflowFault{File: orDefault(r.files[n], r.file),
			Line: n.Line, Col: n.Column, Message: r.where + message,
			Warning: warning})
	}
}

// full says that no further fault would be shown: then there is no need to look for the word that was meant.
func (r *workflowReader) full() bool { return len(r.faults) >= workflowMaxFaults }

// within calls do. Faults noted in do begin with name.
func (r *workflowReader) within(name string, do func()) {
	before := r.where
	r.where += name + ": "
	do()
	r.where = before
}

// meant ends a message with the word that the author likely had in mind, if there is one.
func (r *workflowReader) meant(text string, words []string) string {
	if r.full() {
		return ""
	}
	return nearHint(text, words)
}

// workflowQuote quotes text of the file for a message, cut to a length that fits into a line.
func workflowQuote(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return strconv.Quote(text)
}

// workflowOr joins words as "a, b or c".
func workflowOr(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// workflowDirective finds "%YAML 1.2" before a document. The decoder refuses every version but 1.1, and reads all
// alike.
var workflowDirective = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\x{FEFF})?(?:[ \t]*(?:#[^\n]*)?\r?\n)*%YAML[ \t]+1\.([02-9])[ \t\r\n]`)
})

// workflowTooLarge is the fault of a file that has more than workflowMaxFile bytes.
func workflowTooLarge(size int64) error {
	return fmt.Errorf("the file has %d bytes, more than %d: a workflow is a text of a few pages", size, workflowMaxFile)
}

// workflowTree decodes data to the root node of its one document. It gives the node or a fault.
func workflowTree(file string, data []byte) (*yaml.Node, *workflowFault) {
	if len(data) > workflowMaxFile {
		return nil, &workflowFault{File: file, Message: workflowTooLarge(int64(len(data))).Error()}
	}
	if fault := workflowPlain(file, data); fault != nil {
		return nil, fault
	}
	if strings.HasSuffix(strings.ToLower(file), ".json") {
		data = workflowPairedEscapes(data)
	}
	if bytes.Contains(data, []byte("%YAML")) {
		if at := workflowDirective().FindSubmatchIndex(data); at != nil {
			data = bytes.Clone(data)
			data[at[2]] = '1'
		}
	}
	loader := yaml.NewLoader(bytes.NewReader(data), workflowMaxDepth)
	var document, more yaml.Node
	err := loader.Load(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		return nil, &workflowFault{File: file, Line: 1, Col: 1,
			Message: "the file is empty: a workflow has at least tasks"}
	}
	if err != nil {
		return nil, workflowSyntax(file, data, err)
	}
	switch err := loader.Load(&more); {
	case err == nil:
		return nil, &workflowFault{File: file, Line: more.Line, Col: more.Column,
			Message: "a second document begins here: one file holds one workflow"}
	case !errors.Is(err, io.EOF):
		return nil, workflowSyntax(file, data, err)
	}
	return document.Content[0], nil
}

// workflowPlain finds the first byte that is not text in UTF-8: the decoder would not say where it is.
func workflowPlain(file string, data []byte) *workflowFault {
	line, col := 1, 1
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		message := ""
		switch {
		case c == utf8.RuneError && size == 1:
			message = fmt.Sprintf("byte 0x%02X is not UTF-8: save the file as UTF-8 text", data[i])
		case c == '\n':
			line, col = line+1, 0
		case c < ' ' && c != '\t' && c != '\r', c >= 0x7F && c < 0xA0 && c != 0x85, c == 0xFFFE, c == 0xFFFF:
			message = fmt.Sprintf("character U+%04X does not belong in a text file", c)
		}
		if message != "" {
			return &workflowFault{File: file, Line: line, Col: col, Message: message}
		}
		i += size
		col++
	}
	return nil
}

// workflowPairedEscapes rewrites the one thing that JSON has and YAML does not: a character outside the basic plane as
// two escapes ("\ud83d\ude00", RFC 8259 section 7) becomes one escape of YAML's ("\U0001f600").
func workflowPairedEscapes(data []byte) []byte {
	if !bytes.Contains(data, []byte(`\u`)) {
		return data
	}
	escape := func(at int) rune {
		if at+6 > len(data) || data[at] != '\\' || data[at+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(data[at+2:at+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		if data[i] != '\\' || i+1 == len(data) {
			out = append(out, data[i])
			i++
			continue
		}
		if c := utf16.DecodeRune(escape(i), escape(i+6)); c != utf8.RuneError {
			out = fmt.Appendf(out, `\U%08x`, c)
			i += 12
			continue
		}
		out = append(out, data[i], data[i+1]) // both: the second of two backslashes does not start an escape
		i += 2
	}
	return out
}

// workflowSyntax puts a complaint of the decoder into words for someone who does not know how a YAML parser works.
func workflowSyntax(file string, data []byte, err error) *workflowFault {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return &workflowFault{File: file, Message: fmt.Sprintf("read YAML: %v", err)}
	}
	mark, began := load.Mark, load.ContextMark
	fault := &workflowFault{File: file, Line: mark.Line, Col: mark.Column}
	since := ""
	if began.Line > 0 {
		since = fmt.Sprintf(" (it began on line %d, column %d)", began.Line, began.Column)
	}
	quoted := load.ContextMsg == "while scanning a quoted scalar"
	switch message := load.Message; {
	case message == "found character that cannot start any token":
		fault.Message = workflowBadStart(data, mark.Line, mark.Column)
	case message == "mapping values are not allowed in this context":
		fault.Message = `a ":" is not expected here: put a text that holds ": " in quotes, ` +
			`or check the indentation of this line and the one before`
	case message == "did not find expected key":
		fault.Message = "this line does not fit the block that it stands in: check its indentation" + since
	case message == "did not find expected '-' indicator":
		fault.Message = `this line does not fit the list that it stands in: ` +
			`begin it with "- " or check its indentation` + since
	case message == "could not find expected ':'":
		fault.Message = `a ":" is missing after the key` + since
	case strings.HasPrefix(message, "did not find expected ',' or "):
		fault.Message = strings.Replace(strings.TrimPrefix(message, "did not find expected "), "',' or ", `"," or `,
			1) + " is missing" + since
		fault.Message = strings.ReplaceAll(fault.Message, "'", `"`)
	case message == "did not find expected node content":
		fault.Message = "a value is missing here, or the list or map before is not closed"
	case quoted && strings.HasPrefix(message, "found unexpected"):
		fault.Line, fault.Col = began.Line, began.Column
		fault.Message = "the quote that begins here is never closed"
	case quoted && strings.HasPrefix(message, "found unknown escape"):
		fault.Message = `this escape is not known in double quotes: write a backslash as \\, or use single quotes`
	case strings.HasPrefix(message, "exceeded max depth"):
		fault.Message = fmt.Sprintf("nested deeper than %d levels", workflowMaxDepth)
	case strings.HasPrefix(message, "unknown anchor '"): // ... referenced: an alias without an anchor
		name, _ := strings.CutSuffix(strings.TrimPrefix(message, "unknown anchor '"), "' referenced")
		fault.Message = fmt.Sprintf("alias *%s has no anchor &%s before it: put a text that begins with * in quotes",
			name, name)
	default:
		fault.Message = strings.TrimSpace(message+" "+load.ContextMsg) + since
	}
	return fault
}

// workflowBadStart says what is wrong with the character at a place, which cannot begin a value in YAML.
func workflowBadStart(data []byte, line, col int) string {
	rows := bytes.Split(data, []byte("\n"))
	if line < 1 || line > len(rows) {
		return "this character cannot begin a value: put the value in quotes"
	}
	row := []rune(string(rows[line-1]))
	switch {
	case col < 1 || col > len(row):
		return "this character cannot begin a value: put the value in quotes"
	case row[col-1] == '\t':
		return "a tab cannot indent: use spaces"
	}
	return fmt.Sprintf("a value cannot begin with %q: put it in quotes", row[col-1])
}

// follow gives the node that n, an alias perhaps, stands for, and counts it.
func (r *workflowReader) follow(n *yaml.Node) *yaml.Node {
	at := n
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	r.values++
	r.text += len(n.Value)
	fits := r.values <= workflowMaxValues && r.text <= workflowMaxText
	if fits || r.overdone {
		return n
	}
	r.faults, r.unshown, r.where = nil, 0, ""
	r.errorf(at, "the file grows past %d values or %d bytes of text here: use fewer aliases (*name)", workflowMaxValues,
		workflowMaxText)
	r.overdone = true
	return n
}

// workflowNull says whether n is null: either nothing is written there, or null is.
func workflowNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// workflowKind names what n is, for "want X, not Y".
func workflowKind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case workflowNull(n):
		return "nothing"
	}
	return workflowQuote(n.Value)
}

// plain complains about a tag of the author's own where tags mean nothing.
func (r *workflowReader) plain(n *yaml.Node) {
	if n.Style&yaml.TaggedStyle != 0 && !strings.HasPrefix(n.Tag, "!!") {
		r.complainf(n, "tag %s means nothing here", n.Tag)
	}
}

// pairs reads a map: its own keys in the order of the file, then those that "<<" merges in, if they are not its own.
func (r *workflowReader) pairs(n *yaml.Node) []workflowPair {
	own, merged := make([]workflowPair, 0, len(n.Content)/2), []workflowPair(nil)
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content) && !r.overdone; i += 2 {
		at, value := r.follow(n.Content[i]), r.follow(n.Content[i+1])
		switch was := first[at.Value]; {
		case at.Kind != yaml.ScalarNode:
			r.errorf(n.Content[i], "a key must be text, not %s", workflowKind(at))
		case at.Tag == "!!merge":
			merged = append(merged, r.merge(value)...)
		case was != nil:
			r.errorf(n.Content[i], "key %s is here a second time: the first is on line %d, column %d",
				workflowQuote(at.Value), was.Line, was.Column)
		default:
			first[at.Value] = n.Content[i]
			own = append(own, workflowPair{at.Value, n.Content[i], value})
		}
	}
	for _, p := range merged {
		if first[p.key] == nil {
			first[p.key] = p.at
			own = append(own, p)
		}
	}
	return own
}

// merge reads the value of "<<": a map, or a list of maps. If several have the same key, the first of them counts.
func (r *workflowReader) merge(n *yaml.Node) []workflowPair {
	r.merging++
	defer func() { r.merging-- }()
	switch {
	case r.merging > workflowMaxMerge:
		r.errorf(n, `"<<" is nested deeper than %d levels`, workflowMaxMerge)
	case n.Kind == yaml.MappingNode:
		return r.pairs(n)
	case n.Kind == yaml.SequenceNode:
		var all []workflowPair
		for i := 0; i < len(n.Content) && !r.overdone; i++ {
			all = append(all, r.merge(r.follow(n.Content[i]))...)
		}
		return all
	default:
		r.complainf(n, `"<<" wants a map or a list of maps, not %s`, workflowKind(n))
	}
	return nil
}

// table reads p as a map. If nothing is written, that is an empty map.
func (r *workflowReader) table(p workflowPair, want string) ([]workflowPair, bool) {
	r.plain(p.value)
	switch {
	case p.value.Kind == yaml.MappingNode:
		return r.pairs(p.value), true
	case workflowNull(p.value):
		return nil, true
	}
	r.errorf(p.value, "%s: want %s, not %s", p.key, want, workflowKind(p.value))
	return nil, false
}

// scalar reads p as one text, as it is written: 007, yes and 1.50 stay what they are.
func (r *workflowReader) scalar(p workflowPair, want string) (string, bool) {
	r.plain(p.value)
	switch {
	case p.value.Kind != yaml.ScalarNode:
		r.errorf(p.value, "%s: want %s, not %s", p.key, want, workflowKind(p.value))
	case strings.ContainsRune(p.value.Value, 0):
		r.errorf(p.value, "%s: a text with a NUL byte can be given to no program", p.key)
	default:
		return p.value.Value, true
	}
	return "", false
}

// texts reads p as a list of texts. If single allows it, a text by itself is a list of one.
func (r *workflowReader) texts(p workflowPair, want string, single bool) ([]workflowItem, bool) {
	if single && p.value.Kind == yaml.ScalarNode {
		text, ok := r.scalar(p, want)
		return []workflowItem{{text, p.value}}, ok
	}
	r.plain(p.value)
	if p.value.Kind != yaml.SequenceNode {
		r.errorf(p.value, "%s: want %s, not %s", p.key, want, workflowKind(p.value))
		return nil, false
	}
	items, good := make([]workflowItem, 0, len(p.value.Content)), true
	for i := 0; i < len(p.value.Content) && !r.overdone; i++ {
		value := r.follow(p.value.Content[i])
		hint := "text in the list"
		if value.Kind == yaml.MappingNode {
			hint = `text in the list (in quotes where it holds ": " or braces)`
		}
		text, ok := r.scalar(workflowPair{p.key, value, value}, hint)
		good = good && ok
		items = append(items, workflowItem{text, value})
	}
	return items, good && !r.overdone
}

// duration reads p as parseDuration does.
func (r *workflowReader) duration(p workflowPair, to *Duration) {
	text, ok := r.scalar(p, "a duration such as 30m")
	if !ok {
		return
	}
	d, err := parseDuration(text)
	if err != nil {
		r.errorf(p.value, "%s: %v", p.key, err)
		return
	}
	*to = Duration(d)
}

// whole reads p as a whole number from lo to hi.
func (r *workflowReader) whole(p workflowPair, lo, hi int, to *int) {
	want := fmt.Sprintf("a whole number from %d to %d", lo, hi)
	text, ok := r.scalar(p, want)
	if !ok {
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < lo || n > hi {
		r.errorf(p.value, "%s: want %s, not %s", p.key, want, workflowQuote(text))
		return
	}
	*to = n
}

// flag reads p as true or false. The yes, no, on and off of YAML 1.1 are texts here, and so faults.
func (r *workflowReader) flag(p workflowPair, to *bool) {
	text, ok := r.scalar(p, "true or false")
	switch {
	case !ok:
	case strings.EqualFold(text, "true"), strings.EqualFold(text, "false"):
		*to = strings.EqualFold(text, "true")
	default:
		r.errorf(p.value, "%s: want true or false, not %s", p.key, workflowQuote(text))
	}
}

// word reads p as one of words.
func (r *workflowReader) word(p workflowPair, to *string, words ...string) {
	text, ok := r.scalar(p, workflowOr(words))
	switch {
	case !ok:
	case slices.Contains(words, text):
		*to = text
	default:
		r.errorf(p.value, "%s: want %s, not %s%s", p.key, workflowOr(words), workflowQuote(text), r.meant(text, words))
	}
}
