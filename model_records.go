// model_records.go: several lines of output as one record, which says once what they have in common. Files of output
// hold records, and so do replies with many lines: even with short lines most of the bytes are text then.

package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// Bytes of text in a record of several lines: one damaged byte, or a torn end, costs no more than that.
	recordMaxText  = 4 << 10
	recordMaxLines = 512 // lines in a record; the next line begins another
)

// LogRecord is one line, or several of one run, task, attempt and stream whose numbers count up by one. The embedded
// line is the first of them, except that Text has all lines, with newlines between them. A line of bytes, or one with a
// newline in it, is a record by itself.
type LogRecord struct {
	LogLine
	Last int64   `json:"j,omitempty"` // the number of the last line; 0: there is one line
	Gaps []int64 `json:"d,omitempty"` // how many ms each line but the first is later than the one before; none: 0 each
}

// errRecord says that a record does not have as many lines as its numbers say.
var errRecord = errors.New("the lines of this record are not as many as it says")

// lines appends the lines of a record to a slice. Their texts are parts of the record's.
func (r *LogRecord) lines(all []LogLine) ([]LogLine, error) {
	if r.Last == 0 {
		return append(all, r.LogLine), nil
	}
	n := r.Last - r.N + 1 // numbers below 0 may make it wrap: then it is out of these bounds too
	if n < 2 || n > recordMaxLines || r.Bytes != nil {
		return all, errRecord
	}
	gapsFit := len(r.Gaps) == 0 || int64(len(r.Gaps)) == n-1
	if !gapsFit || int64(strings.Count(r.Text, "\n")) != n-1 {
		return all, errRecord
	}
	line, rest := r.LogLine, r.Text
	for i := range n {
		line.N = r.N + i
		if i > 0 && len(r.Gaps) > 0 {
			line.Time = Stamp{line.Time.Add(time.Duration(r.Gaps[i-1]) * time.Millisecond)}
		}
		line.Text, rest, _ = strings.Cut(rest, "\n")
		all = append(all, line)
	}
	return all, nil
}

// recordPacker makes records of lines. The zero value is ready.
type recordPacker struct {
	done []LogRecord
	text []byte // of the record that is under way
	last Stamp  // the time of its last line
	gaps []int64
}

// add appends a line. It keeps nothing of the line but its strings.
func (p *recordPacker) add(line *LogLine) {
	if n := len(p.done); n > 0 && p.joins(&p.done[n-1], line) {
		r := &p.done[n-1]
		if r.Last == 0 {
			p.text = append(p.text[:0], r.Text...)
		}
		p.text = append(append(p.text, '\n'), line.Text...)
		p.gaps = append(p.gaps, line.Time.Sub(p.last.Time).Milliseconds())
		r.Last, p.last = line.N, line.Time
		return
	}
	p.seal()
	p.done, p.last, p.gaps = append(p.done, LogRecord{LogLine: *line}), line.Time, p.gaps[:0]
}

// joins says whether a line can join a record.
func (p *recordPacker) joins(r *LogRecord, line *LogLine) bool {
	last, size := r.N, len(r.Text)
	if r.Last > 0 {
		last, size = r.Last, len(p.text)
	}
	later := line.Time.Sub(p.last.Time)
	sameSource := line.Run == r.Run && line.Task == r.Task && line.Attempt == r.Attempt && line.Stream == r.Stream
	numbered := r.N > 0 && last < math.MaxInt64 && line.N-1 == last
	soon := !p.last.IsZero() && later >= 0 && later < 24*time.Hour
	room := line.N-r.N < recordMaxLines && size+1+len(line.Text) <= recordMaxText
	if !sameSource || !numbered || !soon || !room {
		return false
	}
	return recordPlain(line) && (r.Last > 0 || recordPlain(&r.LogLine))
}

// recordPlain says whether a line can be one of several.
func recordPlain(line *LogLine) bool {
	return line.Bytes == nil && !strings.Contains(line.Text, "\n") && utf8.ValidString(line.Text)
}

// seal ends the record that is under way.
func (p *recordPacker) seal() {
	n := len(p.done)
	if n == 0 || p.done[n-1].Last == 0 {
		return
	}
	r := &p.done[n-1]
	r.Text = string(p.text)
	if slices.ContainsFunc(p.gaps, func(gap int64) bool { return gap != 0 }) {
		r.Gaps = slices.Clone(p.gaps)
	}
}

// records gives the records that were made, in order, and begins anew.
func (p *recordPacker) records() []LogRecord {
	p.seal()
	done := p.done
	p.done = nil
	return done
}

// LeftProcess is a process of a task that outlived it, because its agent could not end it. Of a run, those that live
// are kept before those that have ended, and the newest before the others.
type LeftProcess struct {
	Agent   string `json:"agent"`
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
	PID     int    `json:"pid"`
	User    string `json:"user"` // whose it is: a name, or the number of one that has none
	Command string `json:"command"`
	Why     string `json:"why"`           // it could not be ended
	Gone    Stamp  `json:"gone,omitzero"` // when its agent saw that it had ended; zero: it has not said so
}

// String says which process it is.
func (l *LeftProcess) String() string {
	return fmt.Sprintf("pid %d (%s): %s", l.PID, l.User, l.Command)
}

// leftText names processes in a line: the first few, and how many more there are.
func leftText(left []LeftProcess) string {
	const most = 3
	var text []string
	for i := range left[:min(len(left), most)] {
		text = append(text, left[i].String())
	}
	if more := len(left) - most; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(text, ", ")
}
