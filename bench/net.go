// The figures of the wire: our client and the principal beside libzmq with itself, and what a thousand agents cost.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// netClient builds the test binary of the package, whose benchmarks are our client.
func (b *bench) netClient() (string, error) {
	file := filepath.Join(b.dir, "client")
	if out, err := exec.Command("go", "test", "-c", "-o", file, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build client: %w: %s", err, out)
	}
	return file, nil
}

// netMeasure runs one of the benchmarks against a principal and gives the numbers that it leaves.
func (b *bench) netMeasure(d *daemon, client, name, endpoint, credential string, n, agents int) ([]int, error) {
	out := filepath.Join(b.dir, "measured")
	cmd := exec.Command(client, "-test.run", "^$", "-test.bench", "^"+name+"$", "-test.benchtime", "1x")
	cmd.Env = append(os.Environ(), "CDKTR_BENCH_ENDPOINT="+endpoint, "CDKTR_BENCH_CREDENTIAL="+credential,
		"CDKTR_BENCH_OUT="+out, fmt.Sprint("CDKTR_BENCH_N=", n),
		fmt.Sprint("CDKTR_BENCH_AGENTS=", agents), fmt.Sprint("CDKTR_BENCH_PID=", d.pid),
		"CDKTR_BENCH_STATE="+filepath.Join(d.dir, "state"))
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return netNumbers(string(text))
}

// netNumbers reads numbers with spaces between.
func netNumbers(text string) ([]int, error) {
	var all []int
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("%q: want two numbers and more", text)
	}
	return all, nil
}

// netStart starts a principal with a tcp:// address, and makes a credential of an operator.
func (b *bench) netStart() (d *daemon, endpoint, credential string, err error) {
	folder := filepath.Join(b.dir, "net")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, "", "", err
	}
	if d, err = b.start(folder, "env", "CDKTR_BIND=tcp://127.0.0.1:0"); err != nil { // env(1) becomes the principal
		return nil, "", "", err
	}
	endpoint = regexp.MustCompile(`tcp://127\.0\.0\.1:[1-9]\d*`).FindString(d.ready)
	credential = filepath.Join(d.dir, "op.cred")
	_, err = b.once(b.cdktr, "authorize", "--new", "op", "--role", "operator", "--endpoint", endpoint, "--state",
		filepath.Join(d.dir, "state"), "-o", credential)
	return d, endpoint, credential, err
}

// netText writes a median and a 99th percentile.
func netText(t []int) string {
	return fmt.Sprintf("median %.1f µs  p99 %.1f µs", float64(t[0])/1e3, float64(t[1])/1e3)
}

// roundTrips is a ping of ours and its answer, beside a message of that size through libzmq's REQ and ROUTER and back,
// both from a process to another, in turns.
func (b *bench) roundTrips() error {
	client, err := b.netClient()
	if err != nil {
		return err
	}
	round := filepath.Join(b.dir, "round")
	if out, err := exec.Command("cc", "-O2", "-o", round, "bench/libzmq/round.c",
		"-lzmq").CombinedOutput(); err != nil {
		b.line("round trips", "not measured: bench/libzmq/round.c needs cc and libzmq3-dev", 0, 0, "")
		fmt.Fprintf(os.Stderr, "%s", out)
		return nil
	}
	d, tcp, credential, err := b.netStart()
	if err != nil {
		return err
	}
	n := b.samples(20000, 500)
	for _, kind := range []struct{ name, ours, credential, theirs, mechanism string }{
		{"ipc, NULL", "ipc://" + d.socket, "", "ipc://" + filepath.Join(b.dir, "round.sock"), "null"},
		{"tcp, CURVE", tcp, credential, "tcp://127.0.0.1:55661", "curve"},
	} {
		var ours, theirs []int // of the best of three turns: the machine has others to serve
		for range b.samples(3, 1) {
			took, err := b.netMeasure(d, client, "BenchmarkNetClient", kind.ours, kind.credential, n, 0)
			if err != nil {
				return err
			}
			if ours == nil || took[0] < ours[0] {
				ours = took
			}
			text, err := exec.Command(round, kind.theirs, strconv.Itoa(n), "64", kind.mechanism).Output()
			if err != nil {
				return fmt.Errorf("round: %w", err)
			}
			if took, err = netNumbers(string(text)); err != nil {
				return err
			}
			if theirs == nil || took[0] < theirs[0] {
				theirs = took
			}
		}
		b.line("ping, "+kind.name, netText(ours), 0, 0, "")
		b.line("libzmq REQ to ROUTER, "+kind.name, netText(theirs), 0, 0, "")
		b.line("  cdktr / libzmq", fmt.Sprintf("%.2f times, p99 %.2f times", float64(ours[0])/float64(theirs[0]),
			float64(ours[1])/float64(theirs[1])), 0, 0, "")
	}
	return d.stop()
}

// agents is what a thousand agents by tcp with keys cost: memory, and the pings of another client.
func (b *bench) agents() error {
	client, err := b.netClient()
	if err != nil {
		return err
	}
	d, tcp, credential, err := b.netStart()
	if err != nil {
		return err
	}
	count := b.samples(1000, 50)
	got, err := b.netMeasure(d, client, "BenchmarkNetAgents", tcp, credential, b.samples(5000, 500), count)
	if err != nil {
		return err
	}
	if len(got) != 7 || got[5] != count {
		return errors.Join(fmt.Errorf("%d agents: %v", count, got), d.stop())
	}
	b.line("ping, tcp, CURVE, no agents", netText(got), 0, 0, "")
	b.line(fmt.Sprintf("the same with %d agents connected", count), netText(got[2:]), 0, 0, "")
	b.line(fmt.Sprintf("%d agents: memory (RSS)", count), fmt.Sprintf("%.1f MB more, %.1f kB each; connected in %s",
		float64(got[4])*1024/1e6, float64(got[4])/float64(count), time.Duration(got[6]).Round(time.Millisecond)), 0, 0,
		"")
	return d.stop()
}
