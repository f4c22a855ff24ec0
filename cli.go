// cli.go: what a verb of the command line is made of: its entry in the table, its flags, the invocation that it is
// given, and the errors that carry an exit code. The verbs themselves are in the files that bear their names or say at
// their top which they hold; main.go lists them all.

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
	code int
	err  error
	hint string // what to do next
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// signalError is why the context of a verb ended: somebody sent this process a signal.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return "got signal " + e.signal.String() }

// usageError is a command line that makes no sense.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// cliVerb is one verb of the command line. The table drives dispatch, help and completion.
type cliVerb struct {
	name     string // "start principal" is one verb of two words
	other    string // another name, kept for users of CDKTR
	args     string
	help     string
	more     string // further lines for --help
	examples []string
	flags    func(*cliFlags)
	run      func(context.Context, *cli, []string) error
	rereads  bool // without a terminal HUP does not end it: it reads its files again (cli.hangups)
}

// cli is one invocation: where it reads and writes, and what the flags and settings said.
type cli struct {
	in       io.Reader
	out      io.Writer
	err      io.Writer
	getenv   func(string) string
	environ  []string
	flags    *cliFlags
	cfg      *config
	crash    func()           // ends the process, with the code of a panic
	patience time.Duration    // how long a principal that was lost is waited for
	hangups  <-chan os.Signal // HUP, of a verb that rereads and has no terminal; else nil
	hurry    <-chan struct{}  // closed by the second of the signals that ended ctx: mainPatience is left
	settled  chan struct{}    // closed by settle; nil where nobody waits for it
	// looks at files that may not answer, of the goroutine of the verb; nil: nothing is remembered of them
	waits *diskWaits
}

// settle says that the verb has read what it needs and holds something that it gives back in steps of its own, runs
// above all: from here on nobody ends it but itself, or a second signal.
func (c *cli) settle() {
	if c.settled != nil {
		close(c.settled)
	}
}

// cliFlags is the flags of one verb. Every verb has those of newCLIFlags.
type cliFlags struct {
	*flag.FlagSet
	json        bool
	set         map[string]string // settings given as flags
	params      pairsFlag
	labels      pairsFlag
	follow      bool
	wait        bool
	detach      bool
	all         bool
	force       bool
	n           int
	workflow    string
	state       string
	since       string
	task        string
	grep        string
	stderr      bool
	raw         bool
	time        bool
	taskName    bool
	key         string
	tz          string
	from        string
	cron        string
	dot         bool
	watch       bool
	readonly    bool
	compatPorts bool
	withAgent   bool
	noSched     bool
	repair      bool
	keys        bool
	output      bool
	fresh       bool // authorize --new
	list        bool
	remove      bool
	server      bool // keygen --show-server
	licenses    bool // version --licenses
	stdio       bool
	role        string
	workflows   string
	endpoint    string
	file        string // -o
	config      string
	color       string
	seq         uint64
	snooze      string
}

// pairsFlag is a flag of the form k=v that may be given again and again.
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

// cliAll is the number of rows that are wanted where all are.
const cliAll = -1

// count makes the flag -n, how many rows or lines are wanted: 0 is none. n is what it is where it is not given.
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

// setting makes a flag of a configuration key.
func (f *cliFlags) setting(key, help string) {
	f.Func(strings.ReplaceAll(key, "_", "-"), help, func(text string) error {
		f.set[key] = text
		return nil
	})
}

// insecureFlag is --insecure, which may stand alone.
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

// parse takes flags from anywhere among args; -- ends them.
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
		case !slices.Contains([]string{"auto", "always", "never"}, f.color):
			return nil, fmt.Errorf("--color %s: want auto, always or never", f.color)
		case f.NArg() == 0:
			return append(words, tail...), nil
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

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

// note prints what the principal remarks on a reply, on standard error.
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

// sinceOf reads a --since: a duration before now, or a time.
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

// cliFlagShown writes a flag with the name of its value.
func cliFlagShown(fl *flag.Flag) string {
	dashes := "--"
	if len(fl.Name) == 1 {
		dashes = "-"
	}
	value, _ := flag.UnquoteUsage(fl)
	if value == strings.ToLower(value) { // what package flag calls it
		value = strings.ToUpper(value)
	}
	return strings.TrimSpace(dashes + fl.Name + " " + value)
}
