// cli.go: what a verb of the command line is made of: its entry in the table, its flags, the invocation that it gets,
// and the errors that carry an exit code. The other files of this room hold the verbs, and say at their top which;
// main.go lists all verbs.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exit codes, as scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1 // the run failed, was cancelled or crashed
	exitUsage       = 2 // bad usage or an invalid file
	exitUnreachable = 3 // no principal
	exitNotAllowed  = 4
	exitRefused     = 5 // not found, conflict, no space
	exitInterrupted = 130
)

// cliEchoMost is how many bytes of what was typed an error repeats.
const cliEchoMost = 100

// exitError carries an exit code up to main. A nil err prints nothing.
type exitError struct {
	code   int
	err    error
	hint   string // what to do next
	passed bool   // the code is that of a command that exec has run
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// signalError is the cause of a verb's context that has ended: somebody sent this process a signal.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return "got signal " + e.signal.String() }

// usageError is the error of a command line that makes no sense.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// cliVerb is one verb of the command line. Dispatch, help and completion all come from the table of verbs (mainVerbs).
type cliVerb struct {
	name     string // "start principal" is one verb of two words
	other    string // another name, kept for users of CDKTR
	args     string // the arguments, as the help shows them
	help     string // one line, as the overview shows it
	more     string // further lines for --help
	examples []string
	flags    func(*cliFlags) // adds the verb's own flags
	run      func(ctx context.Context, c *cli, args []string) error
	unset    bool // it needs no settings, or reads them itself (configure)
	rereads  bool // without a terminal, HUP makes it read its files again instead of ending it (cli.hangups)
}

// cli is one invocation of the program.
type cli struct {
	// what the process was started with
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	environ []string

	// what the command line and the settings say
	flags *cliFlags
	cfg   *config

	// what main knows of all verbs

	// how long it waits, and how it ends
	patience time.Duration             // how long to try to reach a principal again that was lost
	crash    func()                    // ends the process, with the code of a panic
	hangups  <-chan os.Signal          // HUP, for a verb that rereads and has no terminal; else nil
	hurry    <-chan struct{}           // closed by the second signal that asks for an end: mainPatience is left then
	settled  chan struct{}             // closed by settle; nil where nobody waits for it
	files    func() ([]cliFile, error) // those that install writes: main makes them
	waits    *diskWaits                // the verb's looks at files that may hang; nil: it looks only once
}

// settle says that the verb has read what it needs, and now holds something that it must give back step by step, such
// as runs. From here on only the verb itself or a second signal ends it.
func (c *cli) settle() {
	if c.settled != nil {
		close(c.settled)
	}
}

// cliFlags is the flags of one verb, those of newCLIFlags and its own. A field bears the name of its flag where no
// other name is given. The function of a verb (psVerb) says which flags it has.
type cliFlags struct {
	*flag.FlagSet

	// every verb
	json   bool
	config string
	color  string
	set    map[string]string // settings that are given as flags

	// several verbs
	all    bool
	follow bool
	watch  bool
	n      int
	since  string
	task   string
	file   string // -o

	// run
	params   pairsFlag // -p
	wait     bool
	detach   bool
	output   bool
	taskName bool // also logs
	key      string

	tree  bool // ps
	batch string

	backfill cliBackfill
	wrap     cliWrap

	timeout time.Duration // wait, exec

	env  pairsFlag // exec
	name string    // exec
	cwd  string    // exec

	// cancel, ack, approve
	force   bool
	snooze  string
	comment string

	// next
	load bool
	ical bool
	days int

	// pause
	pauseFor string // --for
	until    string
	note     string

	testAlarm bool
	markdown  bool // attention
	http      bool // metrics

	// import crontab, export crontab
	system bool
	diff   bool
	out    string

	// ps, logs, events
	workflow string
	agent    string
	state    string
	grep     string
	stderr   bool // --err
	raw      bool
	time     bool
	seq      uint64

	// next, graph
	tz   string
	from string // also retry
	cron string
	dot  bool

	// start principal, start agent, ui
	labels      pairsFlag // --label
	withAgent   bool
	noSched     bool // --no-scheduler
	compatPorts bool
	readonly    bool

	// check, backup, restore, version
	repair   bool
	keys     bool
	dryRun   bool
	strict   bool
	check    bool   // config
	explain  string // doctor
	licenses bool

	// keygen, authorize, connect
	server    bool // --show-server
	fresh     bool // --new
	list      bool
	remove    bool
	role      string
	workflows string
	endpoint  string
	stdio     bool

	install installFlags // also uninstall
}

// pairsFlag is a flag of the form k=v that may be given several times.
type pairsFlag map[string]string

func (p *pairsFlag) String() string { return "" }

func (p *pairsFlag) Set(text string) error {
	k, v, ok := strings.Cut(text, "=")
	if !ok || k == "" {
		return fmt.Errorf("want NAME=VALUE, not %q", text)
	}
	if err := textFault(k); err != nil {
		return fmt.Errorf("the name %q %w", k, err)
	}
	if err := textFault(v); err != nil {
		return fmt.Errorf("the value of %s %w", k, err)
	}
	if *p == nil {
		*p = pairsFlag{}
	}
	(*p)[k] = v
	return nil
}

// cliAll is the number of rows that are wanted where all of them are.
const cliAll = -1

// count makes the flag -n, which says how many rows or lines are wanted; 0 is none. n is its default.
func (f *cliFlags) count(n int, help string) {
	f.n = n
	f.Func("n", help, func(text string) (err error) {
		f.n, err = strconv.Atoi(text)
		if err != nil || f.n < 0 {
			return errors.New("want a number that is not below 0")
		}
		return nil
	})
}

// setting makes a flag that sets a setting (configKeys).
func (f *cliFlags) setting(key, help string) {
	f.Func(strings.ReplaceAll(key, "_", "-"), help, func(text string) error {
		f.set[key] = text
		return nil
	})
}

// insecureFlag is --insecure, with or without a value.
type insecureFlag map[string]string

func (insecureFlag) String() string { return "" }

func (insecureFlag) IsBoolFlag() bool { return true }

func (f insecureFlag) Set(text string) error {
	switch text {
	case "true":
		f["insecure"] = "loopback"
	case "any":
		f["insecure"] = "any"
	default:
		return fmt.Errorf("want --insecure or --insecure=any, not %q", text)
	}
	return nil
}

// newCLIFlags makes the flags that every verb has.
func newCLIFlags(name string) *cliFlags {
	f := &cliFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), set: map[string]string{}}
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.BoolVar(&f.json, "json", false, "print JSON: one object, or one a line")
	f.setting("principal", "where the principal is: ipc://PATH, tcp://HOST:PORT or ssh://[USER@]HOST")
	f.setting("context", "talk to the principal that the configuration file knows by this `NAME`")
	f.Func("H", "short for --principal ssh://`HOST`", func(host string) error {
		f.set["principal"] = "ssh://" + host
		return nil
	})
	f.setting("credential", "the `FILE` that lets this client in over tcp://")
	f.Var(insecureFlag(f.set), "insecure", "tcp:// without keys: on a loopback address, or with =any on every one")
	f.StringVar(&f.config, "config", "", "read settings from `FILE` (default "+configFileDefault+")")
	f.StringVar(&f.color, "color", "auto", "colour: auto, always or never")
	return f
}

