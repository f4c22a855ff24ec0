package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// recordsTestLine makes a line of any kind that there may be, most of them going on with the one before.
func recordsTestLine(rnd *rand.Rand, last LogLine) LogLine {
	line := last
	line.N++
	line.Bytes, line.Text = nil, []string{"", "x", "seven", "tab\t\"quoted\" \\", "naïve 日本語"}[rnd.IntN(5)]
	line.Time = Stamp{line.Time.Add(time.Duration(rnd.IntN(3)*rnd.IntN(3)) * time.Millisecond)}
	switch rnd.IntN(30) {
	case 0:
		line.N += int64(rnd.IntN(5)) - 3
	case 1:
		line.Task = "other" + line.Task[:rnd.IntN(2)]
	case 2:
		line.Attempt = rnd.IntN(3)
	case 3:
		line.Stream = "oec"[rnd.IntN(3):][:1]
	case 4:
		line.Text, line.Bytes = "", []byte("\xff no text")
	case 5:
		line.Text = "two\nlines in one"
	case 6:
		line.Time = Stamp{line.Time.Add(time.Duration(rnd.IntN(60)-30) * time.Hour)}
	case 7:
		line.Text = strings.Repeat("long", rnd.IntN(recordMaxText))
	case 8:
		line.Run = "R" + line.Run[:rnd.IntN(2)]
	case 9:
		line.Text = "\xff text that is none" // set would have made bytes of it
	}
	return line
}

// Records give back the lines that they were made of, from memory, from JSON and from a file's line, whatever the lines
// and their order; and each record keeps to its bounds.
func TestRecords(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 20 {
		var pack recordPacker
		var want []LogLine
		last := LogLine{Time: stampOf(time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC)), Run: "R", Task: "load",
			Attempt: 1, Stream: "o"}
		if rnd.IntN(4) == 0 {
			last.Time = Stamp{}
		}
		for range rnd.IntN(3000) {
			last = recordsTestLine(rnd, last)
			pack.add(&last)
			want = append(want, last)
		}
		var memory, asJSON, file []LogLine
		for _, r := range pack.records() {
			if n := r.Last - r.N; r.Last != 0 && (n < 1 || n >= recordMaxLines || len(r.Text) > recordMaxText) {
				t.Fatalf("a record of lines %d to %d with %d bytes", r.N, r.Last, len(r.Text))
			}
			var err, jsonErr, fileErr error
			if memory, err = r.lines(memory); err == nil {
				var back LogRecord
				jsonErr = json.Unmarshal([]byte(strings.ToValidUTF8(string(protoEncode(r)), "")), &back)
				if jsonErr == nil {
					asJSON, jsonErr = back.lines(asJSON)
				}
				file, fileErr = logDecode(file, logEncode(nil, &r))
			}
			if err != nil || jsonErr != nil || fileErr != nil {
				t.Fatalf("%v, %v, %v: %+v", err, jsonErr, fileErr, r)
			}
		}
		if len(want) > 0 && !reflect.DeepEqual(memory, want) || len(asJSON) != len(want) || len(file) != len(want) {
			t.Fatalf("%d lines come back as %d, %d and %d", len(want), len(memory), len(asJSON), len(file))
		}
		for i := range want {
			if f := file[i]; string(f.raw()) != string(want[i].raw()) || f.N != want[i].N ||
				!f.Time.Equal(want[i].Time.Time) || f.Task != want[i].Task || f.Attempt != want[i].Attempt ||
				f.Stream != want[i].Stream || f.Run != want[i].Run {
				t.Fatalf("a file gives %+v, want %+v", f, want[i])
			}
		}
	}
}

// A record whose numbers, gaps and text do not agree on how many lines it has gives none, and takes no more memory than
// its text.
func TestRecordsDamaged(t *testing.T) {
	t.Parallel()
	good := LogRecord{LogLine: LogLine{Run: "R", N: 5, Text: "a\nb\nc"}, Last: 7}
	if lines, err := good.lines(nil); err != nil || len(lines) != 3 || lines[2].Text != "c" || lines[2].N != 7 {
		t.Fatalf("%+v, %v", lines, err)
	}
	for name, spoil := range map[string]func(*LogRecord){
		"a line more":           func(r *LogRecord) { r.Last++ },
		"a line less":           func(r *LogRecord) { r.Last-- },
		"it ends at its start":  func(r *LogRecord) { r.Last = r.N },
		"it ends before it":     func(r *LogRecord) { r.Last = 1 },
		"numbers that overflow": func(r *LogRecord) { r.N, r.Last = math.MinInt64, math.MaxInt64 },
		"numbers below 0":       func(r *LogRecord) { r.N, r.Last = 5, -7 },
		"a gap less":            func(r *LogRecord) { r.Gaps = []int64{1} },
		"a gap more":            func(r *LogRecord) { r.Gaps = []int64{1, 2, 3} },
		"bytes":                 func(r *LogRecord) { r.Bytes = []byte("x") },
		"too many lines": func(r *LogRecord) {
			r.N, r.Last, r.Text = 1, recordMaxLines+1, strings.Repeat("\n", recordMaxLines)
		},
	} {
		bad := good
		spoil(&bad)
		if lines, err := bad.lines(nil); err == nil || len(lines) > 0 {
			t.Errorf("%s: %d lines, %v", name, len(lines), err)
		}
	}
}
