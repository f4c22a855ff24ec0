// proto_parcel_scan.go: how the principal reads a message "parcel". One that has its fields as parcelPack writes them,
// byte for byte, is read here: its lines are looked at once, and are copied as they are into what a file of output
// holds. All others, those with a line of cdktr's own among them, go to encoding/json. Of what
// parcelPack writes both give the same.

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
)

// protoOfAgent reads a message of an agent. The lines of output of a parcel are in the items' blocks, where it has no
// others than such as parcelCut makes of text. Any goroutine may call it.
func protoOfAgent(body []byte) (*agentMsg, error) {
	if m := parcelScan(body); m != nil {
		return m, nil
	}
	m := &agentMsg{}
	err := protoPeer(body, m)
	if n := m.Parcel.count(); err == nil && n > parcelMaxLines {
		return m, refuse(codeInvalid, "a parcel has %d lines: it may have %d", n, parcelMaxLines)
	}
	m.unpack()
	return m, err
}

// parcelFront is what a message "parcel" begins with.
const parcelFront = `{"op":"parcel","n":`

// parcelMessage makes a message "parcel" of a parcel as it was spooled, whose first item has number n. skip is how many
// numbers before it are missing.
func parcelMessage(n, skip uint64, msg []byte) []byte {
	b := make([]byte, 0, len(parcelFront)+20+len(`,"skip":`)+20+len(`,"parcel":`)+len(msg)+1)
	b = strconv.AppendUint(append(b, parcelFront...), n, 10)
	if skip > 0 {
		b = strconv.AppendUint(append(b, `,"skip":`...), skip, 10)
	}
	b = append(b, `,"parcel":`...)
	return append(append(b, msg...), '}')
}

// parcelScan reads a message "parcel" as the report that it stands for. It gives nil for what it does not know.
func parcelScan(body []byte) *agentMsg {
	p := parcelScanner{rest: body, ok: true, left: parcelMaxLines}
	p.skip(parcelFront)
	m := &agentMsg{Op: msgReport, N: uint64(p.number())}
	p.skip(`,"parcel":{`)
	head := parcel{}
	if p.has(`"lease":`) {
		head.Lease = p.count()
		p.skip(",")
	}
	p.skip(`"run":`)
	head.Run = p.short()
	if p.has(`,"t":`) {
		at := p.short()
		p.ok = p.ok && head.Time.UnmarshalJSON([]byte(at)) == nil && !head.Time.IsZero()
	}
	if p.has(`,"output":[`) {
		m.Items = []agentItem{{Lease: head.Lease, blocks: p.blocks(&head)}}
	}
	if p.has(`,"events":`) && p.ok {
		head.Events = p.events()
		m.Items = append(m.Items, head.events()...)
	}
	if p.skip("}}"); !p.ok || len(p.rest) > 0 {
		return nil
	}
	return m
}

// parcelScanner takes one token after the other off the front of rest. Once a token is not there, ok is false.
type parcelScanner struct {
	rest []byte
	ok   bool
	last string // the last short text
	from int    // where the text of a block begins
	raw  []byte // of base64
	left int    // lines that the parcel may still have
}

