// cli_help.go: texts that teach, in one small markup which is printed plainly or as a man page: a page for each verb,
// made of its entry in the table of verbs, and topics, whose words are in help.txt and whose tables are those of the
// program.
//
// The markup goes by lines. "# " begins a heading, two blanks a line that stays as it is; TERM, a tab and a text are a
// row of a list; "@" and a name stand for a table. Any other line is part of a paragraph, which ends at an empty line.

package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// helpDate is the day of the man pages: that of the release that versionNext names, or of the work on it. It is written
// here so that a build gives the same bytes on every day.
const helpDate = "2026-11-30"

const (
	helpWidth = 79 // columns of a text that is printed plainly
	helpTerms = 24 // columns that the terms of a list may take; behind a longer one a new line begins
)

// cliText is a file that the program can write of itself.
type cliText struct{ name, text string }

// cliExits is what exit codes mean, as scripts rely on them.
var cliExits = []struct {
	code int
	help string
}{
	{exitOK, "done; for a run that was waited for: it succeeded, or its condition skipped it"},
	{exitFailed, "the run failed, was cancelled or crashed; or something else went wrong"},
	{exitUsage, "the command line, the request or a file makes no sense"},
	{exitUnreachable, "there is no principal, or it does not answer"},
	{exitNotAllowed, "not allowed"},
	{exitRefused, "refused: not found, not in this state, no space, too busy"},
	{exitInterrupted, "interrupted"},
}

// cliGroup is verbs that belong together in the eyes of somebody who is new.
type cliGroup struct{ name, verbs string }

// cliGroups puts verbs in groups, the first to be learnt first. A verb that is in none comes last. A verb of two words
// is written with a hyphen.
var cliGroups = []cliGroup{
	{"Start here", "init run start-principal ui help"},
	{"Run and watch", "exec trigger backfill ps logs wait cancel retry approve reject"},
	{"Look", "ls show why next graph stats agents pools events ping"},
	{"Fix", "attention ack doctor validate edit pause resume rescan drain undrain forget check"},
	{"Set up", "start-agent install uninstall config import-crontab export-crontab wrap schema keygen authorize " +
		"connect completion"},
	{"Look after", "backup restore bundle metrics man version"},
}

// helpGrouped gives the verbs of each of cliGroups, in the order of the group. Those that are in none are in the last.
func helpGrouped(verbs []cliVerb) [][]*cliVerb {
	grouped := make([][]*cliVerb, len(cliGroups))
	known := ""
	for at := range cliGroups {
		known += " " + cliGroups[at].verbs + " "
		for _, name := range strings.Fields(cliGroups[at].verbs) {
			for i := range verbs {
				if helpSlug(&verbs[i]) == name {
					grouped[at] = append(grouped[at], &verbs[i])
				}
			}
		}
	}
	last := len(grouped) - 1
	for i := range verbs {
		if !strings.Contains(known, " "+helpSlug(&verbs[i])+" ") {
			grouped[last] = append(grouped[last], &verbs[i])
		}
	}
	return grouped
}

// helpSlug writes the name of a verb in one word.
func helpSlug(v *cliVerb) string { return strings.ReplaceAll(v.name, " ", "-") }

// helpTopic is something that has a text of its own.
type helpTopic struct {
	name    string
	section int    // of the manual
	help    string // one line
	words   string // what else one may call it
}

// helpTopics are all topics.
var helpTopics = []helpTopic{
	{"workflow-files", 5, "what a workflow file may have in it", "workflow-file workflow workflows files yaml"},
	{"schedules", 7, "when a workflow runs, and what a missed fire becomes", "schedule cron crontab fires"},
	{"environment", 7, "the settings and their variables, and what a task sees", "env variables settings config.yml"},
	{"exit-codes", 7, "what the exit code of a verb means", "exit exits codes status exit-code"},
	{"remote", 7, "another box: ssh, keys, roles, contexts", "ssh tcp contexts keys roles credentials"},
}

// helpTopicOf finds a topic by one of its names, nil where there is none.
func helpTopicOf(name string) *helpTopic {
	for i := range helpTopics {
		if t := &helpTopics[i]; t.name == name || slices.Contains(strings.Fields(t.words), name) {
			return t
		}
	}
	return nil
}

