// proto_spec.go: how agents and principals of different versions work together. A message may have fields that its
// reader does not know: the reader passes over them. Two things are said in advance, in hello and welcome:
//
//   - can: the messages that the sender takes besides those of the first form of the protocol, by their ops. A peer
//     sends it no others.
//   - knows: the keys of a workflow that an agent knows. An agent that ran a task without a key that it does not know
//     would do something else than the file says. So it is given no run that has others, and refuses one that has. Keys
//     are named as they are in the JSON of a workflow, with those of what is within behind a dot: timeout,
//     tasks.timeout, tasks.python.uv.
//
// A peer that says neither, or speaks another version of the protocol, is a stranger: it is refused.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// What this program takes besides the first messages, as an agent and as a principal.
var (
	protoAgentCan     = []string{msgFollow, msgStopTask, msgRecall, msgAnswer, msgPart}
	protoPrincipalCan = []string{msgLeft, msgReturn, msgParcel}
)

// stranger says of a hello or a welcome why its reader cannot work with its sender, "" when it can.
func (m *agentMsg) stranger() string {
	they, we := "agent "+m.Agent, "the principal"
	if m.Op == msgWelcome {
		they, we = "the principal", "this agent"
	}
	they = textHead(they, protoMaxName) + " (" + textHead(orDefault(m.Version, "of no version"), protoMaxName) + ")"
	switch {
	case m.V > protoVersion:
		return fmt.Sprintf("%s speaks version %d of the protocol, and %s version %d: update %[3]s", they, m.V, we,
			protoVersion)
	case m.Can == nil || m.Op == msgHello && m.Knows == nil:
		return fmt.Sprintf("%s is too old for %s: its %s does not say what it can and knows", they, we, m.Op)
	}
	return ""
}

// protoMaxKnows bounds the list of a hello; an agent with a longer one is not let in.
const protoMaxKnows = 1000

// protoKnows lists the keys of a workflow that this program knows.
func protoKnows() (keys []string) {
	var walk func(t reflect.Type, front string)
	walk = func(t reflect.Type, front string) {
		for i := range t.NumField() {
			key := front + protoJSONName(t.Field(i))
			keys = append(keys, key)
			if within := protoWithin(t.Field(i).Type); within != nil {
				walk(within, key+".")
			}
		}
	}
	walk(reflect.TypeFor[Workflow](), "")
	return keys
}

// protoUses lists the keys that a workflow has, each once, sorted.
func protoUses(w *Workflow) []string {
	var tree any
	if err := json.Unmarshal(protoEncode(w), &tree); err != nil {
		panic("cdktr: internal error: read workflow: " + err.Error()) // it was just written
	}
	used := map[string]bool{}
	protoWalk(tree, reflect.TypeFor[Workflow](), "", func(key string, _ bool) { used[key] = true })
	return sortedKeys(used)
}

// protoUnknown lists the keys of a workflow, as JSON, that this program does not know.
func protoUnknown(spec []byte) []string {
	var tree any
	if json.Unmarshal(spec, &tree) != nil {
		return nil
	}
	unknown := map[string]bool{}
	protoWalk(tree, reflect.TypeFor[Workflow](), "", func(key string, known bool) {
		if !known {
			unknown[key] = true
		}
	})
	if len(unknown) == 0 {
		return nil
	}
	return sortedKeys(unknown)
}

// protoWalk hands fn each key of a JSON value that should be of type t, and whether t has the key.
func protoWalk(tree any, t reflect.Type, front string, fn func(key string, known bool)) {
	object, _ := tree.(map[string]any)
	for name, value := range object {
		i := protoField(t, name)
		fn(front+name, i >= 0)
		if i < 0 {
			continue
		}
		within := protoWithin(t.Field(i).Type)
		if within == nil {
			continue
		}
		switch parts := value.(type) {
		case []any: // of tasks
			for _, part := range parts {
				protoWalk(part, within, front+name+".", fn)
			}
		case map[string]any:
			if t.Field(i).Type.Kind() == reflect.Map { // of parameters, by names that are the user's
				for _, part := range parts {
					protoWalk(part, within, front+name+".", fn)
				}
				continue
			}
			protoWalk(value, within, front+name+".", fn)
		}
	}
}

