package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
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

// termSafeFill puts hostile text into all that can hold text below v, and one entry into each list that has none.
func termSafeFill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.ToValidUTF8(termSafeHostile, "") + "\nforged line")
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			termSafeFill(v.Elem(), depth-1)
		}
	case reflect.Slice:
		if depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			termSafeFill(v.Index(0), depth-1)
		}
	case reflect.Map:
		if key := reflect.New(v.Type().Key()).Elem(); depth > 0 && key.Kind() == reflect.String {
			value := reflect.New(v.Type().Elem()).Elem()
			termSafeFill(key, depth-1)
			termSafeFill(value, depth-1)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				termSafeFill(v.Field(i), depth-1)
			}
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	}
}

// termSafePeer is a principal at a socket that answers every request with text that does something to a terminal, and
// gives the endpoint. change makes the answer to one request what it is.
func termSafePeer(t *testing.T, change func(req Request, r *Reply)) string {
	t.Helper()
	endpoint := "ipc://" + t.TempDir() + "/s"
	l, err := wireListen(endpoint, wireOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- l.Serve(ctx, func(conn wireConn) {
			for {
				frames, err := conn.Recv()
				if err != nil {
					return
				}
				envelope, body, err := protoSplit(frames)
				var req Request
				if err != nil || json.Unmarshal(body, &req) != nil {
					return
				}
				r := &Reply{}
				termSafeFill(reflect.ValueOf(r).Elem(), 8)
				r.V, r.ID, r.OK, r.More, r.Error, r.Next, r.Live = 1, req.ID, true, false, nil, "", true
				change(req, r)
				conn.Send(append(envelope[:len(envelope):len(envelope)], protoEncode(r))...)
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return endpoint
}

// Nothing that a principal says does anything to the terminal, nor begins a line of its own, in whatever field it says
// it: names, reasons, labels, versions, remarks and refusals.
func TestTermSafePeer(t *testing.T) {
	t.Parallel()
	const run = clientRunID
	var hostile string
	termSafeFill(reflect.ValueOf(&hostile).Elem(), 0)
	for _, c := range []struct { // output of tasks is not in here: into a pipe it goes as it is
		args   string
		change func(r *Reply)
	}{
		{"ls", nil}, {"ps --all", nil}, {"agents", nil}, {"attention", nil}, {"events", nil}, {"stats x", nil},
		{"ping", nil}, {"why x", nil}, {"next x", nil}, {"next", nil}, {"run x", nil}, {"pause x", nil},
		{"cancel " + run, nil}, {"retry " + run, nil}, {"drain x", nil}, {"forget x", nil}, {"ack x", nil},
		{"rescan", nil}, {"graph x", nil},
		{"ps --watch", func(r *Reply) { r.Rows[0].State = runRunning }},
		{"ls --watch", func(r *Reply) { r.Workflows[0].Paused = "" }}, {"agents --watch", nil},
		{"show x", func(r *Reply) { r.Runs = nil }}, {"show " + run, nil},
		{"stats y", func(r *Reply) { r.Stats.Runs = 0 }},
		{"agents", func(r *Reply) { r.Agents[0].Skew = 99 }},
		{"ls", func(r *Reply) { r.Workflows = nil }},
		{"show y", func(r *Reply) {
			*r = Reply{V: 1, ID: r.ID, Error: &protoError{Code: codeNotFound,
				Message: hostile}}
		}},
		{"ps", func(r *Reply) { *r = Reply{V: 1, ID: r.ID, Error: &protoError{Code: hostile, Message: hostile}} }},
	} {
		for _, json := range []string{"", " --json"} {
			var out, report bytes.Buffer
			home := t.TempDir()
			endpoint := termSafePeer(t, func(_ Request, r *Reply) {
				r.Note = hostile
				if c.change != nil {
					c.change(r)
				}
			})
			cmd := &cli{in: strings.NewReader(""), out: &out, err: &report, getenv: func(name string) string {
				return map[string]string{"HOME": home, "CDKTR_STATE": home}[name]
			}}
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			cmd.main(ctx, strings.Fields(c.args+json+" --principal "+endpoint))
			stop()
			if fault := termSafeFault(out.String() + report.String()); fault != "" || out.Len()+report.Len() == 0 {
				t.Errorf("cdktr %s%s: %q is written to a terminal, of\n%q%q", c.args, json, fault, &out, &report)
			}
			if strings.Contains("\n"+out.String()+report.String(), "\nforged") {
				t.Errorf("cdktr %s%s: the principal begins a line of its own:\n%s%s", c.args, json, &out, &report)
			}
		}
	}
}

// Nobody goes round it: there is one place where the process's own streams are used, one that prints JSON, and those
// who write something raw are few and known.
func TestTermSafeEverywhere(t *testing.T) {
	t.Parallel()
	allowed := map[string]string{
		`\bos\.Std(out|err)\b`: "main.go",
		`\btermRaw\(`: "cli_keys.go cli_list_watch.go main.go cli_progress.go cli_serve_log.go cli_table.go " +
			"cli_backfill.go cli_backup.go cli_exec.go cli_metrics.go cli_next_fires.go cli_wait.go cli_wrap.go " +
			"main_help.go " +
			"term.go term_text.go",
		`\bprintln\(|fmt\.Print`: "",
		// Text is made harmless where a line of it is written, and before it is cut or measured; nowhere else. What the
		// screens draw, the grid makes harmless.
		`\btextSafe\(`: "cli_backfill.go cli_metrics_http.go cli_restore_told.go main_completion_fits.go " +
			"cli_logs.go cli_progress.go cli_table.go term.go term_log.go term_text.go term_tty.go " +
			"view_dialog.go view_log.go view_run.go",
	}
	for file, text := range layersTexts(t) {
		for pattern, where := range allowed {
			if regexp.MustCompile(pattern).MatchString(text) && !strings.Contains(" "+where+" ", " "+file+" ") {
				t.Errorf("%s uses %s", file, pattern)
			}
		}
	}
}