// helpZip is help.txt, compressed. TestHelpTexts writes it.
//
//go:embed help.gz
var helpZip []byte

// helpTexts unpacks the words of the topics when they are first asked for.
var helpTexts = sync.OnceValues(func() (string, error) {
	zip, err := gzip.NewReader(bytes.NewReader(helpZip))
	if err != nil {
		return "", fmt.Errorf("unpack help: %w", err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		return "", fmt.Errorf("unpack help: %w", err)
	}
	return string(text), nil
})

// helpTables is the tables that topics have in them, by the names that stand for them.
var helpTables = []struct {
	name string
	rows func() string
}{
	{"exits", helpExits},
	{"settings", helpSettings},
	{"roles", helpRoles},
	{"workflow", func() string { return helpKeys(workflowKeys) }},
	{"task", func() string { return helpKeys(workflowTaskKeys) }},
	{"param", func() string { return helpKeys(workflowParamKeys) }},
	{"expect", func() string { return helpKeys(workflowExpectKeys) }},
	{"limits", func() string { return helpKeys(workflowLimitsKeys) }},
	{"repeat", func() string { return helpKeys(workflowRepeatKeys) }},
	{"http", func() string { return helpKeys(workflowHTTPKeys) }},
	{"python", func() string { return helpKeys(workflowPythonKeys) }},
	{"log", func() string { return helpKeys(workflowLogKeys) }},
	{"on", func() string { return helpKeys(workflowListenerKeys) }},
	{"on-file", func() string { return helpKeys(workflowListenFileKeys) }},
	{"on-workflow", func() string { return helpKeys(workflowListenWorkflowKeys) }},
	{"on-command", func() string { return helpKeys(workflowListenCommandKeys) }},
}

func helpExits() string {
	var b strings.Builder
	for _, e := range cliExits {
		b.WriteString(strconv.Itoa(e.code) + "\t" + e.help + "\n")
	}
	return b.String()
}

func helpSettings() string {
	var b strings.Builder
	for _, key := range configKeys {
		b.WriteString(key.name + "\t" + key.help + " (" + strings.Join(key.env, ", ") + ")\n")
	}
	return b.String()
}

// helpRoleTexts says what each role may do.
var helpRoleTexts = []struct{ role, help string }{
	{roleViewer, "sees everything, and changes nothing"},
	{roleOperator, "sees and does everything that the command line can"},
	{roleTrigger, "starts the workflows that its key names, and sees those"},
	{roleAgent, "takes runs: for a machine, not for a person"},
}

func helpRoles() string {
	var b strings.Builder
	for _, r := range helpRoleTexts {
		b.WriteString(r.role + "\t" + r.help + "\n")
	}
	return b.String()
}

// helpKeys makes the rows of a table of keys.
func helpKeys[T any](keys []workflowKey[T]) string {
	var b strings.Builder
	for i := range keys {
		k := &keys[i]
		b.WriteString(k.name + "\t" + helpKey(k.kind, k.does, k.unset) + "\n")
	}
	return b.String()
}

// helpKey says what a key means and what it may be.
func helpKey(kind, does, unset string) string {
	text := workflowSchemaHelp(does, unset)
	if unset == "required" {
		text += " It must be there."
	}
	return strings.ReplaceAll(text+" ("+workflowKindText(kind)+")", "`", "")
}

// text gives the text of a topic in the markup.
func (t *helpTopic) text() (string, error) {
	all, err := helpTexts()
	if err != nil {
		return "", err
	}
	_, text, _ := strings.Cut("\n"+all, "\n== "+t.name+"\n")
	text, _, _ = strings.Cut(text, "\n== ")
	var b strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		for _, table := range helpTables {
			if line == "@"+table.name+"\n" {
				line = table.rows()
			}
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

// helpVerbText gives the page of a verb in the markup: for the manual, or for --help, which has all flags.
func helpVerbText(v *cliVerb, verbs []cliVerb, manual bool) string {
	own, common := helpFlags(v)
	sentence := strings.ToUpper(v.help[:1]) + v.help[1:] + ".\n"
	var b strings.Builder
	if manual {
		b.WriteString("# Synopsis\n")
	} else {
		b.WriteString(sentence + "\n# Use\n")
	}
	for _, name := range []string{v.name, v.other} {
		if name != "" {
			b.WriteString("  " + strings.TrimRight("cdktr "+name+" [flags] "+v.args, " ") + "\n")
		}
	}
	if more := strings.TrimSpace(v.more); manual {
		b.WriteString("\n# Description\n" + sentence + "\n" + more)
	} else {
		b.WriteString("\n" + more)
	}
	if manual {
		b.WriteString("\n\n# Options\n")
		helpFlagRows(&b, own)
		b.WriteString("\nThe flags that every verb has are in cdktr(1).\n")
	} else {
		if len(own) > 0 {
			b.WriteString("\n\n# Flags\n")
			helpFlagRows(&b, own)
		}
		b.WriteString("\n# Flags of every verb\n")
		helpFlagRows(&b, common)
	}
	b.WriteString("\n# Examples\n  " + strings.Join(v.examples, "\n  ") + "\n")
	if !manual {
		return b.String()
	}
	b.WriteString("\n# Exit status\n" + helpExits() + "\n# See also\ncdktr(1)")
	for _, group := range helpGrouped(verbs) {
		if !slices.ContainsFunc(group, func(other *cliVerb) bool { return other.name == v.name }) {
			continue
		}
		for _, other := range group {
			if other.name != v.name {
				b.WriteString(", cdktr-" + helpSlug(other) + "(1)")
			}
		}
	}
	b.WriteString(", cdktr-workflow-files(5)\n")
	return b.String()
}

// helpFlagRows writes flags as rows of a list.
func helpFlagRows(b *strings.Builder, flags []*flag.Flag) {
	for _, fl := range flags {
		_, usage := flag.UnquoteUsage(fl)
		b.WriteString(cliFlagShown(fl) + "\t" + usage + "\n")
	}
}

// helpFlags gives the flags of a verb: its own, and those that every verb has.
func helpFlags(v *cliVerb) (own, common []*flag.Flag) {
	f, every := newCLIFlags(v.name), newCLIFlags("")
	if v.flags != nil {
		v.flags(f)
	}
	f.VisitAll(func(fl *flag.Flag) {
		if every.Lookup(fl.Name) == nil {
			own = append(own, fl)
			return
		}
		common = append(common, fl)
	})
	return own, common
}

// helpOverviewText gives the page of the whole program in the markup. first is the first steps.
func helpOverviewText(verbs []cliVerb, first string) string {
	var b strings.Builder
	b.WriteString("# Synopsis\n  cdktr VERB [flags] [args]\n\n# Description\nA principal keeps the workflows of a " +
		"folder, schedules and queues their runs; agents run their tasks. A workflow is a YAML file: see " +
		"cdktr-workflow-files(5). Each verb has a page of its own, as cdktr-run(1).\n\n")
	for i, group := range helpGrouped(verbs) {
		b.WriteString("# " + cliGroups[i].name + "\n")
		for _, v := range group {
			b.WriteString(v.name + "\t" + v.help + "\n")
		}
		b.WriteString("\n")
	}
	b.WriteString("# Options\nEvery verb has these.\n\n")
	_, common := helpFlags(&cliVerb{})
	helpFlagRows(&b, common)
	b.WriteString("\n# Examples\n" + first + "\n# Exit status\n" + helpExits() + "\n# See also\n")
	for i, t := range helpTopics {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("cdktr-" + t.name + "(" + strconv.Itoa(t.section) + ")")
	}
	return b.String() + "\n"
}

// helpPage is a page of the manual.
type helpPage struct {
	name, help, text string // "cdktr-ps", one line, the markup
	section          int
}

// file gives the path of a page below a folder of man pages, as man1/cdktr-ps.1.
func (p *helpPage) file() string {
	n := strconv.Itoa(p.section)
	return "man" + n + "/" + p.name + "." + n
}

// helpPages makes all pages. first is the first steps.
func helpPages(verbs []cliVerb, first string) (pages []*helpPage, err error) {
	add := func(name, help, text string, section int) {
		pages = append(pages, &helpPage{"cdktr" + name, help, text, section})
	}
	add("", "workflow automation: principal, agents and command line", helpOverviewText(verbs, first), 1)
	for i := range verbs {
		add("-"+helpSlug(&verbs[i]), verbs[i].help, helpVerbText(&verbs[i], verbs, true), 1)
	}
	for i := range helpTopics {
		text, err := helpTopics[i].text()
		if err != nil {
			return nil, err
		}
		add("-"+helpTopics[i].name, helpTopics[i].help, text, helpTopics[i].section)
	}
	return pages, nil
}

// helpPlain writes the markup for a terminal.
func helpPlain(text string) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	terms := 0
	for _, line := range lines {
		term, _, isRow := strings.Cut(line, "\t")
		if n := utf8.RuneCountInString(term); isRow && n <= helpTerms {
			terms = max(terms, n)
		}
	}
	var words []string // of a paragraph
	flush := func() {
		helpFill(&b, words, "", 0)
		words = nil
	}
	for _, line := range lines {
		heading, isHeading := strings.CutPrefix(line, "# ")
		term, row, isRow := strings.Cut(line, "\t")
		switch {
		case line == "", isHeading, isRow, strings.HasPrefix(line, "  "):
			flush()
		}
		switch {
		case isHeading:
			b.WriteString(heading + ":\n")
		case isRow:
			helpFill(&b, strings.Fields(row), "  "+term, terms+4)
		case line == "" || strings.HasPrefix(line, "  "):
			b.WriteString(line + "\n")
		default:
			words = append(words, strings.Fields(line)...)
		}
	}
	flush()
	return b.String()
}

// helpFill writes words in lines of helpWidth, each indented; the first line begins with head.
func helpFill(b *strings.Builder, words []string, head string, indent int) {
	if len(words) == 0 && head == "" {
		return
	}
	column := utf8.RuneCountInString(head)
	b.WriteString(head)
	if column >= indent && column > 0 {
		b.WriteString("\n")
		column = 0
	}
	for i, word := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && column+1+n > helpWidth:
			b.WriteString("\n")
			column = 0
			fallthrough
		case column < indent:
			b.WriteString(strings.Repeat(" ", indent-column))
			column = indent
		case i > 0:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\n")
}

// helpRoff writes a page in the man macros, as groff and mandoc read them.
func helpRoff(p *helpPage) string {
	var b strings.Builder
	b.WriteString(".TH " + strings.ToUpper(p.name) + " " + strconv.Itoa(p.section) + " " + helpDate +
		" \"cdktr " + programVersion() + "\" \"Manual of cdktr\"\n.SH NAME\n" + helpEscape(p.name) + " \\- " +
		helpEscape(p.help) + "\n")
	const none, paragraph, plain, rows = 0, 1, 2, 3
	state, begun := none, false // what the line before is part of, and whether anything stands below the heading
	if !strings.HasPrefix(p.text, "# ") {
		b.WriteString(".SH DESCRIPTION\n")
	}
	for _, line := range strings.Split(strings.TrimRight(p.text, "\n"), "\n") {
		heading, isHeading := strings.CutPrefix(line, "# ")
		term, row, isRow := strings.Cut(line, "\t")
		isPlain := strings.HasPrefix(line, "  ")
		if state == plain && !isPlain {
			b.WriteString(".fi\n.RE\n")
		}
		switch {
		case line == "":
			state = none
		case isHeading:
			b.WriteString(".SH " + helpEscape(strings.ToUpper(heading)) + "\n")
			state, begun = none, false
		case isPlain:
			if state != plain {
				if begun {
					b.WriteString(".PP\n")
				}
				b.WriteString(".RS 4\n.nf\n")
			}
			b.WriteString(helpEscape(line[2:]) + "\n")
			state, begun = plain, true
		case isRow:
			b.WriteString(".TP\n.B " + helpEscape(term) + "\n" + helpEscape(row) + "\n")
			state, begun = rows, true
		default:
			if state != paragraph && begun {
				b.WriteString(".PP\n")
			}
			b.WriteString(helpEscape(line) + "\n")
			state, begun = paragraph, true
		}
	}
	if state == plain {
		b.WriteString(".fi\n.RE\n")
	}
	return b.String()
}

// helpEscape writes text so that roff prints it as it is.
func helpEscape(text string) string {
	var b strings.Builder
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		b.WriteString(`\&`)
	}
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
