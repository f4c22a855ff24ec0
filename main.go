// main.go: the table of verbs, the way from a command line to a verb and from an error to an exit code, and signals. No
// other file uses os.Args and os.Exit.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mainVerbs is every verb there is, in the order of the overview. Each function stands beside the code of its verb:
// psVerb in cli_list.go has the flags and the help of ps, and doPs behind it carries ps out.
func mainVerbs() (verbs []cliVerb) {
	for _, verb := range []func() cliVerb{
		startPrincipalVerb, startAgentVerb,
		runVerb, execVerb, backfillVerb, wrapVerb, waitVerb, cancelVerb, retryVerb, approveVerb, rejectVerb,
		logsVerb,
		pauseVerb, resumeVerb, rescanVerb,
		drainVerb, undrainVerb, forgetVerb,
		lsVerb, showVerb, psVerb, whyVerb, nextVerb, graphVerb, validateVerb, schemaVerb, agentsVerb,
		poolsVerb, eventsVerb, pingVerb, attentionVerb, ackVerb, statsVerb, metricsVerb, uiVerb,
		checkVerb, backupVerb, restoreVerb, doctorVerb, keygenVerb, authorizeVerb, connectVerb,
		installVerb, uninstallVerb,
		initVerb, configVerb, versionVerb, completionVerb,
		importCrontabVerb, exportCrontabVerb,
		helpVerb, manVerb,
	} {
		verbs = append(verbs, verb())
	}
	return verbs
}

// The first thread is for main alone, which only waits. The kernel gives it the signals of the process, and a thread
// that hangs at a file would never take them. It is also the thread to which the kernel gives orphans as children
// (procSys.orphans): nothing else may start a process there.
func init() { runtime.LockOSThread() }

// main waits: what the first thread says to other goroutines costs a switch of threads each time.
func main() {
	ended := make(chan int)
	go func() { ended <- mainWith(dialPatience) }()
	os.Exit(<-ended)
}

// mainWith is main, and gives the exit code. patience is how long it tries to reach a principal again that it has lost.
func mainWith(patience time.Duration) int {
	debug.SetGCPercent(400) // most verbs end before a collection pays; daemons change this once they are up
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, environ: os.Environ(),
		patience: patience, crash: func() { os.Exit(exitUsage) }, files: mainFiles}
	zoneLocal(os.Getenv("TZ"))
	ctx, stop := c.onSignals(os.Args[1:])
	code := c.main(ctx, os.Args[1:])
	stop()
	return code
}

// mainFiles gives the files that go with the program and are made of the table of verbs.
func mainFiles() (all []cliFile, err error) {
	for _, s := range completionScripts {
		all = append(all, cliFile{kind: s.shell, text: s.script})
	}
	pages, err := mainPages()
	for _, p := range pages {
		all = append(all, cliFile{kind: "man", name: p.name, text: p.text})
	}
	return all, err
}

