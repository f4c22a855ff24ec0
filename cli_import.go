// cli_import.go: the verb import crontab. cli_import_sources.go finds the crontabs that are meant, the room crontab
// makes workflows of them, and this file writes those, or the difference, and the report. A file that somebody has
// edited since stays as it is.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// importFolder is the folder within the workflows folder that imported workflows go to: their defaults.yml must hold
// for no others.
const importFolder = "cron"

// What becomes of a file.
const (
	importNew     = "new"
	importChanged = "changed"
	importSame    = "same"
	importKept    = "kept" // somebody has edited it
	importGone    = "gone" // its line is no more in the crontab
)

// importedFile is a file that an import writes, and what is there.
type importedFile struct {
	name   string // with the folder
	text   string // as import writes it
	was    string // what is there; "" where nothing is
	action string
	why    string // it is kept
}

// importLine is a line of a crontab as --json prints it.
type importLine struct {
	Source   string   `json:"source"`
	Line     int      `json:"line,omitempty"`
	Text     string   `json:"text,omitempty"`
	Workflow string   `json:"workflow,omitempty"`
	File     string   `json:"file,omitempty"`
	Action   string   `json:"action"` // importNew and so on, or failed
	Notes    []string `json:"notes,omitempty"`
	Shift    string   `json:"clock_change,omitempty"`
	Fault    string   `json:"fault,omitempty"`
}

// crontabImport is one import.
type crontabImport struct {
	c       *cli
	dir     string // where files go
	private bool   // the crontab is its user's alone
	sources []crontabSource
	jobs    []*crontabJob
	files   []*importedFile // the file of defaults, and one for each job that has a workflow
	gone    []*importedFile
	above   map[string]bool // the keys that hold for them by a file of defaults above
}

