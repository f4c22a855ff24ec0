// term_keys.go: makes keys of the bytes that a terminal sends. It has no clock: its caller waits as long as wait says,
// and then calls flush.

package main

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// termCode says which key it is; 0 is none.
type termCode uint8

const (
	termKeyRune  termCode = iota + 1 // Rune is the letter
	termKeyCtrl                      // Rune is the small letter that was pressed with Ctrl
	termKeyPaste                     // Text is what was pasted
	termKeyEnter
	termKeyEsc
	termKeyTab
	termKeyBackTab
	termKeyBackspace
	termKeyDelete
	termKeyInsert
	termKeyUp
	termKeyDown
	termKeyRight
	termKeyLeft
	termKeyHome
	termKeyEnd
	termKeyPgUp
	termKeyPgDn
	termKeyF1 // the others follow it, up to F12

	termKeyF12 = termKeyF1 + 11
)

// termKey is a key that was pressed, or a text that was pasted. Keys are compared with ==.
type termKey struct {
	Code             termCode
	Rune             rune
	Alt, Ctrl, Shift bool   // Ctrl and Shift of keys that are no letters
	Text             string // at most termPasteMax bytes, as they came; lines end with \r or \n
}

const (
	termSeqMax   = 4096    // bytes of a sequence; a longer one is dropped
	termPasteMax = 1 << 20 // bytes of a paste; the rest is dropped

	termEscWait    = 50 * time.Millisecond  // for what follows an ESC: sequences begin with it
	termEscWaitSSH = 150 * time.Millisecond // the same over ssh
	termSeqWait    = time.Second            // for the rest of a sequence: nobody types one by hand
	termPasteWait  = 5 * time.Second        // for the rest of a paste, which must not be taken for keys

	termPasteBegin = "\x1b[200~"
	termPasteEnd   = "\x1b[201~"
)

// termDecoder makes keys of bytes. The keys do not depend on how the bytes are cut into chunks. One goroutine uses it.
type termDecoder struct {
	buf     []byte // the beginning of a sequence or of a letter
	late    bool   // a lone ESC was just flushed: the rest of its sequence may still come
	pasting bool
	paste   []byte
	matched int // bytes of termPasteEnd that have come; they are not in paste
}

// feed takes what was read and gives the keys that are complete.
func (d *termDecoder) feed(chunk []byte) (keys []termKey) {
	if d.late && len(chunk) > 0 {
		d.late = false
		if termIsTail(chunk) {
			d.buf = append(d.buf, 0x1b)
		}
	}
	for len(chunk) > 0 {
		if d.pasting {
			chunk = d.feedPaste(chunk, &keys)
			continue
		}
		d.buf = append(d.buf, chunk...)
		chunk = nil
		for len(d.buf) > 0 && !d.pasting {
			key, n := termKeyNext(d.buf)
			if n == 0 {
				d.trim()
				return keys
			}
			d.pasting = string(d.buf[:n]) == termPasteBegin
			d.buf = d.buf[n:]
			if key.Code != 0 {
				keys = append(keys, key)
			}
		}
		if d.pasting {
			chunk, d.buf = d.buf, nil
		}
	}
	return keys
}

// feedPaste takes bytes of a paste, and gives the bytes behind its end.
func (d *termDecoder) feedPaste(chunk []byte, keys *[]termKey) []byte {
	for i, c := range chunk {
		if c == termPasteEnd[d.matched] {
			d.matched++
			if d.matched == len(termPasteEnd) {
				*keys = append(*keys, d.endPaste())
				return chunk[i+1:]
			}
			continue
		}
		d.paste = append(d.paste, termPasteEnd[:d.matched]...)
		d.matched = 0
		if c == 0x1b {
			d.matched = 1
		} else {
			d.paste = append(d.paste, c)
		}
		d.paste = d.paste[:min(len(d.paste), termPasteMax)]
	}
	return nil
}

func (d *termDecoder) endPaste() termKey {
	key := termKey{Code: termKeyPaste, Text: string(d.paste)}
	d.pasting, d.paste, d.matched = false, nil, 0
	return key
}

// trim drops the inside of a sequence that is too long, and leaves the beginning of one that no key has. An ESC at its
// end stays: the next sequence may begin with it.
func (d *termDecoder) trim() {
	if n := len(d.buf); n >= termSeqMax {
		esc := d.buf[n-1] == 0x1b
		d.buf = append(d.buf[:2:2], '?')
		if esc {
			d.buf = append(d.buf, 0x1b)
		}
	}
}

