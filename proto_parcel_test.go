// proto_parcel_test.go: what is packed into a parcel comes out as it was.

package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParcel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tick := func() Stamp {
		now = now.Add(time.Duration(rng.IntN(5)-1) * time.Millisecond)
		return stampOf(now)
	}
	for range 500 {
		var output []LogLine
		var events []*Event
		n := int64(1)
		for range rng.IntN(6) {
			line := LogLine{Time: tick(), Run: "R", N: n, Task: []string{"a", "a", "b"}[rng.IntN(3)], Attempt: 1 +
				rng.IntN(2), Stream: []string{"o", "o", "e"}[rng.IntN(3)],
				Text: []string{"", "x & <y>", "é"}[rng.IntN(3)]}
			switch rng.IntN(6) {
			case 0:
				line.Text, line.Bytes = "", []byte{0xff, byte(rng.IntN(256))}
			case 1:
				line.Task, line.Attempt, line.Stream = "", 0, "c"
			}
			output = append(output, line)
			n += int64(1 + rng.IntN(5)/4)
		}
		for range rng.IntN(5) {
			e := &Event{Time: tick(), Kind: []string{evRunStarted, evTaskStarted, evTaskRetrying, evTaskFinished,
				evRunFinished}[rng.IntN(5)], Run: "R", Lease: 3,
				Task: "a", Attempt: 1 + rng.IntN(2), Reason: "r", Seconds: float64(rng.IntN(3))}
			switch e.Kind {
			case evTaskFinished, evRunFinished:
				e.State = []string{taskSucceeded, taskFailed, taskSkipped}[rng.IntN(3)]
			}
			if exit := rng.IntN(3); exit < 2 {
				e.Exit = &exit
			}
			if e.State == taskSucceeded {
				e.Outputs = map[string]string{"k": "v"}
			}
			events = append(events, e)
		}
		if len(output)+len(events) == 0 {
			continue
		}
		var packed []parcelLines
		for i := range output {
			packed = append(packed, parcelLine(&output[i]))
		}
		msg, count := parcelPack("R", 3, packed, events)
		items, err := parcelItems(msg)
		var want []agentItem
		if len(output) > 0 {
			want = append(want, agentItem{Lines: output, Lease: 3})
		}
		for _, e := range events {
			want = append(want, agentItem{Event: e})
		}
		if err != nil || count != len(want) || !bytes.Equal(protoEncode(items), protoEncode(want)) {
			t.Fatalf("%d items, %v:\n%s\ncame out as\n%s\nwant\n%s", count, err, msg, protoEncode(items),
				protoEncode(want))
		}
	}
}

// parcelTestRead reads a message by the scanner, where it can, and by encoding/json, and wants them to agree. It gives
// its items, lines and all, and whether the scanner could read it.
func parcelTestRead(t *testing.T, body []byte) (items []agentItem, scanned bool) {
	t.Helper()
	slow := &agentMsg{}
	err := protoPeer(body, slow)
	slow.unpack()
	if slow.Op == msgReport && len(slow.Items) > 0 {
		var again []agentItem // what it gives can be written, and read again
		if err := json.Unmarshal(protoEncode(slow.Items), &again); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
	}
	quick := parcelScan(body)
	if quick == nil {
		return slow.Items, false
	}
	if err != nil {
		t.Fatalf("the scanner reads %q, and encoding/json says %v", body, err)
	}
	for i := range quick.Items {
		item := &quick.Items[i]
		var file []LogLine
		for rest := item.blocks; len(rest) > 0; {
			n := logJoined(rest)
			record := logEncodeBlocks(nil, rest[:n])
			file, err = logDecode(file, record)
			if err != nil {
				t.Fatalf("%q: a file cannot hold %q: %v", body, record, err)
			}
			rest = rest[n:]
		}
		for k := range item.blocks {
			x := &item.blocks[k]
			if x.Lines > recordMaxLines || x.Lines > 1 && len(x.Text) > recordMaxText {
				t.Fatalf("%q: a block of %d lines and %d bytes", body, x.Lines, len(x.Text))
			}
			item.Lines = x.lines(item.Lines)
		}
		if !bytes.Equal(protoEncode(file), protoEncode(item.Lines)) {
			t.Fatalf("%q: a file holds\n%s\nwant\n%s", body, protoEncode(file), protoEncode(item.Lines))
		}
		item.blocks = nil
	}
	if got, want := protoEncode(quick), protoEncode(slow); !bytes.Equal(got, want) {
		t.Fatalf("%q: the scanner gives\n%s\nencoding/json\n%s", body, got, want)
	}
	return slow.Items, true
}

