// Bench measures the whole program from outside. It builds cdktr as it is released, runs it beside other tools and
// beside the bare machine, in turns, so that both meet the same machine in the same minute, and prints one line for
// each row: value, floor, ratio, bound, verdict.
//
//	bench/run                 # all rows; exit status 1 when a row misses its bound
//	bench/run --quick         # few samples: a row fails at twice its bound, five times
//	bench/run --doc           # all rows, and docs/performance.md and the README's table from them
//	bench/run ROW... --list   # these rows or groups of rows only; --list names them
//
// What cannot be measured because a tool is missing is skipped, and said; with CI set that is a failure. Nothing stays
// behind: every process is started in a group of its own and ended, every file lies in one folder that is removed, also
// after INT, TERM and HUP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cdktr/e2e/harness"
)

// bench is one go through the rows.
type bench struct {
	ctx      context.Context // ends at the first signal
	quick    bool            // few samples
	dir      string          // everything made here is in it
	cdktr    string          // the binary that is measured
	name     string          // of the group that is measured
	calm     []string        // measures the bare machine, in the quick form; nil: nothing does
	procs    processes
	noCronic bool // supercronic could not be built
}

// options is what the command line says.
type options struct {
	quick, doc, list bool
	cdktr            string
	rows             []string
}

func main() {
	opt, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	missed, err := run(ctx, opt)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	case missed > 0:
		os.Exit(1)
	}
}

// parse reads a command line, in which rows and flags may come in any order.
func parse(args []string) (opt options, err error) {
	f := flag.NewFlagSet("bench/run", flag.ContinueOnError)
	f.BoolVar(&opt.quick, "quick", false, "few samples; a row fails at twice its bound, five times")
	f.BoolVar(&opt.doc, "doc", false, "write docs/performance.md and the README's table")
	f.BoolVar(&opt.list, "list", false, "name the rows, and measure nothing")
	f.StringVar(&opt.cdktr, "cdktr", "", "measure this `FILE` instead of building one")
	for len(args) > 0 {
		if err := f.Parse(args); err != nil {
			return opt, err
		}
		if args = f.Args(); len(args) > 0 {
			opt.rows, args = append(opt.rows, args[0]), args[1:]
		}
	}
	if opt.doc && (opt.quick || len(opt.rows) > 0 || opt.cdktr != "") {
		return opt, errors.New("--doc is of all rows, measured in full, of this checkout")
	}
	return opt, nil
}

// run measures the rows that are asked for, and says how many failed.
func run(ctx context.Context, opt options) (failed int, err error) {
	b := &bench{ctx: ctx, quick: opt.quick, dir: os.Getenv("CDKTR_BENCH_DIR"), cdktr: opt.cdktr}
	if b.dir == "" {
		return 0, errors.New("bench/run is what starts this")
	}
	defer func() {
		b.procs.end()
		err = errors.Join(err, os.RemoveAll(b.dir))
	}()
	chosen, err := choose(groups(), opt.rows)
	if err != nil {
		return 0, err
	}
	if opt.list {
		for _, g := range chosen {
			for _, r := range g.rows {
				fmt.Printf("%-16s %-16s %s\n", r.name, g.name, r.what)
			}
		}
		return 0, nil
	}
	if err := b.build(); err != nil {
		return 0, err
	}
	if b.quick {
		if b.calm, _, err = b.loop(); err != nil {
			b.say("how fast this machine is nobody knows: %v", err)
		}
	}
	here := siteOf(b)
	fmt.Printf("%s\ncommit %s, %s, load %s\n", here.machine, here.commit, here.began.Format("2006-01-02 15:04"),
		here.load)
	var all []outcome
	for _, g := range chosen {
		got, err := b.group(g)
		if ctx.Err() != nil {
			printTable(os.Stdout, all, b.quick) // what there is
			return 0, ctx.Err()
		}
		if err != nil {
			got = b.broken(g, err) // the others can be measured all the same
		}
		all = append(all, got...)
	}
	printTable(os.Stdout, all, b.quick)
	fmt.Printf("load %s after %s\n", load(), time.Since(here.began).Round(time.Second))
	if slow := slowestOf(all); slow > 0 {
		fmt.Printf("at the worst this machine was %.1f times slower than the one on which the bounds were set\n", slow)
	}
	if opt.doc {
		if err := writeDocs(here, all); err != nil {
			return 0, err
		}
	}
	for i := range all { // once more: of a long output a reader may have the end alone
		if o := &all[i]; o.fails(b.quick) {
			fmt.Printf("%s: %s\n", o.text(), o.verdict(b.quick))
		}
	}
	failed, text := sum(all, b.quick, os.Getenv("CI") != "")
	fmt.Println(text)
	return failed, nil
}

