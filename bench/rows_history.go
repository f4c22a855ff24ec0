// Rows of many: a run among a million, a hundred thousand schedules, two hundred runs from a shell.

package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func historyGroups() []group {
	return []group{
		{"show", []row{
			{name: "show-million", what: "`cdktr show` of one run among 1,000,000, cold", unit: inMillis,
				bound: most(5e6),
				why: "All but 1.4 ms is the start of the process and its connection, as the floor shows, and that " +
					"grows with the program. Looking up the run has not become slower.",
				readme: true, how: "1,000 workflows with 1,000 runs each, over a year. Each `cdktr show RUN`, the " +
					"whole process, asks for another run, after the history's pages have been dropped from the " +
					"kernel's cache. The floor is `cdktr show` of a run that is in memory, in turns."},
		}, (*bench).show},
		{"schedules", []row{
			{name: "sched-memory", what: "memory of a principal with 100,000 schedules", unit: inMB, bound: most(40e6),
				readme: true, how: "`VmRSS` of a principal with 1,000 files of 100 schedules, 40,320 of them " +
					"different, 5 s after it was ready."},
			{name: "sched-next", what: "a schedule's next fire", unit: inNanos, bound: most(100),
				how: "`go test -bench BenchmarkCronNext`: the slowest of its expressions that fire, each at its " +
					"best of several times."},
			{name: "sched-never", what: "the same for a date that never comes", unit: inNanos, bound: most(100),
				how: "The slowest of those that never do."},
		}, (*bench).schedules},
		{"spooler", []row{
			{name: "spool-200", what: "200 runs started from a shell, to the end of the last", unit: inSeconds,
				readme: true,
				how: "`cdktr run ID` 200 times, one after the other, and until all have ended; task-spooler's `tsp " +
					"true` beside it, in turns, two at once in both. Only cdktr has each on the disk before it " +
					"says so."},
		}, (*bench).spooler},
	}
}

// show looks up runs in a long history.
func (b *bench) show() (map[string]figures, error) {
	workflows, each := b.samples(1000, 100), b.samples(1000, 200)
	template, err := b.template()
	if err != nil {
		return nil, err
	}
	for i := range workflows {
		if _, err := b.file(fmt.Sprintf("million/w%d.yml",
			i), "overlap: allow\ntasks:\n  a: {cmd: \"true\"}\n"); err != nil {
			return nil, err
		}
	}
	state, err := os.MkdirTemp(b.dir, "million.")
	if err != nil {
		return nil, err
	}
	b.say("writing %d runs", workflows*each)
	ids, err := template.write(filepath.Join(state, "history"), workflows, each)
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: state, socket: filepath.Join(state, "sock")}
	if err := b.serve(d, "msg=ready", []string{b.cdktr, "start", "principal", "--workflows",
		filepath.Join(b.dir, "million"), "--state", state, "--socket", d.socket, "--retain-bytes", "0", "--retain-runs",
		"0",
		"--retain-age", "0", "--with-agent", "--no-scheduler"}); err != nil {
		return nil, err
	}
	did, err := b.once(b.cdktr, "run", "w0", "--wait", "--principal", d.endpoint())
	if err != nil {
		return nil, err
	}
	recent := strings.Fields(did.out)[0]
	for range 600 { // a history that others have written gets its index at the start
		if _, err := os.Stat(filepath.Join(state, "index", "whole")); err == nil {
			break
		}
		if err := b.sleep(100 * time.Millisecond); err != nil {
			return nil, err
		}
	}
	b.say("looking up runs")
	f := figures{floorName: "in memory"}
	for i := range b.samples(60, 20) {
		if err := dropCaches(state); err != nil {
			return nil, err
		}
		ours, err := b.once(b.cdktr, "show", ids[(i*7919)%len(ids)], "--principal", d.endpoint())
		if err != nil {
			return nil, err
		}
		floor, err := b.once(b.cdktr, "show", recent, "--principal", d.endpoint())
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first lists the folders of the history
			f.ours, f.floor = append(f.ours, float64(ours.wall)), append(f.floor, float64(floor.wall))
		}
	}
	f.note = fmt.Sprintf("%d runs; slowest %s", workflows*each, inMillis.of(f.ours.at(1)))
	return map[string]figures{"show-million": f}, errors.Join(d.stop(), os.RemoveAll(state))
}

// line is a line of the history with places for what differs.
type line struct{ text, run, workflow, queued, finished string }

