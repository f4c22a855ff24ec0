// Bench measures the whole program from outside: it builds cdktr as it is released, runs it beside other tools in
// turns, so that both meet the same machine in the same minute, and prints one line a figure with the target where
// there is one. Run it as bench/run [--quick] [--net]. --quick takes few samples: it shows that everything can be
// measured, not how fast.
//
// A missed target is marked and is no error: how fast a shared machine is says little about the program. An error is
// whatever cannot be measured.

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// bench is one go through all figures.
type bench struct {
	quick  bool
	dir    string // everything made here is in it
	cdktr  string // the binary
	out    *tabwriter.Writer
	missed int
}

func main() {
	quick := flag.Bool("quick", false, "few samples: a smoke test")
	net := flag.Bool("net", false, "only the figures of the wire")
	flag.Parse()
	if err := run(*quick, *net); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run takes each figure in turn.
func run(quick, net bool) (err error) {
	b := &bench{quick: quick, out: tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)}
	if b.dir, err = os.MkdirTemp("", "cdktr-bench."); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.cdktr = filepath.Join(b.dir, "cdktr")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.cdktr, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build cdktr: %w: %s", err, out)
	}
	fmt.Printf("%s, %s/%s, %d cores, %s\n", time.Now().Format("2006-01-02 15:04"), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), load())
	figures := []func() error{b.roundTrips, b.agents}
	if !net {
		figures = append([]func() error{b.size, b.oneTask, b.inARow, b.graphs, b.ready, b.idle, b.trigger, b.writes},
			figures...)
	}
	for _, figure := range figures {
		if err := figure(); err != nil {
			return err
		}
		b.out.Flush()
	}
	fmt.Printf("%d targets missed, %s\n", b.missed, load())
	return nil
}

// load says how busy the machine is.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	return "load " + strings.Join(strings.Fields(string(text))[:3], " ")
}

// samples gives n, or few when quick.
func (b *bench) samples(n, few int) int {
	if b.quick {
		return few
	}
	return n
}

// line prints a figure. limit 0 is no target.
func (b *bench) line(name, value string, got, limit float64, target string) {
	mark := ""
	if limit > 0 {
		if mark = "target " + target; got > limit {
			mark = "MISSED " + mark
			b.missed++
		}
	}
	fmt.Fprintf(b.out, "%s\t%s\t%s\n", name, value, mark)
}

// times is samples of one thing.
type times []time.Duration

func (t times) at(share float64) time.Duration {
	s := slices.Sorted(slices.Values(t))
	return s[min(len(s)-1, int(share*float64(len(s))))]
}
func (t times) median() time.Duration { return t.at(0.5) }

func (t times) String() string {
	return fmt.Sprintf("min %s  median %s  p95 %s  (n=%d)", ms(t.at(0)), ms(t.median()), ms(t.at(0.95)), len(t))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

// ratio compares the medians of two.
func ratio(a, b times) string {
	return fmt.Sprintf("%.2f times", float64(a.median())/float64(b.median()))
}

// once runs a command to its end and takes the time.
func (b *bench) once(argv ...string) (time.Duration, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = b.dir
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return took, nil
}

// sideBySide runs commands in turns, n times each, after one round to warm up.
func (b *bench) sideBySide(n int, commands ...[]string) ([]times, error) {
	all := make([]times, len(commands))
	for round := range n + 1 {
		for i, argv := range commands {
			took, err := b.once(argv...)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				all[i] = append(all[i], took)
			}
		}
	}
	return all, nil
}

// file writes a file below the folder of the bench and gives its path.
func (b *bench) file(name, text string) (string, error) {
	full := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return "", err
	}
	return full, os.WriteFile(full, []byte(text), 0o644)
}

func (b *bench) size() error {
	info, err := os.Stat(b.cdktr)
	if err != nil {
		return err
	}
	b.line("binary, stripped", fmt.Sprintf("%.2f MB", float64(info.Size())/1e6), float64(info.Size()), 8e6, "8 MB")
	return nil
}