// protoWithin gives the struct that a field holds, one or many; nil when it holds none, or one that JSON has as a text.
func protoWithin(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Stamp]() {
		return nil
	}
	return t
}

// protoField gives the place of the field with that name in JSON, -1 when there is none.
func protoField(t reflect.Type, name string) int {
	for i := range t.NumField() {
		if protoJSONName(t.Field(i)) == name {
			return i
		}
	}
	return -1
}

// protoJSONName gives the name that a field has in JSON.
func protoJSONName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// UnmarshalJSON reads an assignment as its sender has written it. A workflow with keys that are not known here, or that
// cannot be read, is no error: it is noted, so that the agent can refuse this run and go on with others.
func (as *assignment) UnmarshalJSON(text []byte) error {
	type fields assignment
	read := struct {
		*fields
		Spec json.RawMessage `json:"spec"`
	}{fields: (*fields)(as)}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	spec := as.specs.of(read.Spec)
	as.Spec, as.unknown, as.unreadable = spec.workflow, spec.unknown, spec.unreadable
	return nil
}

// protoSpecsMax is how many bytes of workflows an agent remembers, as JSON. With more it begins anew.
const protoSpecsMax = 1 << 20

// protoSpecs remembers the workflows of assignments by their text: most runs are of the same few. One goroutine at a
// time may use it. Nobody may change the workflows, which many runs have. nil remembers none.
type protoSpecs struct {
	byText map[string]protoSpec
	size   int
}

// protoSpec is a workflow as an assignment brought it.
type protoSpec struct {
	workflow   *Workflow
	unknown    []string // its keys that this program does not know
	unreadable error    // why it could not be read
}

// of reads a workflow.
func (s *protoSpecs) of(text []byte) (spec protoSpec) {
	if s != nil {
		if known, ok := s.byText[string(text)]; ok {
			return known
		}
	}
	spec.unknown = protoUnknown(text)
	if len(text) > 0 {
		spec.unreadable = json.Unmarshal(text, &spec.workflow)
	}
	if s == nil {
		return spec
	}
	if s.size += len(text); s.size > protoSpecsMax || s.byText == nil {
		s.byText, s.size = map[string]protoSpec{}, len(text)
	}
	s.byText[string(text)] = spec
	return spec
}

// scan reads an assignment of a workflow that is remembered, as most are: without parameters, and with nothing done
// yet. It gives nil for any other message.
func (s *protoSpecs) scan(body []byte) *assignment {
	p, as := parcelScanner{rest: body, ok: true}, &assignment{}
	p.skip(protoAssignFront)
	as.Run = p.short()
	p.skip(`,"lease":`)
	as.Lease = p.count()
	p.skip(`,"attempt":`)
	as.Attempt = p.count()
	p.skip(`,"trigger":`)
	as.Trigger = p.short()
	if p.has(`,"scheduled":`) {
		at := p.short()
		p.ok = p.ok && as.Scheduled.UnmarshalJSON([]byte(at)) == nil
	}
	p.skip(`,"spec":`)
	text, whole := bytes.CutSuffix(p.rest, []byte("}}"))
	text, as.Ahead = bytes.CutSuffix(text, []byte(`,"ahead":true`))
	spec, known := s.byText[string(text)]
	if !p.ok || !whole || !known {
		return nil
	}
	as.Spec, as.unknown, as.unreadable = spec.workflow, spec.unknown, spec.unreadable
	return as
}

// protoAssigned writes assignments. It remembers the text of the last workflow: often many runs of one are given to
// agents in a row. One goroutine uses it.
type protoAssigned struct {
	spec *Workflow
	text []byte
}

