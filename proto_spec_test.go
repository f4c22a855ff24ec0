// Tests of how an agent reads what the principal says.

package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// specMessage gives an assignment as it goes out.
func specMessage(run string, w *Workflow) []byte {
	return protoEncode(&agentMsg{V: protoVersion, Op: msgAssign, Assign: &assignment{Run: run, Lease: 1, Attempt: 1,
		Trigger: triggerManual, Spec: w}})
}

// A message is the same whether its workflow was there before or not, and runs of one workflow share it.
func TestProtoOfPrincipal(t *testing.T) {
	one := &Workflow{ID: "one", Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}}
	two := &Workflow{ID: "two", Tasks: []Task{{ID: "a", Run: "false"}}}
	newer := []byte(strings.Replace(string(specMessage("R", one)), `"overlap"`, `"newer":1,"overlap"`, 1))
	broken := []byte(strings.Replace(string(specMessage("R", one)), `"allow"`, `7`, 1))
	var specs protoSpecs
	seen := map[string]*Workflow{}
	full := func(change func(as *assignment)) []byte {
		as := &assignment{Run: "R", Lease: 2, Attempt: 1, Trigger: triggerManual, Spec: one}
		change(as)
		return protoEncode(&agentMsg{V: protoVersion, Op: msgAssign, Assign: as})
	}
	for _, body := range [][]byte{specMessage("R1", one), specMessage("R2", two), specMessage("R3", one), newer, newer,
		full(func(as *assignment) { as.Ahead = true }),
		full(func(as *assignment) { as.Ahead, as.Lines = true, 7 }),
		full(func(as *assignment) { as.Scheduled = stampOf(stateEpoch) }),
		full(func(as *assignment) { as.Scheduled, as.Ahead, as.Run = stampOf(stateEpoch), true, "é" }),
		full(func(as *assignment) { as.Params = map[string]string{"spec": `,"spec":{}}`} }),
		full(func(as *assignment) { as.Done = []TaskRun{{Task: "a", State: taskSucceeded}} }),
		full(func(as *assignment) { as.Lease = 0 }), full(func(as *assignment) { as.Spec = nil }),
		append(full(func(*assignment) {}), "}}"...),
		broken, broken, []byte(`{"v":1,"op":"assign"}`), []byte(`{"v":1,"op":"assign","assign":null}`),
		[]byte(`{"v":1,"op":"cancel","run":"R1"}`), []byte(`{"v":1,"op":"ack","n":17}`), []byte(`{"v":1,"op":"ack"}`),
		[]byte(`{"v":1,"op":"ack","n":-1}`), []byte(`{"v":1,"op":"ack","n":1`), []byte(`{"v":1,"op":"ack","n":}`)} {
		want := &agentMsg{}
		wantErr := protoPeer(body, want)
		got, err := protoOfPrincipal(body, &specs)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s: %v, want %v", body, err, wantErr)
		}
		if err != nil {
			continue
		}
		if as := got.Assign; as != nil {
			if as.Spec != nil && as.Run != "" && as.unknown == nil && as.unreadable == nil {
				if before := seen[as.Spec.ID]; before != nil && before != as.Spec {
					t.Errorf("%s: the workflow was read anew", body)
				}
				seen[as.Spec.ID] = as.Spec
			}
			if as.specs = nil; reflect.DeepEqual(as, &assignment{}) { // the loop takes both alike
				got.Assign = want.Assign
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
	if n := len(specs.byText); n != 5 {
		t.Errorf("%d workflows are remembered, not 5", n)
	}
	for i := range 3 * protoSpecsMax / 1000 {
		protoOfPrincipal(specMessage("R", &Workflow{ID: fmt.Sprint(i), Description: strings.Repeat("x", 1000)}), &specs)
		if specs.size > protoSpecsMax {
			t.Fatalf("%d bytes are remembered", specs.size)
		}
	}
	if n, ok := protoAcked(protoAck(1<<64 - 1)); n != 1<<64-1 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
}

// An assignment of a workflow that is known takes little memory, and an acknowledgement one piece.
func TestProtoOfPrincipalAllocs(t *testing.T) {
	var specs protoSpecs
	for _, test := range []struct {
		body []byte
		most float64
	}{
		{specMessage("R", &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}}), 4},
		{protoAck(1234567), 1},
	} {
		if n := allocsOf(100, func() {
			if _, err := protoOfPrincipal(test.body, &specs); err != nil {
				t.Fatal(err)
			}
		}); n > test.most {
			t.Errorf("%s: %v allocations, at most %v", test.body, n, test.most)
		}
	}
}

func BenchmarkAssignRead(b *testing.B) {
	var specs protoSpecs
	body := specMessage("01JD0000000000000000000000", &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protoOfPrincipal(body, &specs); err != nil {
			b.Fatal(err)
		}
	}
}

// TestProtoAssigned: an assignment is written as encoding/json has it, also when the workflow is not the last one, and
// for one after the other of a workflow the workflow is written once.
func TestProtoAssigned(t *testing.T) {
	spec := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "echo <é> && \"x\""}}}
	p := protoAssigned{}
	for i, as := range []*assignment{
		{Run: "R1", Lease: 1, Attempt: 1, Trigger: triggerManual, Spec: spec},
		{Run: "R2", Lease: 2, Attempt: 3, Trigger: triggerManual, Spec: spec, Ahead: true,
			Scheduled: stampOf(time.Date(2026, 1, 31, 12, 0, 0, 1e6, time.UTC))},
		{Run: "R3", Lease: 1, Attempt: 1, Trigger: triggerManual, Spec: &Workflow{ID: "other"}},
		{Run: "R4", Lease: 1, Attempt: 1, Spec: spec, Params: map[string]string{"k": "v"}},
		{Run: "R5", Lease: 1, Attempt: 1, Spec: spec, Lines: 3},
		{Run: "R6", Lease: 1, Attempt: 2, Spec: spec, Done: []TaskRun{{Task: "a", State: taskSucceeded}}},
		{Run: "R7", Lease: 1, Attempt: 1},
	} {
		want := protoEncode(&agentMsg{V: protoVersion, Op: msgAssign, Assign: as})
		for range 2 {
			if found := p.encode(as); string(found) != string(want) {
				t.Errorf("%d:\n%s\n%s", i, found, want)
			}
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[assignment]()) {
		if !field.IsExported() {
			continue
		}
		as := fieldFilled(t, assignment{Run: "R", Lease: 1, Attempt: 1, Trigger: triggerManual, Spec: spec}, field)
		want := protoEncode(&agentMsg{V: protoVersion, Op: msgAssign, Assign: &as})
		if found := p.encode(&as); string(found) != string(want) {
			t.Errorf("%s:\n%s\n%s", field.Name, found, want)
		}
	}
	as := &assignment{Run: "R", Lease: 1, Attempt: 1, Trigger: triggerManual, Spec: spec}
	if n := allocsOf(100, func() { p.encode(as) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkProtoAssigned(b *testing.B) {
	p := protoAssigned{}
	as := &assignment{Run: "01JD8ZQ0000000000000000000", Lease: 1, Attempt: 1, Trigger: triggerManual,
		Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}}}
	b.ReportAllocs()
	for b.Loop() {
		p.encode(as)
	}
}