// flush ends what has begun, after nothing has come for as long as wait says. A lone ESC is the key of that name; ESC
// and one byte are a letter with Alt.
func (d *termDecoder) flush() []termKey {
	if d.pasting {
		d.paste = append(d.paste, termPasteEnd[:d.matched]...)
		return []termKey{d.endPaste()}
	}
	buf := d.buf
	d.buf = nil
	switch {
	case string(buf) == "\x1b":
		d.late = true
		return []termKey{{Code: termKeyEsc}}
	case len(buf) == 2 && buf[0] == 0x1b && buf[1] < utf8.RuneSelf:
		return []termKey{{Code: termKeyRune, Rune: rune(buf[1]), Alt: true}}
	}
	return nil
}

// pending says whether a sequence, a letter or a paste has begun and not ended.
func (d *termDecoder) pending() bool { return d.pasting || len(d.buf) > 0 }

// wait gives how long to wait after the last chunk before flush. It holds while pending.
func (d *termDecoder) wait(ssh bool) time.Duration {
	switch {
	case d.pasting:
		return termPasteWait
	case len(d.buf) > 1 || len(d.buf) == 1 && d.buf[0] != 0x1b:
		return termSeqWait
	case ssh:
		return termEscWaitSSH
	}
	return termEscWait
}

// termIsTail says whether a chunk begins with the rest of a sequence whose ESC came too early. A [ or O that is typed
// by hand comes alone.
func termIsTail(chunk []byte) bool {
	if chunk[0] != '[' && chunk[0] != 'O' {
		return false
	}
	seq := append([]byte{0x1b}, chunk[:min(len(chunk), termSeqMax)]...)
	key, n := termKeyNext(seq)
	return n > 0 && key.Code > termKeyRune || string(seq[:n]) == termPasteBegin
}

// termKeyNext reads the first key of b and gives its length n: 0 when more must come. A key without a code is none: an
// unknown sequence, or one that nobody typed. The answer does not depend on the bytes behind n.
func termKeyNext(b []byte) (key termKey, n int) {
	if b[0] != 0x1b {
		return termKeyPlain(b)
	}
	if len(b) == 1 {
		return key, 0
	}
	switch b[1] {
	case 0x1b: // the second begins another key
		return termKey{Code: termKeyEsc}, 1
	case '[':
		return termKeyCSI(b)
	case 'O':
		return termKeySS3(b)
	case ']', 'P', 'X', '^', '_':
		return termKey{}, termStringEnd(b)
	}
	key, n = termKeyPlain(b[1:])
	if n == 0 {
		return termKey{}, 0
	}
	key.Alt = key.Code != 0
	return key, n + 1
}

// termKeyPlain reads a letter or a control byte.
func termKeyPlain(b []byte) (key termKey, n int) {
	switch c := b[0]; {
	case c == '\r' || c == '\n':
		return termKey{Code: termKeyEnter}, 1
	case c == '\t':
		return termKey{Code: termKeyTab}, 1
	case c == 0x7f || c == '\b':
		return termKey{Code: termKeyBackspace}, 1
	case c < 0x20:
		return termKey{Code: termKeyCtrl, Rune: termCtrlRune(c)}, 1
	}
	if !utf8.FullRune(b) {
		return key, 0
	}
	r, n := utf8.DecodeRune(b)
	if r >= 0x80 && r < 0xa0 { // controls of 8 bits are no keys
		return key, n
	}
	return termKey{Code: termKeyRune, Rune: r}, n
}

// termCtrlRune gives the letter that makes a control byte with Ctrl.
func termCtrlRune(c byte) rune {
	if c >= 1 && c <= 26 {
		return rune(c) + 'a' - 1
	}
	return rune(c) + '@'
}

// termStringEnd gives the length of an OSC, DCS, SOS, PM or APC, 0 when more must come. Terminals send these as
// answers, and we never ask. BEL or ST ends it. Another control byte or ESC ends it too, and begins the next key.
func termStringEnd(b []byte) int {
	for i := 2; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0x07 || c == 0x18 || c == 0x1a:
			return i + 1
		case c == 0x1b && i+1 == len(b):
			return 0
		case c == 0x1b && b[i+1] == '\\':
			return i + 2
		case c < 0x20 && (c < '\b' || c > '\r'):
			return i
		}
	}
	return 0
}

// termFinals are the keys of ESC [ and ESC O with a final letter.
var termFinals = [256]termCode{
	'A': termKeyUp, 'B': termKeyDown, 'C': termKeyRight, 'D': termKeyLeft, 'H': termKeyHome, 'F': termKeyEnd,
	'P': termKeyF1, 'Q': termKeyF1 + 1, 'R': termKeyF1 + 2, 'S': termKeyF1 + 3,
}