// What tasks write comes out of a parcel as it was, whatever it is, and without encoding/json.
func TestParcelScan(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for range 300 {
		var output []parcelLines
		var want []string
		n := int64(1 + rnd.IntN(3))
		for range 1 + rnd.IntN(5) {
			now = now.Add(time.Duration(rnd.IntN(3)) * time.Millisecond)
			text := linesTestText(rnd, 1+rnd.IntN(6000))
			for line := range bytes.Lines(text) {
				want = append(want, string(bytes.TrimSuffix(line, []byte("\n"))))
			}
			task, stream := []string{"a", "b.c"}[rnd.IntN(2)], []string{"o", "e"}[rnd.IntN(2)]
			for _, x := range parcelCut(text) {
				x.Time, x.N, x.Task, x.Attempt, x.Stream = stampOf(now), n, task, 1+rnd.IntN(2), stream
				n += int64(x.Count)
				output = append(output, x)
			}
		}
		var events []*Event
		if rnd.IntN(2) == 0 {
			events = []*Event{{Time: stampOf(now), Kind: evRunFinished, State: runFailed, Reason: `a "reason"`}}
		}
		msg, _ := parcelPack("R", 3, output, events)
		items, scanned := parcelTestRead(t, parcelMessage(7, 0, msg))
		if !scanned {
			t.Fatalf("not read by the scanner: %s", msg)
		}
		var got []string
		for i := range items[0].Lines {
			l := &items[0].Lines[i]
			if got = append(got, string(l.raw())); l.N != output[0].N+int64(i) {
				t.Fatalf("line %d has number %d", i, l.N)
			}
		}
		if !slices.Equal(got, want) || len(items) != 1+len(events) {
			t.Fatalf("%q came out as %q", want, got)
		}
	}
}

// A parcel with more lines than any agent makes is refused, whichever way it is read.
func TestParcelMaxLines(t *testing.T) {
	for _, front := range []string{parcelFront + `1,`, `{"v":2,"op":"parcel","n":1,`} {
		for _, lines := range []int{parcelMaxLines, parcelMaxLines + 1} {
			m, err := protoOfAgent([]byte(front + `"parcel":{"run":"R","output":[{"i":1,"m":[""` +
				strings.Repeat(`,""`, lines-1) + `]}]}}`))
			if good := err == nil && len(m.Items) == 1; good != (lines == parcelMaxLines) {
				t.Errorf("%s: %d lines: %v", front, lines, err)
			}
		}
	}
}