// encode makes the message of an assignment. The workflow must not change any more.
func (p *protoAssigned) encode(as *assignment) []byte {
	if len(as.Params)+len(as.Done)+len(as.Spent) > 0 || as.Lines != 0 || as.Spec == nil || as.End != nil ||
		as.Event != nil || as.Part != nil {
		return protoEncode(&agentMsg{V: protoVersion, Op: msgAssign, Assign: as})
	}
	if p.spec != as.Spec {
		p.spec, p.text = as.Spec, protoEncode(as.Spec)
	}
	b := appendJSONText(append(make([]byte, 0, len(p.text)+256), protoAssignFront...), as.Run)
	b = strconv.AppendInt(append(b, `,"lease":`...), int64(as.Lease), 10)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(as.Attempt), 10)
	b = appendJSONText(append(b, `,"trigger":`...), as.Trigger)
	if !as.Scheduled.IsZero() {
		b = as.Scheduled.appendJSON(append(b, `,"scheduled":`...))
	}
	b = append(append(b, `,"spec":`...), p.text...)
	if as.Ahead {
		b = append(b, `,"ahead":true`...)
	}
	return append(b, "}}"...)
}

// assignedEnd says how a run ended that is given to an agent for its handlers alone.
type assignedEnd struct {
	State   string  `json:"state"`
	Reason  string  `json:"reason,omitempty"`
	Started Stamp   `json:"started,omitzero"`
	Seconds float64 `json:"seconds,omitempty"` // that its graph took
}

// assignedPart says of which task of which run a part is.
type assignedPart struct {
	Run   string `json:"run"`
	Task  string `json:"task"`
	Of    string `json:"of,omitempty"`    // the task with foreach that it is an instance of
	Tries int    `json:"tries,omitempty"` // attempts that there were, on agents that were lost
	Share int    `json:"share,omitempty"` // among so many instances log.max_size is shared; 0: there are none
}

// protoAssignFront is what an assignment begins with.
const protoAssignFront = `{"v":1,"op":"` + msgAssign + `","assign":{"run":`

// protoOfPrincipal reads a message of the principal. specs are the workflows that its connection has brought.
func protoOfPrincipal(body []byte, specs *protoSpecs) (*agentMsg, error) {
	if n, ok := protoAcked(body); ok {
		return &agentMsg{V: protoVersion, Op: msgAck, N: n}, nil
	}
	if as := specs.scan(body); as != nil {
		return &agentMsg{V: protoVersion, Op: msgAssign, Assign: as}, nil
	}
	m := &agentMsg{Assign: &assignment{specs: specs}}
	err := protoPeer(body, m)
	if m.Op != msgAssign && m.Op != msgPart {
		m.Assign = nil
	}
	return m, err
}

// protoAckFront is what an acknowledgement begins with.
const protoAckFront = `{"v":1,"op":"` + msgAck + `","n":`

// protoAck writes an acknowledgement of all up to number n: there is one for nearly every run.
func protoAck(n uint64) []byte {
	return append(strconv.AppendUint([]byte(protoAckFront), n, 10), '}')
}

// protoAcked reads what protoAck has written.
func protoAcked(body []byte) (n uint64, ok bool) {
	digits, ok := bytes.CutPrefix(body, []byte(protoAckFront))
	digits, whole := bytes.CutSuffix(digits, []byte("}"))
	if !ok || !whole {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	return n, err == nil
}

// unfit says why an agent must refuse an assignment, "" when it can take it.
func (as *assignment) unfit() string {
	switch {
	case as.unreadable != nil:
		return fmt.Sprintf("cannot read its workflow: %v", as.unreadable)
	case len(as.unknown) > 0:
		return "does not know " + protoKeysText(as.unknown)
	}
	return ""
}

// protoKeysText names some of the keys, for a sentence.
func protoKeysText(keys []string) string {
	const most = 3
	text := "`" + strings.Join(keys[:min(most, len(keys))], "`, `") + "`"
	if more := len(keys) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return textHead(text, protoMaxName)
}
