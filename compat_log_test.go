// Tests of CDKTR's log records: reading and writing them, who gets them, searching them, and what is none.

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCompatRecord(t *testing.T) {
	const example = "talk\x01talk\x01slug-1\x01t1\x01slug-2\x011795378149920\x01INFO\x01STDOUT line 1"
	r, err := compatRecordRead([]byte(example))
	if want := (compatRecord{"talk", "talk", "slug-1", "t1", "slug-2", time.UnixMilli(1795378149920), "INFO",
		"STDOUT line 1"}); err != nil || r != want {
		t.Fatalf("read %+v, %v", r, err)
	}
	if got := string(r.text()); got != example {
		t.Errorf("written back as %q", got)
	}
	if got, want := r.line(false), "[2026-11-22T20:09:09.920+00:00 INFO] [slug-1/slug-2] STDOUT line 1"; got != want {
		t.Errorf("short: %q, want %q", got, want)
	}
	if got, want := r.line(true), "[2026-11-22T20:09:09.920+00:00 INFO] [talk=slug-1 / t1=slug-2] STDOUT line 1"; got != want {
		t.Errorf("verbose: %q, want %q", got, want)
	}
	r.at, r.payload = time.UnixMilli(1795378149000), "a\x01b"
	if got, want := r.line(false), "[2026-11-22T20:09:09+00:00 INFO] [slug-1/slug-2] a\x01b"; got != want {
		t.Errorf("whole second: %q, want %q", got, want)
	}
	if got := string(r.text()); strings.Count(got, "\x01") != 7 || !strings.HasSuffix(got, "\x01a\uFFFDb") {
		t.Errorf("a split within the payload: %q", got)
	}
	if r, err := compatRecordRead([]byte(example + "\x01and more\x01")); err != nil ||
		r.payload != "STDOUT line 1\x01and more\x01" {
		t.Errorf("more fields: %+v, %v", r, err)
	}
	for n := 1; n < 8; n++ { // four to seven ended CDKTR's principal
		if r, err := compatRecordRead([]byte(strings.Join(strings.Split(example, "\x01")[:n], "\x01"))); err == nil ||
			err.Error() != fmt.Sprintf("read log record: %d fields, want 8", n) {
			t.Errorf("%d fields: %+v, %v", n, r, err)
		}
	}
	for _, at := range []string{"", "soon", "-1", "1.5", "18446744073709551616", "253402300800000",
		"9223372036854775808"} {
		if r, err := compatRecordRead([]byte(strings.Replace(example, "1795378149920", at, 1))); err == nil {
			t.Errorf("time %q: %+v", at, r)
		}
	}
}

// FuzzCompatRecord: nothing that comes in on port 5562 ends the principal, and a record that is taken goes out as it
// came.
func FuzzCompatRecord(f *testing.F) {
	f.Add([]byte("talk\x01talk\x01slug-1\x01t1\x01slug-2\x011795378149920\x01INFO\x01STDOUT line 1"))
	f.Add([]byte("\x01\x01\x01\x01\x010\x01\x01"))
	f.Add([]byte("a\x01b\xff\x01c\x01d\x01e\x01253402300799999\x01ERROR\x01STDERR \x01\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := compatRecordRead(body)
		if err != nil {
			return
		}
		r.line(true)
		again, err := compatRecordRead(r.text())
		r.payload = strings.ReplaceAll(r.payload, compatSplit, "\uFFFD")
		if err != nil || again != r {
			t.Fatalf("%q comes back as %+v, %v", body, again, err)
		}
	})
}