// onSignals gives a context that ends at the first INT or TERM. The second signal closes c.hurry, for verbs that stop
// in steps, and mainPatience later ends the process, whatever that still waits for. The third ends it at once. HUP
// means that the terminal has gone; a service has none, and HUP asks it to read its files again. A reader of our output
// that goes away is an error of the write, not a signal.
func (c *cli) onSignals(args []string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	first, later, hurry := make(chan os.Signal, 1), make(chan os.Signal, 4), make(chan struct{})
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	verb, _, err := mainFind(args)
	service := err == nil && verb != nil && verb.rereads
	switch {
	case service && !termControls():
		hangups := make(chan os.Signal, 1) // a HUP that comes while files are read makes the verb read them once more
		signal.Notify(hangups, syscall.SIGHUP)
		c.hangups = hangups
	case !signal.Ignored(syscall.SIGHUP): // nohup has it ignored
		signal.Notify(first, syscall.SIGHUP)
		// A terminal that goes away sends two, one by the kernel and one by its shell: this drops the second.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	// Catch and drop PIPE, so that a write to a closed pipe fails with EPIPE. Tasks would inherit that it is ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	c.hurry = hurry
	done := make(chan struct{})
	go func() { // ends with the first signal, or with main
		select {
		case s := <-first:
			signal.Notify(later, os.Interrupt, syscall.SIGTERM)
			signal.Stop(first)
			cancel(&signalError{s})
			mainHurry(later, hurry, done)
		case <-done:
		}
	}()
	return ctx, func() { close(done) }
}

// mainPatience is how long a process may take to end after the second signal: enough to kill its tasks, record that,
// and sync.
const mainPatience = 5 * time.Second

// mainHurry ends a process that was told to stop and does not, after the second or third signal. It takes no lock and
// waits for nobody, so that it works whatever hangs. It returns when done is closed.
func mainHurry(later <-chan os.Signal, hurry chan<- struct{}, done <-chan struct{}) {
	select {
	case <-later:
	case <-done:
		return
	}
	close(hurry)
	patience := time.NewTimer(mainPatience)
	defer patience.Stop()
	select {
	case <-patience.C:
	case <-later:
	case <-done:
		return
	}
	said := make(chan struct{})
	go func() { // the reader of standard error may hang as well
		fmt.Fprintln(os.Stderr, "cdktr: ended by a second signal while something did not stop: what it was at is "+
			"found when it starts again")
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(mainPatience / 10):
	}
	os.Exit(exitInterrupted)
}

// main carries one command line out and gives the exit code.
func (c *cli) main(ctx context.Context, args []string) int {
	c.out, c.err = termSafeOf(c.out), termSafeOf(c.err)
	verb, rest, err := mainFind(args)
	if err == nil && verb == nil {
		if _, err = io.WriteString(c.out, mainOverview(mainVerbs())); err == nil {
			return exitOK
		}
	}
	if err == nil && verb.rereads { // the loops of a service must not wait for a reader
		q := serveErrOpen(termRaw(c.err))
		defer q.close()
		c.err = termSafeOf(q)
	}
	if err == nil {
		err = c.mainUntil(ctx, func() error { return c.runVerb(ctx, verb, rest) })
		if verb.name == "exec" {
			err = execOwn(err)
		}
	}
	return c.report(ctx, args, err)
}

// runVerb parses a verb's flags, loads the configuration, and runs it.
func (c *cli) runVerb(ctx context.Context, verb *cliVerb, args []string) error {
	f := newCLIFlags(verb.name)
	if verb.flags != nil {
		verb.flags(f)
	}
	words, err := f.parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return mainHelp(c, verb)
	case err != nil:
		return mainFlagFault(verb.name, "cdktr "+verb.name+" --help shows its flags", f, err)
	}
	if err := mainWords(verb, f, words); err != nil {
		return err
	}
	c.flags = f
	if verb.unset {
		return verb.run(ctx, c, words)
	}
	if err := configure(ctx, c); err != nil {
		return err
	}
	return verb.run(ctx, c, words)
}

// mainUntil runs fn on another goroutine. If fn has neither ended nor settled (cli.settle) by mainPatience after the
// first signal, mainUntil gives up: fn may hang at a file. Then the process ends as if it was killed.
func (c *cli) mainUntil(ctx context.Context, fn func() error) error {
	ended := make(chan error, 1)
	c.settled = make(chan struct{})
	go func() { ended <- fn() }() // ends with fn, or with the process
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	patience := time.NewTimer(mainPatience)
	defer patience.Stop()
	select {
	case err := <-ended:
		return err
	case <-c.settled:
		return <-ended
	case <-patience.C:
		return &exitError{code: exitInterrupted,
			err: fmt.Errorf("interrupted (%w), and given up after %s: something does not answer", context.Cause(ctx),
				mainPatience),
			hint: "see whether the file systems of the configuration, the credential and the state folder answer: " +
				"is one a network mount?"}
	}
}

