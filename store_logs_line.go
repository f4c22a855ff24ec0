// store_logs_line.go: a record as a line of a file of output, and how a reader sees that it belongs to a run without
// decoding it.

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// logEncode appends a record as its file holds it. The run's id comes second and the numbers third, so that readers
// find them without decoding. Text is written as it is, except for what JSON forbids and control characters, so that
// grep finds it.
func logEncode(b []byte, line *LogRecord) []byte {
	b = logHead(b, &line.LogLine, line.Last)
	for i, gap := range line.Gaps {
		b = logGap(b, gap, i == 0)
	}
	if len(line.Gaps) > 0 {
		b = append(b, ']')
	}
	switch {
	case line.Bytes != nil:
		b = base64.StdEncoding.AppendEncode(append(b, `,"b":"`...), line.Bytes)
		b = append(b, '"')
	case !utf8.ValidString(line.Text):
		b = base64.StdEncoding.AppendEncode(append(b, `,"b":"`...), []byte(line.Text))
		b = append(b, '"')
	default:
		b = logString(append(b, `,"m":`...), line.Text)
	}
	return append(b, '}', '\n')
}

// logEncodeBlocks appends blocks as one record.
func logEncodeBlocks(b []byte, blocks []LogBlock) []byte {
	first, last := &blocks[0], &blocks[len(blocks)-1]
	head := LogLine{Time: first.Time, Run: first.Run, N: first.N, Task: first.Task, Attempt: first.Attempt,
		Stream: first.Stream}
	end := int64(0)
	if len(blocks) > 1 || first.Lines > 1 {
		end = last.N + int64(last.Lines) - 1
	}
	b = logHead(b, &head, end)
	if !last.Time.Equal(first.Time.Time) {
		before, begins := first.Time, true
		for i := range blocks {
			x := &blocks[i]
			for k := range x.Lines {
				if i+k > 0 {
					b = logGap(b, x.Time.Sub(before.Time).Milliseconds(), begins)
					begins = false
				}
				before = x.Time
			}
		}
		b = append(b, ']')
	}
	if first.Bytes {
		b = append(b, `,"b":"`...)
	} else {
		b = append(b, `,"m":"`...)
	}
	for i := range blocks {
		if i > 0 {
			b = append(b, '\\', 'n')
		}
		b = append(b, blocks[i].Text...)
	}
	return append(b, "\"}\n"...)
}

// logJoined gives how many of the first blocks go into one record: those that the first recordMaxText bytes and
// recordMaxLines lines of one source have.
func logJoined(blocks []LogBlock) int {
	size, lines := len(blocks[0].Text), blocks[0].Lines
	for i := 1; i < len(blocks); i++ {
		x, last := &blocks[i], &blocks[i-1]
		sameSource := x.Run == last.Run && x.Task == last.Task && x.Attempt == last.Attempt && x.Stream == last.Stream
		size += len(`\n`) + len(x.Text)
		lines += x.Lines
		room := size <= recordMaxText && lines <= recordMaxLines && !x.Bytes && !last.Bytes
		later := x.Time.Sub(last.Time.Time)
		soon := !last.Time.IsZero() && later >= 0 && later < 24*time.Hour
		if !sameSource || !room || !soon || x.N != last.N+int64(last.Lines) {
			return i
		}
	}
	return len(blocks)
}

// logHead appends what stands in a record before gaps and text. last is the number of its last line, 0 for the first.
func logHead(b []byte, line *LogLine, last int64) []byte {
	b = append(b, `{"t":`...)
	if line.Time.IsZero() {
		b = append(b, "null"...)
	} else {
		b = append(b, '"')
		b = line.Time.UTC().AppendFormat(b, stampLayout)
		b = append(b, '"')
	}
	b = logString(append(b, `,"r":`...), line.Run)
	b = strconv.AppendInt(append(b, logNumber...), line.N, 10)
	if last != 0 {
		b = strconv.AppendInt(append(b, logLast...), last, 10)
	}
	b = logString(append(b, `,"k":`...), line.Task)
	b = strconv.AppendInt(append(b, `,"n":`...), int64(line.Attempt), 10)
	return logString(append(b, `,"s":`...), line.Stream)
}

// logGap appends how many milliseconds a line is later than the one before.
func logGap(b []byte, gap int64, first bool) []byte {
	if first {
		b = append(b, logGaps...)
	} else {
		b = append(b, ',')
	}
	return strconv.AppendInt(b, gap, 10)
}

// logString appends s as a JSON string.
func logString(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0 // where what is not yet appended begins
	for i := 0; i < len(s); i++ {
		c, from := s[i], i
		control := c < ' ' || c == 0x7f
		wide := c == 0xc2 && i+1 < len(s) && s[i+1] < 0xa0 // U+0080 to U+009F: terminals obey these
		if !control && !wide && c != '"' && c != '\\' {
			continue
		}
		if wide {
			i++
			c = s[i]
		}
		b = linesEscape(append(b, s[plain:from]...), c)
		plain = i + 1
	}
	return append(append(b, s[plain:]...), '"')
}

// logDecode reads a record, with or without its newline, and appends its lines to a slice. Records as logEncode writes
// them are parsed here, which is quick; those with bytes, and those that a person has edited, go to encoding/json.
func logDecode(all []LogLine, text []byte) ([]LogLine, error) {
	record, ok := logParse(text)
	if !ok {
		record = LogRecord{}
		if err := json.Unmarshal(text, &record); err != nil {
			return all, err
		}
	}
	return record.lines(all)
}

