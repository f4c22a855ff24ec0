package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// termSafeHostile is text that does something to a terminal: escape sequences with one byte and with two, DEL, a change
// of direction, characters without a width, one beyond 16 bits, ends of lines that are none, and what is not UTF-8.
const termSafeHostile = "a\x1b]0;x\a\u009b31m\u0080\x7f\u202e\u2066\u200b\u200d\ufeff\u2028\U000e0041\xffz"

// termSafeFault names the first character in what was written that a terminal must not get.
func termSafeFault(text string) string {
	for _, r := range text {
		if r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Cf, r) || r == 0x2028 ||
			r == 0x2029) {
			return string(r)
		}
	}
	return ""
}

// JSON on a terminal does nothing to it, and means what it meant.
func TestTermSafeJSON(t *testing.T) {
	t.Parallel()
	hostile := strings.ToValidUTF8(termSafeHostile, "")
	for r := rune(0); r < 0x3000; r++ {
		hostile += string(r)
	}
	for _, v := range []any{hostile, map[string]string{hostile: hostile}, []string{"plain", hostile},
		&Event{Kind: evSkipped, Reason: hostile, By: hostile}, &Agent{Name: hostile,
			Labels: map[string]string{hostile: "x"}},
		&AttentionItem{Key: hostile, Lines: []string{hostile}}, logJSONOf(&LogLine{Text: hostile}),
		logJSONOf(&LogLine{Bytes: []byte(termSafeHostile)})} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := printJSON(&out, v); err != nil {
			t.Fatal(err)
		}
		if fault := termSafeFault(out.String()); fault != "" || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%T: %q is written to a terminal", v, fault)
		}
		var one, two any
		if json.Unmarshal(want, &one) != nil || json.Unmarshal(out.Bytes(), &two) != nil {
			t.Fatalf("%T: no JSON: %s", v, out.Bytes())
		}
		again, _ := json.Marshal(two)
		if first, _ := json.Marshal(one); !bytes.Equal(first, again) {
			t.Errorf("%T means something else now:\n%s\n%s", v, first, again)
		}
	}
	var out bytes.Buffer
	if err := printJSON(&out, "é日本 ü &<>"); err != nil || out.String() != "\"é日本 ü &<>\"\n" {
		t.Errorf("letters are not left alone: %s", &out)
	}
}

func TestTermSafeText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := termSafeOf(&out)
	n, err := w.Write([]byte("plain\tß日\n" + termSafeHostile + "\nend\x1b[2J"))
	if err != nil || n != len("plain\tß日\n"+termSafeHostile+"\nend\x1b[2J") {
		t.Errorf("%d bytes, %v", n, err)
	}
	if fault := termSafeFault(out.String()); fault != "" || !strings.HasPrefix(out.String(), "plain\tß日\na^[]0;x^G") ||
		!strings.HasSuffix(out.String(), "z\nend^[[2J") {
		t.Errorf("%q in %q", fault, &out)
	}
	if termSafeOf(w) != w || termRaw(w) != &out || termRaw(&out) != &out {
		t.Error("a writer is made safe twice, or there is no way back")
	}
}

// termSafeFiles gives what is in this folder.
func termSafeFiles(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Every verb, whatever is wrong with what it is given: no argument and no message of the principal does anything to the
// terminal. A new verb is in it by itself.
func TestTermSafeVerbs(t *testing.T) {
	t.Parallel()
	before := termSafeFiles(t)
	defer func() {
		if now := termSafeFiles(t); !slices.Equal(now, before) {
			t.Errorf("a verb left something in the folder of the tests: %q, before %q", now, before)
		}
	}()
	for _, verb := range mainVerbs() {
		name := strings.Fields(verb.name)
		for _, args := range [][]string{{termSafeHostile}, {termSafeHostile, termSafeHostile},
			{"--json", termSafeHostile}, {"--" + termSafeHostile}, {"--principal", termSafeHostile, "x"},
			{"--config", filepath.Join(t.TempDir(), strings.ReplaceAll(termSafeHostile, "/", ""))}} {
			var out, report bytes.Buffer
			home := t.TempDir()
			c := &cli{in: strings.NewReader(""), out: &out, err: &report, getenv: func(name string) string {
				return map[string]string{"HOME": home, "CDKTR_STATE": home,
					"CDKTR_SOCKET": filepath.Join(home, "none")}[name]
			}}
			if name[0] == "start" && len(name) == 1 || name[0] == "ui" {
				continue // a daemon, a screen
			}
			if name[0] == "init" { // it makes the folder that it is told to
				for i, arg := range args {
					if arg == "x" || arg == termSafeHostile && args[max(i-1, 0)] != "--principal" {
						args[i] = filepath.Join(home, strings.ReplaceAll(arg, "/", ""))
					}
				}
			}
			c.main(t.Context(), append(name, args...))
			if fault := termSafeFault(out.String() + report.String()); fault != "" || out.Len()+report.Len() == 0 {
				t.Errorf("cdktr %q %q: %q is written to a terminal, of\n%q%q", verb.name, args, fault, &out, &report)
			}
		}
	}
	var out, report bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &out, err: &report, getenv: func(string) string { return "" }}
	c.main(t.Context(), []string{termSafeHostile})
	if fault := termSafeFault(out.String() + report.String()); fault != "" {
		t.Errorf("an unknown verb: %q", fault)
	}
}

// Nobody goes round it: there is one place where the process's own streams are used, one that prints JSON, and those
// who write something raw are few and known.
func TestTermSafeEverywhere(t *testing.T) {
	t.Parallel()
	allowed := map[string]string{
		`\bos\.Std(out|err)\b`: "main.go",
		`\btermRaw\(`: "cli_keys.go cli_list_watch.go main.go cli_progress.go cli_serve_log.go cli_table.go " +
			"term.go term_safe.go",
		`\bprintln\(|fmt\.Print`: "",
	}
	for file, text := range layersTexts(t) {
		for pattern, where := range allowed {
			if regexp.MustCompile(pattern).MatchString(text) && !strings.Contains(" "+where+" ", " "+file+" ") {
				t.Errorf("%s uses %s", file, pattern)
			}
		}
	}
}
