package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// procMaskSecret has bytes that each coding writes in its own way.
const procMaskSecret = `p/w+1 "ä"&=~x?`

// TestProcMaskForms: a secret is hidden in every form, within other text and by itself.
func TestProcMaskForms(t *testing.T) {
	t.Parallel()
	lines := "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n}\nAAABBBCCC+/=\n-----END KEY-----"
	long := strings.Repeat("0123456789abcdefghijklmnop", 9)
	m := newProcMask([]string{procMaskSecret, lines, long, "x1", ""})
	wrapped := func(text string, width int) (out string) {
		for text != "" {
			n := min(width, len(text))
			out += text[:n] + "\n"
			text = text[n:]
		}
		return out
	}
	encode := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"plain": procMaskSecret, "twice": procMaskSecret + procMaskSecret,
		"query": url.QueryEscape(procMaskSecret), "path": url.PathEscape(procMaskSecret),
		"small":      strings.ToLower(url.QueryEscape(procMaskSecret)),
		"json":       fmt.Sprintf("{%q: %q}", "key", procMaskSecret),
		"base64":     encode([]byte(procMaskSecret)),
		"base64 URL": base64.RawURLEncoding.EncodeToString([]byte(procMaskSecret)),
		"echo":       encode([]byte(procMaskSecret + "\n")), "basic": encode([]byte("u:" + procMaskSecret)),
		"basic 2": encode([]byte("us:" + procMaskSecret + "@")), "basic 3": encode([]byte("usr:" + procMaskSecret +
			"@h")),
		"lines": lines, "a line": "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "lines of DOS": strings.ReplaceAll(lines, "\n",
			"\r\n"),
		"lines as base64": encode([]byte(lines)), "broken": wrapped(encode([]byte(long)), 76),
		"broken at 64": wrapped(encode([]byte(long)), 64), "short": "x1",
	} {
		got := m.text("before " + text + " after")
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") ||
			!strings.Contains(got, procMasked) {
			t.Errorf("%s: %q", name, got)
		}
		for _, piece := range []string{"p/w+1", "MIIE", "AAABBB", "x1", "0123456789", text[:len(text)*3/4]} {
			if strings.Contains(got, piece) {
				t.Errorf("%s: %q shows %q", name, got, piece)
			}
		}
	}
	if got := m.text("nothing of it\n{}\n"); got != "nothing of it\n{}\n" {
		t.Errorf("plain text becomes %q", got)
	}
}

// TestProcMaskPieces: however a text comes in pieces, it is hidden as if it came at once.
func TestProcMaskPieces(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		some := func(most int) string {
			text := make([]byte, rng.IntN(most))
			for i := range text {
				text[i] = "ab\n"[rng.IntN(3)]
			}
			return string(text)
		}
		m := newProcMask([]string{some(6), some(9), "aab"})
		text := some(200)
		want := m.text(text)
		var got, held []byte
		for rest := text; ; {
			n := min(len(rest), rng.IntN(5))
			held = append(held, rest[:n]...)
			rest = rest[n:]
			got, held = m.hide(got, held, rest == "")
			if rest == "" {
				break
			}
		}
		if string(got) != want || len(held) > 0 {
			t.Fatalf("%q becomes %q in pieces, and %q at once", text, got, want)
		}
	}
}

// TestProcMaskCut: where a text was cut short, nothing stays of a secret that was cut with it.
func TestProcMaskCut(t *testing.T) {
	t.Parallel()
	m := newProcMask([]string{"hunter2"})
	for text, want := range map[string]string{
		"curl -u a:hunter2":        "curl -u a:***",
		"curl -u a:hunter2 x ...":  "curl -u a:*** x ...",
		"curl -u a:hunt ...":       "curl -u a:*** ...",
		"curl -u a:hunter2 hu ...": "curl -u a:*** *** ...",
		"curl hunt":                "curl hunt",
	} {
		if got := m.cut(text, procCommandCut); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestProcMask: what a process writes is delivered without secrets, and complete, whether it comes in pieces, at once,
// or without an end.
func TestProcMask(t *testing.T) {
	ps := procTestNew(t)
	m := newProcMask([]string{"hunter2", "first line\nsecond line", "ends"})
	var out strings.Builder
	run := func(script string, budget int64) string {
		t.Helper()
		out.Reset()
		p, err := ps.start(t.Context(), procSpec{Argv: []string{"/bin/sh", "-c", script}, Mask: m,
			Budget: newProcBudget(budget), Output: func(l procLines) { out.Write(l.Text) },
			Rest: func(r procRest) { out.Write(r.Text) }})
		if err != nil {
			t.Fatal(err)
		}
		<-p.done()
		return out.String()
	}
	if got := run(`printf 'a hun'; sleep 0.05; printf 'ter2 b\nfirst'; sleep 0.05; printf ' line\nsec'; sleep 0.05; `+
		`printf 'ond line\nhunt'`, 1<<20); got != "a *** b\n***\nhunt" {
		t.Errorf("in pieces: %q", got)
	}
	if got := run(`printf 'x\nhunter'; printf '2\nit en'; printf ds`, 4); got != "x\n***\nit ***" {
		t.Errorf("beyond the budget: %q", got)
	}
	// much at once, from another process that ends with the pipe full
	text := filepath.Join(t.TempDir(), "text")
	line := strings.Repeat("z", 90) + "hunter2" + strings.Repeat("y", 3000)
	if err := os.WriteFile(text, []byte(strings.Repeat(line+"\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat(strings.ReplaceAll(line, "hunter2", procMasked)+"\n", 500)
	if got := run("cat "+text, 8<<20); got != want {
		t.Errorf("much: %d bytes, want %d", len(got), len(want))
	}
	if err := os.WriteFile(text, []byte(strings.Repeat("ab hunter2", 30_000)), 0o600); err != nil { // no line
		t.Fatal(err)
	}
	if got := run("cat "+text, 8<<20); got != strings.Repeat("ab ***", 30_000) {
		t.Errorf("a long line: %d bytes, %q...", len(got), got[:min(len(got), 100)])
	}
}