// mainWords refuses arguments of a verb that takes none, and empty ones: those are mostly variables of a script that
// have no value, and ls ” would list everything.
func mainWords(verb *cliVerb, f *cliFlags, words []string) error {
	if verb.args == "" && len(words) > 0 {
		hint := meantWord(f, words)
		if hint != "" {
			hint += " "
		}
		hint += "cdktr " + verb.name + " --help shows its flags"
		return &exitError{code: exitUsage, err: fmt.Errorf("%s takes no arguments, only flags: %q", verb.name,
			textHead(words[0], cliEchoMost)), hint: hint}
	}
	bare := slices.Contains([]string{"completion", "exec", "wrap"}, verb.name) // they take any
	if i := slices.Index(words, ""); i >= 0 && !bare {
		return &exitError{code: exitUsage, err: fmt.Errorf("argument %d of %s is empty: %s", i+1, verb.name, verb.args),
			hint: "does a variable of a script have no value?"}
	}
	return nil
}

// mainFlagFault says what is wrong with the flags of a verb, and which flag may have been meant. hint is for where
// nothing comes near.
func mainFlagFault(name, hint string, f *cliFlags, err error) error {
	// package flag has no error type for an unknown flag
	if flagged, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); unknown {
		flagged = strings.TrimPrefix(flagged, "-")
		apart := meantApart(f, flagged)
		dashes := "--"
		if len(flagged) == 1 || apart != "" {
			dashes = "-"
		}
		err = fmt.Errorf("%s has no flag %s%s", name, dashes, textHead(flagged, cliEchoMost))
		hint = orDefault(orDefault(apart, meantFlag(f, flagged)), hint)
	}
	return &exitError{code: exitUsage, err: mainFlagNamed(f, err), hint: hint}
}

// mainFlagNamed rewrites an error of package flag, so that it names the flag as the help does.
func mainFlagNamed(f *cliFlags, err error) error {
	if name, missing := strings.CutPrefix(err.Error(), "flag needs an argument: -"); missing && f.Lookup(name) != nil {
		return fmt.Errorf("a value is missing: %s", cliFlagShown(f.Lookup(name)))
	}
	value, rest, wrong := strings.Cut(strings.Replace(err.Error(), `" for flag -`, `" for -`, 1), `" for -`)
	name, fault, _ := strings.Cut(rest, ": ")
	if fl := f.Lookup(name); wrong && fl != nil {
		return fmt.Errorf(`%s" for %s: %s`, value, cliFlagShown(fl), fault)
	}
	return err
}

// report prints an error and gives its exit code.
func (c *cli) report(ctx context.Context, args []string, err error) int {
	if err == nil {
		return exitOK
	}
	code, hint, word := exitFailed, "", ""
	var exit *exitError
	var refused *protoError
	var held conflict
	switch {
	case errors.As(err, &exit):
		code, hint = exit.code, exit.hint
		if errors.As(err, &refused) {
			word, hint = refused.Code, orDefault(hint, mainTooOld(refused))
		}
	case errors.As(err, &refused):
		code, word, hint = exitRefused, refused.Code, mainTooOld(refused)
		if refused.field != "" {
			err = fmt.Errorf("%s %s", mainFieldName(args, refused.field), refused.fault)
		}
		switch refused.Code {
		case codeInvalid, codeUnknownOp:
			code = exitUsage
		case codeNotAllowed:
			code = exitNotAllowed
		}
	case errors.As(err, &held):
		code = exitRefused
	case errors.Is(err, syscall.EPIPE):
		return exitOK // the reader of our output has all that it wanted
	case ctx.Err() != nil:
		code = exitInterrupted
	}
	text := err.Error()
	if mainJSON(args) && text != "" {
		// nobody could be told if this fails
		printJSON(c.err, map[string]mainErrorJSON{"error": {orDefault(word, mainErrorWord(code)), text, hint}})
		return code
	}
	if text != "" {
		c.say(text)
	}
	if hint != "" {
		fmt.Fprintln(c.err, "hint: "+hint)
	}
	return code
}

