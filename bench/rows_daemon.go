// Rows of one run at a principal: how soon it begins, and what it writes. And how soon a principal is ready, and how
// large the binary is.

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func daemonGroups() []group {
	first := "From sending the request over the unix socket to the first byte that the task's shell writes to a " +
		"named pipe; each run comes alone. The floor is the same shell started by the bench, and one `fsync` of a " +
		"block added to a file, one after the other, in turns. Of several series of requests, each gives a value."
	return []group{
		{"trigger", []row{
			{name: "trigger-p50", what: "request to the task's first instruction, median", unit: inMillis,
				bound: most(1.6e6), readme: true, how: first},
			{name: "trigger-p99", what: "the same, 99 of 100", unit: inMillis, bound: most(3e6), how: first},
		}, (*bench).trigger},
		{"pages", []row{
			{name: "pages", what: "a run of one task: to the disk, as the kernel counts", unit: inKB, bound: most(8000),
				readme: true, how: "`write_bytes` less `cancelled_write_bytes` of `/proc/PID/io`, of the " +
					"principal with its agent, for each of many runs that come alone and print a line: whole pages " +
					"of 4 kB.",
				why: "The floor is two pages, 8.2 kB. That a run was accepted and that it has ended is on the disk " +
					"before it is said, and each time the page that the journal ends in is written anew. The bytes " +
					"of the row written, which fill pages one after the other, come on top: of the journal 0.79 kB, " +
					"the spool 0.49, the history 0.33, the output 0.11. Only writes past the kernel's cache, of " +
					"lines that are padded to whole sectors, would be less; then who reads the journal with jq or " +
					"tail would see the padding, and a flash memory writes a whole page all the same."},
			{name: "written", what: "the same, as given to write()", unit: inKB, bound: most(4096),
				how: "What `strace` sees below the state folder."},
			{name: "syncs", what: "the same: waits for the disk", unit: inCount, bound: most(2.1),
				how: "`fsync` and `fdatasync` that `strace` sees, for one run."},
		}, (*bench).pages},
		{"ready", []row{
			{name: "ready", what: "start of a principal with an agent to ready, 100 files", unit: inMillis,
				bound: most(50e6), readme: true,
				how: "From the start of the process to the line of its log that says so."},
			{name: "ready-empty", what: "the same, no file", unit: inMillis, how: "The same with an empty folder."},
			{name: "size", what: "the binary", unit: inMB, bound: most(10e6), readme: true,
				how: "As it is released: static, stripped, for this machine."},
		}, (*bench).ready},
	}
}

// hundred writes a folder of 100 workflows of three tasks that fire in that hour, and names it.
func (b *bench) hundred(hour int) (string, error) {
	for i := range 100 {
		if _, err := b.file(fmt.Sprintf("hundred/w%d.yml", i), fmt.Sprintf("schedule: \"%d %d * * *\"\ntasks:\n"+
			"  a: {run: echo a}\n  b: {run: echo b, depends: [a]}\n  c: {run: echo c, depends: [a, b]}\n",
			i%60, hour)); err != nil {
			return "", err
		}
	}
	return "hundred", nil
}

// ready starts principals.
func (b *bench) ready() (map[string]figures, error) {
	hundred, err := b.hundred(3)
	if err != nil {
		return nil, err
	}
	took := map[string]samples{}
	for range b.samples(21, 5) {
		for name, folder := range map[string]string{"ready": hundred, "ready-empty": "empty"} {
			d, err := b.principal(folder, "--with-agent", "--no-scheduler")
			if err != nil {
				return nil, err
			}
			took[name] = append(took[name], float64(d.took))
			if err := d.stop(); err != nil {
				return nil, err
			}
		}
	}
	size, err := b.size()
	return map[string]figures{"ready": {ours: took["ready"]}, "ready-empty": {ours: took["ready-empty"]},
		"size": size}, err
}

// size is that of the binary, beside supercronic's, where that could be built.
func (b *bench) size() (f figures, err error) {
	info, err := os.Stat(b.cdktr)
	if err != nil {
		return f, err
	}
	f.ours = samples{float64(info.Size())}
	peer, err := b.supercronic()
	var lacks *missing
	if errors.As(err, &lacks) {
		f.note = "no supercronic beside it"
		return f, nil
	} else if err != nil {
		return f, err
	}
	if info, err = os.Stat(peer); err != nil {
		return f, err
	}
	f.floor, f.floorName = samples{float64(info.Size())}, "supercronic"
	return f, nil
}

