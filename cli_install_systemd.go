// cli_install_systemd.go: what install and uninstall say to systemd. Where none runs, as in a chroot or below --root,
// a unit is enabled by the link that systemd would make.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// find finds out which systemd there is, and whether it runs.
func (in *installer) find(ctx context.Context) {
	if in.root == "" {
		_, err := os.Stat("/run/systemd/system") // sd_booted(3)
		in.live = err == nil
		if in.own && in.live {
			_, err := in.systemctl(ctx, "show", "--property", "Version")
			in.live = err == nil
		}
	}
	if in.systemd > 0 {
		return
	}
	if in.root == "" {
		out, err := installRun(ctx, "", "systemctl", "--version")
		if version := installVersion(out, "systemd "); err == nil && version > 0 {
			in.systemd = version
			return
		}
	}
	for _, pattern := range []string{"/usr/lib/systemd", "/usr/lib64/systemd", "/usr/lib/*/systemd", "/lib/systemd"} {
		found, _ := filepath.Glob(in.root + pattern + "/libsystemd-shared-*.so") // the patterns are sound
		for _, file := range found {
			if version := installVersion(file, "-shared-"); version > 0 {
				in.systemd = version
				return
			}
		}
	}
	if in.c.flags.install.print {
		in.systemd = installSystemd
	}
}

// installVersion gives the number behind a word of a text; 0: there is none.
func installVersion(text, word string) int {
	_, rest, _ := strings.Cut(text, word)
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(rest[:max(end, 0)])
	return n
}

// systemctl runs systemctl for the system that is worked on.
func (in *installer) systemctl(ctx context.Context, args ...string) (string, error) {
	if in.own {
		args = append([]string{"--user"}, args...)
	}
	return installRun(ctx, "", "systemctl", args...)
}

// installService is how a service is, as systemctl show says it.
type installService struct {
	loaded bool // systemd knows its unit
	active bool // it runs, or is about to
	waits  bool // it has failed, and the next try comes later
	off    bool // somebody has disabled or masked it
	pid    int
	status string // what it says of itself, as "2 runs"
}

// service asks how a service is.
func (in *installer) service(ctx context.Context, unit string) (s installService, err error) {
	out, err := in.systemctl(ctx, "show", "--property", "LoadState,ActiveState,SubState,UnitFileState,MainPID,"+
		"StatusText", unit)
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "LoadState":
			s.loaded = value == "loaded"
		case "ActiveState":
			s.active = value != "inactive" && value != "failed" && value != "deactivating"
		case "SubState":
			s.waits = value == "auto-restart"
		case "UnitFileState":
			s.off = value == "disabled" || strings.HasPrefix(value, "masked")
		case "MainPID":
			s.pid, _ = strconv.Atoi(value)
		case "StatusText":
			s.status = value
		}
	}
	return s, nil
}

// outdated says whether a process runs another program than the file that is in its place now.
func (in *installer) outdated(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && exe != in.bin
}

// look asks how the services are before anything is changed.
func (in *installer) look(ctx context.Context) (before map[string]installService, err error) {
	before = map[string]installService{}
	for _, unit := range []string{unitPrincipalName, unitAgentName, unitSocketName} {
		if !in.live || !in.has(unit) {
			continue
		}
		before[unit], err = in.service(ctx, unit)
		if err != nil {
			return nil, err
		}
	}
	return before, nil
}

// services has systemd read the units, and starts what is to run. before says how the services were, changed which
// units, and whether the credential, are other than then.
func (in *installer) services(ctx context.Context, before map[string]installService,
	changed map[string]bool) error {
	specs, err := in.specs()
	if err != nil {
		return err
	}
	// systemd starts an answer by itself
	specs = slices.DeleteFunc(specs, func(s *unitSpec) bool { return s.Kind == unitAnswer })
	if !in.live {
		for _, s := range specs {
			if err := in.link(s); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := in.systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	for _, s := range specs { // all, before one fails to start
		if before[s.name()].loaded {
			continue
		}
		if _, err := in.systemctl(ctx, "enable", s.name()); err != nil {
			return err
		}
		in.did("enabled", s.name(), "")
	}
	for _, s := range specs {
		if err := in.start(ctx, s, before[s.name()], changed); err != nil {
			return err
		}
	}
	return nil
}

// start starts a service. One that runs already is started again when it is a principal and something has
// changed: that stops no task. Of an agent it says how.
func (in *installer) start(ctx context.Context, s *unitSpec, was installService, changed map[string]bool) error {
	unit := s.name()
	if was.loaded && was.off {
		in.did("left", unit, "it is disabled: systemctl enable --now "+unit)
		return nil
	}
	why := ""
	switch {
	case changed[unit]:
		why = "its unit is new"
	case was.pid > 0 && in.outdated(was.pid):
		why = "the program is new"
	case s.Credential != "" && changed["credential"]:
		why = "the credential is new"
	}
	switch {
	case !was.active || was.waits:
		return in.turn(ctx, "start", "started", unit, "")
	case why == "":
		in.did("same", unit, "it runs")
		return nil
	case s.Kind&(unitPrincipals|unitSocket) != 0:
		return in.turn(ctx, "restart", "restarted", unit, why)
	}
	user := ""
	if in.own {
		user = " --user"
	}
	runs, _, _ := strings.Cut(orDefault(was.status, "its runs"), ",")
	note := fmt.Sprintf("%s, and it goes on as it was, with %s: systemctl%s restart %s waits %s for its runs, and "+
		"then ends them; before that, cdktr drain AGENT has it take no more", why, runs, user, unit,
		in.cfg.get("drain_timeout"))
	in.did("left", unit, note)
	return nil
}

// turn has systemd start or stop a service, and waits until it has.
func (in *installer) turn(ctx context.Context, verb, done, unit, note string) error {
	fmt.Fprintf(in.c.err, "cdktr: %s %s ...\n", verb, unit)
	if _, err := in.systemctl(ctx, verb, unit); err != nil {
		of := "--unit"
		if in.own {
			of = "--user-unit"
		}
		_, _ = installRun(ctx, "", "journalctl", "--sync")
		said, _ := installRun(ctx, "", "journalctl", of, unit, "_COMM=cdktr", "--lines", "2", "--output", "cat",
			"--no-pager")
		for line := range strings.Lines(said) { // what it was, mostly
			_ = printText(in.c.err, strings.TrimSuffix(line, "\n"))
		}
		return &exitError{code: exitFailed, err: err, hint: "journalctl " + of + " " + unit + " --lines 20"}
	}
	in.did(done, unit, note)
	return nil
}

// wants gives the link by which a unit is enabled.
func (in *installer) wants(unit string) string {
	target := "multi-user"
	switch {
	case unit == unitSocketName:
		target = "sockets"
	case in.own:
		target = "default"
	}
	return filepath.Join(in.units, target+".target.wants", unit)
}

// link enables a unit where no systemd runs.
func (in *installer) link(s *unitSpec) error {
	at, err := in.at(in.wants(s.name()))
	if err != nil {
		return err
	}
	if _, err := os.Lstat(at); err == nil {
		in.did("same", s.name(), "enabled")
		return nil
	}
	err = os.MkdirAll(filepath.Dir(at), 0o755)
	if err == nil {
		err = os.Symlink(filepath.Join(in.units, s.name()), at)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("enable %s: %w", s.name(), err)
	}
	in.did("enabled", s.name(), "it starts at boot")
	return nil
}
