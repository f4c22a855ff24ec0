// cli_install.go: the verb install, which makes a service of this program: units of systemd, users, folders, the
// program itself, completion, man pages. It says each thing that it does, and does nothing twice. cli_install_files.go
// writes the files, cli_install_systemd.go talks to systemd, cli_uninstall.go takes all of it away again.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where things are on a machine.
const (
	installEtc   = "/etc/cdktr"
	installState = "/var/lib/cdktr"
	installSpool = "/var/lib/cdktr-agent"
	installUnits = "/etc/systemd/system"
	installCred  = installEtc + "/" + unitCredential
	// the unit of a package for Debian
	installPackaged = "/usr/lib/systemd/system/" + unitPrincipalName
	installOldUnit  = "cdktr.service" // what people wrote by hand before there was install

	installUser  = "cdktr"       // the principal's user and group
	installTasks = "cdktr-agent" // the user of tasks

	installSystemd = 252              // units are for this version where nothing says which is there
	installSpare   = 20 * time.Second // how much longer than its own times an agent may take to stop
	installMost    = 128 << 20        // bytes of a file that is compared or copied; a larger one is refused
)

// installFlags is the flags of install and uninstall.
type installFlags struct {
	agent, print, own, system, sudo, purge, yes bool
	user, root, metrics                         string
	systemd                                     int
}

// cliFile is a file that goes with the program, and is made of the table of verbs.
type cliFile struct{ kind, name, text string } // kind: bash, zsh, fish or man

// installer is one call of install or uninstall.
type installer struct {
	c    *cli
	root string // the folder of another system; "" for this one
	own  bool   // for this user alone, and by its own systemd
	live bool   // systemd runs here, and is told

	principal, agent bool // what is wanted
	systemd          int  // its version
	cfg              *config
	program          string // the file of this process
	bin              string // where the program is to be
	etc, units       string // folders
	credential       *credential
	first            bool            // there was no unit before
	given            map[string]bool // flags on the command line
}