// has takes off a token, if it is there.
func (p *parcelScanner) has(token string) bool {
	if !p.ok || len(p.rest) < len(token) || string(p.rest[:len(token)]) != token {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

// skip takes off a token that must be there.
func (p *parcelScanner) skip(token string) { p.ok = p.has(token) }

// number takes off a number from 1 to 18 digits.
func (p *parcelScanner) number() (n int64) {
	end := 0
	for end < len(p.rest) && end < 19 && p.rest[end] >= '0' && p.rest[end] <= '9' {
		n = 10*n + int64(p.rest[end]-'0')
		end++
	}
	p.ok = p.ok && end > 0 && end < 19 && p.rest[0] != '0'
	p.rest = p.rest[end:]
	return n
}

// count takes off a number that fits into 31 bits.
func (p *parcelScanner) count() int {
	n := p.number()
	p.ok = p.ok && n <= math.MaxInt32
	return int(n)
}

// short takes off a text without escapes, of at most protoMaxName bytes.
func (p *parcelScanner) short() string {
	p.skip(`"`)
	end := bytes.IndexByte(p.rest[:min(len(p.rest), protoMaxName+1)], '"')
	if end < 0 || linesEnd(p.rest[:end+1]) != end || bytes.IndexByte(p.rest[:end], '\\') >= 0 {
		p.ok = false
		return ""
	}
	if string(p.rest[:end]) != p.last { // most often it is the one before
		p.last = string(p.rest[:end])
	}
	p.rest = p.rest[end+1:]
	return p.last
}

// events takes off the events of a parcel, behind which its end is all that is left. Those with outputs or a long
// reason go to encoding/json.
func (p *parcelScanner) events() (all []parcelEvent) {
	quick := *p
	quick.skip("[")
	for first := true; quick.ok && (first || quick.has(",")); first = false {
		all = append(all, quick.event())
	}
	quick.skip("]")
	if quick.ok {
		*p = quick
		return all
	}
	all = nil
	list, ends := bytes.CutSuffix(p.rest, []byte("}}"))
	p.ok = ends && json.Unmarshal(list, &all) == nil
	p.rest = []byte("}}")
	return all
}

// event takes off an event.
func (p *parcelScanner) event() (x parcelEvent) {
	p.skip("{")
	if p.has(`"ms":`) {
		x.MS = p.number()
		p.skip(",")
	}
	p.skip(`"e":`)
	x.Kind = p.short()
	if p.has(`,"task":`) {
		x.Task = p.short()
	}
	if p.has(`,"attempt":`) {
		x.Attempt = p.count()
	}
	if p.has(`,"state":`) {
		x.State = p.short()
	}
	if p.has(`,"reason":`) {
		x.Reason = p.short()
	}
	if p.has(`,"exit":`) {
		exit := 0
		if !p.has("0") {
			exit = p.count()
		}
		x.Exit = &exit
	}
	if p.has(`,"seconds":`) {
		x.Seconds = p.seconds()
	}
	if p.has(`,"used":{`) {
		x.Used = p.used()
	}
	if p.has(`,"limited":`) {
		x.Limited = p.short()
	}
	x.Allowed = p.has(`,"allowed":true`)
	p.skip("}")
	return x
}

// used takes off what an attempt used, behind the bracket that opens it.
func (p *parcelScanner) used() (u TaskUse) {
	if p.has(`"cpu":`) {
		u.CPU = p.seconds()
	}
	for _, size := range []struct {
		name string
		to   *int64
	}{{`"memory":`, &u.Memory}, {`"read":`, &u.Read}, {`"written":`, &u.Written}} {
		if p.has(size.name) || p.has(","+size.name) {
			*size.to = p.number()
		}
	}
	p.skip("}")
	return u
}

// seconds takes off a number that may have a fraction.
func (p *parcelScanner) seconds() float64 {
	from := p.rest
	if !p.has("0") {
		p.number()
	}
	if p.has(".") {
		digits := 0
		for digits < len(p.rest) && digits < 18 && p.rest[digits] >= '0' && p.rest[digits] <= '9' {
			digits++
		}
		p.ok = p.ok && digits > 0
		p.rest = p.rest[digits:]
	}
	n, err := strconv.ParseFloat(string(from[:len(from)-len(p.rest)]), 64)
	p.ok = p.ok && err == nil
	return n
}

// blocks takes off the output of a parcel, as blocks that a file of output can hold.
func (p *parcelScanner) blocks(head *parcel) (all []LogBlock) {
	// it has room for all: quotes and commas are longer than what stands between lines
	text := make([]byte, 0, len(p.rest))
	all = make([]LogBlock, 0, 1+len(p.rest)/recordMaxText)
	n := int64(1) // of the next line
	for first := true; p.ok && (first || p.has(",")); first = false {
		x := LogBlock{Time: head.Time, Run: head.Run, Stream: "o"}
		p.skip("{")
		if p.has(`"ms":`) {
			x.Time = head.at(p.number())
			p.skip(",")
		}
		if p.has(`"i":`) {
			n = p.number()
			p.skip(",")
		}
		if p.has(`"k":`) {
			x.Task, x.Attempt = p.short(), 1
			p.ok = p.ok && x.Task != ""
			p.skip(",")
		}
		if p.has(`"n":`) {
			x.Attempt = p.count()
			p.skip(",")
		}
		if p.has(`"s":"e",`) {
			x.Stream = "e"
		}
		if p.has(`"b":[`) {
			x.N, x.Lines, x.Bytes, x.Text = n, 1, true, p.base64()
			n++
			p.left--
		} else {
			p.skip(`"m":[`)
			for more := p.ok; more; more = p.has(",") {
				text, all = p.line(text, all, &x, n)
				n++
				p.left--
			}
		}
		all = append(all, x)
		p.skip("]}")
		p.ok = p.ok && p.left >= 0
	}
	p.skip("]")
	return all
}

// base64 takes off a line as base64. It gives a part of the message.
func (p *parcelScanner) base64() (text []byte) {
	p.skip(`"`)
	text, rest, _ := bytes.Cut(p.rest, []byte{'"'})
	var err error
	p.raw, err = base64.StdEncoding.Strict().AppendDecode(p.raw[:0], text)
	breaks := bytes.ContainsAny(text, "\r\n") // which the decoder passes over
	p.ok = p.ok && err == nil && !breaks && len(p.raw) > 0 && len(p.raw) <= protoMaxLine
	p.rest = rest
	return text[:len(text):len(text)]
}

// line takes off a line, and appends it to the text of a block. When the block is full it begins another.
func (p *parcelScanner) line(text []byte, all []LogBlock, x *LogBlock, n int64) ([]byte, []LogBlock) {
	p.skip(`"`)
	end := linesEnd(p.rest)
	if !p.ok || end < 0 || end > protoMaxLine {
		p.ok = false
		return text, all
	}
	if x.Lines == recordMaxLines || x.Lines > 0 && len(x.Text)+len(`\n`)+end > recordMaxText {
		all = append(all, *x)
		x.Lines = 0
	}
	if x.Lines == 0 {
		x.N, p.from = n, len(text)
	} else {
		text = append(text, '\\', 'n')
	}
	text = append(text, p.rest[:end]...)
	x.Text = text[p.from:len(text):len(text)]
	x.Lines++
	p.rest = p.rest[end+1:]
	return text, all
}
