// docs/performance.md and the README's table: what was measured, on which machine, and how.

package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// site is the machine and the checkout that the figures are of.
type site struct {
	machine string // processor, memory, kernel, file system
	tools   string // what stands beside, with versions
	commit  string
	began   time.Time
	load    string // when it began
}

// siteOf describes this machine.
func siteOf(b *bench) site {
	processor := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(text), "model name\t: "); found {
			processor, _, _ = strings.Cut(rest, "\n")
		}
	}
	virtual := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil && strings.Contains(string(text), " hypervisor ") {
		virtual = ", virtual"
	}
	total, _ := statusField("/proc/meminfo", "MemTotal") // 0 where there is none
	s := site{began: time.Now(), load: load(), commit: told("git", "rev-parse", "--short", "HEAD")}
	if told("git", "status", "--porcelain") != "" {
		s.commit += " with changes"
	}
	s.machine = fmt.Sprintf("%s, %d cores%s, %.0f GB, %s, Linux %s, %s, %s/%s, %s", processor, runtime.NumCPU(),
		virtual,
		total*1024/1e9, distribution(), told("uname", "-r"), fileSystem(b.dir), runtime.GOOS, runtime.GOARCH,
		runtime.Version())
	var tools []string
	for _, tool := range [][]string{{"make", "--version"}, {"tsp", "-V"}, {"cc", "--version"}} {
		if line, _, _ := strings.Cut(told(tool...), "\n"); line != "" {
			line, _, _ = strings.Cut(line, " - ") // task-spooler names its author behind
			tools = append(tools, line)
		}
	}
	s.tools = strings.Join(append(tools, strings.Replace(filepath.Base(supercronicModule), "@", " ", 1)), ", ")
	return s
}

// told gives what a command prints, "" when it fails.
func told(argv ...string) string {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// distribution names what is installed.
func distribution() string {
	text, err := os.ReadFile("/etc/os-release")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, found := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); found {
				return strings.Trim(name, `"`)
			}
		}
	}
	return "unknown distribution"
}

// fileSystem names the file system that a folder is on.
func fileSystem(dir string) string {
	kind, longest := "unknown file system", -1
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return kind
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 2 && len(f[1]) > longest && strings.HasPrefix(dir+"/", strings.TrimSuffix(f[1], "/")+"/") {
			kind, longest = f[2], len(f[1])
		}
	}
	return kind
}

// load says how busy the machine is.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

const (
	pageFile   = "docs/performance.md"
	readmeFile = "README.md"
	tableBegin = "<!-- bench/run --doc writes this table -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// writeDocs writes the page and the README's table.
func writeDocs(s site, all []outcome) error {
	if err := os.WriteFile(pageFile, []byte(page(s, load(), all)), 0o644); err != nil {
		return err
	}
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	readme, err := withTable(string(text), readmeTable(all))
	if err != nil {
		return err
	}
	return os.WriteFile(readmeFile, []byte(readme), 0o644)
}

// withTable puts a table in the place of the one in a text.
func withTable(text, table string) (string, error) {
	before, rest, found := strings.Cut(text, tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !found || !ends {
		return "", fmt.Errorf("%s has no place for the table: %s", readmeFile, strings.TrimSpace(tableBegin))
	}
	return before + tableBegin + "\n" + table + "\n" + tableEnd + after, nil
}

// pageHead is the part of the page that says what it is.
//
//go:embed page.md
var pageHead string

// page writes the page.
func page(s site, loadThen string, all []outcome) string {
	var p strings.Builder
	p.WriteString(pageHead)
	p.WriteString("\n## The machine\n\n")
	p.WriteString(wrap(fmt.Sprintf("%s. Beside it: %s. Commit %s, %s; load %s before and %s after.", s.machine, s.tools,
		s.commit, s.began.Format("2006-01-02"), s.load, loadThen)))
	p.WriteString("\n## What was measured\n\n")
	p.WriteString(wrap("Values are medians, with the least and the most of all samples behind them where there are " +
		"several. A ratio is the median of the ratios of each turn, ours to what stands beside it."))
	p.WriteString("\n| row | what | measured | beside it | ratio | bound | |\n|---|---|---|---|---|---|---|\n")
	for i := range all {
		o := &all[i]
		value, floor, ratio, bound := o.cells()
		verdict := strings.TrimSpace(o.verdict(false))
		fmt.Fprintln(&p, tableRow("`"+o.name+"`", o.what, value+spread(o.ours, o.unit), floor, ratio, bound, verdict))
	}
	if missed := items(all, func(o *outcome) string {
		if strings.HasPrefix(strings.TrimSpace(o.verdict(false)), "MISS") {
			return cmp.Or(o.why, "Nobody knows yet.")
		}
		return ""
	}); missed != "" {
		p.WriteString("\n## Why a bound is missed\n\n" + missed)
	}
	p.WriteString("\n## How each row is measured\n\n" + items(all, func(o *outcome) string { return o.how }))
	return p.String()
}

// items is a list of what is said of rows. Neighbours of which the same is said share an item, and a row of which
// nothing is said has none.
func items(all []outcome, said func(*outcome) string) string {
	var list strings.Builder
	var names []string
	for i := range all {
		text := said(&all[i])
		if text == "" {
			continue
		}
		names = append(names, "`"+all[i].name+"`")
		if i+1 == len(all) || said(&all[i+1]) != text {
			list.WriteString(item(strings.Join(names, ", ") + ": " + text))
			names = nil
		}
	}
	return list.String()
}

// tableRow writes a row of a table of Markdown.
func tableRow(cells ...string) string {
	var row strings.Builder
	row.WriteString("|")
	for _, cell := range cells {
		if cell != "" {
			row.WriteString(" " + cell)
		}
		row.WriteString(" |")
	}
	return row.String()
}

// spread gives the least and the most of samples; nothing of one.
func spread(s samples, u unit) string {
	if len(s) < 2 {
		return ""
	}
	return " (" + strconv.FormatFloat(s.at(0)/u.scale, 'f', u.digit, 64) + " to " +
		strconv.FormatFloat(s.at(1)/u.scale, 'f', u.digit, 64) + ")"
}

// readmeTable is the rows that the README has too.
func readmeTable(all []outcome) string {
	var t strings.Builder
	t.WriteString("| | cdktr | beside it |\n|---|---|---|\n")
	for i := range all {
		o := &all[i]
		if value, floor, _, _ := o.cells(); o.readme && value != "" {
			fmt.Fprintln(&t, tableRow(o.what, value, floor))
		}
	}
	return t.String()
}

// pageWidth is the most columns of a line of prose.
const pageWidth = 120

// wrap breaks a paragraph into lines.
func wrap(text string) string { return broken(text, "") }

// item is a paragraph in a list.
func item(text string) string {
	return "- " + strings.TrimPrefix(broken(text, "  "), "  ")
}

// broken breaks a text at spaces, with indent in front of each line.
func broken(text, indent string) string {
	var out strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len([]rune(line))+1+len([]rune(word)) > pageWidth {
			out.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	return out.String() + line + "\n"
}
