// Rows of the wire: our client and the principal beside libzmq with itself, and what a thousand agents cost.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func wireGroups() []group {
	how := "The median of many pings of the program's own client, one after the other, from a process to another. " +
		"Beside it, in turns, a message of 64 bytes through libzmq's REQ and ROUTER and back (`bench/libzmq/round.c`)."
	agents := "Simulated agents with a key each connect over tcp; then the pings of another client."
	return []group{
		{"ping", []row{
			{name: "ping-ipc", what: "round trip of a ping, ipc", unit: inMicros, bound: mostTimes(1.2), how: how},
			{name: "ping-curve", what: "round trip of a ping, tcp, CURVE", unit: inMicros, bound: mostTimes(1.2),
				readme: true, how: how},
		}, (*bench).pings},
		{"agents", []row{
			{name: "agents-ping", what: "ping with 1,000 agents connected, 99 of 100", unit: inMillis, bound: most(5e6),
				how: agents},
			{name: "agents-memory", what: "memory that 1,000 agents cost the principal", unit: inMB, bound: most(60e6),
				how: agents},
		}, (*bench).agents},
	}
}

// tests builds the test binary of the package, whose benchmarks know the program's inside.
func (b *bench) tests() (string, error) {
	file := filepath.Join(b.dir, "tests")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	b.say("building tests")
	cmd := exec.CommandContext(b.ctx, "go", "test", "-c", "-o", file, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tests: %w: %s", err, out)
	}
	return file, nil
}

// inside runs one of these benchmarks against a principal and gives the numbers that it leaves.
func (b *bench) inside(d *daemon, name, endpoint, credential string, n, agents int) ([]float64, error) {
	tests, err := b.tests()
	if err != nil {
		return nil, err
	}
	out := filepath.Join(b.dir, "measured")
	cmd := exec.Command(tests, "-test.run", "^$", "-test.bench", "^"+name+"$", "-test.benchtime", "1x")
	cmd.Env = append(os.Environ(), "CDKTR_BENCH_ENDPOINT="+endpoint, "CDKTR_BENCH_CREDENTIAL="+credential,
		"CDKTR_BENCH_OUT="+out, fmt.Sprint("CDKTR_BENCH_N=", n), fmt.Sprint("CDKTR_BENCH_AGENTS=", agents),
		fmt.Sprint("CDKTR_BENCH_PID=", d.pid), "CDKTR_BENCH_STATE="+d.state())
	if _, err := b.do(cmd); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return numbers(string(text))
}

// numbers reads numbers with spaces between.
func numbers(text string) ([]float64, error) {
	var all []float64
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.ParseFloat(word, 64)
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

// keyed starts a principal with a tcp:// address.
func (b *bench) keyed(folder string) (d *daemon, endpoint string, err error) {
	d, err = b.principalBehind([]string{"env", "CDKTR_BIND=tcp://127.0.0.1:0"}, folder, "--no-scheduler")
	if err != nil {
		return nil, "", err
	}
	return d, regexp.MustCompile(`tcp://127\.0\.0\.1:[1-9]\d*`).FindString(d.log.line), nil
}

// authorize makes a credential of that name and role.
func (b *bench) authorize(d *daemon, name, role, endpoint string) (file string, err error) {
	file = filepath.Join(d.dir, name+".cred")
	_, err = b.once(b.cdktr, "authorize", "--new", name, "--role", role, "--endpoint", endpoint, "--state", d.state(),
		"-o", file)
	return file, err
}

// pings goes round with ours and theirs.
func (b *bench) pings() (map[string]figures, error) {
	round, err := b.round()
	if err != nil {
		return nil, err
	}
	d, tcp, err := b.keyed("empty")
	if err != nil {
		return nil, err
	}
	credential, err := b.authorize(d, "op", "operator", tcp)
	if err != nil {
		return nil, err
	}
	all, n := map[string]figures{}, b.samples(20000, 2000)
	for _, kind := range []struct{ row, ours, credential, theirs, mechanism string }{
		{"ping-ipc", d.endpoint(), "", "ipc://" + filepath.Join(b.dir, "round.sock"), "null"},
		// Below the ports that the kernel gives to others.
		{"ping-curve", tcp, credential, "tcp://127.0.0.1:25661", "curve"},
	} {
		f := figures{floorName: "libzmq"}
		for range b.samples(7, 3) {
			ours, err := b.inside(d, "BenchmarkNetClient", kind.ours, kind.credential, n, 0)
			if err != nil {
				return nil, err
			}
			did, err := b.once(round, kind.theirs, strconv.Itoa(n), "64", kind.mechanism)
			if err != nil {
				return nil, err
			}
			theirs, err := numbers(did.out)
			if err != nil {
				return nil, err
			}
			f.ours, f.floor = append(f.ours, ours[0]), append(f.floor, theirs[0])
		}
		all[kind.row] = f
	}
	return all, d.stop()
}

// round makes the client and server of libzmq.
func (b *bench) round() (string, error) {
	cc, err := need("cc", "gcc")
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, "round")
	if out, err := exec.Command(cc, "-O2", "-o", file, "bench/libzmq/round.c", "-lzmq").CombinedOutput(); err != nil {
		if strings.Contains(string(out), "zmq") {
			return "", &missing{tool: "libzmq3-dev"}
		}
		return "", fmt.Errorf("%s: %w: %s", cc, err, out)
	}
	return file, nil
}

// agents connects many.
func (b *bench) agents() (map[string]figures, error) {
	d, tcp, err := b.keyed("empty")
	if err != nil {
		return nil, err
	}
	credential, err := b.authorize(d, "op", "operator", tcp)
	if err != nil {
		return nil, err
	}
	count := b.samples(1000, 500)
	got, err := b.inside(d, "BenchmarkNetAgents", tcp, credential, b.samples(5000, 500), count)
	if err == nil && (len(got) != 7 || int(got[5]) != count) {
		err = fmt.Errorf("%d agents: %v", count, got)
	}
	if err != nil {
		return nil, err
	}
	grown := got[4] * 1024
	note := fmt.Sprintf("%.1f kB each; connected in %s", grown/1e3/float64(count),
		time.Duration(got[6]).Round(time.Millisecond))
	return map[string]figures{
		"agents-ping":   {ours: samples{got[3]}, note: fmt.Sprintf("%d agents", count)},
		"agents-memory": {ours: samples{grown * 1000 / float64(count)}, note: note},
	}, d.stop()
}
