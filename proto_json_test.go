package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// jsonTypes gives a new value of each type that is sent or that journals hold.
func jsonTypes() []any {
	return []any{&Request{}, &Reply{}, &agentMsg{}, &Event{}, &Workflow{}, &Run{}, &RunRow{Run: &Run{}}, &parcel{},
		&logJSON{}, &assignment{}, &struct {
			Inner struct {
				*Task
				ID    int     `json:"id"`
				Float float64 `json:"-"`
			}
			Any   any
			Array [2]bool
			Bytes []byte
			Small float64 `json:",omitempty"`
			Other map[int]string
		}{}}
}

// jsonFill sets what v leads to by chance.
func jsonFill(rnd *rand.Rand, v reflect.Value, depth int) {
	texts := []string{"", "plain", "two words", "\"quoted\\\"", "a<b>&c", "tab\tline\n\x00\x7f",
		"caf\u00e9 \u2028\u2029",
		"bad\xff", "\U0001F600", "{\"a\":[1,2]}"}
	switch v.Interface().(type) {
	case Stamp:
		if rnd.IntN(3) > 0 {
			v.Set(reflect.ValueOf(stampOf(time.Unix(rnd.Int64N(4e9), rnd.Int64N(1e9)))))
		}
		return
	case Duration:
		v.SetInt(rnd.Int64N(1e15))
		return
	case protoCount:
		v.SetInt(rnd.Int64N(100) - 1)
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"a":[1,"}",{}],"b":null}`))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[rnd.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, 0.25, 1e-7, 12345.678, 1e21, -3}[rnd.IntN(7)])
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && depth < 6 {
				jsonFill(rnd, v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		if v.IsNil() && rnd.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
		}
		if !v.IsNil() {
			jsonFill(rnd, v.Elem(), depth+1)
		}
	case reflect.Slice:
		if n := rnd.IntN(4) - 1; n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				jsonFill(rnd, v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		if n := rnd.IntN(4) - 1; n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				jsonFill(rnd, key, depth+1)
				jsonFill(rnd, value, depth+1)
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Interface, reflect.Array:
	default:
		if n := rnd.Int64N(100); v.CanInt() {
			v.SetInt(n - 50)
		} else {
			v.SetUint(uint64(n))
		}
	}
}

// TestJSONSame: JSON is written and read as encoding/json does it, and what was written so is read without it.
func TestJSONSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		for i, v := range jsonTypes() {
			if i > 0 || rnd.IntN(10) > 0 {
				jsonFill(rnd, reflect.ValueOf(v).Elem(), 0)
			}
			want, err := jsonTextOther(v)
			got, err2 := jsonText(v)
			if err != nil || err2 != nil || !bytes.Equal(got, want) {
				t.Fatalf("%T is written as\n%s, want\n%s (%v, %v)", v, got, want, err2, err)
			}
			back, other := jsonTypes()[i], jsonTypes()[i]
			plain := jsonReadPlain(want, back)
			err = json.Unmarshal(want, other)
			if plain != (err == nil) || plain && !reflect.DeepEqual(back, other) {
				t.Fatalf("%s is read as\n%+v (%v), want\n%+v (%v)", want, back, plain, other, err)
			}
		}
	}
	for _, v := range []any{nil, "text\n", 7, []string(nil), map[string]int{"b": 1, "a": 2}, jsonFill, 1e-7} {
		want, err := jsonTextOther(v)
		got, err2 := jsonText(v)
		if !bytes.Equal(got, want) || (err == nil) != (err2 == nil) {
			t.Errorf("%v is written as %s (%v), want %s (%v)", v, got, err2, want, err)
		}
	}
}

// FuzzJSONRead: what is read without encoding/json is sound, and is read as encoding/json reads it.
func FuzzJSONRead(f *testing.F) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, v := range jsonTypes() {
		jsonFill(rnd, reflect.ValueOf(v).Elem(), 3)
		text, _ := jsonTextOther(v)
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte(","), []byte(" ,\n")))
	}
	for _, text := range []string{`{"v":1,"v":2}`, `{"V":1}`, `{"v":1}x`, `{"v":01}`, `{"v":1.0}`, `{"v":-0}`,
		`{"v":1,}`,
		`{"id":"\ud800"}`, "{\"id\":\"\xff\"}", `{"runs":null,"ok":null}`, `{"runs":[null,{}]}`,
		`{"spec":{"params":{}}}`,
		`{"clock":null}`, `{"n":null}`, `{"error":{}}`, ` { } `, `{"v" : 1 }`, `null`, `{"stats":}`,
		`{"v":99999999999999}`,
		`{"params":{"a":"1","a":"2"}}`, `{"id":"a` + "\n" + `b"}`, `{"seq":-1}`, `{"seconds":1e400}`, `{"load":1E2}`,
		`{"assign":{"run":"r","spec":[}]}}`, `{"assign":{"spec":{"a":"}"}}}`, `{"runs":[{}{}]}`, `{"runs":[,]}`, `[]`,
		``} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for i, v := range jsonTypes() {
			if !jsonReadPlain(text, v) {
				if !reflect.ValueOf(v).Elem().IsZero() {
					t.Fatalf("%q leaves %+v", text, v)
				}
				continue
			}
			want := jsonTypes()[i]
			if i == 6 { // jsonReadPlain was given a run to read into
				v, want = v.(*RunRow), &RunRow{Run: &Run{}}
			}
			if err := json.Unmarshal(text, want); err != nil || !reflect.DeepEqual(v, want) {
				t.Fatalf("%q is read as\n%+v, want\n%+v (%v)", text, v, want, err)
			}
		}
	})
}

// jsonSample is an answer as show gets it.
func jsonSample() *Reply {
	at := stampOf(time.Unix(1.7e9, 0))
	exit := 0
	r := &Run{ID: strings.Repeat("A", 26), Workflow: "etl.daily", State: runSucceeded, Trigger: "schedule", Agent: "a",
		Attempt: 1, Params: map[string]string{"day": "2026-01-31"}, Queued: at, Started: at, Finished: at, Seconds: 1.5}
	for range 5 {
		r.Tasks = append(r.Tasks, TaskRun{Task: "load", State: taskSucceeded, Exit: &exit, Started: at, Finished: at})
	}
	return &Reply{V: 1, ID: "1", OK: true, Runs: []*Run{r}}
}

// TestJSONAllocations holds what an answer costs to write and to read.
func TestJSONAllocations(t *testing.T) {
	r := jsonSample()
	text := protoEncode(r)
	if n := testing.AllocsPerRun(100, func() { protoEncode(r) }); n > 15 {
		t.Errorf("to write an answer takes %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { jsonReadPlain(text, &Reply{}) }); n > 60 {
		t.Errorf("to read an answer takes %v allocations", n)
	}
	req := protoEncode(&Request{V: 1, ID: "1", Op: "show", Run: r.ID})
	if n := testing.AllocsPerRun(100, func() { protoRequest(req, &Request{}) }); n > 5 {
		t.Errorf("to read a request takes %v allocations", n)
	}
}

func BenchmarkJSON(b *testing.B) {
	r := jsonSample()
	text := protoEncode(r)
	req := protoEncode(&Request{V: 1, ID: "1", Op: "show", Run: r.ID})
	for _, c := range []struct {
		name string
		fn   func()
	}{
		{"write", func() { protoEncode(r) }},
		{"write/other", func() { jsonTextOther(r) }},
		{"read", func() { jsonReadPlain(text, &Reply{}) }},
		{"read/other", func() { json.Unmarshal(text, &Reply{}) }},
		{"request", func() { jsonReadPlain(req, &Request{}) }},
		{"request/other", func() { json.Unmarshal(req, &Request{}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.fn()
			}
		})
	}
}