// importCrontabVerb is the entry of `import crontab`.
func importCrontabVerb() cliVerb {
	return cliVerb{name: "import crontab", args: "[FILE|-]", run: doImportCrontab,
		help: "make workflows of the lines of a crontab, and say what is different",
		more: `
Without FILE it reads crontab -l; with --system /etc/crontab, /etc/cron.d and /etc/anacrontab. FILE may be a folder
such as /etc/cron.d. Each line becomes a file in the folder ` + importFolder + ` of the workflows folder, or in
--out DIR; a defaults.yml beside them gives them what cron gives its jobs, mail too. Do it again as often as you like:
a file that somebody has edited stays as it is. cron goes on as before: take the lines out of the crontab yourself.
Exit code 2: there is a line that cannot be read; the others were imported.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.system, "system", false, "crontabs of the system; in FILE a user stands before each command")
			f.StringVar(&f.out, "out", "", "write to `DIR`")
			f.BoolVar(&f.diff, "diff", false, "print what would change, and write nothing")
			f.BoolVar(&f.force, "force", false, "overwrite files that somebody has edited, too")
			f.setting("workflows", "the workflows folder `DIR` (default workflows)")
		},
		examples: []string{
			"cdktr import crontab --diff",
			"sudo cdktr import crontab --system --workflows /etc/cdktr/workflows",
			"ssh box crontab -l | cdktr import crontab - --out workflows/box --json",
		}}
}

func doImportCrontab(ctx context.Context, c *cli, args []string) error {
	m := &crontabImport{c: c, dir: c.flags.out, above: map[string]bool{}}
	if err := m.find(ctx, args); err != nil {
		return err
	}
	zone, err := c.zone()
	if err != nil {
		return err
	}
	m.jobs = crontabRead(m.sources, time.Now(), zone)
	missing := false
	if m.dir == "" {
		folder := c.cfg.get("workflows")
		m.dir = filepath.Join(folder, importFolder)
		_, err := diskStat(ctx, nil, folder, folder)
		missing = errors.Is(err, fs.ErrNotExist)
	}
	o, err := importOwner(m.dir)
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("import into %s: %w", m.dir, err)}
	}
	if err := o.do(func() error { return m.plan(ctx) }); err != nil {
		return err
	}
	switch {
	case c.flags.diff:
		return m.differences()
	case missing:
		return &exitError{code: exitRefused, err: fmt.Errorf("there is no workflows folder %s: nothing was written",
			filepath.Dir(m.dir)),
			hint: "--out DIR makes a folder, `cdktr init` a workflows folder; --diff shows what would be written"}
	}
	if err := o.do(func() error { return m.write() }); err != nil {
		return err
	}
	return m.report(o)
}

// importOwner finds whose the nearest folder is that is there: root acts as that user.
func importOwner(dir string) (*owner, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for {
		o, err := ownerOf(at)
		if !errors.Is(err, fs.ErrNotExist) || at == "/" {
			return o, err
		}
		at = filepath.Dir(at)
	}
}

// plan makes the files, checks each as validate does, and compares them with what is there.
func (m *crontabImport) plan(ctx context.Context) error {
	defaults := &importedFile{name: filepath.Join(m.dir, workflowDefaultsName),
		text: crontabMarked("cron", crontabDefaults)}
	if err := m.compare(defaults); err != nil {
		return err
	}
	if err := m.alone(defaults); err != nil && !m.c.flags.force && !m.c.flags.diff {
		return err
	}
	m.files = []*importedFile{defaults}
	above := defaultsAbove(ctx, m.c, filepath.Join(m.dir, "..", "x.yml"))
	beside := []byte(defaults.text)
	if defaults.action == importKept {
		beside = []byte(defaults.was)
	}
	planned := map[string]bool{}
	for _, j := range m.jobs {
		if j.Spec == nil {
			continue
		}
		f := &importedFile{name: filepath.Join(m.dir, j.Spec.ID+".yml"), text: j.file()}
		_, faults, from := workflowParseAt(f.name, j.Spec.ID, []byte(f.text),
			append([]workflowDefaults{{file: defaults.name, data: beside}}, above...), workflowClock{})
		if at := slices.IndexFunc(faults, func(f workflowFault) bool { return !f.Warning }); at >= 0 {
			j.Spec, j.Fault = nil, faults[at].Message
			continue
		}
		for key, file := range from {
			if file != defaults.name {
				m.above[file+": "+key] = true
			}
		}
		if err := m.compare(f); err != nil {
			return err
		}
		planned[f.name] = true
		m.files = append(m.files, f)
	}
	return m.findGone(planned)
}

// compare looks what is there in the place of a file.
func (m *crontabImport) compare(f *importedFile) error {
	info, err := os.Lstat(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.action = importNew
		return nil
	case err != nil:
		return fmt.Errorf("look at what is there: %w", err)
	case !info.Mode().IsRegular():
		f.action, f.why = importKept, "it is no regular file"
		return nil
	}
	text, _, err := fileRead(f.name, workflowMaxFile)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.name, pathCause(err))
	}
	f.was = string(text)
	source, edited := crontabOrigin(f.was)
	switch {
	case f.was == f.text:
		f.action = importSame
	case edited && !m.c.flags.force:
		f.action, f.why = importKept, "somebody has edited it"
		if source == "" {
			f.why = "import has not made it"
		}
	default:
		f.action = importChanged
	}
	return nil
}

// alone refuses a folder where the file of defaults would hold for other workflows, or is another one.
func (m *crontabImport) alone(defaults *importedFile) error {
	other := ""
	if source, _ := crontabOrigin(defaults.was); defaults.action == importKept && source == "" {
		other = workflowDefaultsName
	} else if defaults.action == importNew {
		entries, err := os.ReadDir(m.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look into %s: %w", m.dir, pathCause(err))
		}
		for _, e := range entries {
			if workflowEnding(e.Name()) != "" || e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				other = e.Name()
			}
		}
	}
	if other == "" {
		return nil
	}
	return &exitError{code: exitRefused, err: fmt.Errorf("%s has a %s that is not import's, and the %s that imported "+
		"workflows need would hold for all of the folder: nothing was written", m.dir, other, workflowDefaultsName),
		hint: "--out " + filepath.Join(m.dir, importFolder)}
}

// findGone finds files that an earlier import has made of a line that is not there any more.
func (m *crontabImport) findGone(planned map[string]bool) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into %s: %w", m.dir, pathCause(err))
	}
	for _, e := range entries {
		name := filepath.Join(m.dir, e.Name())
		if planned[name] || workflowEnding(name) == "" || !e.Type().IsRegular() {
			continue
		}
		text, _, err := fileRead(name, workflowMaxFile)
		if err != nil {
			continue // it is none of ours
		}
		source, _ := crontabOrigin(string(text))
		if slices.ContainsFunc(m.sources, func(s crontabSource) bool { return s.Name == source }) {
			m.gone = append(m.gone, &importedFile{name: name, was: string(text), action: importGone, why: source})
		}
	}
	return nil
}

// write writes what is new or changed. Each file is there whole, or not at all.
func (m *crontabImport) write() error {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("make folder: %w", err)}
	}
	for _, f := range m.files {
		if f.action != importNew && f.action != importChanged {
			continue
		}
		mode := fs.FileMode(0o644)
		if info, err := os.Stat(f.name); err == nil {
			mode = info.Mode().Perm()
		} else if m.private {
			mode = 0o640
		}
		made := filepath.Join(m.dir, "."+filepath.Base(f.name)+".new")
		err := os.WriteFile(made, []byte(f.text), mode)
		if err == nil {
			err = os.Rename(made, f.name)
		}
		if err != nil {
			os.Remove(made) // the folder ignores it, if it stays
			return &exitError{code: exitRefused, err: fmt.Errorf("write %s: %w", f.name, pathCause(err))}
		}
	}
	return nil
}

// differences prints what would change.
func (m *crontabImport) differences() error {
	changes := 0
	for _, f := range m.files {
		if f.action == importSame {
			continue
		}
		if f.action == importKept {
			m.c.say(fmt.Sprintf("%s would stay as it is: %s", f.name, f.why))
		} else {
			changes++
		}
		if err := textDiff(m.c.out, f.name, f.was, f.text); err != nil {
			return err
		}
	}
	for _, f := range m.gone {
		m.c.say(f.name + " stays, though its line is no more in " + f.why)
	}
	m.c.say(countText(changes, "file") + " would be written")
	return m.failed()
}

// failed gives the error of lines that could not be read; nil where there are none.
func (m *crontabImport) failed() error {
	n, first := 0, (*crontabJob)(nil)
	for _, j := range m.jobs {
		if j.Fault != "" {
			n++
			if first == nil {
				first = j
			}
		}
	}
	if n == 0 {
		return nil
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("%s not carried over: %s:%d: %s", countText(n, "line"),
		first.Source, first.Line, first.Fault), hint: "mend the line and import again"}
}

// id gives the id that a file has in the workflows folder; its bare name where it is outside.
func (m *crontabImport) id(name string) string {
	top, err := filepath.Abs(m.c.cfg.get("workflows"))
	full, errFull := filepath.Abs(name)
	if rel, below := strings.CutPrefix(full, top+"/"); err == nil && errFull == nil && below {
		name = rel
	} else {
		name = filepath.Base(name)
	}
	return strings.ReplaceAll(strings.TrimSuffix(name, filepath.Ext(name)), "/", ".")
}

// report prints what became of each line, and on standard error what is to do next.
func (m *crontabImport) report(o *owner) error {
	whole, noted, failed, at := 0, 0, 0, 1 // the first file is that of defaults
	var users []string
	for _, j := range m.jobs {
		l := importLine{Source: j.Source, Line: j.Line, Text: j.Text, Notes: j.Notes, Shift: j.Shift, Fault: j.Fault,
			Action: "failed"}
		if j.Spec == nil {
			failed++
		} else {
			f := m.files[at]
			at++
			l.Workflow, l.File, l.Action = m.id(f.name), f.name, f.action
			if why := importRunParts(j.Spec.Tasks[0].Run); why != "" {
				l.Notes = append(l.Notes, why)
			}
			if len(l.Notes) > 0 || l.Shift != "" {
				noted++
			} else {
				whole++
			}
			if f.why != "" {
				l.Notes = append(l.Notes, f.name+" stays as it is: "+f.why+
					"; --diff shows the difference, --force overwrites it")
			}
			if u := j.Spec.User; u != "" && !slices.Contains(users, u) {
				users = append(users, u)
			}
		}
		if err := m.print(&l); err != nil {
			return err
		}
	}
	for _, f := range m.gone {
		if err := m.print(&importLine{Source: f.why, Workflow: m.id(f.name), File: f.name, Action: importGone,
			Notes: []string{"its line is no more in the crontab, and it fires on: remove " + f.name}}); err != nil {
			return err
		}
	}
	if !m.c.flags.json {
		m.c.say(fmt.Sprintf("%s to %s: %d carried over whole, %d with a remark, %d not", countText(len(m.jobs), "line"),
			m.dir, whole, noted, failed))
		m.hints(o, users)
	}
	return m.failed()
}

// print prints what became of one line.
func (m *crontabImport) print(l *importLine) error {
	if m.c.flags.json {
		return printJSON(m.c.out, l)
	}
	err := printText(m.c.out, fmt.Sprintf("%-8s %-28s %s:%d", l.Action, l.Workflow, l.Source, l.Line))
	for _, note := range append(l.Notes, l.Shift, l.Fault) {
		if note != "" && err == nil {
			err = printText(m.c.out, "           "+note)
		}
	}
	return err
}

// hints says what is to do next.
func (m *crontabImport) hints(o *owner, users []string) {
	if f := m.files[0]; f.action == importKept {
		m.c.say(f.name + " stays as it is: " + f.why)
	}
	for _, key := range sortedKeys(m.above) {
		m.c.say("this holds for them too, by " + key)
	}
	if len(users) > 0 {
		m.c.say("their users are " + strings.Join(users, ", ") + ": an agent of root's runs them all, any other its " +
			"own; start one for each with --label account=NAME, and write agent: {account: NAME} into its workflows")
	}
	if m.private && o.uid == 0 {
		m.c.say("the files are for root and its group alone, as the crontab is: a principal of another user needs a " +
			"chgrp -R of them")
	}
	m.c.say("cron goes on with these lines: take them out of the crontab, or both run them")
}
