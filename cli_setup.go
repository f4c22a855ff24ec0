// cli_setup.go: the verbs init, config and version, which set things up and tell about this program.

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// setupExamples is what `cdktr init` writes: the workflows of docs/get-started.md.
//
//go:embed examples/hello.yml examples/health-check.yml
var setupExamples embed.FS

// setupLicensesZip is LICENSES.txt, compressed. TestLicenses makes both.
//
//go:embed licenses.gz
var setupLicensesZip []byte

// setupLicenses unpacks the licences of cdktr and of all code that is linked into it.
func setupLicenses() ([]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(setupLicensesZip))
	if err != nil {
		return nil, fmt.Errorf("unpack licences: %w", err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		return nil, fmt.Errorf("unpack licences: %w", err)
	}
	return text, nil
}

// initVerb is the entry of `init`.
func initVerb() cliVerb {
	return cliVerb{name: "init", args: "[DIR]", help: "make a workflows folder with two examples in it", run: doInit,
		examples: []string{"cdktr init", "cdktr init /etc/cdktr"}}
}

// doInit makes a workflows folder with examples. It overwrites nothing. As root it acts as the owner of the folder.
func doInit(_ context.Context, c *cli, args []string) error {
	dir := "."
	if len(args) > 1 {
		return usageError("init takes one DIR")
	}
	if len(args) == 1 {
		dir = args[0]
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("make workflows folder: %w", err)
	}
	o, err := ownerOf(at)
	for errors.Is(err, fs.ErrNotExist) && at != "/" {
		at = filepath.Dir(at)
		o, err = ownerOf(at)
	}
	if err != nil {
		return fmt.Errorf("make workflows folder in %s: %w", at, err)
	}
	return o.do(func() error { return c.setupFolder(filepath.Join(dir, "workflows")) })
}

// setupFolder makes the workflows folder, and the examples in it.
func (c *cli) setupFolder(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make workflows folder: %w", err)
	}
	hello := filepath.Join(folder, "hello.yml")
	if _, err := os.Lstat(hello); err == nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("%s is there already: nothing was written", hello)}
	}
	for _, name := range []string{"hello.yml", "health-check.yml"} {
		file := filepath.Join(folder, name)
		switch err := setupExample(name, file); {
		case errors.Is(err, fs.ErrExist):
			fmt.Fprintf(c.err, "cdktr: %s is there already: it was left as it is\n", file)
			continue
		case err != nil:
			return fmt.Errorf("write example: %w", err)
		}
		if c.flags.json {
			if err := printJSON(c.out, map[string]string{"file": file}); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintln(c.out, "wrote "+file); err != nil {
			return err
		}
	}
	if c.flags.json {
		return nil
	}
	_, err := fmt.Fprintf(c.out, "\nTry it:\n  cdktr run %s\n  cdktr start principal --with-agent --workflows %s\n",
		explicitPath(hello), folder)
	return err
}

// setupExample writes an example to a new file. The error is fs.ErrExist if the file is there already.
func setupExample(name, file string) error {
	text, err := setupExamples.ReadFile("examples/" + name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// explicitPath writes a path in a form that run takes for a file, not for an ID.
func explicitPath(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return "./" + file
}

// configVerb is the entry of `config`.
func configVerb() cliVerb {
	return cliVerb{name: "config", args: "[FILE]", help: "print each setting with where it came from, or check them",
		run: doConfig, unset: true,
		more: `
With --check it names every fault of the configuration file (FILE, that of --config, or the usual one) and of the
environment: what does not exist, what a start would refuse, and what contradicts each other. Each is a line
FILE:LINE:COLUMN: MESSAGE. Exit codes: 0 there is none, or only warnings; 2 there are some.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.check, "check", false, "check the configuration file and the environment")
			f.BoolVar(&f.strict, "strict", false, "with --check: a warning counts as a fault")
			for _, key := range configKeys {
				if f.Lookup(strings.ReplaceAll(key.name, "_", "-")) == nil {
					f.setting(key.name, key.help)
				}
			}
		},
		examples: []string{"cdktr config", "cdktr config --check", "cdktr config --check --strict new.yml",
			"cdktr config --json | jq -r 'select(.key == \"state\") | .value'"}}
}

func doConfig(ctx context.Context, c *cli, args []string) error {
	if c.flags.check {
		return doConfigCheck(ctx, c, args)
	}
	if len(args) > 0 {
		return usageError("config takes a FILE only with --check")
	}
	if err := configure(ctx, c); err != nil {
		return err
	}
	var rows [][]tableCell
	for _, v := range c.cfg.list() {
		if c.flags.json {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []tableCell{{text: v.Key}, {text: v.Value}, {text: v.From}})
	}
	if c.flags.json {
		return nil
	}
	return c.painter().table([]string{"SETTING", "VALUE", "FROM"}, rows)
}

// versionVerb is the entry of `version`.
func versionVerb() cliVerb {
	return cliVerb{name: "version", help: "print the version, or the licences of all that is in this program",
		run: doVersion,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.licenses, "licenses", false, "print the licences of cdktr and of what is linked into it")
		},
		examples: []string{"cdktr version", "cdktr version --json", "cdktr version --licenses | less"}}
}

func doVersion(_ context.Context, c *cli, _ []string) error {
	if c.flags.licenses {
		text, err := setupLicenses()
		if err == nil {
			_, err = c.out.Write(text)
		}
		return err
	}
	if c.flags.json {
		return printJSON(c.out, map[string]string{"version": programVersion(), "go": runtime.Version(),
			"os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	_, err := fmt.Fprintf(c.out, "cdktr %s (%s %s/%s)\n", programVersion(), runtime.Version(), runtime.GOOS,
		runtime.GOARCH)
	return err
}
