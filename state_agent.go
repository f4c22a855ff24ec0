// state_agent.go: agents as the principal knows them, and how they come and go.

package main

import (
	"strconv"
	"strings"
)

// States of an agent.
const (
	agentUp    = "up"
	agentDrain = "drain"
	agentLost  = "lost"
)

// Agent is a worker as the principal knows it. The field names are those of `agents --json`.
type Agent struct {
	Name     string            `json:"agent"`
	State    string            `json:"state"`
	Labels   map[string]string `json:"labels"`
	Capacity int               `json:"capacity"`           // how many runs it takes at once
	Running  int               `json:"running"`            // how many it has; only in replies
	Version  string            `json:"version"`            // of this program
	Seen     Stamp             `json:"seen,omitzero"`      // when it was last heard
	Draining bool              `json:"draining,omitempty"` // it gets no more runs, whether it is there or not
	Epoch    string            `json:"epoch,omitempty"`    // of its numbering
	N        uint64            `json:"n,omitempty"`        // its newest event that was folded
	Skew     float64           `json:"skew,omitempty"`     // seconds that its clock is ahead, if many; only in replies
	Address  string            `json:"address,omitempty"`  // see stateAddress
	Load     *float64          `json:"load,omitempty"`     // of its machine, averaged over a minute; only in replies
}

// loadText writes the load of an agent's machine for people.
func (a *Agent) loadText() string {
	if a.Load == nil {
		return "-"
	}
	return strconv.FormatFloat(*a.Load, 'f', 2, 64)
}

// stateAddress says where an agent is, by the name of its connection: the address and port that the principal sees, or
// that it is a process of this machine. ssh may have started such a process for an agent far away.
func stateAddress(from string) string {
	if at, ok := strings.CutPrefix(from, "tcp://"); ok {
		return at
	}
	if pid, ok := strings.CutPrefix(from, "ipc "); ok {
		return "local " + pid
	}
	if from == "" { // the connection does not say
		return ""
	}
	return "local"
}

// applyAgent folds that an agent came, went, is drained, or is forgotten.
func (s *State) applyAgent(e *Event) {
	a := s.agent(e.Agent)
	switch e.Kind {
	case evAgentUp:
		build := a.Version
		a.Labels, a.Capacity, a.Version, a.State, a.Seen = e.Labels, e.Capacity, e.Build, agentUp, e.Time
		a.Address = stateAddress(e.From)
		if a.Labels == nil { // the journal leaves empty labels out: so nil and empty must not differ
			a.Labels = map[string]string{}
		}
		if a.Draining {
			a.State = agentDrain
		}
		if a.Epoch != e.Epoch {
			a.Epoch, a.N = e.Epoch, 0
		}
		delete(s.Acks, stateKey("agent", e.Agent, ""))
		if build != e.Build { // another version may know more
			delete(s.Acks, stateKey("old", e.Agent, ""))
		}
	case evAgentLost:
		a.State, a.Seen = agentLost, e.Time
		if !e.Until.IsZero() {
			a.Seen = e.Until
		}
	case evAgentDrained:
		a.Draining = true
		if a.State == agentUp {
			a.State = agentDrain
		}
	case evAgentUndrain:
		a.Draining = false
		if a.State == agentDrain {
			a.State = agentUp
		}
	case evAgentForgot:
		delete(s.Agents, e.Agent)
		delete(s.Acks, stateKey("agent", e.Agent, ""))
		delete(s.Acks, stateKey("old", e.Agent, ""))
		for _, kind := range []string{"agent", "old", "clock"} { // who forgets it knows
			delete(s.Told, stateKey(kind, e.Agent, ""))
		}
		s.forgetLeft(e.Agent)
	}
}