// sum counts the rows that fail the bench, and says what became of all. In CI a row that was skipped fails it too,
// unless its tool may be missing there.
func sum(all []outcome, quick, ci bool) (failed int, text string) {
	var kept, over, skipped, lacking, free int
	for i := range all {
		switch o := &all[i]; {
		case o.skipped != "":
			skipped++
			if ci && !o.soft {
				lacking++
			}
		case o.fails(quick):
			failed++
		case o.missedBy(quick) > 1:
			over++
		case o.missedBy(quick) > 0:
			kept++
		default:
			free++
		}
	}
	text = fmt.Sprintf("%d rows keep their bounds, %d miss them", kept, failed)
	if over > 0 {
		text += fmt.Sprintf(", %d are over by less than twice", over)
	}
	if free > 0 {
		text += fmt.Sprintf(", %d have none", free)
	}
	if skipped > 0 {
		text += fmt.Sprintf(", %d were skipped", skipped)
	}
	return failed + lacking, text
}

// choose gives the groups that have a row or a name that is asked for, each with those rows alone; all without words.
func choose(all []group, words []string) ([]group, error) {
	if len(words) == 0 {
		return all, nil
	}
	var chosen []group
	unknown := slices.Clone(words)
	for _, g := range all {
		var rows []row
		for _, r := range g.rows {
			if slices.Contains(words, g.name) || slices.Contains(words, r.name) {
				rows = append(rows, r)
				unknown = slices.DeleteFunc(unknown, func(w string) bool { return w == g.name || w == r.name })
			}
		}
		if len(rows) > 0 {
			g.rows = rows
			chosen = append(chosen, g)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("no such row: %s; bench/run --list names them", strings.Join(unknown, " "))
	}
	return chosen, nil
}

// group measures the rows of one group. In the quick form what misses its bound, or breaks, is measured again, a while
// later: the machine has others to serve. What is wrong with the program is wrong each time.
func (b *bench) group(g group) ([]outcome, error) {
	b.name = g.name
	all, err := b.measure(g)
	for try := 1; try < quickTries && b.quick && b.again(all, err); try++ {
		if err := b.sleep(time.Duration(try) * 3 * time.Second); err != nil {
			return nil, err
		}
		next, nextErr := b.measure(g)
		switch {
		case err != nil:
			all, err = next, nextErr
		case nextErr != nil: // what was measured before stands
			b.clear(nextErr)
		default:
			for i := range all {
				if all[i].fails(true) {
					all[i] = next[i]
				}
			}
		}
	}
	return all, err
}

// again says whether a group that was measured in the quick form is to be measured once more, and tells why.
func (b *bench) again(all []outcome, err error) (again bool) {
	if err != nil {
		b.clear(err)
		return b.ctx.Err() == nil
	}
	for i := range all {
		if o := &all[i]; o.fails(true) {
			b.say("once more: %s", o.text())
			again = true
		}
	}
	return again
}

// clear says why a group could not be measured, and ends what it has left.
func (b *bench) clear(err error) {
	b.say("%v", err)
	b.procs.end()
}

// broken clears after a group, and gives its rows.
func (b *bench) broken(g group, err error) (all []outcome) {
	b.clear(err)
	why, _, _ := strings.Cut(err.Error(), "\n")
	for _, r := range g.rows {
		all = append(all, outcome{r, figures{broken: why}})
	}
	return all
}

// measure calls what measures a group, and pairs what it found with the rows.
func (b *bench) measure(g group) ([]outcome, error) {
	before := b.slower()
	found, err := g.measure(b)
	slower := max(before, b.slower())
	var lacks *missing
	if err != nil && !errors.As(err, &lacks) {
		return nil, err
	}
	var all []outcome
	for _, r := range g.rows {
		o := outcome{row: r, figures: found[r.name]}
		o.slower = slower
		switch {
		case lacks != nil:
			o.skipped, o.soft = lacks.Error(), lacks.soft
		case len(o.ours) == 0 && o.skipped == "":
			return nil, fmt.Errorf("row %s was not measured", r.name)
		}
		all = append(all, o)
	}
	return all, nil
}

// say tells on standard error how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", b.name, fmt.Sprintf(format, args...))
}

// samples gives n, or few when quick.
func (b *bench) samples(n, few int) int {
	if b.quick {
		return few
	}
	return n
}

// build makes the binary, unless the command line names one.
func (b *bench) build() (err error) {
	if b.cdktr != "" {
		b.cdktr, err = filepath.Abs(b.cdktr)
		return err
	}
	b.cdktr = filepath.Join(b.dir, "cdktr")
	return harness.Release(b.cdktr)
}

// file writes a file below the folder of the bench and gives its path.
func (b *bench) file(name, text string) (string, error) {
	full := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return "", err
	}
	return full, os.WriteFile(full, []byte(text), 0o644)
}

// sleep waits, unless the bench is interrupted.
func (b *bench) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}