func TestCompatTopic(t *testing.T) {
	for topic, want := range map[string]bool{"event.": false, "event.etl": false, "log.": false, "log.x.y": false,
		"": false, "e": false, "event": false, "l": false, "log": false,
		"etl": true, "etl.daily": true, "events": true, "logs": true, "E": true, "lo.": true, "a": true} {
		if got := compatTopic(topic); got != want {
			t.Errorf("%q: %v, want %v", topic, got, want)
		}
	}
	_, conn := wirePipe()
	s := &subscriber{conn: conn, grant: authOwner, topics: []string{"ta", "event.", "etl"}, theirs: compatTopic}
	for workflow, want := range map[string]bool{"talk": true, "ta": true, "t": false, "etl": true, "etl.daily": true,
		"event.x": false, "other": false} {
		if got := compatWants(s, workflow); got != want {
			t.Errorf("workflow %q: %v, want %v", workflow, got, want)
		}
	}
	if s.wants("talk", "talk") || s.wants("etl.daily", "etl.daily") || !s.wants("talk", "event.talk.1") ||
		s.wants("talk", "log.talk.1.t") {
		t.Error("topics of the two dialects are mixed up")
	}
}

// TestCompatSubscribers has a subscriber of each dialect, and of both, beside each other.
func TestCompatSubscribers(t *testing.T) {
	w := compatStart(t, map[string]string{"talk.yml": compatChain, "other.yml": compatChain})
	a := w.agent("a")
	theirs, ours, both := w.connect("SUB"), w.connect("SUB"), w.connect("SUB")
	subscribe := func(c wireConn, messages ...string) {
		for _, m := range messages {
			c.Send([]byte(m))
		}
		topics := strings.ReplaceAll(strings.Join(messages, " "), "\x01", "")
		w.awaitSubscriber(func(s *subscriber) bool { return strings.Join(s.topics, " ") == topics })
	}
	subscribe(theirs, "\x01ta")
	subscribe(ours, "\x01log.talk")
	subscribe(both, "\x01log.other", "\x01talk")
	for _, workflow := range []string{"talk", "other"} {
		a.begin(workflow)
		a.flow(workflow, "slug-of-"+workflow, "RUNNING")
		a.task("a", "slug-of-"+workflow, "RUNNING")
		a.say(workflow, "slug-of-"+workflow, "a", "INFO", "STDOUT of "+workflow)
	}
	recv := func(c wireConn) string {
		t.Helper()
		frames, err := c.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", len(frames), frames[0])
	}
	run, other := w.newest("talk"), w.newest("other")
	record := fmt.Sprintf("1 talk\x01The chain\x01%s\x01Task a\x01a.1\x01%d\x01INFO\x01STDOUT of talk", run,
		w.clock.now().UnixMilli())
	if got := recv(theirs); got != record {
		t.Errorf("theirs got %q, want %q", got, record)
	}
	if got := recv(ours); got != "2 log.talk."+run+".a" {
		t.Errorf("ours got %q", got)
	}
	if got := recv(both); got != record {
		t.Errorf("both got %q", got)
	}
	if got := recv(both); got != "2 log.other."+other+".a" {
		t.Errorf("both got %q", got)
	}
	// One who does not read loses records, and nobody else notices.
	for range 5 {
		a.w.push(a.push, strings.Split(strings.Repeat("talk\x01n\x01slug-of-talk\x01Task "+
			"a\x01a-of-slug-of-talk\x011\x01INFO\x01x\n", 400), "\n")[:400]...)
	}
	w.on(func(p *principal) {
		dropped := 0
		for s := range p.followers.subscribers {
			dropped += s.dropped
		}
		if dropped == 0 {
			t.Error("2000 records fit into a queue of 1024")
		}
	})
	compatWant(t, a.req, "PING", "PONG")
}

// query asks for logs, and gives the lines.
func (w *compatWorld) query(c wireConn, words ...string) []string {
	w.t.Helper()
	reply := compatAsk(w.t, c, "QUERYLOGS\x01"+strings.Join(words, "\x01"))
	var lines []string
	if text, ok := strings.CutPrefix(reply, "SUCCESS\x01"); !ok || json.Unmarshal([]byte(text), &lines) != nil {
		w.t.Fatalf("query %q: %.200q", words, reply)
	}
	return lines
}

