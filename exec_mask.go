// exec_mask.go: secrets in what a process writes. Each is replaced by ***, also where it is in base64, a URL or JSON,
// and where a read ends in the middle of it. A process without secrets never comes here.

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	procMasked    = "***"    // stands in place of a secret
	procMaskLeast = 4        // bytes of a part of a secret, or of another form of it, that is replaced by itself
	procMaskRead  = 32 << 10 // bytes that are read at once; a pipe with more is read again
)

// procMask knows what must not be seen. Nothing of it changes: any goroutine may use it. nil hides nothing.
type procMask struct {
	byFirst [256][]string // the texts that begin with each byte, the longest first
}

// newProcMask hides these secrets; an empty one hides nothing. Of a secret of several lines it hides each line too: the
// caller bounds them.
func newProcMask(secrets []string) *procMask {
	m, known := &procMask{}, map[string]bool{}
	add := func(text string, least int) {
		if len(text) >= least && !known[text] {
			known[text] = true
			m.byFirst[text[0]] = append(m.byFirst[text[0]], text)
		}
	}
	for _, secret := range secrets {
		add(secret, 1)
		forms := []string{secret}
		if lines := strings.Split(secret, "\n"); len(lines) > 1 {
			for _, line := range lines {
				forms = append(forms, strings.TrimSpace(line))
			}
		}
		for _, form := range forms {
			add(form, procMaskLeast)
			for _, text := range procMaskForms(form) {
				add(text, procMaskLeast)
			}
		}
	}
	for _, texts := range m.byFirst {
		sort.Slice(texts, func(i, k int) bool { return len(texts[i]) > len(texts[k]) })
	}
	return m
}

// procMaskForms gives other ways in which a secret is written.
func procMaskForms(secret string) (forms []string) {
	for _, coding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		whole := coding.EncodeToString([]byte(secret))
		forms = append(forms, whole, strings.TrimRight(whole, "="))
		// Within a longer text it begins at one of three places, and shares its first and last character with others.
		for shift := range 3 {
			text := coding.EncodeToString(append(make([]byte, shift), secret...))
			from, to := (8*shift+5)/6, 8*(shift+len(secret))/6
			forms = append(forms, text[min(from, to):to])
		}
		for _, width := range []int{64, 76} { // openssl and base64 break lines
			for rest := whole; len(whole) > width && rest != ""; {
				line := rest[:min(width, len(rest))]
				rest = rest[len(line):]
				forms = append(forms, line)
			}
		}
	}
	for _, hex := range []string{"0123456789ABCDEF", "0123456789abcdef"} {
		for _, plain := range []string{"", "!$&'()*+,;=:@", "!'()*", "$&+=:@", "/"} {
			text := procMaskURL(secret, plain, hex)
			forms = append(forms, text, strings.ReplaceAll(text, "%20", "+"))
		}
	}
	for _, html := range []bool{false, true} {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(html)
		e.Encode(secret) // a text does not fail
		forms = append(forms, strings.Trim(strings.TrimSpace(text.String()), `"`))
	}
	return forms
}

// procMaskURL writes a text for a URL: all but letters, digits, -._~ and the bytes in plain as %XX.
func procMaskURL(text, plain, hex string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if letter || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// hide appends a text with its secrets replaced. rest is the end of the text that may be the beginning of a secret; at
// the end of all (last) there is none.
func (m *procMask) hide(to, text []byte, last bool) (masked, rest []byte) {
	done := 0 // so much of the text is in masked, or replaced
	for i := 0; i < len(text); {
		found := 0
		for _, secret := range m.byFirst[text[i]] {
			if len(secret) > len(text)-i {
				if !last && secret[:len(text)-i] == string(text[i:]) {
					return append(to, text[done:i]...), text[i:]
				}
			} else if string(text[i:i+len(secret)]) == secret {
				found = len(secret)
				break
			}
		}
		if found == 0 {
			i++
			continue
		}
		to = append(append(to, text[done:i]...), procMasked...)
		i += found
		done = i
	}
	return append(to, text[done:]...), nil
}

// text gives a text without its secrets.
func (m *procMask) text(text string) string {
	if m == nil {
		return text
	}
	masked, _ := m.hide(nil, []byte(text), true)
	return string(masked)
}

// cut gives a text without its secrets that was cut short where it ends in end: there it may have the front of one.
func (m *procMask) cut(text, end string) string {
	front, short := strings.CutSuffix(text, end)
	if !short {
		return m.text(text)
	}
	masked, rest := m.hide(nil, []byte(front), false)
	if len(rest) > 0 {
		masked = append(masked, procMasked...)
	}
	return string(masked) + end
}

// error gives an error whose text has no secrets. One that has none is as it was.
func (m *procMask) error(err error) error {
	if err == nil || m == nil {
		return err
	}
	if masked := m.text(err.Error()); masked != err.Error() {
		return errors.New(masked)
	}
	return err
}

// procMasking is one stream of output on its way past a mask.
type procMasking struct {
	raw    []byte // room for what is read, behind what may be the beginning of a secret
	held   int    // bytes of that
	masked []byte // from at on, to be taken
	at     int
	read   int  // bytes that were read in all
	over   bool // nothing comes any more
}

// readMasked is a read of the stream past a mask. more: there may be more to read now, also where n is 0.
func (s *procStream) readMasked(m *procMask, to []byte) (n int, more bool) {
	k := &s.masking
	more = true // until a read has said otherwise
	for k.at == len(k.masked) {
		if room := k.held + procMaskRead; len(k.raw) < room {
			k.raw = append(k.raw, make([]byte, room-len(k.raw))...)
		}
		got := 0
		if !k.over {
			var err error
			got, err = unix.Read(s.fd, k.raw[k.held:])
			if err != nil || got == 0 {
				return 0, err == unix.EINTR
			}
		}
		k.read += got
		more = k.held+got == len(k.raw)
		var rest []byte
		k.masked, rest = m.hide(k.masked[:0], k.raw[:k.held+got], k.over)
		k.held, k.at = copy(k.raw, rest), 0
		if len(k.masked) == 0 && !more {
			return 0, false
		}
	}
	n = copy(to, k.masked[k.at:])
	k.at += n
	return n, more || k.at < len(k.masked)
}
