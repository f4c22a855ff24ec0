// The parts of the bench that compute: what is read, what is made of it, and what is said.

package main

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSamples(t *testing.T) {
	for _, c := range []struct {
		s                        samples
		median, least, p99, most float64
	}{
		{samples{5}, 5, 5, 5, 5},
		{samples{3, 1, 2}, 2, 1, 3, 3},
		{samples{4, 1, 3, 2}, 2.5, 1, 4, 4},
		{upTo(100), 50.5, 1, 99, 100},
		{upTo(200), 100.5, 1, 198, 200},
	} {
		if got := [4]float64{c.s.median(), c.s.at(0), c.s.at(0.99), c.s.at(1)}; got != [4]float64{c.median, c.least,
			c.p99, c.most} {
			t.Errorf("%v: %v", c.s, got)
		}
	}
	if s := (samples{2, 1}); s.median() != 1.5 || s[0] != 2 {
		t.Errorf("the median has changed the order: %v", s)
	}
	if none := (samples{}); !math.IsNaN(none.median()) || !math.IsNaN(none.at(0.5)) {
		t.Error("nothing measured has a median")
	}
}

// upTo is 1 to n, backwards.
func upTo(n int) (s samples) {
	for ; n > 0; n-- {
		s = append(s, float64(n))
	}
	return s
}

func TestRatio(t *testing.T) {
	for _, c := range []struct {
		f    figures
		want float64
	}{
		{figures{ours: samples{2, 30, 8}, floor: samples{1, 10, 2}}, 3},  // the median of 2, 3, 4: one slow turn is one
		{figures{ours: samples{2, 4, 6}, floor: samples{1, 3}}, 2},       // no turns
		{figures{ours: samples{1, 2, 3, 4}, floor: samples{1}}, 2.5 / 1}, // no turns
	} {
		if got := c.f.ratio(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.f, got, c.want)
		}
	}
}

// TestVerdict: a row fails beyond its bound, in the quick form beyond twice that, and never for what is not known.
func TestVerdict(t *testing.T) {
	value := func(v float64) figures { return figures{ours: samples{v}} }
	beside := func(v, floor float64) figures {
		return figures{ours: samples{v}, floor: samples{floor}, floorName: "it"}
	}
	for _, c := range []struct {
		name         string
		bound        bound
		figures      figures
		fails, quick bool
		verdict      string // in full
	}{
		{"at most, kept", most(10), value(10), false, false, "ok"},
		{"at most, over", most(10), value(15), true, false, "MISS, by 1.50 times"},
		{"at most, twice", most(10), value(20.1), true, true, "MISS, by 2.01 times"},
		{"at least, kept", least(10), value(10), false, false, "ok"},
		{"at least, below", least(10), value(8), true, false, "MISS, by 1.25 times"},
		{"at least, half", least(10), value(4.9), true, true, "MISS, by 2.04 times"},
		{"at least, none", least(10), value(0), true, true, "MISS, by +Inf times"},
		{"ratio, kept", mostTimes(1.2), beside(12, 10), false, false, "ok"},
		{"ratio, over", mostTimes(1.2), beside(18, 10), true, false, "MISS, by 1.50 times"},
		{"ratio, least, kept", leastOf(0.6), beside(6, 10), false, false, "ok"},
		{"ratio, least, below", leastOf(0.6), beside(2, 10), true, true, "MISS, by 3.00 times"},
		{"ratio without a floor", mostTimes(1.2), value(12), false, false, "no floor to compare"},
		{"no bound", bound{}, beside(1000, 1), false, false, ""},
		{"skipped", most(1), figures{skipped: "no make"}, false, false, "skipped: no make"},
		{"broken", bound{}, figures{broken: "no end"}, true, true, "FAILED: no end"},
	} {
		o := outcome{row{name: c.name, unit: inCount, bound: c.bound}, c.figures}
		if o.fails(false) != c.fails || o.fails(true) != c.quick || o.verdict(false) != c.verdict {
			t.Errorf("%s: fails %v, quick %v, %q", c.name, o.fails(false), o.fails(true), o.verdict(false))
		}
	}
	busy := beside(25, 12)
	busy.bare = true
	o := outcome{row{unit: inCount, bound: most(10)}, busy}
	if got := o.verdict(true); o.fails(true) || !o.fails(false) || got != "not judged: the bare machine misses it too" {
		t.Errorf("on a busy machine: %q", got)
	}
	if o.floor[0] = 9; !o.fails(true) {
		t.Error("a bare machine that keeps the bound excuses a miss")
	}
	slow := value(30e6)
	slow.slower = 1.6
	for _, c := range []struct {
		name  string
		row   row
		fails bool
	}{
		{"time", row{unit: inMillis, bound: most(10e6)}, false},
		{"time, far over", row{unit: inMillis, bound: most(9e6)}, true},
		{"lines", row{unit: inLines, bound: least(95e6)}, false},
		{"memory", row{unit: inMB, bound: most(10e6)}, true},
	} {
		if o := (outcome{c.row, slow}); o.fails(true) != c.fails || !o.fails(false) {
			t.Errorf("on a slow machine: %s fails %v", c.name, o.fails(true))
		}
	}
	o = outcome{row{unit: inCount, bound: most(10)}, value(15)}
	if got := o.verdict(true); got != "over, by 1.50 times; fails at 2" {
		t.Errorf("over in the quick form: %q", got)
	}
}