// template has a principal write a line of the history, so that the lines made from it have the form that it reads.
func (b *bench) template() (*line, error) {
	if _, err := b.file("template/one.yml", "tasks:\n  a: {cmd: \"true\"}\n"); err != nil {
		return nil, err
	}
	d, err := b.principal("template", "--with-agent", "--no-scheduler")
	if err != nil {
		return nil, err
	}
	if _, err := b.once(b.cdktr, "run", "one", "--wait", "--principal", d.endpoint()); err != nil {
		return nil, err
	}
	if err := d.stop(); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(d.state() + "/history/one/*.jsonl")
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("files of history: %q, %w", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return nil, err
	}
	return lineOf(string(text))
}

var lineForm = regexp.MustCompile(
	`^\{"crc":"[0-9a-f]{8}",("run":"(\w{26})","workflow":"one",.*"queued":"([^"]+)".*"finished":"([^"]+)".*\})\n$`)

// lineOf takes a line of the history apart.
func lineOf(text string) (*line, error) {
	m := lineForm.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("a line of the history has another form than the bench knows: %s", text)
	}
	return &line{text: m[1], run: m[2], workflow: `"workflow":"one"`, queued: m[3], finished: m[4]}, nil
}

// of gives the line of another run.
func (l *line) of(run, workflow string, at time.Time) string {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
	text := strings.NewReplacer(l.run, run, l.workflow, `"workflow":"`+workflow+`"`, l.queued, stamp, l.finished,
		stamp).Replace(l.text)
	return fmt.Sprintf("{\"crc\":\"%08x\",%s\n", crc(text), text)
}

// write writes a history of the year before now, and gives the ids of its runs.
func (l *line) write(folder string, workflows, each int) (ids []string, err error) {
	const year = 360 * 24 * time.Hour
	end := time.Now().Add(-24 * time.Hour)
	for w := range workflows {
		name := fmt.Sprint("w", w)
		months := map[string]*strings.Builder{}
		for i := range each {
			at := end.Add(-year + year*time.Duration(i)/time.Duration(each) + time.Duration(w)*time.Second)
			month := at.UTC().Format("2006-01")
			if months[month] == nil {
				months[month] = &strings.Builder{}
			}
			id := ulid(at, w*each+i)
			ids = append(ids, id)
			months[month].WriteString(l.of(id, name, at))
		}
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			return nil, err
		}
		for month, text := range months {
			if err := writeWhole(filepath.Join(folder, name, month+".jsonl"), text.String()); err != nil {
				return nil, err
			}
		}
	}
	return ids, nil
}

// crc is the checksum of a line: CRC-32C.
func crc(text string) uint32 { return crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)) }

// writeWhole writes a file.
func writeWhole(name, text string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// ulid makes the id of a run: 10 digits of time and 16 of a number, in Crockford's base 32.
func ulid(at time.Time, n int) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var id [26]byte
	ms, hash := uint64(at.UnixMilli()), uint64(n)*0x9E3779B97F4A7C15
	for i := 9; i >= 0; i-- {
		id[i] = digits[ms&31]
		ms >>= 5
	}
	for i := 25; i >= 10; i-- {
		id[i] = digits[hash&31]
		if hash >>= 4; i == 18 {
			hash = uint64(n)
		}
	}
	return string(id[:])
}

// dropCaches has the disk have all files below a folder, and the kernel forget what it keeps of them.
func dropCaches(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return err
	}
	return filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// schedules starts a principal with many, and has the benchmark of the next tick run.
func (b *bench) schedules() (map[string]figures, error) {
	const files, each = 1000, 100
	for f := range files {
		var text strings.Builder
		text.WriteString("schedule:\n")
		for i := range each {
			n := f*each + i
			fmt.Fprintf(&text, "  - \"%d %d %d * *\"\n", n%60, n/60%24, n/1440%28+1)
		}
		text.WriteString("tasks:\n  a: {cmd: \"true\"}\n")
		if _, err := b.file(fmt.Sprintf("schedules/w%d.yml", f), text.String()); err != nil {
			return nil, err
		}
	}
	var rss samples
	for range b.samples(3, 1) {
		d, err := b.principal("schedules")
		if err != nil {
			return nil, err
		}
		if err := b.sleep(5 * time.Second); err != nil {
			return nil, err
		}
		got, err := memory(d.pid, "VmRSS")
		if err != nil {
			return nil, err
		}
		rss = append(rss, got)
		if err := d.stop(); err != nil {
			return nil, err
		}
	}
	tests, err := b.tests()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(tests, "-test.run", "^$", "-test.bench", "^BenchmarkCronNext$", "-test.benchtime", "50ms",
		"-test.count", strconv.Itoa(b.samples(9, 3)))
	did, err := b.do(cmd)
	if err != nil {
		return nil, err
	}
	next, never, err := slowest(did.out)
	if err != nil {
		return nil, err
	}
	return map[string]figures{"sched-memory": {ours: rss},
		"sched-next":  {ours: samples{next.ns}, note: next.name},
		"sched-never": {ours: samples{never.ns}, note: never.name}}, nil
}

