// model_lines.go: lines of output as JSON strings, in one form: what JSON forbids, and what a terminal would obey, is
// escaped; all else stands as it was written, so that grep finds it. Agents write this form, and it is what files of
// output hold, so that nobody on the way needs to take a text apart and put it together again.

package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// LogBlock is lines of output of one run, task, attempt, stream and time, with successive numbers, as a file of output
// holds them.
type LogBlock struct {
	Time    Stamp
	Run     string
	Task    string
	Attempt int
	Stream  string
	N       int64 // the number of the first line
	Lines   int
	Text    []byte // the inside of a JSON string: the lines with \n between them, none of which has another in it
	Bytes   bool   // it is one line that is no text, and Text is it as base64
}

// linesPlain gives how many bytes at the front of a text stand in JSON as they are, without a look at those that are
// not ASCII: it stops at the first of them.
func linesPlain(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 {
		x := binary.LittleEndian.Uint64(text[i:])
		// the top bit of the first byte that is below a space, a quote, a backslash, DEL or above
		found := ((x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones) | x | (x + ones)) & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' && text[i] < 0x7f {
		i++
	}
	return i
}

// linesAppend appends the lines at the front of a text, as JSON strings with commas between them, up to the first one
// that is not UTF-8. It gives how many lines these are, and the text behind them. The last line may be without its
// newline.
func linesAppend(b, text []byte) (out []byte, count int, rest []byte) {
	for len(text) > 0 {
		before := len(b)
		if count > 0 {
			b = append(b, ',')
		}
		var used int
		b, used = linesString(append(b, '"'), text)
		if used < 0 {
			return b[:before], count, text
		}
		b, text = append(b, '"'), text[used:]
		count++
	}
	return b, count, nil
}

// linesString appends the first line of a text as the inside of a JSON string. It gives how long the line is with its
// newline, -1 when it is not UTF-8.
func linesString(b, text []byte) (out []byte, used int) {
	for at, plain := 0, 0; ; {
		at += linesPlain(text[at:])
		if at == len(text) || text[at] == '\n' {
			return append(b, text[plain:at]...), min(at+1, len(text))
		}
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return b, -1
		}
		if r < 0xa0 {
			b = linesEscape(append(b, text[plain:at]...), byte(r))
			plain = at + size
		}
		at += size
	}
}

// linesEscape appends a character that is escaped in JSON.
func linesEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\t':
		return append(b, '\\', 't')
	case '\n':
		return append(b, '\\', 'n')
	}
	return append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
}

// linesEnd gives where the inside of a JSON string ends, if it is a line as linesString writes it; else it gives -1.
func linesEnd(text []byte) int {
	for at := 0; ; {
		at += linesPlain(text[at:])
		switch {
		case at == len(text):
			return -1
		case text[at] == '"':
			return at
		case text[at] == '\\':
			size := linesEscaped(text[at:])
			if size == 0 {
				return -1
			}
			at += size
		case text[at] < utf8.RuneSelf:
			return -1
		default:
			r, size := utf8.DecodeRune(text[at:])
			if r < 0xa0 || r == utf8.RuneError && size == 1 {
				return -1
			}
			at += size
		}
	}
}

// linesEscaped gives the length of the escape at the front of a text, if it is one that linesString writes; else 0.
func linesEscaped(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', 't':
		return 2
	case 'u':
		if len(text) < 6 || text[2] != '0' || text[3] != '0' {
			return 0
		}
		high, low := strings.IndexByte("0123456789abcdef", text[4]), strings.IndexByte("0123456789abcdef", text[5])
		c := high<<4 | low
		control := c < ' ' && c != '\t' && c != '\n' || c >= 0x7f && c < 0xa0
		if high < 0 || low < 0 || !control {
			return 0
		}
		return 6
	}
	return 0
}

// lines appends the lines of a block to a slice.
func (x *LogBlock) lines(all []LogLine) []LogLine {
	line := LogLine{Time: x.Time, Run: x.Run, N: x.N, Task: x.Task, Attempt: x.Attempt, Stream: x.Stream}
	if x.Bytes {
		line.Bytes, _ = base64.StdEncoding.AppendDecode(nil, x.Text)
		return append(all, line)
	}
	text := ""
	if err := json.Unmarshal(append(append([]byte{'"'}, x.Text...), '"'), &text); err != nil {
		panic("cdktr: internal error: read lines of output: " + err.Error()) // linesEnd has looked at them
	}
	for i, part := range strings.Split(text, "\n") {
		line.N, line.Text = x.N+int64(i), part
		all = append(all, line)
	}
	return all
}