// TestSum: in CI a tool that is missing fails the bench, but for one that comes from elsewhere.
func TestSum(t *testing.T) {
	of := func(v float64) outcome {
		return outcome{row{unit: inCount, bound: most(10)}, figures{ours: samples{v}}}
	}
	all := []outcome{of(10), of(15), of(25), {row{unit: inCount}, figures{ours: samples{1}}},
		{row{}, figures{skipped: "no make"}}, {row{}, figures{skipped: "no supercronic", soft: true}}}
	for _, c := range []struct {
		quick, ci bool
		failed    int
		text      string
	}{
		{false, false, 2, "1 rows keep their bounds, 2 miss them, 1 have none, 2 were skipped"},
		{true, false, 1, "1 rows keep their bounds, 1 miss them, 1 are over by less than twice, 1 have none, 2 were " +
			"skipped"},
		{true, true, 2, "1 rows keep their bounds, 1 miss them, 1 are over by less than twice, 1 have none, 2 were " +
			"skipped"},
	} {
		if failed, text := sum(all, c.quick, c.ci); failed != c.failed || text != c.text {
			t.Errorf("quick %v, CI %v: %d, %q", c.quick, c.ci, failed, text)
		}
	}
}

// TestRows: names are words of the command line and each once, each row says how it is measured.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups() {
		if seen[g.name] {
			t.Errorf("two groups or rows are named %s", g.name)
		}
		seen[g.name] = true
		for _, r := range g.rows {
			if seen[r.name] && r.name != g.name {
				t.Errorf("two groups or rows are named %s", r.name)
			}
			seen[r.name] = true
			if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(r.name) || r.what == "" || r.unit.scale == 0 ||
				!strings.HasSuffix(r.how, ".") {
				t.Errorf("row %+v", r)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	all := groups()
	if got, err := choose(all, nil); err != nil || len(got) != len(all) {
		t.Errorf("%d groups, %v", len(got), err)
	}
	got, err := choose(all, []string{"trigger-p99", "graphs"})
	if err != nil || len(got) != 2 || got[0].name != "graphs" || len(got[0].rows) != len(shapes()) ||
		len(got[1].rows) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := choose(all, []string{"trigger", "fast"}); err == nil || !strings.Contains(err.Error(), ": fast;") {
		t.Errorf("an unknown row: %v", err)
	}
	opt, err := parse([]string{"runs-2", "--quick", "ping"})
	if err != nil || !opt.quick || !slices.Equal(opt.rows, []string{"runs-2", "ping"}) {
		t.Errorf("%+v, %v", opt, err)
	}
	if _, err := parse([]string{"--doc", "ping"}); err == nil {
		t.Error("--doc takes some rows")
	}
}

// TestQuickGoes: in the quick form what misses or breaks is measured again, and fails when it does so each time. The
// best sample counts there; in full the median does, and there is one go.
func TestQuickGoes(t *testing.T) {
	slow, fast, noisy := samples{30}, samples{9}, samples{40, 12, 50}
	broken := errors.New("no end\nof it")
	for _, c := range []struct {
		name  string
		full  bool
		goes  []any // samples or an error, of each go; the last of all that follow
		did   int
		fails bool
	}{
		{"kept", false, []any{fast}, 1, false},
		{"a busy moment", false, []any{noisy}, 1, false},
		{"a busy moment, in full", true, []any{noisy}, 1, true},
		{"a busy go", false, []any{slow, slow, fast}, 3, false},
		{"slow", false, []any{slow}, quickTries, true},
		{"slow, in full", true, []any{slow}, 1, true},
		{"broken once", false, []any{broken, fast}, 2, false},
		{"broken", false, []any{broken}, quickTries, true},
		{"broken, in full", true, []any{broken}, 1, true},
		{"broken after a miss", false, []any{slow, broken, fast}, 3, false},
		{"a miss stands", false, []any{slow, broken}, quickTries, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			did := 0
			measure := func(*bench) (map[string]figures, error) {
				did++
				found, ok := c.goes[min(did, len(c.goes))-1].(samples)
				if !ok {
					return nil, broken
				}
				return map[string]figures{"a": {ours: found}}, nil
			}
			g := group{"g", []row{{name: "a", unit: inCount, bound: most(10)}}, measure}
			b := &bench{ctx: t.Context(), quick: !c.full}
			all, err := b.group(g)
			if err != nil {
				all = b.broken(g, err)
			}
			if did != c.did || len(all) != 1 || all[0].fails(b.quick) != c.fails {
				t.Errorf("%s: %d goes, %+v", c.name, did, all)
			}
			if err != nil && all[0].verdict(true) != "FAILED: no end" {
				t.Errorf("%s: %q", c.name, all[0].verdict(true))
			}
		})
	}
}