// termNumbers are the keys of ESC [ NUMBER ~, as VT220, rxvt and the Linux console number them.
var termNumbers = [...]termCode{
	1: termKeyHome, 2: termKeyInsert, 3: termKeyDelete, 4: termKeyEnd, 5: termKeyPgUp, 6: termKeyPgDn, 7: termKeyHome,
	8:  termKeyEnd,
	11: termKeyF1, 12: termKeyF1 + 1, 13: termKeyF1 + 2, 14: termKeyF1 + 3, 15: termKeyF1 + 4, 17: termKeyF1 + 5,
	18: termKeyF1 + 6,
	19: termKeyF1 + 7, 20: termKeyF1 + 8, 21: termKeyF1 + 9, 23: termKeyF1 + 10, 24: termKeyF12,
}

// termKeyCSI reads ESC [ parameters final. A byte that cannot stand there ends it, and begins the next key.
func termKeyCSI(b []byte) (key termKey, n int) {
	i := 2
	for i < len(b) && b[i] >= 0x20 && b[i] < 0x40 {
		i++
	}
	if i == len(b) {
		return key, 0
	}
	final, params := b[i], string(b[2:i])
	switch {
	case final == 0x18 || final == 0x1a: // CAN and SUB end a sequence, and are no keys
		return key, i + 1
	case final < 0x20 || final > 0x7e:
		return key, i
	case i >= termSeqMax:
		return key, i + 1
	case final == '[' && i == 2: // F1 to F5 of the Linux console
		if len(b) == 3 {
			return key, 0
		}
		if c := b[3]; c >= 'A' && c <= 'E' {
			return termKey{Code: termKeyF1 + termCode(c-'A')}, 4
		}
		return key, 3
	case final == 'M' && i == 2: // a mouse that an earlier program left on: three bytes that are no keys
		if len(b) < 6 {
			return key, 0
		}
		return key, 6
	}
	return termKeyOf(params, final), i + 1
}

// termKeyOf gives the key of a CSI. Its parameters are a number and one more than the sum of 1 for Shift, 2 for Alt, 4
// for Ctrl.
func termKeyOf(params string, final byte) (key termKey) {
	numbers := [2]uint64{0, 1}
	for i, field := range strings.Split(params, ";") {
		if field == "" && i < len(numbers) {
			continue
		}
		n, err := strconv.ParseUint(field, 10, 16)
		if err != nil || i == len(numbers) {
			return termKey{}
		}
		numbers[i] = n
	}
	switch {
	case final == '~' && numbers[0] < uint64(len(termNumbers)):
		key.Code = termNumbers[numbers[0]]
	case final == '~':
	case final == 'Z':
		return termKey{Code: termKeyBackTab}
	case numbers[0] <= 1: // above, it is no key: a report of the cursor's place has the letter of F3
		key.Code = termFinals[final]
	}
	if mods := numbers[1]; key.Code != 0 && mods > 0 {
		mods--
		key.Shift, key.Alt, key.Ctrl = mods&1 != 0, mods&2 != 0, mods&4 != 0
	}
	return key
}

// termKeySS3 reads ESC O final.
func termKeySS3(b []byte) (key termKey, n int) {
	if len(b) == 2 {
		return key, 0
	}
	switch c := b[2]; {
	case c <= 0x20 || c >= 0x7f:
		return key, 2
	case c == 'M':
		return termKey{Code: termKeyEnter}, 3
	case c >= 'j' && c <= 'y': // a number pad
		return termKey{Code: termKeyRune, Rune: rune("*+,-./0123456789"[c-'j'])}, 3
	default:
		return termKey{Code: termFinals[c]}, 3
	}
}

// termKeyNames are the names of the keys that have one.
var termKeyNames = [256]string{
	termKeyPaste: "paste", termKeyEnter: "enter", termKeyEsc: "esc", termKeyTab: "tab", termKeyBackTab: "shift-tab",
	termKeyBackspace: "backspace",
	termKeyDelete:    "Del", termKeyInsert: "Ins", termKeyUp: "up", termKeyDown: "down", termKeyRight: "right",
	termKeyLeft: "left",
	termKeyHome: "Home", termKeyEnd: "End", termKeyPgUp: "PgUp", termKeyPgDn: "PgDn",
}

// String names the key as the help shows it: j, G, space, ^D, esc, PgDn, F5, alt-x, ctrl-up.
func (k termKey) String() string {
	name := termKeyNames[k.Code]
	switch {
	case k.Code == termKeyRune && k.Rune == ' ':
		name = "space"
	case k.Code == termKeyRune:
		name = string(k.Rune)
	case k.Code == termKeyCtrl:
		name = "^" + strings.ToUpper(string(k.Rune))
	case k.Code >= termKeyF1 && k.Code <= termKeyF12:
		name = "F" + strconv.Itoa(int(k.Code-termKeyF1)+1)
	}
	for _, mod := range []struct {
		on   bool
		name string
	}{{k.Shift, "shift-"}, {k.Alt, "alt-"}, {k.Ctrl, "ctrl-"}} {
		if mod.on {
			name = mod.name + name
		}
	}
	return name
}
