// The protocol's document, docs/protocol.md, is made from docs/protocol.md.tmpl: prose, and the meaning of each field,
// beside names and types that come from the program. What the template does not tell of, or tells of in vain, fails.

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
	"unicode"

	"cdktr/e2e/harness"
)

const (
	protocolFile     = "docs/protocol.md"
	protocolTemplate = "docs/protocol.md.tmpl"
)

var protocolUpdate = flag.Bool("update", false, "write docs/protocol.md and testdata/screens anew")

// TestProtocolDoc holds docs/protocol.md to the program; with -update it writes it.
func TestProtocolDoc(t *testing.T) {
	want := protocolText(t)
	if *protocolUpdate {
		if err := os.WriteFile(protocolFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: go test -run TestProtocolDoc -update .", protocolFile)
	}
}

// protocolText carries the template out.
func protocolText(t *testing.T) []byte {
	t.Helper()
	types := map[string]any{"Request": Request{}, "Reply": Reply{}, "Run": Run{}, "TaskRun": TaskRun{},
		"TaskAttempt": TaskAttempt{}, "TaskUse": TaskUse{}, "TaskAsk": TaskAsk{}, "TaskAnswer": TaskAnswer{},
		"LeftProcess": LeftProcess{}, "TaskPart": TaskPart{}, "assignedPart": assignedPart{}, "LogLine": LogLine{},
		"LogRecord":    LogRecord{},
		"logJSON":      logJSON{},
		"WorkflowInfo": WorkflowInfo{}, "Fire": Fire{}, "Decision": Decision{}, "Agent": Agent{}, "Event": Event{},
		"protoError": protoError{}, "Batch": Batch{}, "BatchPlan": BatchPlan{}, "BatchFire": BatchFire{},
		"WrapRecord":    WrapRecord{},
		"AttentionItem": AttentionItem{}, "Stats": Stats{}, "AlarmInfo": AlarmInfo{},
		"PoolInfo": PoolInfo{}, "PoolUse": PoolUse{}, "RunEvent": RunEvent{}, "ListenerInfo": ListenerInfo{},
		"Pause": Pause{}, "WhyInstant": WhyInstant{}, "WhySchedule": WhySchedule{}, "WhyField": WhyField{},
		"agentMsg": agentMsg{},
		"heldRun":  heldRun{}, "heldLeft": heldLeft{}, "assignment": assignment{}, "assignedEnd": assignedEnd{},
		"agentItem": agentItem{}, "parcel": parcel{}, "parcelOutput": parcelOutput{}, "parcelEvent": parcelEvent{}}
	told := map[string]bool{}
	page, err := template.New(filepath.Base(protocolTemplate)).Funcs(template.FuncMap{
		"fields": func(name, text string) (string, error) {
			told[name] = true
			return protocolFields(types, name, text)
		},
		"messages": func(text string) (string, error) {
			return protocolMessages(protocolConstants(t, "proto.go", "msg"), text)
		},
		"ops": protocolOps,
		"codes": func(text string) (string, error) {
			return protocolCodes(protocolConstants(t, "proto.go", "code"), text)
		},
		"events": func(text string) (string, error) {
			return protocolEvents(protocolConstants(t, "state.go", "ev"), text)
		},
		"max": func(string) int { return publishMaxTopics },
		"can": func(who string) string {
			can := protoPrincipalCan
			if who == "agent" {
				can = protoAgentCan
			}
			return "`" + strings.Join(can, "`, `") + "`"
		},
		"knows": func() string { return "`" + strings.Join(protoKnows(), "` `") + "`" },
		"ping":  func() string { return protocolPing(t) },
	}).ParseFiles(protocolTemplate)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, nil); err != nil {
		t.Fatal(err)
	}
	for name := range types {
		if !told[name] {
			t.Errorf("%s has no table of the fields of %s", protocolTemplate, name)
		}
	}
	return out.Bytes()
}