// installVerb is the entry of `install`.
func installVerb() cliVerb {
	return cliVerb{name: "install", args: "[principal|agent]",
		help: "make a service of this program: systemd units, users, completion, man pages", run: doInstall,
		more: `
Without a word it makes a principal and an agent of its own beside it, so that a new version of the principal stops no
task; where only one of them is installed it looks after that one. It says each thing it does, and a second call finds
nothing to do. A unit that was changed by hand is shown and kept; drop-ins stay in force. With another version of the
program it is the upgrade: it starts the principal again, and says how to start the agent again. --user, --sudo,
--metrics, --principal and --config hold for later calls too.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.install.agent, "agent", false, "the same as the word agent")
			f.StringVar(&f.install.user, "user", "", "run tasks as this `USER`, who exists (default "+installTasks+")")
			f.BoolVar(&f.install.sudo, "sudo", false, "let tasks use sudo and the like: hardens the agent less")
			f.StringVar(&f.install.metrics, "metrics", "", "answer Prometheus by HTTP at this `ADDR`: 127.0.0.1:9464")
			f.BoolVar(&f.install.print, "print", false, "print the units, and change nothing")
			f.IntVar(&f.install.systemd, "systemd", 0, "write units for this `VERSION` of systemd")
			f.installPlace()
		},
		examples: []string{"sudo cdktr install", "sudo cdktr install agent --credential edge-07.cred",
			"cdktr install --print | less"}}
}

// installPlace makes the flags that say where.
func (f *cliFlags) installPlace() {
	f.BoolVar(&f.install.system, "system", false, "for the machine, as root: the default")
	f.BoolVar(&f.install.own, "user-unit", false, "for this user alone, without root")
	f.StringVar(&f.install.root, "root", "", "work in the system below this `DIR`, and start nothing")
}

func doInstall(ctx context.Context, c *cli, args []string) error {
	in, err := installerNew(ctx, c, args)
	if err != nil {
		return err
	}
	if !c.flags.install.print {
		if err := in.may(); err != nil {
			return err
		}
	}
	if err := in.wanted(ctx, args); err != nil {
		return err
	}
	if c.flags.install.print {
		return in.print()
	}
	in.first = !in.has(unitPrincipalName) && !in.has(unitAgentName)
	before, err := in.look(ctx)
	if err != nil {
		return err
	}
	if err := in.people(ctx); err != nil {
		return err
	}
	changed, err := in.files()
	if err != nil {
		return err
	}
	if err := in.services(ctx, before, changed); err != nil {
		return err
	}
	in.next()
	return nil
}

// installerNew finds out where things are and what systemd there is. It changes nothing.
func installerNew(ctx context.Context, c *cli, args []string) (*installer, error) {
	f := &c.flags.install
	in := &installer{c: c, own: f.own, etc: installEtc, units: installUnits, bin: "/usr/local/bin/cdktr"}
	switch {
	case f.own && f.system:
		return nil, usageError("--user-unit or --system: not both")
	case f.own && (f.root != "" || f.user != ""):
		return nil, usageError("--user-unit is for this user on this machine: leave out --root and --user")
	case f.systemd < 0:
		return nil, usageError("--systemd: want a version such as %d", installSystemd)
	}
	var err error
	if f.root != "" {
		if in.root, err = filepath.Abs(f.root); err == nil {
			in.root, err = filepath.EvalSymlinks(in.root)
		}
		if info, fault := os.Stat(in.root); err == nil && (fault != nil || !info.IsDir()) {
			err = errors.New("it is no folder")
		}
		if err != nil {
			return nil, usageError("--root %s: %w", textHead(f.root, cliEchoMost), pathCause(err))
		}
	}
	if in.root == "/" {
		in.root = ""
	}
	if in.own {
		home := c.getenv("HOME")
		if !filepath.IsAbs(home) {
			return nil, usageError("HOME names no folder: --user-unit writes there")
		}
		config := c.getenv("XDG_CONFIG_HOME")
		if !filepath.IsAbs(config) {
			config = filepath.Join(home, ".config")
		}
		in.etc, in.units = filepath.Join(config, "cdktr"), filepath.Join(config, "systemd/user")
		in.bin = filepath.Join(home, ".local/bin/cdktr")
	}
	in.program, err = os.Executable()
	if err == nil {
		in.program, err = filepath.EvalSymlinks(in.program)
	}
	if err != nil {
		return nil, fmt.Errorf("find the file of this program: %w", err)
	}
	if filepath.Dir(in.program) == "/usr/bin" && in.root == "" { // a package has put it there
		in.bin = in.program
	}
	in.systemd = f.systemd
	in.find(ctx)
	in.remember()
	return in, in.settings(ctx)
}

// remember takes over the flags of the call before, where this one says nothing else: an upgrade does not have to.
func (in *installer) remember() {
	f := in.c.flags
	in.given = map[string]bool{}
	f.Visit(func(fl *flag.Flag) { in.given[fl.Name] = true })
	for _, unit := range []string{unitPrincipalName, unitAgentName, unitSocketName} {
		text, _, _ := in.read(filepath.Join(in.units, unit)) // a unit that cannot be read is told of when it is written
		for line := range strings.Lines(string(text)) {
			with, is := strings.CutPrefix(line, unitWith+"--")
			name, value, _ := strings.Cut(strings.TrimSuffix(with, "\n"), " ")
			if is && !in.given[name] && f.Lookup(name) != nil {
				_ = f.Set(name, value) // as it was taken before
			}
		}
	}
}

// settings reads the configuration file that the services will read. What this shell has set does not reach them.
func (in *installer) settings(ctx context.Context) (err error) {
	file := in.c.flags.config
	if own := in.etc + "/config.yml"; file == "" && in.own {
		if _, err := os.Stat(own); err == nil {
			in.c.flags.config, file = own, own
		}
	}
	if file == "" {
		file = in.root + configFileDefault
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			file = "/dev/null"
		}
	}
	in.cfg, err = configLoad(ctx, nil, file, func(string) string { return "" })
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	return nil
}

// filed gives a setting that the configuration file has, else "".
func (in *installer) filed(key string) string {
	if v := in.cfg.values[key]; strings.HasPrefix(v.From, "file") {
		return v.Value
	}
	return ""
}

// wanted finds out which units are wanted.
func (in *installer) wanted(ctx context.Context, args []string) error {
	f := in.c.flags
	word := strings.Join(args, " ")
	file := f.set["credential"]
	switch {
	case word == "" && (f.install.agent || file != ""), word == "agent":
		in.agent = true
	case word == "principal" && (f.install.agent || file != ""):
		return usageError("a principal has no credential, and is no agent: leave out the word principal, or the flag")
	case word == "principal":
		in.principal = true
	case word != "":
		return usageError("install takes one word, principal or agent, not %q", textHead(word, cliEchoMost))
	default: // a machine that has one of them keeps to that
		in.principal = in.has(unitPrincipalName) || !in.has(unitAgentName)
		in.agent = in.has(unitAgentName) || !in.has(unitPrincipalName)
	}
	var err error
	if file != "" {
		in.credential, err = credentialRead(ctx, nil, file)
	} else if at, fault := in.at(in.etc + "/" + unitCredential); in.agent && fault == nil {
		in.credential, err = credentialRead(ctx, nil, at) // from before
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && f.install.print {
			err = nil
		}
	}
	switch cred := in.credential; {
	case err != nil:
		return &exitError{code: exitUsage, err: err}
	case cred != nil && cred.Role != "" && cred.Role != roleAgent:
		return &exitError{code: exitRefused, err: fmt.Errorf("the credential is %s's, and not an agent's", cred.Role),
			hint: "on the principal's box: cdktr authorize --new NAME --role agent -o FILE"}
	case cred != nil && cred.Endpoint == "" && f.set["principal"] == "":
		return usageError("the credential names no endpoint: give it with --principal tcp://HOST:PORT")
	}
	if in.given["metrics"] {
		addr := f.install.metrics
		host, port, err := net.SplitHostPort(addr)
		switch n, fault := strconv.Atoi(port); {
		case err != nil || fault != nil || n < 1 || n > 65535 || net.ParseIP(host) == nil:
			return usageError("--metrics: want an address and a port, such as 127.0.0.1:9464, not %q",
				textHead(addr, cliEchoMost))
		case in.own || !in.principal:
			return usageError("--metrics goes with a principal of the machine: leave it out")
		}
	}
	if user := f.install.user; user != "" && (!in.agent || strings.ContainsAny(user, " \t:%/\\\"'")) {
		return usageError("--user names the user of tasks, and so goes with an agent: not %q",
			textHead(user, cliEchoMost))
	}
	return nil
}

// tasks is the user of tasks.
func (in *installer) tasks() string { return orDefault(in.c.flags.install.user, installTasks) }

// specs gives what the wanted units are made of.
func (in *installer) specs() ([]*unitSpec, error) {
	var specs []*unitSpec
	var common, with []string
	if file := in.c.flags.config; file != "" {
		file, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("find configuration file: %w", err)
		}
		common, with = append(common, "--config", file), append(with, "--config "+file)
	}
	if in.principal {
		s := in.principalSpec(slices.Clone(common))
		s.With = slices.Clone(with)
		specs = append(specs, s)
		if addr := in.c.flags.install.metrics; addr != "" {
			at := "ipc://" + orDefault(in.filed("socket"), configRuntime+"/"+configSocket)
			specs = append(specs, &unitSpec{Kind: unitAnswer, Systemd: in.systemd, Bin: in.bin, Args: []string{at}},
				&unitSpec{Kind: unitSocket, Systemd: in.systemd, Args: []string{addr},
					With: []string{"--metrics " + addr}})
		}
	}
	if !in.agent {
		return specs, nil
	}
	drain, err := in.cfg.duration("drain_timeout")
	if err != nil {
		return nil, err
	}
	grace, err := in.cfg.duration("grace")
	if err != nil {
		return nil, err
	}
	s := &unitSpec{Kind: unitAgent, Systemd: in.systemd, Bin: in.bin, User: in.tasks(),
		Stop: drain + grace + installSpare, Args: append([]string{"--state", installSpool}, common...)}
	socket := orDefault(in.filed("socket"), configRuntime+"/"+configSocket)
	switch {
	case in.own:
		s.Kind, s.User = unitOwnAgent, ""
		s.Args[1] = filepath.Join(in.c.getenv("HOME"), ".local/state/cdktr-agent")
		socket = filepath.Join(orDefault(in.c.getenv("XDG_RUNTIME_DIR"), fmt.Sprint("/run/user/", os.Getuid())),
			configSocket)
	case s.User == "root":
		s.Kind = unitRootAgent
	case in.c.flags.install.sudo:
		s.Kind = unitSudoAgent
		with = append(with, "--sudo true")
	}
	if user := in.c.flags.install.user; user != "" {
		with = append(with, "--user "+user)
	}
	at := in.c.flags.set["principal"]
	if at != "" {
		with = append(with, "--principal "+at)
	}
	if in.credential != nil {
		s.Credential = filepath.Join(in.etc, unitCredential)
	} else if at == "" {
		at = "ipc://" + socket
		if s.Kind&unitUserAgents != 0 {
			s.Group = orDefault(in.filed("socket_group"), installUser)
		}
	}
	if at != "" {
		s.Args = append(s.Args, "--principal", at)
	}
	s.With = with
	return append(specs, s), nil
}

// principalSpec gives what the principal's unit is made of.
func (in *installer) principalSpec(args []string) *unitSpec {
	s := &unitSpec{Kind: unitPrincipal, Systemd: in.systemd, Bin: in.bin, User: installUser, Args: args}
	if in.own {
		s.Kind, s.User = unitOwnPrincipal, ""
	}
	workflows := in.filed("workflows")
	if workflows == "" {
		s.Args = append(s.Args, "--workflows", in.etc+"/workflows")
	}
	if !in.own && in.filed("socket_group") == "" {
		s.Args = append(s.Args, "--socket-group", installUser)
	}
	wait, err := in.cfg.duration("wait_for_clock")
	s.Clock = err == nil && wait > 0
	s.Home = strings.HasPrefix(workflows, "/home/") || strings.HasPrefix(workflows, "/root/")
	if state := in.filed("state"); state != "" {
		s.Writable = append(s.Writable, state)
	}
	if file := in.filed("metrics_file"); file != "" {
		s.Writable = append(s.Writable, filepath.Dir(file))
	}
	if socket := in.filed("socket"); socket != "" {
		s.Writable = append(s.Writable, filepath.Dir(socket))
	}
	return s
}

// print prints the units.
func (in *installer) print() error {
	specs, err := in.specs()
	if err != nil {
		return err
	}
	for _, s := range specs {
		file := filepath.Join(in.units, s.name())
		if in.c.flags.json {
			err = printJSON(in.c.out, map[string]string{"file": file, "text": s.text()})
		} else {
			_, err = fmt.Fprintf(in.c.out, "# %s\n%s\n", file, s.text())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// may refuses what cannot be done here, before anything is changed.
func (in *installer) may() error {
	if _, err := os.Lstat(in.root + "/etc/systemd/system/" + installOldUnit); err == nil && !in.own {
		return &exitError{code: exitRefused,
			err: fmt.Errorf("%s/%s is there, written by hand: it and the new units would be at the same state",
				installUnits, installOldUnit),
			hint: "systemctl disable --now cdktr; rm " + installUnits + "/" + installOldUnit +
				" (its state, /etc/cdktr and the user stay, and the new units go on with them)"}
	}
	if _, err := os.Lstat(in.root + installPackaged); err == nil && !in.own {
		return &exitError{code: exitRefused, err: errors.New("the package cdktr has made services of this machine"),
			hint: "apt upgrades it, and removes it; put changes into drop-ins: systemctl edit " + unitAgentName}
	}
	return in.mayChange("install")
}

// mayChange refuses a machine without systemd, and who may not write there.
func (in *installer) mayChange(verb string) error {
	switch {
	case in.systemd == 0:
		return &exitError{code: exitRefused, err: errors.New("there is no systemd here, which is to run the services"),
			hint: "have what starts services here keep this one going, as a user of its own: cdktr start principal " +
				"--with-agent --workflows /etc/cdktr/workflows --state /var/lib/cdktr (in a crontab: @reboot " +
				"and that line)"}
	case in.own && !in.live:
		return &exitError{code: exitRefused, err: errors.New("this user's systemd does not answer"),
			hint: "log in by ssh or on a console, not by su or sudo: systemctl --user status must work"}
	case in.own && os.Geteuid() == 0:
		return usageError("root's services are the machine's: leave out --user-unit")
	case !in.own && in.root == "" && os.Geteuid() != 0:
		return &exitError{code: exitNotAllowed, err: errors.New(verb + " changes the machine, and so is for root"),
			hint: "sudo cdktr " + verb + ", or for this user alone: cdktr " + verb + " --user-unit"}
	}
	return nil
}

// installDone is one thing that was done, or found to be done.
type installDone struct {
	Done string `json:"done"` // wrote, replaced, same, kept, made, enabled, started, restarted, left, stopped, removed
	What string `json:"what"`
	Note string `json:"note,omitempty"`
	Diff string `json:"diff,omitempty"` // what is there against what would be written
}

// did says a thing.
func (in *installer) did(done, what, note string) {
	in.tell(installDone{Done: done, What: what, Note: note})
}

// tell prints a thing that was done. That nobody reads it changes nothing of what is to be done.
func (in *installer) tell(d installDone) {
	if in.c.flags.json {
		_ = printJSON(in.c.out, d)
		return
	}
	word := d.Done
	if word == "same" {
		word = "already so"
	}
	text := fmt.Sprintf("%-10s  %s", word, d.What)
	if d.Note != "" {
		text += ": " + d.Note
	}
	_ = printText(in.c.out, text)
	for line := range strings.Lines(d.Diff) {
		_ = printText(in.c.out, "    "+strings.TrimSuffix(line, "\n"))
	}
}

// next says what to do next, after the first install.
func (in *installer) next() {
	if !in.first || in.c.flags.json || !in.live {
		return
	}
	text := "\nTry it:\n"
	if in.principal {
		text += "  cdktr init " + in.etc + "     two workflows to begin with\n  cdktr ls\n"
	}
	if in.principal && !in.own {
		text += "  usermod --append --groups " + installUser + " NAME     lets NAME in, at the next login\n"
	}
	if in.own {
		if _, err := os.Stat("/var/lib/systemd/linger/" + in.c.getenv("USER")); err != nil {
			text += "  loginctl enable-linger     they start at boot, and go on when you log out\n"
		}
	}
	fmt.Fprint(in.c.err, text+"  cdktr doctor\n")
}
