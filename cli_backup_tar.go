// cli_backup_tar.go: the tar format, as far as backups need it: plain files and folders, with the records of
// POSIX.1-2001 (pax) for what the old header has no room for. Package archive/tar would cost 45 KB of the program.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	tarBlock  = 512      // bytes of a header; content is filled up to a multiple of it
	tarRecord = 64 << 10 // bytes of the records of one file; more are refused

	tarFile   = '0'
	tarFolder = '5'
	tarPAX    = 'x' // records for the next entry
)

// errTar is the error of an archive that is none, or is damaged.
var errTar = errors.New("it is no tar archive, or damaged")

// tarHead is the header of an entry. A folder's name ends with a slash.
type tarHead struct {
	name     string
	kind     byte // tarFile, tarFolder, or another that is not read here
	mode     int64
	uid, gid int
	user     string // the name of uid; "" where it has none
	size     int64
	at       time.Time
	holes    bool // it is a file with holes (GNU sparse), whose content is none
}

// tarWriter writes an archive.
type tarWriter struct {
	w    io.Writer
	left int64 // bytes of the entry that are still to be written
	pad  int64 // zeros behind them
}

// head begins an entry. What was written of the one before must have its size.
func (t *tarWriter) head(h *tarHead) error {
	if err := t.flush(); err != nil {
		return err
	}
	var records []byte
	record := func(key, value string) { // "LENGTH KEY=VALUE\n", and the length counts itself
		text := " " + key + "=" + value + "\n"
		n := len(text)
		for n != len(text)+len(strconv.Itoa(n)) {
			n = len(text) + len(strconv.Itoa(n))
		}
		records = append(records, strconv.Itoa(n)+text...)
	}
	if nano := h.at.Nanosecond(); nano != 0 && h.at.Unix() >= 0 {
		record("mtime", strings.TrimRight(fmt.Sprintf("%d.%09d", h.at.Unix(), nano), "0"))
	}
	if len(h.name) > 100 || strings.ContainsFunc(h.name, func(c rune) bool { return c > 0x7e }) {
		record("path", h.name)
	}
	if h.size >= 1<<33 {
		record("size", strconv.FormatInt(h.size, 10))
	}
	if len(records) > 0 {
		if err := t.block(&tarHead{name: "pax", kind: tarPAX, mode: 0o600, size: int64(len(records))}); err != nil {
			return err
		}
		if _, err := t.Write(records); err != nil {
			return err
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return t.block(h)
}

// block writes one header as it was in the beginning (ustar).
func (t *tarWriter) block(h *tarHead) error {
	var b [tarBlock]byte
	octal := func(at, width int, n int64) { // too large a number stands in a record, and is 0 here
		if n < 0 || n >= 1<<(3*(width-1)) {
			n = 0
		}
		copy(b[at:], fmt.Sprintf("%0*o", width-1, n))
	}
	copy(b[:100], h.name)
	octal(100, 8, h.mode)
	octal(108, 8, int64(h.uid))
	octal(116, 8, int64(h.gid))
	octal(124, 12, h.size)
	octal(136, 12, h.at.Unix())
	copy(b[148:], "        ")
	b[156] = h.kind
	copy(b[257:], "ustar\x0000")
	copy(b[265:296], h.user)
	octal(148, 7, tarSum(&b))
	t.left, t.pad = h.size, -h.size&(tarBlock-1)
	_, err := t.w.Write(b[:])
	return err
}

// tarSum sums the bytes of a header, with blanks in the place of the sum.
func tarSum(b *[tarBlock]byte) (sum int64) {
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum
}

// Write writes of the entry's content.
func (t *tarWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > t.left {
		return 0, errors.New("write archive: more than the entry's size")
	}
	n, err := t.w.Write(p)
	t.left -= int64(n)
	return n, err
}

// flush ends the entry.
func (t *tarWriter) flush() error {
	if t.left > 0 {
		return fmt.Errorf("write archive: %d bytes of an entry are missing", t.left)
	}
	_, err := t.w.Write(make([]byte, t.pad))
	t.pad = 0
	return err
}

// end ends the archive.
func (t *tarWriter) end() error {
	if err := t.flush(); err != nil {
		return err
	}
	_, err := t.w.Write(make([]byte, 2*tarBlock))
	return err
}

// tarReader reads an archive from anybody. It keeps no more than one header and tarRecord bytes.
type tarReader struct {
	r    io.Reader
	left int64 // of the entry's content
	pad  int64
}

// next gives the next entry, and passes over what is left of the one before. At the end the error is io.EOF.
func (t *tarReader) next() (*tarHead, error) {
	h, err := t.block()
	if err != nil || h.kind != tarPAX && h.kind != 'g' {
		return h, err
	}
	if h.size > tarRecord {
		return nil, errTar
	}
	text, err := io.ReadAll(t)
	if err != nil {
		return nil, err
	}
	own := h.kind == tarPAX // else they are for all entries; backups have none, and git's only a comment
	if h, err = t.block(); err == io.EOF {
		err = errTar
	}
	if err != nil || !own {
		return h, err
	}
	return h, t.records(h, text)
}

// records puts records into a header.
func (t *tarReader) records(h *tarHead, text []byte) error {
	for len(text) > 0 {
		digits, _, _ := bytes.Cut(text, []byte(" "))
		n, err := strconv.Atoi(string(digits))
		if err != nil || n <= len(digits)+1 || n > len(text) || text[n-1] != '\n' {
			return errTar
		}
		key, value, _ := strings.Cut(string(text[len(digits)+1:n-1]), "=")
		text = text[n:]
		switch {
		case key == "path":
			h.name = value
		case key == "mtime":
			if seconds, err := strconv.ParseInt(strings.SplitN(value, ".", 2)[0], 10, 64); err == nil {
				_, part, _ := strings.Cut(value, ".")
				nano, _ := strconv.Atoi((part + "000000000")[:9])
				h.at = time.Unix(seconds, int64(nano))
			}
		case key == "size":
			size, err := strconv.ParseInt(value, 10, 64)
			if err != nil || size < 0 {
				return errTar
			}
			t.sized(h, size)
		case key == "uname":
			h.user = value
		case strings.HasPrefix(key, "GNU.sparse"):
			h.holes = true
		}
	}
	return nil
}

// sized notes how much content an entry has.
func (t *tarReader) sized(h *tarHead, size int64) {
	h.size, t.left, t.pad = size, size, -size&(tarBlock-1)
}

// block reads one header.
func (t *tarReader) block() (*tarHead, error) {
	if _, err := io.Copy(io.Discard, t); err != nil {
		return nil, err
	}
	var b [tarBlock]byte
	if _, err := io.CopyN(io.Discard, t.r, t.pad); err != nil {
		return nil, tarCut(err)
	}
	t.pad = 0
	if _, err := io.ReadFull(t.r, b[:]); err != nil {
		return nil, tarCut(err)
	}
	if b == [tarBlock]byte{} {
		return nil, io.EOF
	}
	field := func(at, width int) string {
		text, _, _ := strings.Cut(string(b[at:at+width]), "\x00")
		return text
	}
	ok := true
	octal := func(at, width int) int64 {
		n, err := strconv.ParseUint("0"+strings.Trim(field(at, width), " "), 8, 63)
		ok = ok && err == nil
		return int64(n)
	}
	h := &tarHead{name: field(0, 100), kind: b[156], mode: octal(100, 8), uid: int(octal(108, 8)),
		gid: int(octal(116, 8)), user: field(265, 32), at: time.Unix(octal(136, 12), 0)}
	if h.kind == 0 {
		h.kind = tarFile
	}
	if front := field(345, 155); field(257, 6) == "ustar" && front != "" {
		h.name = front + "/" + h.name
	}
	t.sized(h, octal(124, 12))
	if sum := octal(148, 8); !ok || sum != tarSum(&b) {
		return nil, errTar
	}
	return h, nil
}

// tarCut is the error of an archive that ends in the middle.
func tarCut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read reads of the entry's content.
func (t *tarReader) Read(p []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	n, err := t.r.Read(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	if t.left > 0 {
		err = tarCut(err)
	} else if err == io.EOF {
		err = nil
	}
	return n, err
}
