// cli_validate.go: the verb validate, and how a verb reads a workflow file that its user names.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// validateVerb is the entry of `validate`.
func validateVerb() cliVerb {
	return cliVerb{name: "validate", args: "[FILE...]", help: "check workflow files, or all of the workflows folder",
		run: doValidate,
		flags: func(f *cliFlags) {
			f.setting("workflows", "the folder `DIR` (default workflows)")
			f.BoolVar(&f.strict, "strict", false, "a warning counts as a fault: exit with 2 where there is one")
		},
		examples: []string{
			"cdktr validate",
			"cdktr validate --strict workflows/etl/*.yml",
			"cdktr validate --workflows /etc/cdktr/workflows --json",
		}}
}

func doValidate(ctx context.Context, c *cli, args []string) error {
	zone, err := c.zone()
	if err != nil {
		return err
	}
	clock := workflowClock{time.Now(), zone}
	var faults []workflowFault
	files, seen := 0, map[workflowFault]bool{}
	if len(args) == 0 {
		folder := c.cfg.get("workflows")
		f := newWorkflowFolder(folder)
		f.zone = clock.zone
		found, _, err := f.scan(ctx)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		for _, f := range found {
			files++
			for _, fault := range f.Faults {
				fault.File = filepath.Join(folder, fault.File) // so that an editor finds it from here
				if !seen[fault] {                              // one of a defaults.yml comes with each workflow
					seen[fault] = true
					faults = append(faults, fault)
				}
			}
			validateDefaults(c, filepath.Join(folder, f.File), folder, f.Defaults)
		}
	}
	for _, name := range args {
		files++
		if info, err := diskStat(ctx, nil, name, name); err == nil && info.IsDir() {
			return usageError("%s is a folder: check it with --workflows %s", name, name)
		}
		text, err := c.readFile(ctx, name)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			near := fileNear(name)
			if near != "" {
				near = " (" + near + ")"
			}
			faults = append(faults, workflowFault{File: name, Message: "cannot be read: " + err.Error() + near})
			continue
		}
		spec, found, from := parseFile(ctx, c, name, text, clock)
		validateDefaults(c, name, "", from)
		faults = append(faults, found...)
		if spec != nil {
			if _, err := schedDaysOf(spec, daysBeside(ctx, c, name)); err != nil {
				faults = append(faults, workflowFault{File: name, Message: err.Error()})
			}
		}
	}
	return validatePrint(c, faults, files)
}

// daysBeside makes the function that reads the files of days that a workflow file names: beside it, or in a folder
// above it where it lies in the workflows folder.
func daysBeside(ctx context.Context, c *cli, file string) func(name string) (*calendar, error) {
	return func(name string) (*calendar, error) {
		top, err := filepath.Abs(c.cfg.get("workflows"))
		if err != nil {
			return nil, err
		}
		file, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
			text, err := c.readFile(ctx, filepath.Join(dir, name))
			switch {
			case err == nil:
				days, err := calendarRead(string(text))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
				}
				return days, nil
			case !errors.Is(err, fs.ErrNotExist):
				return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
			case !strings.HasPrefix(dir, top+string(filepath.Separator)):
				return nil, fmt.Errorf("there is no %s beside the workflow, nor in a folder above it", name)
			}
		}
	}
}

// validateDefaults says which keys a file has from files of defaults, which lie in folder.
func validateDefaults(c *cli, file, folder string, from map[string]string) {
	if c.flags.json {
		return
	}
	of := map[string][]string{}
	for _, key := range sortedKeys(from) {
		of[from[key]] = append(of[from[key]], key)
	}
	for _, defaults := range sortedKeys(of) {
		printText(c.err, fmt.Sprintf("%s: %s of %s", file, strings.Join(of[defaults], ", "),
			filepath.Join(folder, defaults)))
	}
}

// validatePrint prints the faults of files and says how many there are. It gives an error unless all are warnings, and
// with --strict for these too.
func validatePrint(c *cli, faults []workflowFault, files int) error {
	bad := 0
	for _, f := range faults {
		if !f.Warning {
			bad++
		}
		// it is a fault of the whole file, but editors want FILE:LINE:COL
		if f.Line == 0 && !strings.HasPrefix(f.File, "environment ") {
			f.Line, f.Col = 1, 1
		}
		var err error
		if c.flags.json {
			err = printJSON(c.out, faultJSON{f.File, f.Line, f.Col, f.Message, f.Warning})
		} else {
			err = printText(c.out, f.String())
		}
		if err != nil {
			return err
		}
	}
	found := validateFound(bad, len(faults)-bad)
	if bad > 0 || c.flags.strict && len(faults) > 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("%s in %s", found, countText(files, "file"))}
	}
	if !c.flags.json {
		fmt.Fprintf(c.err, "checked %s: %s\n", countText(files, "file"), found)
	}
	return nil
}

