// store_line.go: a line of the journal, of the history and of the snapshot: a JSON object with its checksum in front.
//
//	{"crc":"1a2b3c4d","seq":1,"t":"2026-01-31T02:30:00.000Z","e":"run.queued",...}
//
// The CRC-32C (RFC 3720, B.4) is over all that follows the crc field and its comma, without the newline. It has a fixed
// width and place, so that jq reads a line as it is and a check needs no parser.

package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"io"
)

const (
	storeLineHead = `{"crc":"` // then 8 hexadecimal digits
	storeLineBody = len(storeLineHead) + 8 + len(`",`)
	storeLineMax  = 64 << 20 // no line is written that is longer; a longer one is damage
)

// storeCastagnoli is the table of CRC-32C, which processors and many tools know. The first call makes it.
func storeCastagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// storeEncoder turns values into lines with their checksums. One goroutine at a time may use it.
type storeEncoder struct {
	buf  bytes.Buffer
	json *json.Encoder
}

// add appends v to the buffer as one line. v must encode as a JSON object with at least one field.
func (c *storeEncoder) add(v any) error {
	if c.json == nil {
		c.json = json.NewEncoder(&c.buf)
		c.json.SetEscapeHTML(false) // shell lines are full of & and >
	}
	start := c.buf.Len()
	c.buf.WriteString(storeLineHead + `00000000"`)
	if err := c.json.Encode(v); err != nil {
		c.buf.Truncate(start)
		return err
	}
	line := c.buf.Bytes()[start:]
	line[storeLineBody-1] = ',' // in place of the object's {
	storeSeal(line)
	return nil
}

// begin gives the free room behind the buffer, with the begin of a line in it. What is appended to that must be fields,
// each with a comma in front.
func (c *storeEncoder) begin() []byte {
	return append(c.buf.AvailableBuffer(), storeLineHead+`00000000"`...)
}

// end takes over the line that begin began, which is whole with its newline.
func (c *storeEncoder) end(line []byte) {
	storeSeal(line)
	c.buf.Write(line)
}

// storeSeal sets the checksum of a line, which has its newline.
func storeSeal(line []byte) {
	sum := storeSum(line[storeLineBody : len(line)-1])
	copy(line[len(storeLineHead):], sum[:])
}

// take gives what was added and begins anew.
func (c *storeEncoder) take() []byte {
	data := bytes.Clone(c.buf.Bytes())
	c.buf.Reset()
	if c.buf.Cap() > 4<<20 { // it held a snapshot: so much is not needed again soon
		*c = storeEncoder{}
	}
	return data
}

// storeSum gives the CRC of body as a line carries it.
func storeSum(body []byte) (digits [8]byte) {
	sum := crc32.Checksum(body, storeCastagnoli())
	hex.Encode(digits[:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return digits
}

// storeSound says whether a line, without its newline, is undamaged: its checksum fits.
func storeSound(line []byte) bool {
	if len(line) <= storeLineBody || string(line[:len(storeLineHead)]) != storeLineHead {
		return false
	}
	sum := storeSum(line[storeLineBody:])
	return bytes.Equal(line[len(storeLineHead):storeLineBody-2], sum[:]) &&
		string(line[storeLineBody-2:storeLineBody]) == `",`
}

// storeDecode reads a sound line into v. To spare a copy it changes one byte of the line, and changes it back.
func storeDecode(line []byte, v any) error {
	line[storeLineBody-1] = '{'
	err := json.Unmarshal(line[storeLineBody-1:], v)
	line[storeLineBody-1] = ','
	return err
}

// storeLineSeq reads the number of the first event in a line without decoding the rest; 0 when there is none.
func storeLineSeq(line []byte) uint64 {
	const field = `"seq":`
	if len(line) < storeLineBody+len(field) || string(line[storeLineBody:storeLineBody+len(field)]) != field {
		return 0
	}
	var seq uint64
	for _, c := range line[storeLineBody+len(field):] {
		if c < '0' || c > '9' {
			return seq
		}
		seq = seq*10 + uint64(c-'0')
	}
	return 0 // the end of a block may have cut the number
}

// storeReader reads lines and knows where each begins.
type storeReader struct {
	r    *bufio.Reader
	long []byte
	n    int   // number of the line read last, from 1
	at   int64 // where that line begins
	next int64 // where the one after it begins
}

// storeReaderOf reads the lines of r, which begins at a place in a file.
func storeReaderOf(r io.Reader, at int64) *storeReader {
	return &storeReader{r: bufio.NewReaderSize(r, 64<<10), at: at, next: at}
}

// line gives the next line without its newline, good until the next call; io.EOF after the last one. A last line that
// has no newline comes with io.ErrUnexpectedEOF.
func (r *storeReader) line() ([]byte, error) {
	part, err := r.r.ReadSlice('\n')
	text := part
	if err == bufio.ErrBufferFull {
		r.long = append(r.long[:0], part...)
		for err == bufio.ErrBufferFull && len(r.long) < storeLineMax {
			part, err = r.r.ReadSlice('\n')
			r.long = append(r.long, part...)
		}
		text = r.long
	}
	if err == io.EOF && len(text) == 0 {
		return nil, io.EOF
	}
	r.n++
	r.at, r.next = r.next, r.next+int64(len(text))
	switch err {
	case nil:
		return text[:len(text)-1], nil
	case io.EOF:
		return text, io.ErrUnexpectedEOF
	case bufio.ErrBufferFull: // it is too long; its rest comes as further lines, none of which is sound
		return text, nil
	}
	return nil, err
}