func TestCompatQuery(t *testing.T) {
	w := compatStart(t, map[string]string{"chain.yml": compatChain, "other.yml": compatSimple})
	a := w.agent("a")
	chain, other := a.begin("chain"), a.begin("other")
	a.flow("chain", "one", "RUNNING")
	a.flow("other", "two", "RUNNING")
	a.task("task1", "two", "RUNNING")
	start := w.clock.now()
	millis := func(d time.Duration) string { return fmt.Sprint(start.Add(d).UnixMilli()) }
	a.say("chain", "one", "a", "INFO", "STDOUT first <&> \"quoted\" 'too' \\")
	w.clock.add(time.Second)
	a.say("other", "two", "task1", "ERROR", "STDERR second")
	w.clock.add(500 * time.Millisecond)
	a.say("chain", "one", "a", "INFO", "STDOUT third")
	w.clock.add(time.Second)
	a.flow("chain", "one", "COMPLETED")
	first := fmt.Sprintf("[2026-01-31T02:30:00+00:00 INFO] [%s/a.1] STDOUT first <&> \"quoted\" 'too' \\", chain)
	second := fmt.Sprintf("[2026-01-31T02:30:01+00:00 ERROR] [%s/task1.1] STDERR second", other)
	third := fmt.Sprintf("[2026-01-31T02:30:01.500+00:00 INFO] [%s/a.1] STDOUT third", chain)
	for _, x := range []struct {
		name  string
		words []string
		want  []string
	}{
		{"all", []string{"", "", "", ""}, []string{first, second, third}},
		{"of a workflow", []string{"", "", "chain", ""}, []string{first, third}},
		{"of a run", []string{"", "", "", other}, []string{second}},
		{"of a run, as its agent calls it", []string{"", "", "", "one"}, []string{first, third}},
		{"of both", []string{"", "", "chain", "one"}, []string{first, third}},
		{"of a run of another workflow", []string{"", "", "other", chain}, nil},
		{"of nothing", []string{"", "", "no such", ""}, nil},
		{"of a quote", []string{"", "", "' OR '1'='1", "' OR '1'='1"}, nil},
		{"from, and before", []string{millis(1500 * time.Millisecond), millis(time.Second), "", ""}, []string{second}},
		{"before the first", []string{millis(0), millis(-time.Hour), "", ""}, nil},
		{"the end behind the start", []string{millis(0), millis(time.Hour), "", ""}, nil},
		{"since always", []string{"", "0", "chain", ""}, []string{first, third}},
		{"a day before", []string{millis(24*time.Hour + time.Millisecond), "", "", ""}, []string{second, third}},
		{"verbose", []string{"", "", "", chain, "v"}, []string{
			fmt.Sprintf("[2026-01-31T02:30:00+00:00 INFO] [The chain=%s / Task a=a.1] STDOUT first <&> \"quoted\" "+
				"'too' \\", chain),
			fmt.Sprintf("[2026-01-31T02:30:01.500+00:00 INFO] [The chain=%s / Task a=a.1] STDOUT third", chain)}},
		{"not verbose", []string{"", "", "", other, ""}, []string{second}},
		{"verbose by any word, with more behind", []string{"", "", "", other, "false", "x"}, []string{
			fmt.Sprintf("[2026-01-31T02:30:01+00:00 ERROR] [Simple cmd flow=%s / Task 1=task1.1] STDERR second",
				other)}},
	} {
		if got := w.query(a.req, x.words...); strings.Join(got, "\n") != strings.Join(x.want, "\n") {
			t.Errorf("%s:\n got %q\nwant %q", x.name, got, x.want)
		}
	}
	if got := compatAsk(t, a.req, "QUERYLOGS\x01\x01\x01other\x01"); got != "SUCCESS\x01[\""+second+"\"]" {
		t.Errorf("the reply as it is: %q", got)
	}

	// Output of our own agents is found as well, and what is not UTF-8, and cdktr's own remarks.
	w.on(func(p *principal) {
		lines := []LogLine{{Time: stampOf(w.clock.now()), Run: other, N: 2, Task: "task1", Attempt: 3, Stream: "o",
			Bytes: []byte("\xff")},
			{Time: stampOf(w.clock.now()), Run: other, N: 3, Task: "gone", Attempt: 1, Stream: "c",
				Text: "[cdktr: remark]"}}
		if err := p.logs.append("other", lines); err != nil {
			t.Error(err)
		}
	})
	got := w.query(a.req, millis(time.Minute), millis(2*time.Second), "", "", "v")
	if want := fmt.Sprintf("[2026-01-31T02:30:02.500+00:00 INFO] [Simple cmd flow=%s / Task 1=task1.3] STDOUT \uFFFD\n"+
		"[2026-01-31T02:30:02.500+00:00 INFO] [Simple cmd flow=%[1]s / gone=gone.1] [cdktr: remark]",
		other); strings.Join(got, "\n") != want {
		t.Errorf("got %q", got)
	}

	w.on(func(p *principal) { p.dialect.(*compat).queries = compatMaxQueries })
	if got := compatAsk(t, a.req, "QUERYLOGS\x01\x01\x01\x01"); !strings.HasPrefix(got,
		"SERVERERROR\x01Failed to read logs: 4 searches") {
		t.Errorf("too many at once: %q", got)
	}
}