// TestMeasure: what measures a group gives each of its rows, and what cannot be measured is skipped.
func TestMeasure(t *testing.T) {
	g := group{"g", []row{{name: "a"}, {name: "b"}}, func(*bench) (map[string]figures, error) {
		return map[string]figures{"a": {ours: samples{1}}, "b": {skipped: "no b"}}, nil
	}}
	all, err := (&bench{}).measure(g)
	if err != nil || len(all) != 2 || all[0].skipped != "" || all[1].skipped != "no b" {
		t.Errorf("%+v, %v", all, err)
	}
	g.measure = func(*bench) (map[string]figures, error) { return map[string]figures{"a": {ours: samples{1}}}, nil }
	if _, err := (&bench{}).measure(g); err == nil {
		t.Error("a row was forgotten")
	}
	g.measure = func(*bench) (map[string]figures, error) { return nil, &missing{tool: "make"} }
	if all, err := (&bench{}).measure(g); err != nil || len(all) != 2 || all[1].skipped != "no make" {
		t.Errorf("%+v, %v", all, err)
	}
	g.measure = func(*bench) (map[string]figures, error) { return nil, errors.New("broken") }
	if _, err := (&bench{}).measure(g); err == nil {
		t.Error("an error is passed over")
	}
}

func TestProc(t *testing.T) {
	took, err := statTime("12 (a ) b) S 1 12 12 0 -1 4194560 99 7 0 0 31 12 5 6 20 0 9 0 1000 2000 3000")
	if err != nil || took != 430*time.Millisecond {
		t.Errorf("%s, %v", took, err)
	}
	if _, err := statTime("12 (a) S"); err == nil {
		t.Error("a short stat")
	}
	text := "VmRSS:\t    1234 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t70\n"
	for field, want := range map[string]float64{"VmRSS": 1234, "voluntary_ctxt_switches": 7} {
		if got, err := fieldOf(text, field); err != nil || got != want {
			t.Errorf("%s: %v, %v", field, got, err)
		}
	}
	if _, err := fieldOf(text, "Vm"); err == nil {
		t.Error("a field that is not there")
	}
}