// protocolMeanings reads lines of a name and what it means. The names must be exactly these; order is theirs.
func protocolMeanings(names []string, text string) (map[string]string, error) {
	meanings := map[string]string{}
	var errs []error
	for line := range strings.Lines(strings.TrimSpace(text)) {
		name, meaning, _ := strings.Cut(strings.TrimSpace(line), " ")
		if meaning = strings.TrimSpace(meaning); meaning == "" || meanings[name] != "" ||
			!slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("%q is told of twice, without a word, or is not there", name))
		}
		meanings[name] = meaning
	}
	for _, name := range names {
		if meanings[name] == "" {
			errs = append(errs, fmt.Errorf("%q is not told of", name))
		}
	}
	return meanings, errors.Join(errs...)
}

// protocolFields makes the table of a struct's fields. A field that is a struct without a table of its own tells of the
// fields of that too.
func protocolFields(types map[string]any, name, text string) (string, error) {
	meanings, err := protocolMeanings(protoNames(types[name]), text)
	var b strings.Builder
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	for _, field := range protoFields(types[name]) {
		name, most := protoJSONName(field), ""
		if bound := field.Tag.Get("max"); bound != "" {
			most = ", " + bound + " bytes"
		}
		for _, within := range protocolWithin(types, field.Type) {
			if !slices.Contains(strings.FieldsFunc(meanings[name], func(r rune) bool { return !unicode.IsLetter(r) }),
				within) {
				err = errors.Join(err, fmt.Errorf("%s: its field %q is not told of", name, within))
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", name, protocolType(field.Type), most, meanings[name])
	}
	return strings.TrimSuffix(b.String(), "\n"), err
}

// protocolWithin gives the fields of a struct that has no table, nor a page of its own, as a workflow has.
func protocolWithin(types map[string]any, t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	own := t == reflect.TypeFor[Stamp]() || t == reflect.TypeFor[Workflow]()
	if t.Kind() != reflect.Struct || own || types[t.Name()] != nil {
		return nil
	}
	return protoNames(reflect.Zero(t).Interface())
}

// protocolType says what JSON a Go type becomes.
func protocolType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Stamp]():
		return "time"
	case t == reflect.TypeFor[Duration]():
		return "duration"
	case t == reflect.TypeFor[[]byte]():
		return "base64"
	case t.Kind() == reflect.Pointer:
		return protocolType(t.Elem())
	case t.Kind() == reflect.Slice:
		return "array of " + strings.Replace(protocolType(t.Elem())+"s", "sss", "sses", 1)
	case t.Kind() == reflect.Map:
		return "object of " + protocolType(t.Elem()) + "s"
	case t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Struct:
		return map[string]string{"protoError": "error", "TaskRun": "task", "TaskAttempt": "attempt",
			"LeftProcess": "process", "TaskAsk": "object", "TaskAnswer": "object", "TaskPart": "object",
			"assignedPart": "object",
			"LogLine":      "line", "LogRecord": "record", "WorkflowInfo": "workflow",
			"Workflow": "object",
			"Agent":    "agent", "Run": "run", "Event": "event", "Fire": "fire", "Decision": "decision",
			"protoOp": "op", "Outcome": "object", "RunRow": "row", "AttentionItem": "item", "AlarmInfo": "object",
			"Stats": "object", "Batch": "batch", "BatchPlan": "object", "BatchFire": "row", "WrapRecord": "record",
			"StatsLongest": "object", "StatsBucket": "object", "StatsDay": "object", "parcel": "object",
			"assignment": "object", "assignedEnd": "object", "agentItem": "item", "heldRun": "object",
			"heldLeft": "object", "parcelOutput": "object", "parcelEvent": "object", "TaskUse": "object"}[t.Name()]
	}
	return "number"
}

// protocolOps makes the table of ops, and of what each answers.
func protocolOps(text string) (string, error) {
	var names []string
	for _, v := range protoOps {
		names = append(names, v.Op)
	}
	answers, err := protocolMeanings(names, text)
	var b strings.Builder
	b.WriteString("| op | what it does | fields | role | answer |\n|---|---|---|---|---|\n")
	for _, v := range protoOps {
		var fields []string
		for _, field := range v.Fields {
			name, must := strings.CutSuffix(field, "*")
			field = "`" + name + "`"
			if must {
				field += "\\*"
			}
			fields = append(fields, field)
		}
		role := v.Role
		if v.Scoped {
			role += ", trigger for its own"
		}
		if v.Stream {
			role += "; parts"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", v.Op, v.Help, strings.Join(fields, " "), role, answers[v.Op])
	}
	return strings.TrimSuffix(b.String(), "\n"), err
}

// protocolConstants gives the texts of a file's constants whose names begin so.
func protocolConstants(t *testing.T, file, prefix string) (values []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range tree.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			lit, ok := value.Values[0].(*ast.BasicLit)
			if rest, is := strings.CutPrefix(value.Names[0].Name, prefix); ok && is && lit.Kind == token.STRING &&
				ast.IsExported(rest) {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, text)
			}
		}
	}
	return values
}

