package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestProtoSplit(t *testing.T) {
	b := func(parts ...string) [][]byte {
		var frames [][]byte
		for _, p := range parts {
			frames = append(frames, []byte(p))
		}
		return frames
	}
	for _, c := range []struct {
		frames   [][]byte
		envelope [][]byte
		body     string
		ok       bool
	}{
		{b("{}"), nil, "{}", true}, {b("", "{}"), b(""), "{}", true}, {b("id", "", "{}"), b("id", ""), "{}", true},
		{b(""), nil, "", true}, {b("", ""), b(""), "", true},
		{b("{}", "{}"), nil, "", false}, {b("", "{}", "{}"), b(""), "", false}, {b("", "", "{}"), b(""), "", false},
		{nil, nil, "", false},
	} {
		envelope, body, err := protoSplit(c.frames)
		if (err == nil) != c.ok || string(body) != c.body || !slices.EqualFunc(envelope, c.envelope, bytes.Equal) {
			t.Errorf("%q: %q, %q, %v", c.frames, envelope, body, err)
		}
	}
}

func TestProtoDecode(t *testing.T) {
	var r Request
	if err := protoDecode([]byte(`{"v":1,"id":"7","op":"run","workflow":"w","params":{"a":"b"},"since":"2026-01-31T00:00:00Z"}`+"\n "), &r); err != nil || r.ID != "7" || r.Params["a"] != "b" || r.Since.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	for text, want := range map[string]string{
		"": "want a JSON object", "[]": "want a JSON object", `"x"`: "want a JSON object", "null": "want a JSON object",
		" {}": "want a JSON object", "{": "read request", `{"op":1}`: "op",
		`{"opp":"run"}`: `unknown field "opp"`, `{"v":1.5}`: "number", `{"since":"yesterday"}`: "parse time",
		`{"n":99999999999999999999}`: "number",
		`{"op":"ping"}{"op":"run"}`:  "more behind the JSON object, at byte 13",
		`{"op":"ping"} x`:            "more behind the JSON object",
	} {
		var refused *protoError
		if err := protoDecode([]byte(text), &Request{}); !errors.As(err, &refused) || refused.Code != codeInvalid ||
			!strings.Contains(refused.Message, want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, code := range []string{codeInvalid, codeUnknownOp, codeNotFound, codeConflict, codeNotAllowed,
		codeInternal} {
		if refuse(code, "x %d", 1).Retry {
			t.Errorf("%s may work later", code)
		}
	}
	for _, code := range []string{codeBusy, codeNoSpace, codeStopping} {
		if e := refuse(code, "x %d", 1); !e.Retry || e.Error() != "x 1" {
			t.Errorf("%+v", e)
		}
	}
}

// A key that is there twice is refused at any depth; the same key in two objects is not.
func TestProtoRequestTwice(t *testing.T) {
	for body, want := range map[string]string{
		`{"v":1,"id":"1","op":"run","workflow":"a","params":{"x":"run","y":"x"}}`: "",
		`{"v":1,"id":"1","op":"run","params":{"op":"1","id":"1"}}`:                "",
		`{"v":1,"id":"op","op":"id","workflow":"op"}`:                             "",
		`{"v":1,"id":"1","op":"ping","op":"run"}`:                                 `field "op" is there twice`,
		`{"v":1,"id":"1","op":"run","workflow":"a","workflow":"b"}`:               `field "workflow" is there twice`,
		`{"v":1,"id":"1","op":"run","params":{"x":"1","x":"1"}}`:                  `field "x" is there twice`,
		`{"v":1,"id":"1","op":"run","params":{"x":"1","\u0078":"2"}}`:             `field "x" is there twice`,
		`{"v":1,"id":"1","op":"run","params":{"x":"1"},"params":{"y":"1"}}`:       `field "params" is there twice`,
		`{"v":1,"id":"1","op":"run","params":{},"id":"2"}`:                        `field "id" is there twice`,
		`{"v":1,"id":"1","op":"run","params":{"x":"1","X":"2"}}`:                  "",
		`{"v":1,"id":"1","op":"run","workflow":"a","Workflow":"b"}`:               `field "Workflow" is there twice`,
		`{"v":1,"id":"1","op":"run","workflow":"a","wor\u212Aflow":"b"}`:          `is there twice`, // the Kelvin sign
		`{"v":1,"id":"1","op":"run","params":{},"param\u017F":{}}`:                `is there twice`, // the long s
	} {
		err := protoRequest([]byte(body), &Request{})
		if text := fmt.Sprint(err); (err == nil) != (want == "") || err != nil && !strings.Contains(text, want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// FuzzProtoTwice compares with counting the keys of what was written from a known list.
func FuzzProtoTwice(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":1},{"b":2}],"c":{"a":{}}}`))
	f.Add([]byte(`{"a":{"b":[],"b":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var any map[string]any
		if json.Unmarshal(body, &any) != nil {
			return
		}
		again, err := json.Marshal(any) // has each key once
		if err != nil {
			t.Fatal(err)
		}
		if key, twice := protoTwice(json.NewDecoder(strings.NewReader(`{"a":` + string(again) + `}`))); twice {
			t.Fatalf("%q is there once in %s", key, again)
		}
		const front = `{"twice":1,"other":`
		if key, twice := protoTwice(json.NewDecoder(strings.NewReader(front + string(again) +
			`,"twice":2}`))); !twice || key != "twice" {
			t.Fatalf("%q, %v, around %s", key, twice, again)
		}
	})
}

// Every text of a request has a bound, and what is longer is refused with the name of its field; so is nothing of it
// repeated at length. Params are bounded where runs are queued, since only there is known what they are.
func TestProtoBounds(t *testing.T) {
	t.Parallel()
	for _, v := range []any{&Request{}, &agentMsg{}} {
		fields := reflect.TypeOf(v).Elem()
		for i := range fields.NumField() {
			field := fields.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			bound, err := strconv.Atoi(field.Tag.Get("max"))
			if _, request := v.(*Request); field.Type.Kind() == reflect.String && err != nil && request {
				t.Errorf("%s of a request has no bound", name)
			}
			if err != nil {
				continue
			}
			for n, ok := range map[int]bool{bound: true, bound + 1: false, 1 << 20: false} {
				body := protoEncode(map[string]any{name: strings.Repeat("x", n)})
				err := protoDecode(body, reflect.New(fields).Interface())
				if (err == nil) != ok || err != nil && !strings.Contains(err.Error(),
					fmt.Sprintf("field %q has %d bytes: it may have %d", name, n, bound)) {
					t.Errorf("%T: %d bytes of %s: %v", v, n, name, err)
				}
			}
		}
	}
	long := strings.Repeat("é", 1<<19)
	for _, body := range []string{`{"` + long + `":1}`, `{"at":"` + long + `"}`, `{"n":` + strings.Repeat("9", 1<<20) +
		`}`} {
		if err := protoDecode([]byte(body), &Request{}); err == nil || len(err.Error()) > 2*protoMaxName ||
			!utf8.ValidString(err.Error()) {
			t.Errorf("%.30s...: the refusal has %d bytes", body, len(err.Error()))
		}
	}
	for field, want := range map[string]int{"id": 256, "op": 256, "workflow": 256, "run": 256, "task": 256,
		"agent": 256, "of": 256, "pattern": 1024, "grep": 1024, "after": 1024, "state": 32, "stream": 32} {
		if err := protoDecode(protoEncode(map[string]any{field: strings.Repeat("x", want+1)}),
			&Request{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("it may have %d", want)) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// protoNames gives the JSON names of a struct's fields, but for those that are never sent.
func protoNames(v any) []string {
	var names []string
	for _, field := range protoFields(v) {
		names = append(names, protoJSONName(field))
	}
	return names
}

// protoFields gives the fields of a message, but for those of a struct that is embedded in it.
func protoFields(v any) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(reflect.TypeOf(v)),
		func(f reflect.StructField) bool { return !f.IsExported() || f.Anonymous || len(f.Index) > 1 })
}

// names gives the ops of the table.
func (t opTable[T]) names() []string {
	var names []string
	for _, row := range t {
		names = append(names, row.op)
	}
	return names
}

// The table of ops, what carries them out, and what a request can say belong together.
func TestProtoOps(t *testing.T) {
	names, used := protoNames(Request{}), map[string]bool{"v": true, "id": true, "op": true}
	roles := []string{roleAny, roleViewer, roleTrigger, roleOperator, roleAgent}
	for _, v := range protoOps {
		if v.Help == "" || !slices.Contains(roles, v.Role) {
			t.Errorf("%+v", v)
		}
		op, look := principalOps.of(v.Op) != nil, principalLooks.of(v.Op) != nil
		if op && look || (op || look) == (v.Op == msgHello || v.Op == "stop") {
			t.Errorf("%s: carried out by the loop %v, as a look %v", v.Op, op, look)
		}
		if v.Role == roleViewer && !slices.Contains([]string{"wait", "approve", "reject"}, v.Op) && !look {
			t.Errorf("%s only looks, and is carried out by the loop", v.Op)
		}
		for _, field := range v.Fields {
			field = strings.TrimSuffix(field, "*")
			used[field] = true
			if !slices.Contains(names, field) {
				t.Errorf("%s: a request has no field %q", v.Op, field)
			}
		}
		follows := slices.Contains(v.Fields, "follow")
		if follows != v.Stream && !slices.Contains([]string{"events", "watch", "backfill"}, v.Op) {
			t.Errorf("%s: follow, but no stream, or the other way round", v.Op)
		}
	}
	for _, op := range slices.Concat(principalOps.names(), principalLooks.names()) {
		if !slices.ContainsFunc(protoOps, func(v protoOp) bool { return v.Op == op }) {
			t.Errorf("%s is carried out, but is not in the table", op)
		}
	}
	for _, name := range names {
		if !used[name] {
			t.Errorf("no op reads %q", name)
		}
	}
	for _, v := range []any{Request{}, Reply{}, agentMsg{}, assignment{}, Event{}, Run{}, TaskRun{}, TaskAttempt{}} {
		names := protoNames(v)
		for i, name := range names {
			if name == "" || slices.Contains(names[:i], name) {
				t.Errorf("%T: field %d is called %q", v, i, name)
			}
		}
	}
}

// FuzzProtoDecode reads anything as a request and as an agent's message. What is taken must come back the same.
func FuzzProtoDecode(f *testing.F) {
	for _, v := range []any{Request{V: 1, ID: "1", Op: "run", Workflow: "w", Params: map[string]string{"a": "b"},
		At: stampOf(stateEpoch), Wait: true},
		agentMsg{Op: msgHello, Agent: "x", Holds: []heldRun{{"R", 1}}, Labels: map[string]string{"a": "b"}},
		agentMsg{Op: msgReport, N: 5, Skip: 2, Items: []agentItem{{Event: &Event{Kind: evTaskFinished,
			Exit: stateInt(3)}}, {Lines: []LogLine{{Text: "x"}, {Bytes: []byte{0xff}}}}}},
		agentMsg{Op: msgAssign, Assign: &assignment{Run: "R", Spec: &Workflow{ID: "w", Timeout: Duration(90e9),
			Tasks: []Task{{ID: "a"}}}}}} {
		f.Add(protoEncode(v))
	}
	f.Add([]byte(`{"at":"9999-12-31T23:59:59-10:00"}`))
	f.Add([]byte(`{"assign":{"spec":{"timeout":"15251w"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range []any{&Request{}, &agentMsg{}} {
			if protoDecode(body, v) != nil {
				continue
			}
			text := protoEncode(v)
			again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if err := protoDecode(text, again); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if two := protoEncode(again); !bytes.Equal(text, two) {
				t.Fatalf("%s comes back as %s", text, two)
			}
		}
		if op, id := peek(body); op+id != "" && !json.Valid(body) {
			t.Fatalf("%q %q of what is no JSON", op, id)
		}
	})
}

// protoTestHello is the hello of an agent with room for one run, which can and knows all that this program does.
func protoTestHello(name, epoch string) agentMsg {
	return agentMsg{V: protoVersion, Op: msgHello, Agent: name, Epoch: epoch, Capacity: 1, Version: programVersion(),
		Knows: protoKnows(), Can: protoAgentCan}
}

// TestVersion: a release says its tag, a build of a checkout its commit, and neither says another's.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ linked, noted, want string }{
		{"v0.2.0", "v0.1.1-0.20261129021136-029f6019c165", "0.2.0"},
		{"0.2.0", "", "0.2.0"},
		{"", "v0.1.0", "0.1.0"},
		{"", "v0.1.0+dirty", "0.1.0+dirty"},
		{"", "v0.2.0-rc.1", "0.2.0-rc.1"},
		{"", "v0.1.1-0.20261129021136-029f6019c165", "0.1.1-dev+029f6019c165"},
		{"", "v0.1.1-0.20261129021136-029f6019c165+dirty", "0.1.1-dev+029f6019c165.dirty"},
		{"", "v0.2.0-rc.1.0.20261129021136-029f6019c165", "0.2.0-dev+029f6019c165"},
		{"", "v0.0.0-20261129021034-1abab70186bd", versionNext + "-dev+1abab70186bd"},
		{"", "(devel)", versionNext + "-dev"},
		{"", "", versionNext + "-dev"},
	} {
		got := versionOf(c.linked, &debug.BuildInfo{Main: debug.Module{Version: c.noted}})
		if got != c.want {
			t.Errorf("linked %q, noted %q: %s, want %s", c.linked, c.noted, got, c.want)
		}
	}
	if got := versionOf("", nil); got != versionNext+"-dev" {
		t.Errorf("nothing noted: %s", got)
	}
}