// oneTask is the whole life of a process that runs one task, beside that of a shell.
func (b *bench) oneTask() error {
	file, err := b.file("one.yml", "tasks:\n  a:\n    cmd: \"true\"\n")
	if err != nil {
		return err
	}
	all, err := b.sideBySide(b.samples(100, 10), []string{b.cdktr, "run", file}, []string{"sh", "-c", "true"},
		[]string{b.cdktr, "version"})
	if err != nil {
		return err
	}
	b.line("cdktr run one.yml (one true)", all[0].String(), ms64(all[0].median()), 15, "15 ms median")
	b.line("sh -c true", all[1].String(), 0, 0, "")
	b.line("cdktr version", all[2].String(), 0, 0, "")
	b.line("  run / sh", ratio(all[0], all[1]), 0, 0, "")
	return nil
}

func ms64(d time.Duration) float64 { return float64(d) / 1e6 }

// inARow is 200 runs, one after the other, as a loop in a shell would have them.
func (b *bench) inARow() error {
	n := b.samples(200, 20)
	loop := func(command string) []string {
		return []string{"sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s || exit 1; i=$((i+1)); done", n,
			command)}
	}
	all, err := b.sideBySide(b.samples(3, 1), loop(b.cdktr+" run one.yml 2>/dev/null"), loop("sh -c true"))
	if err != nil {
		return err
	}
	b.line(fmt.Sprintf("%d x cdktr run one.yml", n), ms(all[0].median()), 0, 0, "")
	b.line(fmt.Sprintf("%d x sh -c true", n), ms(all[1].median()), 0, 0, "")
	b.line("  cdktr / sh", ratio(all[0], all[1]), 0, 0, "")
	return nil
}

// graphs is 100 tasks of `true` in three shapes, beside make with the same graph, two at once in both.
func (b *bench) graphs() error {
	n := b.samples(10, 2)
	shapes := []struct {
		name    string
		depends func(i int) []int
	}{
		{"wide", func(int) []int { return nil }},
		{"chain", func(i int) []int { return seq(max(0, i-1), i) }},
		{"10x10", func(i int) []int { return seq(max(0, (i/10-1)*10), i/10*10) }},
	}
	for _, shape := range shapes {
		var yml, mk strings.Builder
		yml.WriteString("max_active_tasks: 2\ntasks:\n")
		mk.WriteString(".PHONY: all " + names("t", seq(0, 100), " ") + "\nall: " + names("t", seq(0, 100), " ") + "\n")
		for i := range 100 {
			before := shape.depends(i)
			fmt.Fprintf(&yml, "  t%d: {run: \"true\", depends: [%s]}\n", i, names("t", before, ", "))
			// with ; make needs a shell, as cdktr does
			fmt.Fprintf(&mk, "t%d: %s\n\t@true;\n", i, names("t", before, " "))
		}
		file, err := b.file(shape.name+".yml", yml.String())
		if err != nil {
			return err
		}
		makefile, err := b.file(shape.name+".mk", mk.String())
		if err != nil {
			return err
		}
		commands := [][]string{{b.cdktr, "run", file}, {"make", "-j2", "-s", "-f", makefile, "all"}}
		if shape.name == "wide" {
			commands = append(commands, []string{"sh", "-c", "seq 100 | xargs -P2 -I{} sh -c 'true; true {}'"})
		}
		all, err := b.sideBySide(n, commands...)
		if err != nil {
			return err
		}
		b.line("100 tasks "+shape.name+": cdktr run", all[0].String(), 0, 0, "")
		b.line("100 tasks "+shape.name+": make -j2", all[1].String(), 0, 0, "")
		b.line("  cdktr / make", ratio(all[0], all[1]), 0, 0, "")
		if len(all) > 2 {
			b.line("100 tasks wide: xargs -P2", all[2].String(), 0, 0, "")
			b.line("  cdktr / xargs", ratio(all[0], all[2]), 0, 0, "")
		}
	}
	return nil
}

// seq is the numbers from a up to and without b.
func seq(a, b int) []int {
	var s []int
	for ; a < b; a++ {
		s = append(s, a)
	}
	return s
}

// names writes numbers as names with sep between.
func names(prefix string, ids []int, sep string) string {
	var s []string
	for _, id := range ids {
		s = append(s, fmt.Sprint(prefix, id))
	}
	return strings.Join(s, sep)
}