// protocolCodes makes the table of error codes.
func protocolCodes(codes []string, text string) (string, error) {
	meanings, err := protocolMeanings(codes, text)
	var b strings.Builder
	b.WriteString("| code | meaning | retry |\n|---|---|---|\n")
	for _, code := range codes {
		retry := "no"
		if refuse(code, "").Retry {
			retry = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, meanings[code], retry)
	}
	return strings.TrimSuffix(b.String(), "\n"), err
}

// protocolEvents makes the table of kinds of event: the fields of each, and behind -- what it means.
func protocolEvents(kinds []string, text string) (string, error) {
	meanings, err := protocolMeanings(kinds, text)
	var b strings.Builder
	b.WriteString("| kind | fields, where there is something to say | |\n|---|---|---|\n")
	for _, kind := range kinds {
		fields, meaning, _ := strings.Cut(meanings[kind], "--")
		for field := range strings.FieldsSeq(fields) {
			if !slices.Contains(protoNames(Event{}), field) {
				err = errors.Join(err, fmt.Errorf("%s: an event has no field %q", kind, field))
			}
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", kind, strings.Join(strings.Fields(fields), "` `"),
			strings.TrimSpace(meaning))
	}
	return strings.TrimSuffix(b.String(), "\n"), err
}

// protocolMessages makes the table of messages between agents and the principal: who says each, its fields, and behind
// -- what it means. Each field of a message is one of some.
func protocolMessages(ops []string, text string) (string, error) {
	var b strings.Builder
	var errs []error
	names, said := protoNames(agentMsg{}), map[string]bool{"op": true}
	b.WriteString("| message | of | fields, where there is something to say | |\n|---|---|---|---|\n")
	for line := range strings.Lines(strings.TrimSpace(text)) {
		front, meaning, _ := strings.Cut(line, "-- ")
		words := strings.Fields(front)
		op, who, fields := words[0], words[1], words[2:]
		said["the op "+op] = true
		if !slices.Contains(ops, op) || who != "agent" && who != "principal" {
			errs = append(errs, fmt.Errorf("%s of %s is no message", op, who))
		}
		for i, field := range fields {
			said[field] = true
			if !slices.Contains(names, field) {
				errs = append(errs, fmt.Errorf("%s: a message has no field %q", op, field))
			}
			fields[i] = "`" + field + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", op, who, strings.Join(fields, " "), strings.TrimSpace(meaning))
	}
	for _, op := range ops {
		names = append(names, "the op "+op)
	}
	for _, name := range names {
		if !said[name] {
			errs = append(errs, fmt.Errorf("%s is in no message that is told of", name))
		}
	}
	return strings.TrimSuffix(b.String(), "\n"), errors.Join(errs...)
}

// protocolEventFields gives the documented fields of each kind of event: its row in docs/protocol.md.
func protocolEventFields(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		for _, kind := range protocolConstants(t, "state.go", "ev") {
			if cells := strings.Split(line, "|"); len(cells) > 3 && strings.TrimSpace(cells[1]) == "`"+kind+"`" {
				rows[kind] = append(strings.Fields(strings.ReplaceAll(cells[2], "`", " ")), "seq", "t", "e")
			}
		}
	}
	return rows
}