// mainTooOld is the hint for what a principal refuses because it does not know it, "" for what it refuses otherwise.
func mainTooOld(refused *protoError) string {
	unknown := refused.Code == codeInvalid && strings.Contains(refused.Message, "json: unknown field")
	if unknown || refused.Code == codeUnknownOp {
		return "the principal is older than this program, and has no such thing: update it"
	}
	return ""
}

// mainFieldName says what the command line calls a field of a request: a flag, or an argument.
func mainFieldName(args []string, field string) string {
	switch verb, _, err := mainFind(args); {
	case err != nil || verb == nil:
	case verb.flags != nil:
		f := newCLIFlags(verb.name)
		verb.flags(f)
		given := func(arg string) bool {
			name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			return arg != name && name == field
		}
		if f.Lookup(field) != nil && (field != "workflow" || slices.ContainsFunc(args, given)) {
			return "--" + field
		}
	}
	switch field {
	case "workflow":
		return "the workflow's ID"
	case "run":
		return "the ID of the run"
	}
	return strings.ToUpper(field)
}

// mainErrorJSON is an error as --json prints it, on standard error.
type mainErrorJSON struct {
	Code    string `json:"code"` // the principal's code, or one of mainErrorWord
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// mainErrorWord gives a code for an exit code, for errors that do not come from a principal.
func mainErrorWord(exit int) string {
	switch exit {
	case exitFailed:
		return "failed"
	case exitUsage:
		return codeInvalid
	case exitUnreachable:
		return "unreachable"
	case exitNotAllowed:
		return codeNotAllowed
	case exitRefused:
		return "refused"
	case exitInterrupted:
		return "interrupted"
	}
	return ""
}

// mainJSON says whether a command line asks for JSON, even one that is wrong otherwise.
func mainJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "-json", "--json=true", "-json=true":
			return true
		}
	}
	return false
}

// mainFind finds the verb with which a command line begins, and gives the rest of the line. The verb is nil where the
// overview is asked for.
func mainFind(args []string) (*cliVerb, []string, error) {
	if len(args) == 0 || slices.Contains([]string{"--help", "-h", "-help"}, args[0]) && len(args) == 1 {
		return nil, nil, nil
	}
	if args[0] == "--version" {
		args = []string{"version"}
	}
	if strings.HasPrefix(args[0], "-") {
		return mainFindBehind(args)
	}
	verbs := mainVerbs()
	var names []string
	for i := range verbs {
		for _, name := range []string{verbs[i].other, verbs[i].name} { // try "logs query" before "logs"
			words := strings.Fields(name)
			if len(words) > 0 && len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
				return &verbs[i], args[len(words):], nil
			}
		}
		names = append(names, verbs[i].name)
	}
	text := args[0]
	if text == "start" {
		if len(args) == 1 || strings.HasPrefix(args[1], "-") {
			return nil, nil, &exitError{code: exitUsage, err: errors.New("start what?"),
				hint: "cdktr start principal [--with-agent], or cdktr start agent"}
		}
		text += " " + args[1]
	}
	hint := orDefault(meantVerb(args, names), "cdktr help lists the verbs")
	return nil, nil, &exitError{code: exitUsage, err: fmt.Errorf("unknown verb %q", textHead(text, cliEchoMost)),
		hint: hint}
}

// mainFindBehind finds the verb behind flags, as in cdktr -H box ps. Only flags that every verb has may stand there.
func mainFindBehind(args []string) (*cliVerb, []string, error) {
	common := newCLIFlags("")
	switch err := common.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, nil, nil
	case err != nil:
		hint := "cdktr help lists the verbs; a verb's own flags stand behind it"
		return nil, nil, mainFlagFault("cdktr", hint, common, err)
	case common.NArg() == 0:
		return nil, nil, &exitError{code: exitUsage, err: errors.New("no verb behind the flags"),
			hint: "cdktr help lists the verbs"}
	}
	front := args[:len(args)-common.NArg()]
	verb, rest, err := mainFind(common.Args())
	return verb, slices.Concat(front, rest), err
}
