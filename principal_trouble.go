// principal_trouble.go: what is wrong with the principal itself and with its agents, where no run need have failed yet:
// its disk, output that was dropped, the folder of the workflows, an agent's clock. What comes from somebody who was
// asked lies in memory and is known again when it happens again.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// attentionMaxDropped is of how many workflows dropped output is remembered; of further ones only their logs tell.
const attentionMaxDropped = 1000

// attentionWarned is how many workflows the item of warnings names; the rest is counted.
const attentionWarned = 20

// attentionTroubles is how often it is looked whether what was acknowledged is over, while the loop is awake.
const attentionTroubles = time.Minute

// attentionDropped is output that the principal's disk did not take, or an agent could not keep: of one workflow's newest run of which
// that is so.
type attentionDropped struct {
	run string
	lostLines
	agent, said string // what the agent said of it
	last        time.Time
}

// noteDropped remembers that output of a run is dropped; note says what of it. Only on the loop.
func (p *principal) noteDropped(r *Run, note func(*attentionDropped)) {
	if p.dropped == nil {
		p.dropped = map[string]attentionDropped{}
	}
	d, known := p.dropped[r.Workflow]
	if !known && len(p.dropped) >= attentionMaxDropped {
		return
	}
	if d.run != r.ID {
		d = attentionDropped{run: r.ID}
	}
	d.last = p.cfg.now()
	note(&d)
	p.dropped[r.Workflow] = d
}

// say notes what an agent says of it, behind what it has said of the same run.
func (d *attentionDropped) say(agent, said string) {
	d.agent, d.said = agent, protoReason(strings.TrimPrefix(d.said+"; "+said, "; "))
}

// reason says what was dropped, and why.
func (d *attentionDropped) reason() string {
	var parts []string
	if d.lines > 0 {
		parts = append(parts, fmt.Sprintf("%d lines of output could not be stored: %v", d.lines, d.cause))
	}
	if d.said != "" {
		parts = append(parts, "agent "+d.agent+": "+d.said)
	}
	return strings.Join(parts, "; ")
}

// noteWarned makes the item of all files that load and are warned of, nil when there are none. It is another one, to be
// acknowledged anew, when the warnings are others. Only on the loop.
func (p *principal) noteWarned() {
	var item *AttentionItem
	var all []string
	for _, id := range p.ids {
		faults := p.files[id].Faults
		if workflowBroken(faults) { // it has an item of its own
			continue
		}
		for _, fault := range faults {
			if item == nil {
				item = &AttentionItem{Kind: attentionFolder, Reason: fault.String()}
			}
			all = append(all, fault.String())
			if item.Workflows == nil || item.Workflows[len(item.Workflows)-1] != id {
				if item.Count++; len(item.Workflows) < attentionWarned {
					item.Workflows = append(item.Workflows, id)
				}
			}
		}
	}
	if item != nil {
		if len(all) > 1 {
			item.Reason += fmt.Sprintf(" (and %d more: cdktr validate)", len(all)-1)
		}
		item.Key = stateKey("folder", "", strings.Join(all, "\n"))
		item.First = stampOf(p.cfg.now())
		if p.warned != nil && p.warned.Key == item.Key {
			item.First = p.warned.First
		}
		item.Last = item.First
	}
	p.warned = item
}

// eachTrouble hands fn what is wrong and is for this peer: what is of no workflow is for those who may see agents. Only on the loop.
func (p *principal) eachTrouble(grant *authGrant, fn func(AttentionItem)) {
	for id, d := range p.dropped {
		if grant.sees(id) {
			fn(AttentionItem{Key: stateKey("output", id, d.run), Kind: attentionOutput, Workflow: id, Runs: []string{d.run}, Agent: d.agent, Count: 1, First: stampOf(d.last), Last: stampOf(d.last), Reason: d.reason()})
		}
	}
	for run, workflow := range p.left {
		if grant.sees(workflow) {
			fn(attentionOfLeft(workflow, p.state.Workflows[workflow].left(run)))
		}
	}
	if !grant.may(protoVerbOf("agents")) {
		return
	}
	if err := p.store.failing(); err != nil {
		fn(AttentionItem{Key: stateKey("disk", "journal", ""), Kind: attentionDisk, Count: 1, Reason: fmt.Sprintf("the journal cannot be written: %v; new runs are refused", err)})
	}
	if note := p.folderNote(); note != "" {
		fn(AttentionItem{Key: stateKey("folder", "", note), Kind: attentionFolder, Count: 1, Reason: note})
	}
	if p.warned != nil {
		fn(*p.warned)
	}
	for _, name := range sortedKeys(p.links) {
		if link := p.links[name]; link.skew != 0 {
			by := "ahead of"
			if link.skew < 0 {
				by = "behind"
			}
			fn(AttentionItem{Key: stateKey("clock", name, ""), Kind: attentionClock, Agent: name, Count: 1, First: stampOf(link.heard), Last: stampOf(link.heard),
				Reason: fmt.Sprintf("its clock is %s %s the principal's: the times of its lines of output are its own", Duration(link.skew.Abs().Round(time.Second)), by)})
		}
	}
}

// endTroubleAcks takes back the acknowledgements of what is over, as it finds it once in attentionTroubles: should it come again,
// it is new. Only on the loop.
func (p *principal) endTroubleAcks(now time.Time) {
	if now.Before(p.troubleAt) || len(p.state.Acks) == 0 {
		return
	}
	p.troubleAt = now.Add(attentionTroubles)
	var there []string
	for _, key := range sortedKeys(p.state.Acks) {
		if kind, _, _ := strings.Cut(key, ":"); kind != attentionDisk && kind != attentionFolder && kind != attentionClock {
			continue
		}
		if there == nil {
			there = []string{""}
			p.eachTrouble(authOwner, func(item AttentionItem) { there = append(there, item.Key) })
		}
		if !slices.Contains(there, key) {
			p.emit(&Event{Kind: evAckOver, Key: key})
		}
	}
}

// attentionOfLeft makes the item of a run that has left something which lives.
func attentionOfLeft(workflow string, l *RunLeft) AttentionItem {
	first := l.Processes[0]
	return AttentionItem{Key: stateKey("left", workflow, l.Run), Kind: attentionLeft, Workflow: workflow, Task: first.Task, Agent: first.Agent, Runs: []string{l.Run}, Count: 1,
		First: l.Since, Last: l.Since, Reason: leftText(l.Processes) + ": " + first.Why + "; end it there, as root"}
}