// trigger asks for runs, one after the other.
func (b *bench) trigger() (map[string]figures, error) {
	pipe := filepath.Join(b.dir, "pipe")
	os.Remove(pipe)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return nil, fmt.Errorf("make named pipe: %w", err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // a writer too: reading never ends
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	block, err := os.Create(filepath.Join(b.dir, "block"))
	if err != nil {
		return nil, err
	}
	defer block.Close()
	task := "echo x > " + pipe
	if _, err := b.file("trigger/now.yml", "overlap: allow\ntasks:\n  a: {run: '"+task+"'}\n"); err != nil {
		return nil, err
	}
	d, err := b.principal("trigger", "--with-agent", "--no-scheduler")
	if err != nil {
		return nil, err
	}
	c, err := b.dial(d)
	if err != nil {
		return nil, err
	}
	written := func() error {
		_, err := io.ReadFull(reader, make([]byte, 2))
		return err
	}
	run := func() error {
		if err := c.send(map[string]any{"op": "run", "workflow": "now"}); err != nil {
			return err
		}
		return written()
	}
	bare := func() error {
		if _, err := block.Write(make([]byte, 512)); err != nil {
			return err
		}
		if err := block.Sync(); err != nil {
			return err
		}
		shell := exec.Command("/bin/sh", "-c", task)
		if err := shell.Start(); err != nil {
			return err
		}
		defer shell.Wait()
		return written()
	}
	p50 := figures{floorName: "spawn, sync", bare: true}
	p99 := p50
	series, n := b.samples(5, 3), b.samples(200, 100)
	for round := range series {
		b.say("series %d of %d", round+1, series)
		var ours, floor samples
		for i := range n {
			if err := b.ctx.Err(); err != nil {
				return nil, err
			}
			took, err := timed(run)
			if err != nil {
				return nil, err
			}
			r, err := c.receive()
			if err != nil {
				return nil, err
			}
			if _, err := c.ask(map[string]any{"op": "wait", "run": r.Run}); err != nil {
				return nil, err
			}
			tookBare, err := timed(bare)
			if err != nil {
				return nil, err
			}
			if i > n/10 || round > 0 {
				ours, floor = append(ours, took), append(floor, tookBare)
			}
		}
		p50.ours, p50.floor = append(p50.ours, ours.median()), append(p50.floor, floor.median())
		p99.ours, p99.floor = append(p99.ours, ours.at(0.99)), append(p99.floor, floor.at(0.99))
	}
	return map[string]figures{"trigger-p50": p50, "trigger-p99": p99}, errors.Join(c.close(), d.stop())
}

// timed gives the nanoseconds that fn takes.
func timed(fn func() error) (float64, error) {
	began := time.Now()
	err := fn()
	return float64(time.Since(began)), err
}

// pages counts what a run writes, once as it is and once under strace.
func (b *bench) pages() (map[string]figures, error) {
	if _, err := b.file("pages/one.yml", "overlap: allow\ntasks:\n  a: {run: echo hello}\n"); err != nil {
		return nil, err
	}
	all := map[string]figures{}
	n := b.samples(100, 20)
	d, err := b.principal("pages", "--with-agent", "--no-scheduler")
	if err != nil {
		return nil, err
	}
	kernel, err := b.alone(d, n, func() (map[string]float64, error) {
		pages, err := pagesOf(d.pid)
		return map[string]float64{"pages": pages}, err
	})
	if err != nil {
		return nil, err
	}
	if all["pages"] = (figures{ours: samples{kernel["pages"]}, floor: samples{2 * 4096},
		floorName: "two pages"}); kernel["pages"] == 0 {
		all["pages"] = figures{skipped: "disk below " + filepath.Dir(b.dir)}
	}
	strace, err := need("strace")
	if err != nil {
		all["written"], all["syncs"] = figures{skipped: err.Error()}, figures{skipped: err.Error()}
		return all, nil
	}
	trace := filepath.Join(b.dir, "trace")
	d, err = b.principalBehind([]string{strace, "-f", "-y", "-qq", "-o", trace, "-e",
		"trace=write,pwrite64,writev,fsync,fdatasync"}, "pages", "--with-agent", "--no-scheduler")
	if err != nil {
		return nil, err
	}
	each, err := b.alone(d, n, func() (map[string]float64, error) {
		text, err := os.ReadFile(trace)
		return traced(string(text), d.state()), err
	})
	if err != nil {
		return nil, err
	}
	syncs, bytes := each[traceSyncs], 0.0
	delete(each, traceSyncs)
	for _, n := range each {
		bytes += n
	}
	all["written"] = figures{ours: samples{bytes}, note: parts(each)}
	all["syncs"] = figures{ours: samples{syncs}}
	return all, nil
}

// alone has n runs come one after the other, and gives by how much each count has grown for one of them. Then it stops
// the principal.
func (b *bench) alone(d *daemon, n int, count func() (map[string]float64, error)) (map[string]float64, error) {
	c, err := b.dial(d)
	if err != nil {
		return nil, err
	}
	var before map[string]float64
	for i := range n + 1 {
		if _, err := c.ask(map[string]any{"op": "run", "workflow": "one", "wait": true}); err != nil {
			return nil, err
		}
		if err := b.sleep(50 * time.Millisecond); err != nil { // each for itself: together they would share syncs
			return nil, err
		}
		if i == 0 { // the first makes files and folders
			if before, err = count(); err != nil {
				return nil, err
			}
		}
	}
	after, err := count()
	for name := range after {
		after[name] = (after[name] - before[name]) / float64(n)
	}
	return after, errors.Join(err, c.close(), d.stop())
}

// pagesOf gives what the kernel has counted for a process.
func pagesOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	written, err := fieldOf(string(text), "write_bytes")
	cancelled, err2 := fieldOf(string(text), "cancelled_write_bytes")
	return written - cancelled, errors.Join(err, err2)
}

var (
	traceWrite = regexp.MustCompile(`(?:write|pwrite64|writev)\(\d+<([^>]*)>.*\) = (\d+)$`)
	traceSync  = regexp.MustCompile(`(?:fsync|fdatasync)\(\d+<([^>]*)>`)
)

// traceSyncs is the name under which traced counts syncs.
const traceSyncs = "syncs"

// traced sums the bytes that a trace of strace has written below a folder, by the name there, and counts the syncs.
func traced(text, folder string) map[string]float64 {
	sums := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := traceWrite.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[1], folder+"/") {
			size, _ := strconv.Atoi(m[2]) // digits
			name, _, _ := strings.Cut(strings.TrimPrefix(m[1], folder+"/"), "/")
			sums[name] += float64(size)
		}
		if m := traceSync.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[1], folder) {
			sums[traceSyncs]++
		}
	}
	return sums
}

// parts writes counts by name.
func parts(m map[string]float64) string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] < 0.5 {
			continue
		}
		s = append(s, fmt.Sprintf("%s %.0f", name, m[name]))
	}
	return strings.Join(s, ", ")
}
