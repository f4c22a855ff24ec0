// cli_import_sources.go: which crontabs an import reads: a file, a folder, standard input, the caller's own, or those
// of the system.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// importPatience is how long crontab -l may take.
const importPatience = 10 * time.Second

// find reads the crontabs that are meant.
func (m *crontabImport) find(ctx context.Context, args []string) error {
	c := m.c
	switch {
	case len(args) > 1:
		return usageError("import crontab takes one FILE, not %d", len(args))
	case len(args) == 0 && c.flags.system:
		for _, name := range []string{"/etc/crontab", "/etc/cron.d", "/etc/anacrontab"} {
			if err := m.add(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if len(m.sources) == 0 {
			return &exitError{code: exitRefused, err: errors.New("there is no /etc/crontab, /etc/cron.d or " +
				"/etc/anacrontab here"), hint: "name a FILE"}
		}
		return nil
	case len(args) == 0:
		return m.own(ctx)
	}
	err := m.add(ctx, args[0])
	var exit *exitError
	if err != nil && ctx.Err() == nil && !errors.As(err, &exit) {
		err = &exitError{code: exitUsage, err: fmt.Errorf("read crontab %s: %w", args[0], pathCause(err))}
	}
	return err
}

// own reads the crontab of the caller.
func (m *crontabImport) own(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, importPatience)
	defer stop()
	cmd := exec.CommandContext(ctx, "crontab", "-l")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var said bytes.Buffer
	cmd.Stderr = &said // a few lines of crontab's
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("read your crontab: %w", err),
			hint: "name a FILE, or - for standard input"}
	}
	text, err := io.ReadAll(io.LimitReader(out, crontabMaxFile+1))
	if len(text) > crontabMaxFile {
		stop()
	}
	if ended := cmd.Wait(); err == nil && len(text) <= crontabMaxFile {
		err = ended
	}
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("crontab -l: %s (%w)",
			orDefault(strings.TrimSpace(said.String()), "failed"), err),
			hint: "name a FILE, - for standard input, or --system for /etc/crontab and /etc/cron.d"}
	}
	name := userNameOf(os.Geteuid())
	return m.take("crontab of "+orDefault(name, "this user"), name, crontabOfUser, string(text), true)
}

// userNameOf gives the name of a user, "" where it has none.
func userNameOf(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return ""
}

// add reads a file, or the files of a folder.
func (m *crontabImport) add(ctx context.Context, name string) error {
	if name != "-" {
		if info, err := diskStat(ctx, nil, name, name); err != nil {
			return err
		} else if info.IsDir() {
			return m.folder(ctx, name)
		}
	}
	text, err := m.c.readFile(ctx, name)
	if err != nil {
		return err
	}
	kind, whose, private := crontabOfUser, "", name == "-"
	full, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	switch {
	case name == "-":
		full = "standard input"
	case filepath.Base(full) == "anacrontab":
		kind = crontabOfDays
	case strings.HasPrefix(full, "/var/spool/cron/"):
		whose, private = filepath.Base(full), true
	case full == "/etc/crontab", filepath.Dir(full) == "/etc/cron.d":
		kind = crontabOfSystem
	}
	if m.c.flags.system && kind == crontabOfUser {
		kind = crontabOfSystem
	}
	if !private {
		if info, err := os.Stat(full); err == nil {
			private = info.Mode().Perm()&0o004 == 0
		}
	}
	return m.take(full, whose, kind, string(text), private)
}

// folder reads the files of a folder as cron does: it passes over those with a dot in their name, which are of editors
// and of package managers.
func (m *crontabImport) folder(ctx context.Context, dir string) error {
	entries, err := diskList(ctx, nil, dir, dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return err
	}
	spool := filepath.Base(dir) == "crontabs" || strings.HasPrefix(dir, "/var/spool/cron")
	before := len(m.sources)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(name)
		switch {
		case err != nil || !info.Mode().IsRegular():
			continue
		case !importReads(e.Name()):
			if !strings.HasPrefix(e.Name(), ".") {
				m.c.say("cron passes over " + name + " because of its name, and so does import")
			}
			continue
		case len(m.sources)-before >= crontabMaxFiles:
			return usageError("%s has more than %d crontabs: import them one by one", dir, crontabMaxFiles)
		}
		text, info, err := fileReadWithin(ctx, nil, name, name, crontabMaxFile)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, pathCause(err))
		}
		kind, whose := crontabOfSystem, ""
		if spool {
			kind, whose = crontabOfUser, e.Name()
		}
		if err := m.take(name, whose, kind, string(text), info.Mode().Perm()&0o004 == 0); err != nil {
			return err
		}
	}
	return nil
}

// importReads says whether cron reads a file of that name in a folder.
func importReads(name string) bool {
	return strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// take keeps a crontab.
func (m *crontabImport) take(name, whose string, kind crontabKind, text string, private bool) error {
	switch {
	case len(text) > crontabMaxFile:
		return usageError("%s has more than %d bytes: that is no crontab", name, crontabMaxFile)
	case strings.ContainsAny(name, "\r\n") || !yamlPrintable(name):
		return usageError("%q has something in its name that is not printable", name)
	}
	m.private = m.private || private
	m.sources = append(m.sources, crontabSource{Name: name, Kind: kind, User: whose, Text: text})
	return nil
}

// importRunParts says what run-parts would start, where a line is that.
func importRunParts(run string) string {
	words := strings.Fields(run)
	at := slices.IndexFunc(words, func(word string) bool { return filepath.Base(word) == "run-parts" })
	if at < 0 {
		return ""
	}
	folder := words[len(words)-1]
	entries, err := os.ReadDir(folder)
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if importReads(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return fmt.Sprintf("one run for all of %s, one after the other (%s): each may be a workflow of its own", folder,
		textHead(strings.Join(names, " "), cliEchoMost))
}