// timing is the result of one benchmark of go test.
type timing struct {
	name string
	ns   float64
}

var benchLine = regexp.MustCompile(`(?m)^BenchmarkCronNext/(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

// slowest finds, in what BenchmarkCronNext prints when it runs several times, the slowest expression of those that fire
// and of those that never do: a 31st of short months. An expression's time is the least that it took: it only computes,
// and whatever comes on top is others'.
func slowest(text string) (next, never timing, err error) {
	least := map[string]float64{}
	for _, m := range benchLine.FindAllStringSubmatch(text, -1) {
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return next, never, err
		}
		if was, found := least[m[1]]; !found || ns < was {
			least[m[1]] = ns
		}
	}
	for name, ns := range least {
		kind := &next
		if strings.HasPrefix(name, "0_0_31_2") {
			kind = &never
		}
		if ns > kind.ns {
			*kind = timing{strings.ReplaceAll(name, "_", " "), ns}
		}
	}
	if next.ns == 0 || never.ns == 0 {
		return next, never, fmt.Errorf("no times in %q", text)
	}
	return next, never, nil
}

// spooler starts runs as a shell would.
func (b *bench) spooler() (map[string]figures, error) {
	if _, err := b.file("spool/one.yml", "overlap: allow\ntasks:\n  a: {cmd: \"true\"}\n"); err != nil {
		return nil, err
	}
	d, err := b.principal("spool", "--with-agent", "--no-scheduler", "--capacity", "2")
	if err != nil {
		return nil, err
	}
	c, err := b.dial(d)
	if err != nil {
		return nil, err
	}
	n, f := b.samples(200, 40), figures{}
	tsp, stop, err := b.spoolerServer()
	if err != nil {
		return nil, err
	}
	defer stop()
	for round := range b.samples(5, 2) {
		b.say("round %d", round+1)
		began := time.Now()
		did, err := b.once("sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s run one --principal %s || exit 1; "+
			"i=$((i+1)); done", n, b.cdktr, d.endpoint()))
		if err != nil {
			return nil, err
		}
		ids := strings.Fields(did.out)
		for _, id := range ids[max(0, len(ids)-4):] {
			if _, err := c.ask(map[string]any{"op": "wait", "run": id}); err != nil {
				return nil, err
			}
		}
		f.ours = append(f.ours, float64(time.Since(began)))
		if tsp == "" {
			continue
		}
		f.floorName = "task-spooler"
		floor, err := b.once("sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s -n true >/dev/null || exit 1; "+
			"i=$((i+1)); done; %s -w", n, tsp, tsp))
		if err != nil {
			return nil, err
		}
		f.floor = append(f.floor, float64(floor.wall))
	}
	if f.note = fmt.Sprint(n, " runs"); tsp == "" {
		f.note += "; no task-spooler beside it"
	}
	return map[string]figures{"spool-200": f}, errors.Join(c.close(), d.stop())
}

// spoolerServer starts task-spooler's server, with two places, and gives the command that reaches it; "" when it is not
// installed. The server leaves our process group, so it has to be told to end.
func (b *bench) spoolerServer() (command string, stop func(), err error) {
	tsp, err := need("tsp", "ts")
	if err != nil || !strings.HasPrefix(told(tsp, "-V"), "Task Spooler") { // moreutils has another ts
		return "", func() {}, nil
	}
	socket := "TS_SOCKET=" + filepath.Join(b.dir, "tsp")
	_, err = b.once("env", socket, "TS_SLOTS=2", "TMPDIR="+b.dir, tsp, "-n", "true")
	return "env " + socket + " " + tsp, func() { exec.Command("env", socket, tsp, "-K").Run() }, err
}
