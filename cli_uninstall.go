// cli_uninstall.go: the verb uninstall, which takes away what install has made. State, workflows and settings stay,
// unless they are to go too.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// uninstallVerb is the entry of `uninstall`.
func uninstallVerb() cliVerb {
	return cliVerb{name: "uninstall", help: "stop the services, and remove what install has made", run: doUninstall,
		more: `
Workflows, settings, the agent's credential, state and users stay, so that a later install goes on with them, and so
does a unit that was changed by hand. With --purge they go too.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.install.purge, "purge", false, "remove workflows, settings, keys, state and users too")
			f.BoolVar(&f.install.yes, "yes", false, "with --purge: do not ask")
			f.installPlace()
		},
		examples: []string{"sudo cdktr uninstall", "sudo cdktr uninstall --purge --yes", "cdktr uninstall --user-unit"}}
}

func doUninstall(ctx context.Context, c *cli, args []string) error {
	in, err := installerNew(ctx, c, args)
	if err != nil {
		return err
	}
	if in.systemd == 0 {
		in.systemd = installSystemd // what is there can go, also when systemd went before
	}
	if err := in.mayChange("uninstall"); err != nil {
		return err
	}
	if c.flags.install.purge {
		if err := in.ask(); err != nil {
			return err
		}
	}
	// the principal takes the agent's last reports
	for _, unit := range []string{unitSocketName, unitAnswerName, unitAgentName, unitPrincipalName} {
		if err := in.removeUnit(ctx, unit); err != nil {
			return err
		}
	}
	if in.live {
		if _, err := in.systemctl(ctx, "daemon-reload"); err != nil {
			return err
		}
	}
	if err := in.removeShared(); err != nil {
		return err
	}
	if filepath.Dir(in.bin) != "/usr/bin" {
		if err := in.remove(in.bin); err != nil {
			return err
		}
	}
	if c.flags.install.purge {
		return in.purge(ctx)
	}
	for _, dir := range in.owned() {
		if at, err := in.at(dir); err == nil {
			if _, err := os.Lstat(at); err == nil {
				in.did("kept", dir, "")
			}
		}
	}
	return nil
}

// owned lists the folders that only --purge removes.
func (in *installer) owned() []string {
	if in.own {
		state := filepath.Join(in.c.getenv("HOME"), ".local/state")
		return []string{in.etc, state + "/cdktr", state + "/cdktr-agent"}
	}
	return []string{in.etc, installState, installSpool}
}

// ask has a person on a terminal say that everything may go.
func (in *installer) ask() error {
	if in.c.flags.install.yes {
		return nil
	}
	refused := &exitError{code: exitRefused, err: errors.New("nothing was removed"),
		hint: "--purge removes workflows, settings, keys and all that ever happened: cdktr backup FILE keeps that; " +
			"--yes does not ask"}
	if _, _, terminal := termOf(in.c.err); !terminal {
		return refused
	}
	fmt.Fprintf(in.c.err, "This removes %s with all that is in them. Type yes: ", strings.Join(in.owned(), ", "))
	line, err := bufio.NewReaderSize(in.c.in, 64).ReadSlice('\n')
	if err != nil || strings.TrimSpace(string(line)) != "yes" {
		return refused
	}
	return nil
}

// removeUnit stops, disables and removes a unit. One that was changed by hand stays, unless everything goes.
func (in *installer) removeUnit(ctx context.Context, unit string) error {
	path := filepath.Join(in.units, unit)
	text, _, err := in.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if in.live && unit != unitAnswerName { // an answer ends by itself
		was, err := in.service(ctx, unit)
		if err != nil {
			return err
		}
		if was.active {
			if err := in.turn(ctx, "stop", "stopped", unit, ""); err != nil {
				return err
			}
		}
		if _, err := in.systemctl(ctx, "disable", unit); err != nil {
			return err
		}
	} else if at, err := in.at(in.wants(unit)); err == nil {
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("disable %s: %w", unit, err)
		}
	}
	if (err != nil || unitEdited(string(text))) && !in.c.flags.install.purge {
		in.did("kept", path, "it was changed by hand; it is disabled")
		return nil
	}
	if in.c.flags.install.purge {
		if err := in.removeAll(path + ".d"); err != nil {
			return err
		}
	}
	return in.remove(path)
}

// removeShared removes the files that go with the program. It tells of man pages together.
func (in *installer) removeShared() error {
	files, err := in.c.files()
	if err != nil {
		return err
	}
	pages := 0
	for _, f := range files {
		path := in.filePath(f.kind, f.name)
		if path == "" {
			continue
		}
		gone, err := in.drop(path)
		switch {
		case err != nil:
			return err
		case gone && f.kind == "man":
			pages++
		case gone:
			in.did("removed", path, "")
		}
	}
	if pages > 0 {
		in.did("removed", in.filePath("man", ""), countText(pages, "page"))
	}
	return nil
}

// remove removes a file, where there is one, and says so.
func (in *installer) remove(path string) error {
	gone, err := in.drop(path)
	if gone {
		in.did("removed", path, "")
	}
	return err
}

// drop removes a file, and says whether there was one.
func (in *installer) drop(path string) (gone bool, err error) {
	at, err := in.at(path)
	if err == nil {
		err = os.Remove(at)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("remove %s: %w", path, pathCause(err))
	}
	return true, nil
}

// removeAll removes a folder with all that is in it. It follows no link.
func (in *installer) removeAll(path string) error {
	at, err := in.at(path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(at); err != nil {
		return fmt.Errorf("remove %s: %w", path, pathCause(err))
	}
	in.did("removed", path, "")
	return nil
}

// purge removes what people have put there, and what the services have written.
func (in *installer) purge(ctx context.Context) error {
	for _, dir := range in.owned() {
		if err := in.removeAll(dir); err != nil {
			return err
		}
	}
	if in.own {
		return nil
	}
	for _, name := range []string{installTasks, installUser} {
		if !in.knows(ctx, "passwd", name) {
			continue
		}
		args := []string{name}
		if in.root != "" {
			args = []string{"--prefix", in.root, name}
		}
		_, err := installRun(ctx, "", "userdel", args...)
		switch {
		case errors.Is(err, exec.ErrNotFound):
			in.did("kept", "user "+name, "there is no userdel here")
		case err != nil:
			return fmt.Errorf("remove user %s: %w", name, err)
		default:
			in.did("removed", "user "+name, "")
		}
	}
	return nil
}