// faultJSON is a fault of a file as `validate --json` prints it.
type faultJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

// validateFound writes how many faults and warnings there are.
func validateFound(bad, warned int) string {
	switch {
	case bad > 0 && warned > 0:
		return countText(bad, "fault") + " and " + countText(warned, "warning")
	case bad > 0:
		return countText(bad, "fault")
	case warned > 0:
		return countText(warned, "warning")
	}
	return "no fault"
}

// loadFile reads and checks one workflow file, or standard input for "-". It prints the faults. An invalid file is an
// error.
func (c *cli) loadFile(ctx context.Context, name string) (*Workflow, error) {
	id := "stdin"
	if name != "-" {
		id = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	text, err := c.readFile(ctx, name)
	if ctx.Err() != nil {
		return nil, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("read workflow: %w", err),
			hint: orDefault(fileNear(name),
				"it is taken for a file; a workflow that a principal has is named by its ID: "+id)}
	}
	if err != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("read workflow: %w", err)}
	}
	if name == "-" {
		name = "stdin"
	}
	w, faults, _ := parseFile(ctx, c, name, text, workflowClock{})
	for _, f := range faults {
		printText(c.err, f.String())
	}
	if w == nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("%s does not load", name)}
	}
	return w, nil
}

// parseFile reads a workflow file with the defaults of the folders above it: as far up as the workflows folder where it
// lies in that, else for as long as each folder has some. A file of defaults is read as part of a workflow.
func parseFile(ctx context.Context, c *cli, name string, text []byte, clock workflowClock) (*Workflow, []workflowFault,
	map[string]string) {
	id := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	if name == "stdin" {
		return workflowParseAt(name, id, text, nil, clock)
	}
	if workflowIsDefaults(filepath.Base(name)) {
		_, faults, _ := workflowParseAt(name, id, []byte("tasks: {a: {run: x}}"),
			[]workflowDefaults{{file: name, data: text}},
			clock)
		return nil, faults, nil
	}
	return workflowParseAt(name, id, text, defaultsAbove(ctx, c, name), clock)
}

// defaultsAbove finds the files of defaults for a workflow file.
func defaultsAbove(ctx context.Context, c *cli, name string) (all []workflowDefaults) {
	full, err := filepath.Abs(name)
	top, errTop := filepath.Abs(c.cfg.get("workflows"))
	if err != nil || errTop != nil {
		return nil
	}
	within := strings.HasPrefix(full, top+string(filepath.Separator))
	shown := filepath.Dir(name)
	for dir := filepath.Dir(full); ; dir, shown = filepath.Dir(dir), filepath.Join(shown, "..") {
		d := workflowDefaults{file: filepath.Join(shown, workflowDefaultsName)}
		var err error
		d.data, err = c.readFile(ctx, filepath.Join(dir, workflowDefaultsName))
		missing := errors.Is(err, fs.ErrNotExist)
		if err != nil && !missing {
			d.fault = &workflowFault{File: d.file, Message: "cannot be read: " + pathCause(err).Error()}
		}
		if !missing {
			all = append(all, d)
		}
		if dir == top || !within && missing || dir == filepath.Dir(dir) {
			return all
		}
	}
}

// fileNear says which file of the same folder may have been meant by a name that is not there; "" if none comes near.
func fileNear(name string) string {
	var names []string
	entries, _ := os.ReadDir(filepath.Dir(name)) // a folder that cannot be read has no near name
	for _, e := range entries {
		names = append(names, e.Name())
	}
	near := nearest(filepath.Base(name), names)
	if near == "" {
		return ""
	}
	return "did you mean " + explicitPath(filepath.Join(filepath.Dir(name), near)) + "?"
}

// readFile reads a workflow file, or standard input for "-", to its end, or until it is larger than workflowMaxFile. It
// waits for a pipe, such as <(command) in a shell, until ctx ends, and for a regular file for diskLimit at most.
func (c *cli) readFile(ctx context.Context, name string) ([]byte, error) {
	var text []byte
	var silent <-chan time.Time
	if name != "-" {
		info, err := diskStat(ctx, nil, name, name)
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			silent = time.After(diskLimit)
		}
	}
	read := make(chan error, 1)
	go func() { // ends with the file, or with this process
		from, err := c.in, error(nil)
		if name != "-" {
			var f *os.File
			f, err = os.Open(name)
			if err == nil {
				defer f.Close()
			}
			from = f
		}
		if err == nil {
			text, err = io.ReadAll(io.LimitReader(from, workflowMaxFile+1))
		}
		read <- err
	}()
	var err error
	select {
	case err = <-read:
	case <-silent:
		return nil, diskNamed("read", name, errDiskSilent)
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // even if the file was read at the same moment
		return nil, context.Cause(ctx)
	}
	return text, err
}