func TestTraced(t *testing.T) {
	got := traced(`1 write(3</s/state/journal/1.jsonl>, "{\"crc\":\"x\") = 5"..., 40) = 40
2 write(7</s/state/journal/1.jsonl>, "x", 2) = 2
2 pwrite64(8</s/state/logs/w/d.jsonl>, "abc", 3, 0) = 3
2 write(9</s/statement>, "x", 9) = 9
2 write(9<socket:[1]>, "x", 9) = 9
3 fsync(3</s/state/journal/1.jsonl>) = 0
3 fdatasync(3</s/state/journal>) = 0
3 fsync(3</elsewhere>) = 0
`, "/s/state")
	if len(got) != 3 || got["journal"] != 42 || got["logs"] != 3 || got[traceSyncs] != 2 {
		t.Errorf("%v", got)
	}
}

// TestSentRate: the rate is that of whole heartbeats, wherever the counting begins and ends.
func TestSentRate(t *testing.T) {
	zero := time.Now()
	at := func(seconds float64, bytes int) sent {
		return sent{zero.Add(time.Duration(seconds * float64(time.Second))), bytes}
	}
	bytes, period := sentRate([]sent{at(3, 100), at(3.01, 50), at(13, 100), at(13.01, 50), at(23, 1)})
	if bytes != 15 || period != 10*time.Second {
		t.Errorf("%v bytes a second, every %s", bytes, period)
	}
	for _, few := range [][]sent{nil, {at(1, 1)}, {at(1, 1), at(1.1, 1)}} {
		if _, period := sentRate(few); period != 0 {
			t.Errorf("%v: every %s", few, period)
		}
	}
}

func TestSlowest(t *testing.T) {
	next, never, err := slowest(`goos: linux
BenchmarkCronNext/*_*_*_*_*-2         	 100	       50.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkCronNext/~_3_*_*_*-2         	 100	      250 ns/op	       0 B/op	       0 allocs/op
BenchmarkCronNext/*_*_*_*_*-2         	 100	      900 ns/op	       0 B/op	       0 allocs/op
BenchmarkCronNext/*_*_*_*_*-2         	 100	       50 ns/op	       0 B/op	       0 allocs/op
BenchmarkCronNext/0_0_31_2_*-2        	 100	    10000 ns/op	       0 B/op	       0 allocs/op
BenchmarkCronNext/0_0_31_2,4,6,9,11_*-2	 100	    51000 ns/op	       0 B/op	       0 allocs/op
PASS
`)
	if err != nil || next != (timing{"~ 3 * * *", 250}) || never != (timing{"0 0 31 2,4,6,9,11 *", 51000}) {
		t.Errorf("%v, %v, %v", next, never, err)
	}
	if _, _, err := slowest("PASS\n"); err == nil {
		t.Error("no times are times")
	}
}