// TestCompatQueryMuch finds more than a frame holds: the newest lines come, and the connection lives.
func TestCompatQueryMuch(t *testing.T) {
	w := compatStart(t, map[string]string{"a.yml": compatSimple, "b.yml": compatSimple})
	a := w.agent("a")
	runs := map[string]string{"a": a.begin("a"), "b": a.begin("b")}
	start := w.clock.now()
	w.on(func(p *principal) {
		for name, run := range runs {
			for i := range 40 {
				var lines []LogLine
				for k := range 100 {
					n := i*100 + k
					lines = append(lines, LogLine{Time: stampOf(start.Add(time.Duration(n) * time.Millisecond)),
						Run: run, N: int64(n + 1), Task: "task1", Attempt: 1, Stream: "o",
						Text: fmt.Sprintf("%04d %s", n, strings.Repeat("<", 400))})
				}
				if err := p.logs.append(name, lines); err != nil {
					t.Error(err)
				}
			}
		}
	})
	w.clock.add(time.Minute)
	c := wireTestDial(t, w.serve())
	lines := w.query(c, "", "", "", "")
	if n := len(lines); n < 1500 || n > 4000 || !strings.Contains(lines[n-1], "STDOUT 3999 ") ||
		!strings.Contains(lines[n-2], "STDOUT 3999 ") {
		t.Fatalf("%d lines", n)
	}
	for i := range lines[1:] {
		if lines[i][:35] > lines[i+1][:35] && !strings.Contains(lines[i+1], ":03+") &&
			!strings.Contains(lines[i+1], ":02+") {
			t.Fatalf("line %d is out of order: %.60q, %.60q", i, lines[i], lines[i+1])
		}
	}
	compatWant(t, c, "PING", "PONG")

	// A search whose peer has gone ends.
	call := &compatCall{opCall: &opCall{conn: c, peer: &lookPeer{party: sharesNew().join("")}}}
	c.Cut(nil)
	s := &compatSearch{to: w.clock.now()}
	if err := w.p.dialect.(*compat).scan(call, s, "a", nil); err != errCompatGone || s.looked != compatLook {
		t.Errorf("after %d lines: %v", s.looked, err)
	}
}