// cliColors is the values of --color.
var cliColors = []string{"auto", "always", "never"}

// parse takes the flags from anywhere among args, up to a --, and gives the other words.
func (f *cliFlags) parse(args []string) ([]string, error) {
	var tail []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, tail = args[:i], args[i+1:]
	}
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		switch {
		case !slices.Contains(cliColors, f.color):
			return nil, fmt.Errorf("--color %s: want auto, always or never%s", textHead(f.color, cliEchoMost),
				nearHint(f.color, cliColors))
		case f.NArg() == 0:
			return append(words, tail...), nil
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

// painter gives a painter of the verb's output.
func (c *cli) painter() *painter { return painterOf(c.out, c.flags.color, c.getenv) }

// ask does one request on a connection of its own.
func (c *cli) ask(ctx context.Context, req Request) (*Reply, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.ask(ctx, req)
}

// askAt does one request on a connection of its own to a socket of this box.
func (c *cli) askAt(ctx context.Context, endpoint string, req Request) (*Reply, error) {
	conn, err := clientDial(ctx, endpoint, wireOptions{})
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.ask(ctx, req)
}

// say prints a remark on standard error, in one line.
func (c *cli) say(text string) { printText(c.err, "cdktr: "+text) }

// note prints the remark that the principal made on a reply, on standard error.
func (c *cli) note(r *Reply) {
	if r.Note != "" {
		c.say(r.Note)
	}
}

// oneArg gives the only argument of a verb.
func oneArg(args []string, verb, what string) (string, error) {
	if len(args) != 1 {
		return "", &exitError{code: exitUsage, err: fmt.Errorf("%s takes one %s, not %d", verb, what, len(args)),
			hint: "cdktr " + verb + " --help"}
	}
	return args[0], nil
}

// isRunID says whether an argument is a run's id rather than a workflow's.
func isRunID(text string) bool {
	return len(text) == 26 && strings.Trim(text, ulidDigits) == "" && text[0] <= '7'
}

// isFile says whether the argument of run is a file rather than a workflow's id.
func isFile(text string) bool {
	ext := strings.ToLower(filepath.Ext(text))
	return text == "-" || strings.Contains(text, "/") || slices.Contains([]string{".yml", ".yaml", ".json"}, ext)
}

// sinceOf reads the value of --since: a duration before now, or a time.
func sinceOf(text string, now time.Time) (Stamp, error) {
	if text == "" {
		return Stamp{}, nil
	}
	if d, err := parseDuration(text); err == nil {
		return stampOf(now.Add(-d)), nil
	}
	t, err := timeOf(text, time.Local)
	if err != nil {
		return Stamp{}, usageError("%q is neither a time nor how long ago: write it as 2026-01-31T02:30, 90m or 2d",
			textHead(text, cliEchoMost))
	}
	return stampOf(t), nil
}

// timeOf reads a time as people write it: RFC 3339, or a date with or without a time of day in the given zone.
func timeOf(text string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError("%q is not a time: write it as 2026-01-31T02:30, or with a zone as "+
		"2026-01-31T02:30:00Z", textHead(text, cliEchoMost))
}

// given says whether a flag is on the command line, with whatever value.
func (f *cliFlags) given(name string) (yes bool) {
	f.Visit(func(fl *flag.Flag) { yes = yes || fl.Name == name })
	return yes
}

// cliFlagName writes a flag with its dashes.
func cliFlagName(fl *flag.Flag) string {
	if len(fl.Name) == 1 {
		return "-" + fl.Name
	}
	return "--" + fl.Name
}

// cliFlagShown writes a flag with its dashes and the name of its value.
func cliFlagShown(fl *flag.Flag) string {
	value, _ := flag.UnquoteUsage(fl)
	if value == strings.ToLower(value) { // the name of a type, by package flag
		value = strings.ToUpper(value)
	}
	return strings.TrimSpace(cliFlagName(fl) + " " + value)
}
