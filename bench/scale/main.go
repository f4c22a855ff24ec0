// Scale measures a principal with thousands of agents and hundreds of watchers, which are simulated: keys of their own,
// real sockets, real beats (e2e_scale_test.go). Run it as go run ./bench/scale [--quick] [CASE...]; README.md beside
// this file says what the cases are and what was measured. It prints value, bound and verdict, and is an error when a
// bound is missed. --quick is small and has no bounds: it shows that everything can be measured.

package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"cdktr/e2e/harness"
)

// scaleCase is one case: how large it is, and what must hold.
type scaleCase struct {
	name, what string
	sizes      map[string]int
	quick      map[string]int // sizes that are others with --quick
	bounds     map[string]float64
	atLeast    map[string]float64
}

var cases = []scaleCase{
	{name: "stuck", what: "runs that no agent can take, and 10 healthy ones a second",
		sizes:   map[string]int{"AGENTS": 3000, "QUEUED": 8900, "N": 200},
		quick:   map[string]int{"AGENTS": 50, "QUEUED": 200, "N": 20},
		bounds:  map[string]float64{"trigger to agent p99": 15, "ping p99": 10},
		atLeast: map[string]float64{"runs given": 100}},
	{name: "reconnect", what: "all links behind one address are cut, at 100 ms of round trip",
		sizes:  map[string]int{"AGENTS": 1000},
		quick:  map[string]int{"AGENTS": 50},
		bounds: map[string]float64{"all back after": 6}},
	{name: "churn", what: "all links are cut, while 200 watch and 1,000 runs are queued",
		sizes:  map[string]int{"AGENTS": 1000, "QUEUED": 1000, "WATCHERS": 200},
		quick:  map[string]int{"AGENTS": 50, "QUEUED": 50, "WATCHERS": 10},
		bounds: map[string]float64{"all back after": 6, "ping p99": 1000}},
	{name: "watchers", what: "200 watch 50 runs a second",
		sizes:  map[string]int{"AGENTS": 30, "WATCHERS": 200, "N": 500},
		quick:  map[string]int{"AGENTS": 5, "WATCHERS": 10, "N": 50},
		bounds: map[string]float64{"principal": 30}},
	{name: "connect", what: "5,000 agents connect, and are idle",
		sizes:   map[string]int{"AGENTS": 5000},
		quick:   map[string]int{"AGENTS": 50},
		atLeast: map[string]float64{"connected": 5000}},
}

// The workflows: healthy0 and so on, and one whose labels no agent has.
const (
	healthy = 50
	oneTask = "overlap: allow\ntasks:\n  a: {run: \"true\"}\n"
	twoMore = "  b: {run: \"true\", depends: [a]}\n  c: {run: \"true\", depends: [b]}\n"
)