// TestCompatHostile sends what ended CDKTR's principal, and more. Ours answers afterwards, and what is good is taken.
func TestCompatHostile(t *testing.T) {
	w := compatStart(t, map[string]string{"chain.yml": compatChain})
	a := w.agent("a")
	run := a.begin("chain")
	a.flow("chain", "one", "RUNNING")
	a.task("a", "one", "RUNNING")
	record := func(fields ...string) string { return strings.Join(fields, "\x01") }
	bad := []string{
		"\x01", "\x01\x01\x01\x01\x01\x01\x01", "a\x01b\x01c", "PING\x01", "RUNTASK\x01chain", "\xff\xfe\x01\xff",
		record("chain", "n", "one", "t"), record("chain", "n", "one", "t", "i"),
		record("chain", "n", "one", "t", "i", "1"), record("chain", "n", "one", "t", "i", "1", "INFO"),
		record("chain", "n", "one", "t", "i", "later", "INFO", "x"), record("chain", "n", "one", "t", "i",
			"99999999999999999999", "INFO", "x"),
		record("chain", "n", "no such", "t", "i", "1", "INFO", "x"), record("no such", "n", "one", "t", "i", "1",
			"INFO", "x"),
		record("", "", "", "", "", "1", "", ""), record("chain", "n", strings.Repeat("x", 1000), "t", "i", "1", "INFO",
			"x"),
		record("../../etc", "n", "one", "t", "i", "1", "INFO", "x"), "{\x01", "", "not a record", "{}",
	}
	w.push(a.push, bad...)
	w.push(a.push, record("chain", "n", "one", "t", "", "1", "", "no level"),
		record("chain", "n", "one", "\xff\x00", "i", "1", "ERROR", "STDOUT prefix wins"),
		record("chain", "n", "one", strings.Repeat("t", 1000), "i", "0", "ERROR", "\x00\xff"),
		record("chain", "n", "one", "Task a", "a-of-one", "1", "INFO", ""))
	if want := "o t no level\no \uFFFD\x00 STDOUT\n"; !strings.HasPrefix(w.output(run),
		"o t no level\no \uFFFD\x00 prefix wins\ne tttt") || !strings.HasSuffix(w.output(run), "t \x00\xff\no a \n") {
		t.Errorf("output: %q, want %q and so on", w.output(run), want)
	}
	for _, body := range []string{"A", "Z\x00", strings.Repeat("\x01", 1000), "PING" + strings.Repeat("\x01", 100_000),
		"AGENTWORKFLOWSTATUS\x01a\x01\x01\x01COMPLETED",
		"AGENTWORKFLOWSTATUS\x01a\x01chain\x01\xff\x01RUNNING", "AGENTTASKSTATUS\x01a\x01a\x01\x01one\x01COMPLETED",
		"AGENTTASKSTATUS\x01a\x01\x01x\x01one\x01COMPLETED",
		"AGENTTASKSTATUS\x01b\x01a\x01x\x01one\x01COMPLETED", "AGENTWORKFLOWSTATUS\x01b\x01chain\x01one\x01FAILED",
		"FETCHWORKFLOW\x01b"} {
		compatAsk(t, a.req, body)
	}
	w.wantStands(run, "running a:running b:waiting c:waiting")
	sub := w.connect("SUB")
	sub.Send([]byte("\x01"), []byte("two frames"))
	if _, err := sub.Recv(); err == nil {
		t.Error("a SUB peer that sends something else stays")
	}
	a.flow("chain", "one", "COMPLETED")
	w.wantStands(run, "succeeded a:succeeded b:succeeded c:succeeded")
	if n := strings.Count(w.logged(), "output of a run that is not known"); n != 1 { // the others are counted
		t.Errorf("strays are told of %d times", n)
	}
}

// TestCompatQueryRecord: of lines that were stored together, those between two times are found even if the first of
// them is earlier.
func TestCompatQueryRecord(t *testing.T) {
	w := compatStart(t, map[string]string{"a.yml": compatSimple})
	a := w.agent("a")
	run, start := a.begin("a"), w.clock.now()
	w.on(func(p *principal) {
		var lines []LogLine
		for n := range 30 {
			lines = append(lines, LogLine{Time: stampOf(start.Add(time.Duration(n) * time.Second)), Run: run,
				N: int64(n + 1), Task: "task1", Attempt: 1, Stream: "o", Text: fmt.Sprint("at ", n, ".")})
		}
		if err := p.logs.append("a", lines); err != nil {
			t.Error(err)
		}
	})
	w.clock.add(time.Minute)
	for between, want := range map[[2]int]int{{0, 30}: 30, {10, 12}: 2, {29, 40}: 1, {-10, 1}: 1, {30, 40}: 0} {
		at := func(seconds int) string {
			return fmt.Sprint(start.Add(time.Duration(seconds) * time.Second).UnixMilli())
		}
		got := w.query(wireTestDial(t, w.serve()), at(between[1]), at(between[0]), "", run)
		if len(got) != want || want > 0 && !strings.HasSuffix(got[0], fmt.Sprintf("at %d.", max(between[0], 0))) {
			t.Errorf("%v: %q, want %d lines", between, got, want)
		}
	}
}