const (
	logNumber = `,"i":` // what comes before the number of the first line of a record
	logLast   = `,"j":` // and that of the last, if there are several
	logGaps   = `,"d":[`
)

// logNumbers gives the numbers of the first and the last line of a record, from what follows the run's id in it.
func logNumbers(rest []byte) (first, last int64, ok bool) {
	p := logParser{rest: rest, ok: true}
	p.skip(logNumber)
	first = p.number()
	last = first
	if bytes.HasPrefix(p.rest, []byte(logLast)) {
		p.skip(logLast)
		last = max(first, p.number())
	}
	return first, last, p.ok && len(p.rest) > 0 && p.rest[0] == ','
}

// logFront is how many bytes at the front of a record have its time, the run's id, which is a ULID, and its numbers.
const logFront = 160

// logSeveral says whether a record has several lines. It is cheap, and proves nothing: the record may be damaged.
func logSeveral(text []byte) bool {
	return bytes.Contains(text[:min(len(text), logFront)], []byte(logLast))
}

// logParse reads a record that has its fields in the order of logEncode; ok is false for any other.
func logParse(text []byte) (line LogRecord, ok bool) {
	p := logParser{rest: text, ok: true}
	p.skip(`{"t":`)
	at, err := time.Parse(time.RFC3339, p.text())
	p.ok = p.ok && err == nil
	line.Time = stampOf(at)
	p.skip(`,"r":`)
	line.Run = p.text()
	p.skip(logNumber)
	line.N = p.number()
	if bytes.HasPrefix(p.rest, []byte(logLast)) {
		p.skip(logLast)
		line.Last = p.number()
	}
	p.skip(`,"k":`)
	line.Task = p.text()
	p.skip(`,"n":`)
	attempt := p.number()
	line.Attempt = int(attempt)
	p.skip(`,"s":`)
	line.Stream = p.text()
	if line.Last != 0 && bytes.HasPrefix(p.rest, []byte(logGaps)) {
		p.skip(logGaps)
		line.Gaps = make([]int64, 0, min(max(line.Last-line.N, 0), recordMaxLines))
		for p.ok && len(line.Gaps) < recordMaxLines {
			line.Gaps = append(line.Gaps, p.number())
			if len(p.rest) == 0 || p.rest[0] != ',' {
				break
			}
			p.skip(",")
		}
		p.skip("]")
	}
	p.skip(`,"m":`)
	line.Text = p.text()
	p.skip("}")
	end := len(p.rest) == 0 || len(p.rest) == 1 && p.rest[0] == '\n'
	return line, p.ok && end && int64(line.Attempt) == attempt
}

// logTask gives the task of a record, "" where it cannot be read.
func logTask(text []byte) string {
	const front = `,"k":`
	at := bytes.Index(text[:min(len(text), logFront)], []byte(front))
	if at < 0 {
		return ""
	}
	p := logParser{rest: text[at+len(front):], ok: true}
	return p.text()
}

// logParser takes one token after the other off the front of rest. Once a token is not there, ok is false.
type logParser struct {
	rest []byte
	ok   bool
}

func (p *logParser) skip(token string) {
	p.ok = p.ok && len(p.rest) >= len(token) && string(p.rest[:len(token)]) == token
	if p.ok {
		p.rest = p.rest[len(token):]
	}
}

func (p *logParser) number() int64 {
	end := 0
	for end < len(p.rest) && (p.rest[end] == '-' || p.rest[end] >= '0' && p.rest[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(string(p.rest[:end]), 10, 64)
	plain := err == nil && p.rest[0] != '-' && (p.rest[0] != '0' || end == 1) // as logEncode writes it
	p.ok = p.ok && plain
	p.rest = p.rest[end:]
	return n
}

func (p *logParser) text() string {
	p.skip(`"`)
	if !p.ok {
		return ""
	}
	plain, end := true, 0
	for ; end < len(p.rest) && p.rest[end] != '"'; end++ {
		switch c := p.rest[end]; {
		case c == '\\':
			plain = false
			end++
		case c < ' ':
			p.ok = false
		}
	}
	p.ok = p.ok && end < len(p.rest) && utf8.Valid(p.rest[:end])
	if !p.ok {
		return ""
	}
	inside := p.rest[:end]
	p.rest = p.rest[end+1:]
	if plain {
		return string(inside)
	}
	s, ok := logUnescape(inside)
	p.ok = ok
	return s
}

// logUnescape undoes the escapes of logString, and knows no others.
func logUnescape(b []byte) (string, bool) {
	out := make([]byte, 0, len(b))
	for {
		at := bytes.IndexByte(b, '\\')
		if at < 0 {
			return string(append(out, b...)), true
		}
		out = append(out, b[:at]...)
		b = b[at+1:]
		switch {
		case b[0] == '"' || b[0] == '\\':
			out, b = append(out, b[0]), b[1:]
		case b[0] == 'n':
			out, b = append(out, '\n'), b[1:]
		case b[0] == 't':
			out, b = append(out, '\t'), b[1:]
		case len(b) >= 5 && string(b[:3]) == "u00":
			c, err := strconv.ParseUint(string(b[3:5]), 16, 8)
			if err != nil {
				return "", false
			}
			out, b = utf8.AppendRune(out, rune(c)), b[5:]
		default:
			return "", false
		}
	}
}