func main() {
	quick := flag.Bool("quick", false, "small, and without bounds: a smoke test")
	binary := flag.String("cdktr", "", "measure this program instead of one that is built now")
	flag.Parse()
	missed, err := run(*quick, *binary, flag.Args())
	if err == nil && missed > 0 {
		err = fmt.Errorf("%d bounds are missed", missed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// run measures the named cases, or all.
func run(quick bool, binary string, names []string) (missed int, err error) {
	for _, name := range names {
		if !slices.ContainsFunc(cases, func(c scaleCase) bool { return c.name == name }) {
			return 0, fmt.Errorf("no such case: %s; bench/scale/README.md names them", name)
		}
	}
	dir, err := os.MkdirTemp("", "cdktr-scale.")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	simulator := filepath.Join(dir, "simulator")
	if text, err := exec.Command("go", "test", "-c", "-o", simulator, ".").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the simulator: %w: %s", err, text)
	}
	if binary == "" {
		binary = filepath.Join(dir, "cdktr")
		if err := harness.Release(binary); err != nil {
			return 0, err
		}
	}
	for _, c := range cases {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		for size, n := range c.quick {
			if quick {
				c.sizes[size], c.bounds, c.atLeast = n, nil, nil
			}
		}
		n, err := c.measure(filepath.Join(dir, c.name), binary, simulator)
		if err != nil {
			return missed, fmt.Errorf("%s: %w", c.name, err)
		}
		missed += n
	}
	return missed, nil
}

// measure starts a principal and the simulator against it, and prints what it found. It gives how many bounds are
// missed.
func (c *scaleCase) measure(dir, binary, simulator string) (missed int, err error) {
	flows, state := filepath.Join(dir, "flows"), filepath.Join(dir, "state")
	if err := os.MkdirAll(flows, 0o755); err != nil {
		return 0, err
	}
	err = os.WriteFile(filepath.Join(flows, "stuck.yml"), []byte("agent: {gpu: none}\n"+oneTask), 0o644)
	for i := 0; i < healthy && err == nil; i++ {
		err = os.WriteFile(filepath.Join(flows, fmt.Sprintf("healthy%d.yml", i)), []byte(oneTask+twoMore), 0o644)
	}
	if err != nil {
		return 0, err
	}
	principal := exec.Command(binary, "start", "principal", "--no-scheduler", "--workflows", flows, "--state", state,
		"--socket", filepath.Join(dir, "sock"), "--bind", "tcp://127.0.0.1:0")
	stderr, err := principal.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := principal.Start(); err != nil {
		return 0, err
	}
	defer func() {
		principal.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, principal.Wait())
	}()
	log, ready := bufio.NewScanner(stderr), ""
	for ready == "" && log.Scan() {
		if strings.Contains(log.Text(), "msg=ready") {
			ready = log.Text()
		}
	}
	go func() { // ends with the principal
		for log.Scan() {
		}
	}()
	endpoint := regexp.MustCompile(`tcp://127\.0\.0\.1:[1-9]\d*`).FindString(ready)
	credential := filepath.Join(dir, "op.cred")
	if text, err := exec.Command(binary, "authorize", "--new", "op", "--role", "operator", "--endpoint", endpoint,
		"--state", state, "-o", credential).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("authorize: %w: %s", err, text)
	}
	out := filepath.Join(dir, "out")
	cmd := exec.Command(simulator, "-test.run", "^$", "-test.bench", "^BenchmarkScale$/^"+c.name+"$", "-test.benchtime",
		"1x")
	cmd.Env = append(os.Environ(), "CDKTR_BENCH_ENDPOINT="+endpoint, "CDKTR_BENCH_CREDENTIAL="+credential,
		"CDKTR_BENCH_OUT="+out, "CDKTR_BENCH_STATE="+state, fmt.Sprint("CDKTR_BENCH_PID=", principal.Process.Pid))
	for name, n := range c.sizes {
		cmd.Env = append(cmd.Env, fmt.Sprintf("CDKTR_BENCH_%s=%d", name, n))
	}
	text, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("simulate: %w: %s", err, text)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "e2e_scale_test.go") { // what the simulator remarked
			fmt.Print(line)
		}
	}
	measured, err := os.ReadFile(out)
	if err != nil {
		return 0, err
	}
	return c.print(string(measured))
}

// print prints what was measured, with bounds and verdicts.
func (c *scaleCase) print(measured string) (missed int, err error) {
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "%s: %s %v\n", c.name, c.what, c.sizes)
	for line := range strings.Lines(measured) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		value, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return 0, err
		}
		bound, verdict := "", ""
		most, isMost := c.bounds[fields[0]]
		least, isLeast := c.atLeast[fields[0]]
		switch {
		case isMost:
			bound = fmt.Sprintf("at most %g", most)
		case isLeast:
			bound = fmt.Sprintf("at least %g", least)
		}
		if isMost || isLeast {
			verdict = "ok"
		}
		if isMost && value > most || isLeast && value < least {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(table, "  %s\t%s %s\t%s\t%s\n", fields[0], fields[1], fields[2], bound, verdict)
	}
	return missed, table.Flush()
}