// protocolPing lets a REQ of bare bytes ping a real principal, and writes down what both say.
func protocolPing(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cdktr-ping-") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: dir + "/state", NoSync: true,
		NoScheduler: true, Zone: time.UTC,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.cfg.StateDir = "/var/lib/cdktr" // what it says of itself, each time the same
	l, err := wireListen("ipc://"+dir+"/s", wireOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(p)
	h.group.Go(func() { l.Serve(h.ctx, p.runPeer) })
	defer func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	}()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	greeting := append(append(append([]byte{0xff, 8: 0, 9: 0x7f}, 3, 0), "NULL"...), make([]byte, 48)...)
	ready := "\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
	request := `{"v":1,"id":"1","op":"ping"}`
	var b strings.Builder
	part := func(who, what string, bytes []byte) {
		fmt.Fprintf(&b, "%s: %s\n\n", who, what)
		for line := range strings.Lines(hex.Dump(bytes)) {
			b.WriteString("    " + line)
		}
		b.WriteString("\n")
	}
	read := func(n int) []byte {
		buf := make([]byte, n)
		if _, err := io.ReadFull(conn, buf); err != nil {
			t.Fatal(err)
		}
		return buf
	}
	frame := func() []byte {
		head := read(2)
		return append(head, read(int(head[1]))...)
	}
	say := func(what string, bytes []byte) {
		part("Client", what, bytes)
		if _, err := conn.Write(bytes); err != nil {
			t.Fatal(err)
		}
	}
	say("the greeting: a signature, version 3.0, the mechanism, and 0 for \"not the server\".", greeting)
	part("Principal", "its greeting.", read(64))
	say("the command READY, with what kind of socket this is.", append([]byte{4, byte(len(ready))}, ready...))
	part("Principal", "READY: it is a ROUTER to a REQ.", frame())
	say("the request: an empty frame, and the JSON.", append([]byte{1, 0, 0, byte(len(request))}, request...))
	envelope, reply := frame(), frame()
	reply = bytes.Replace(reply, []byte(programVersion()), []byte(versionNext), 1) // the same for every build
	reply[1] = byte(len(reply) - 2)
	part("Principal", "the reply, in the same envelope.", append(envelope, reply...))
	return strings.TrimSuffix(b.String(), "\n\n")
}

// TestProtocolEvents: events have the fields that the document says, each kind those of its row.
func TestProtocolEvents(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", "params: {n: {default: '1'}}\nschedule: '0 3 1 1 *'\ntasks:\n  a: {retries: 1, retry_delay: "+
		"10ms, run: 'echo a; echo k=v >> $CDKTR_OUTPUT; [ $CDKTR_ATTEMPT = 2 ]'}\n  b: {depends: [a], run: 'exit "+
		"3'}\n  c: {depends: [b], run: 'true'}\non_exit: 'true'\n")
	x.File("hold.yml", "tasks:\n  a: {run: 'echo held; while [ -e $DIR/hold ]; do sleep 0.05; done; echo over'}\n")
	if err := os.WriteFile(x.Dir+"/hold", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.Principal("--with-agent")
	run := x.run("w", "--key", "k", "-p", "n=2").ID
	x.OK("retry", run)
	x.await(run)
	for _, args := range []string{"pause w", "resume w", "pause --all", "resume --all", "drain one", "undrain one"} {
		x.OK(strings.Fields(args)...)
	}
	held := x.Start("hold")
	x.OK("cancel", held, "--force")
	x.await(held)
	held = x.Start("hold")
	x.Until("its task is at work", func() bool { return x.show(held).task("a").State == taskRunning })
	x.OK("cancel", held, "--task", "a")
	x.await(held)
	rows, seen := protocolEventFields(t), map[string]bool{}
	for _, e := range harness.Lines[map[string]any](t, x.OK("events", "--json")) {
		kind := fmt.Sprint(e["e"])
		seen[kind] = true
		for field := range e {
			if !slices.Contains(rows[kind], field) {
				t.Errorf("%s has the field %q, which its row has not", kind, field)
			}
		}
	}
	for _, kind := range []string{evVersion, evSchedule, evPaused, evResumed, evQueued, evAssigned, evRequeued,
		evCancelling, evTaskStopping, evAgentUp, evAgentDrained,
		evAgentUndrain, evBooted, evRunStarted, evTaskStarted, evTaskRetrying, evTaskFinished,
		evRunEnding, evRunFinished} {
		if !seen[kind] {
			t.Errorf("no event %s was seen", kind)
		}
	}
}