// TestLine: lines that are made have the form of the one that a principal wrote, with sound checksums.
func TestLine(t *testing.T) {
	real := `{"crc":"ac07211a","run":"01M8K8GC1GQM1M19K3GX944TD4","workflow":"one","state":"succeeded",` +
		`"trigger":"manual","by":"root","agent":"vm","queued":"2026-11-29T08:59:49.168Z",` +
		`"finished":"2026-11-29T08:59:49.173Z",` +
		`"seconds":0.003,"version":"1cbe802236540ede","tasks":[{"task":"a","state":"succeeded","seconds":0.003}]}` +
		"\n"
	l, err := lineOf(real)
	if err != nil {
		t.Fatal(err)
	}
	if got := crc(l.text); got != 0xac07211a {
		t.Errorf("the checksum is %08x", got)
	}
	at := time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC)
	id := ulid(at, 77)
	got := l.of(id, "w7", at)
	for _, want := range []string{`"run":"` + id + `"`, `"workflow":"w7"`, `"finished":"2026-03-01T02:03:04.000Z"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(got, "01M8K8") || strings.Contains(got, "2026-11") {
		t.Errorf("left of the template: %s", got)
	}
	if _, err := lineOf(strings.Replace(real, `"workflow"`, `"wf"`, 1)); err == nil {
		t.Error("another form is taken")
	}
	seen := map[string]bool{}
	for n := range 100_000 {
		if seen[ulid(at, n)] {
			t.Fatalf("the id of run %d is there twice", n)
		}
		seen[ulid(at, n)] = true
	}
	if early, late := ulid(at, 9), ulid(at.Add(time.Second), 1); early >= late || len(early) != 26 {
		t.Errorf("%s, %s", early, late)
	}
}

func TestPage(t *testing.T) {
	all := []outcome{
		{row{name: "a", what: "the first", unit: inMillis, bound: most(2e6), readme: true, how: "By a clock."},
			figures{ours: samples{1e6, 3e6, 2e6}, floor: samples{1e6, 1e6, 1e6}, floorName: "it"}},
		{row{name: "b", what: "the second", unit: inMB, how: "By a clock."}, figures{ours: samples{5e6}}},
		{row{name: "c", what: "the third", unit: inMB, readme: true, how: "Another way."}, figures{skipped: "no c"}},
		{row{name: "d", unit: inMB, bound: most(1e6), how: "Another way.", why: "It is so."},
			figures{ours: samples{2e6}}},
		{row{name: "e", unit: inMB, bound: most(1e6), how: "By hand."}, figures{ours: samples{2e6}}},
		{row{name: "f", unit: inMB, bound: most(3e6), how: "By hand.", why: "Nobody asks."},
			figures{ours: samples{2e6}}},
	}
	text := page(site{machine: "a machine", began: time.Now()}, "0", all)
	for _, want := range []string{
		"| `a` | the first | 2.00 ms (1.00 to 3.00) | 1.00 ms (it) | 2.00 | at most 2.00 ms | ok |\n",
		"| `b` | the second | 5.00 MB | | | | |\n",
		"| `c` | the third | | | | | skipped: no c |\n",
		"- `a`, `b`: By a clock.\n- `c`, `d`: Another way.\n- `e`, `f`: By hand.\n",
		"## Why a bound is missed\n\n- `d`: It is so.\n- `e`: Nobody knows yet.\n\n## How",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	readme, err := withTable("top\n"+tableBegin+"old\n"+tableEnd+"rest\n", readmeTable(all))
	if err != nil || !strings.HasPrefix(readme, "top\n"+tableBegin) || !strings.HasSuffix(readme, tableEnd+"rest\n") ||
		!strings.Contains(readme, "| the first | 2.00 ms | 1.00 ms (it) |\n") || strings.Contains(readme, "old") ||
		strings.Contains(readme, "second") || strings.Contains(readme, "third") {
		t.Errorf("%v:\n%s", err, readme)
	}
	if _, err := withTable("no place", ""); err == nil {
		t.Error("a README without a place")
	}
	long := broken(strings.Repeat("a word ", 60), "  ")
	for line := range strings.Lines(long) {
		if len(line) > pageWidth+1 || !strings.HasPrefix(line, "  a") && !strings.HasPrefix(line, "  w") {
			t.Errorf("line %q", line)
		}
	}
}

// TestDocs: the page has every row, with the bound of today, and the README's table has rows of the page.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../" + pageFile)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../" + readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), tableBegin)
	table, _, _ = strings.Cut(table, tableEnd)
	for _, g := range groups() {
		for _, r := range g.rows {
			if !regexp.MustCompile("(?m)^\\| `" + r.name + "` \\| " + regexp.QuoteMeta(r.what) + " \\|.*\\| " +
				regexp.QuoteMeta(r.bound.text(r.unit))).Match(text) {
				t.Errorf("%s: row %s is not there, or not as it is measured now: bench/run --doc", pageFile, r.name)
			}
			if r.readme && !strings.Contains(table, "| "+r.what+" |") {
				t.Errorf("%s: row %s is not in the table: bench/run --doc", readmeFile, r.name)
			}
		}
	}
}

// TestProcesses: whatever is started is ended with its group, at the latest by end.
func TestProcesses(t *testing.T) {
	var p processes
	short, err := p.start(exec.Command("sh", "-c", "exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	<-short.ended
	var exit *exec.ExitError
	if !errors.As(short.err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended with %v", short.err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	tree := exec.Command("sh", "-c", "(echo up; exec sleep 1000) & wait")
	tree.Stdout = writer
	long, err := p.start(tree)
	if err != nil {
		t.Fatal(err)
	}
	writer.Close()
	up := make([]byte, 3)
	if _, err := reader.Read(up); err != nil {
		t.Fatal(err)
	}
	p.end()
	<-long.ended
	if n, err := reader.Read(up); n > 0 || err == nil { // the pipe ends with the last process of the tree
		t.Errorf("%d bytes, %v", n, err)
	}
}