// FuzzParcelScan reads anything as a message of an agent. What the scanner takes, encoding/json reads in the same way,
// and a file of output can hold.
func FuzzParcelScan(f *testing.F) {
	output := []parcelLines{parcelLine(&LogLine{N: 5, Task: "a", Attempt: 1, Stream: "o", Text: "x \"y\" \x1b[0m é"}),
		parcelLine(&LogLine{N: 6, Task: "a", Attempt: 2, Stream: "e", Text: ""}),
		parcelLine(&LogLine{N: 9, Stream: "c", Text: "remark"}), parcelLine(&LogLine{N: 10, Bytes: []byte{0xff}})}
	events := []*Event{{Kind: evTaskFinished, State: taskFailed, Reason: "r", Exit: stateInt(3), Seconds: 1.25},
		{Kind: evTaskStarted, Task: "a", Attempt: 1}, {Kind: evRunFinished, Exit: new(int)},
		{Kind: evTaskFinished, State: taskSucceeded, Exit: new(int), Outputs: map[string]string{"k": "v"}}}
	for n := range len(output) + 1 {
		for k := range len(events) + 1 {
			if n+k > 0 {
				msg, _ := parcelPack("R", 1, output[:n], events[:k])
				f.Add(parcelMessage(17, 0, msg))
			}
		}
	}
	for _, text := range []string{
		parcelFront + `1,"parcel":{"run":"R","t":"2026-01-31T02:30:00.000Z","output":[{"ms":5,"i":1,"k":"a","m":["a","b"]},{"n":2,"m":["c"]}]}}`,
		parcelFront + `1,"parcel":{"run":"R","output":[{"i":1,"m":[]}]}}`,
		parcelFront + `1,"parcel":{"run":"","output":[{"k":"","m":[""]}]}}`,
		parcelFront + `1,"parcel":{"run":"R","output":[{"i":1,"m":["a\n"]}]}}`,
		parcelFront + `999999999999999999,"parcel":{"lease":99999999999,"run":"R","output":[{"ms":999999999999999999,"i":999999999999999999,"m":["a"]}]}}`,
		parcelFront + `1,"parcel":{"run":"R","output":[{"i":1,"b":["/w=="]},{"b":["//8="]}]}}`,
		parcelFront + `1,"parcel":{"run":"R","output":[{"i":1,"b":["/x=="]},{"b":[""]},{"b":["/w==","/w=="]}]}}`,
		parcelFront + `1,"parcel":{"run":"R","t":"9999-12-31T23:59:59.999Z","output":[{"ms":1,"i":1,"m":["a"]}],"events":[{"ms":86400000,"e":"run.started"}]}}`,
		parcelFront + `1,"parcel":{"run":"R","t":"0000-01-01T00:00:00Z","output":[{"ms":-1,"i":1,"m":["a"]}],"events":[{"ms":-9223372036854775808,"e":"run.started"}]}}`,
		parcelFront + `1,"parcel":{"run":"R","events":null}}`,
		parcelFront + `1,"parcel":{"run":"R","events":[]},"events":[]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		parcelTestRead(t, body)
		protoOfAgent(body)
	})
}

// parcelTestOutput makes 100 kB of lines of 80 bytes, as a task writes them.
func parcelTestOutput() (text []byte, lines int) {
	const line = "2026-01-31T02:30:00.000Z INFO loaded 17 rows of table \"orders\" into the warehouse\n"
	lines = 100_000 / len(line)
	return bytes.Repeat([]byte(line), lines), lines
}

// outputWay takes output all the way from the pipe into a log.
func outputWay(t testing.TB, logs *logs, n uint64, text []byte) {
	lines := parcelCut(text)
	for i := range lines {
		x := &lines[i]
		x.Time, x.N, x.Task, x.Attempt, x.Stream = stampOf(stateEpoch), int64(n), "load", 1, "o"
	}
	msg, _ := parcelPack("01JD3V5K0000000000000000AB", 1, lines, nil)
	m, err := protoOfAgent(parcelMessage(n, 0, msg))
	if err != nil || m.Items[0].blocks == nil || logs.appendBlocks("w", m.Items[0].blocks) != nil {
		t.Fatalf("%+v, %v", m, err)
	}
}

// A line of output needs a hundredth of an allocation on its way.
func TestOutputAllocs(t *testing.T) {
	logs, err := logsOpen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer logs.close()
	text, lines := parcelTestOutput()
	n := uint64(1)
	each := allocsOf(20, func() {
		outputWay(t, logs, n, text)
		n += uint64(lines)
	})
	if each > 40 {
		t.Errorf("%v allocations for %d lines", each, lines)
	}
}

// Output that is no text takes no more memory than a few times its size, however often text and no text change.
func TestParcelCutAllocs(t *testing.T) {
	text := bytes.Repeat([]byte("plain\n\xff\n"), 6000)
	size := 0
	each := allocsOf(5, func() {
		for _, x := range parcelCut(text) {
			size = cap(x.Text)
		}
	})
	if each > 50 || size > 100 {
		t.Errorf("%v allocations, %d bytes for a line", each, size)
	}
}

// BenchmarkOutput is lines of 80 bytes on their way from the pipe into the log.
func BenchmarkOutput(b *testing.B) {
	logs, err := logsOpen(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer logs.close()
	text, lines := parcelTestOutput()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	n := uint64(1)
	for b.Loop() {
		outputWay(b, logs, n, text)
		n += uint64(lines)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lines), "ns/line")
}

// parcelTestEnd takes the end of a run on its way to the principal.
func parcelTestEnd(t testing.TB) {
	events := []*Event{{Time: stampOf(stateEpoch), Kind: evTaskFinished, Task: "load", Attempt: 1, State: taskSucceeded,
		Exit: new(int), Seconds: 0.002}, {Time: stampOf(stateEpoch), Kind: evRunFinished, State: runFailed,
		Reason: "exit 3", Seconds: 0.003}}
	msg, _ := parcelPack("01JD3V5K0000000000000000AB", 1, nil, events)
	if m, err := protoOfAgent(parcelMessage(17, 0, msg)); err != nil || len(m.Items) != 2 {
		t.Fatal(m, err)
	}
}

// An event needs a dozen allocations on its way, and no encoding/json, which alone takes as many.
func TestParcelEventAllocs(t *testing.T) {
	if each := allocsOf(100, func() { parcelTestEnd(t) }); each > 28 {
		t.Errorf("%v allocations for two events", each)
	}
}

// BenchmarkParcelEvents is the end of a run on its way to the principal.
func BenchmarkParcelEvents(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		parcelTestEnd(b)
	}
}
