// Tests of proto_text.go: what the JSON decoder would change without a word is refused, with its place.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// protoTextCases are requests, and what their refusals name; nothing is refused where that is "".
var protoTextCases = []struct{ body, want string }{
	{"{\"workflow\":\"w\",\"params\":{\"day\":\"a\xffb\"}}",
		`field "params.day" is not UTF-8: it has 0xff, at byte 35 of the request`},
	{"{\"workflow\":\"w\",\"params\":{\"ok\":\"1\",\"cut\":\"\xe2\x82\"}}",
		`field "params.cut" is not UTF-8: it has 0xe2`},
	{"{\"workflow\":\"w\",\"params\":{\"cesu\":\"\xed\xa0\x80\"}}", `field "params.cesu" is not UTF-8: it has 0xed`},
	{"{\"workflow\":\"w\",\"params\":{\"long\":\"\xc0\x80\"}}", `field "params.long" is not UTF-8: it has 0xc0`},
	{"{\"workflow\":\"w\",\"params\":{\"a\xff\":\"1\"}}", `a name in field "params" is not UTF-8: it has 0xff`},
	{`{"workflow":"w","params":{"\u0000a":"1"}}`,
		`a name in field "params" has a NUL in it, at byte 28 of the request`},
	{`{"workflow":"w","params":{"":"1","day":"a\u0000b"}}`,
		`field "params.day" has a NUL in it, at byte 42 of the request`},
	{`{"params":{},"workflow":"w\u0000"}`, `field "workflow" has a NUL in it`},
	{`{"workflow":"w","params":{"day":"\ud800"}}`,
		`field "params.day" has half of a character in it: \ud800, at byte 34 of the request`},
	{`{"workflow":"w","params":{"day":"\uDfff and more"}}`, `field "params.day" has half of a character in it: \uDfff`},
	{`{"workflow":"w","params":{"day":"\ud83dx\ude00"}}`, `field "params.day" has half of a character in it: \ud83d`},
	{`{"workflow":"w","params":{"day":"\ud83d\ud83d\ude00"}}`,
		`field "params.day" has half of a character in it: \ud83d`},
	{`{"workflow":"w","params":{"day":"\ude00\ud83d"}}`, `field "params.day" has half of a character in it: \ude00`},
	{`{"workflow":"w","params":{"day":"\\\ud800"}}`, `field "params.day" has half of a character in it: \ud800`},
	{"{\"workflow\":\"w\",\"key\":\"\xff\"}", `field "key" is not UTF-8`},
	{`{"workflow":"w","params":{"a":"\\u0000","b":"\\\\ud800","c":"\ud83d\ude00","d":"\ufffd","e":"` + "\ufffd😀é" +
		`","f":"\u0001\n\"\\"}}`, ""},
	{`{"workflow":"w","params":{"\u00e9":"\\","b":"u0000"}}`, ""},
}

func TestProtoText(t *testing.T) {
	for _, c := range protoTextCases {
		err := protoRequest([]byte(c.body), &Request{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.body, err, c.want)
		}
		var refused *protoError
		if err != nil && (!errors.As(err, &refused) || refused.Code != codeInvalid) {
			t.Errorf("%q: refused with %#v", c.body, err)
		}
	}
}

// Who asks is told, and what is pushed is logged; of neither does a run begin.
func TestProtoTextServed(t *testing.T) {
	w := compatStart(t, map[string]string{"w.yml": "params: {day: x, ok: x, cut: x, cesu: x, long: x}\ntasks:\n  a: " +
		"{cmd: echo}\n"})
	ask, push := w.connect("REQ"), w.connect("PUSH")
	for _, c := range protoTextCases {
		if c.want == "" {
			continue
		}
		var r Reply
		got := compatAsk(t, ask, `{"v":1,"id":"7","op":"run",`+strings.Replace(c.body[1:], `"workflow":"w\u0000"`,
			`"workflow":"w","of":"\u0000"`, 1))
		if err := json.Unmarshal([]byte(got), &r); err != nil || r.ID != "7" || r.Error == nil ||
			r.Error.Code != codeInvalid || !strings.Contains(r.Error.Message, "of the request") {
			t.Errorf("%q is answered with %s", c.body, got)
		}
		w.push(push, c.body)
	}
	if id := w.newest("w"); id != "" {
		t.Errorf("a run has %q", w.run(id).Params)
	}
	if log := w.logged(); !strings.Contains(log, `trigger refused`) ||
		!strings.Contains(log, `field \"params.day\" is not UTF-8`) {
		t.Errorf("the log does not say what was pushed:\n%s", log)
	}
	for body, want := range map[string]string{
		"RUNTASK\x01w\x00":      "ParseError: word 1 has a NUL byte in it, at byte 2",
		"REGISTERAGENT\x01\x00": "ParseError: word 1 has a NUL byte in it, at byte 1",
		"RUNTASK\x01w\xff":      "Could not parse string from message",
	} {
		if got := compatAsk(t, ask, body); !strings.HasPrefix(got, "CLIENTERROR\x01") || !strings.Contains(got, want) {
			t.Errorf("%q is answered with %q, want %q", body, got, want)
		}
	}
	if got := compatAsk(t, ask, `{"v":1,"id":"8","op":"run","workflow":"w","params":{"day":"\ud83d\ude00\ufffd"}}`); !strings.Contains(got, `"ok":true`) {
		t.Errorf("a sound request is answered with %s", got)
	} else if day := w.run(w.newest("w")).Params["day"]; day != "😀\ufffd" {
		t.Errorf("the run has %q", day)
	}
}

// FuzzProtoText compares with what the decoder makes of it: nothing is taken that has U+FFFD only afterwards, and what
// an encoder wrote is taken.
func FuzzProtoText(f *testing.F) {
	for _, c := range protoTextCases {
		f.Add([]byte(c.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var value any
		if json.Unmarshal(body, &value) != nil {
			return
		}
		err := protoText(body)
		if err == nil && !utf8.Valid(body) {
			t.Fatalf("%q is taken", body)
		}
		text, fault := jsonText(value)
		if fault != nil {
			t.Fatal(fault)
		}
		had := bytes.ContainsRune(body, '\ufffd') || bytes.Contains(bytes.ToLower(body), []byte(`\ufffd`))
		if err == nil && !had && bytes.ContainsRune(text, '\ufffd') {
			t.Fatalf("%q is taken and is %q", body, text)
		}
		if err := protoText(text); err != nil && !bytes.Contains(text, []byte(`\u0000`)) {
			t.Fatalf("%q was written by the encoder: %v", text, err)
		}
	})
}

// What the encoder would change is found before it is sent.
func TestProtoTexts(t *testing.T) {
	for want, req := range map[string]Request{
		"workflow is not UTF-8: byte 2 is 0xff":      {Op: "run", Workflow: "w\xff"},
		"key has a NUL byte in it, at byte 1":        {Op: "run", Key: "\x00"},
		"grep is not UTF-8: byte 1 is 0xe2":          {Op: "logs", Grep: "\xe2\x82"},
		"parameter day is not UTF-8: byte 3 is 0xff": {Op: "run", Params: map[string]string{"a": "é", "day": "ab\xff"}},
		`the name of parameter "\xff" is not UTF-8`:  {Op: "run", Params: map[string]string{"\xff": ""}},
		"<nil>": {Op: "run", Workflow: "é\ufffd😀", Params: map[string]string{"é": "\ufffd"}},
	} {
		if got := fmt.Sprint(protoTexts(&req)); !strings.Contains(got, want) {
			t.Errorf("%+v: %s, want %s", req, got, want)
		}
	}
}
