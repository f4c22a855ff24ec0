// principal_approve.go: tasks that wait for a person. Who may answer is said by the task; what was answered is an event
// with the name of who did it. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"strings"
)

// opApprove answers a task that waits for a person (approve and reject).
func (p *principal) opApprove(c *opCall) {
	r := p.state.Runs[c.req.Run]
	if r == nil {
		p.looks.absentRun(c, func(r *Run) { c.refuse(refuse(codeConflict, "run %s is %s already", r.ID, r.State)) })
		return
	}
	t, refused := p.approvalOf(c, r)
	if refused != nil {
		p.looks.refuseAside(c, refused)
		return
	}
	task := p.asks.taskOf(r, t)
	uid := -1
	if peer := c.conn.Peer(); peer.HasCred && peer.Name == "" {
		uid = int(peer.UID)
	}
	switch err := textFault(c.req.Comment); {
	case err != nil:
		c.refuse(refuse(codeInvalid, "the comment %v", err))
	case task == nil || !task.approver(c.by, uid, c.grant.operates()):
		c.refuse(refuse(codeNotAllowed, "task %s of run %s is not for %s to decide%s", t.Task, r.ID, c.by,
			approversText(task)))
	default:
		p.asks.answerBy(r, t, approvalOf(c.req.Op == "approve", c.by, c.req.Comment), c.by, c.from)
		reply := Reply{Run: r.ID}
		if p.fleet.links[r.Agent] == nil {
			reply.Note = fmt.Sprintf("agent %s is not connected now: the run goes on when it is back", r.Agent)
		}
		p.whenDurable(func() { c.reply(reply) })
	}
}

// approversText says who may decide, for the end of a sentence.
func approversText(task *Task) string {
	if task == nil || len(task.Approvers) == 0 {
		return ": whoever may operate is"
	}
	return ": " + strings.Join(task.Approvers, ", ") + " may"
}

// approvalOf makes the answer of a person.
func approvalOf(yes bool, by, comment string) TaskAnswer {
	as := TaskAnswer{State: taskSucceeded, Reason: "approved by " + by,
		Outputs: map[string]string{"by": by, "comment": comment}}
	if !yes {
		as = TaskAnswer{State: taskFailed, Reason: "rejected by " + by}
	}
	if comment != "" {
		as.Reason += ": " + comment
	}
	return as
}

// approvalOf finds the task that a request is about: the one that it names, or the one that waits.
func (p *principal) approvalOf(c *opCall, r *Run) (*TaskRun, *protoError) {
	var waits []string
	var found *TaskRun
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.asking() && t.Ask.For == askApprove && (c.req.Task == "" || c.req.Task == t.Task) {
			waits, found = append(waits, t.Task), t
		}
	}
	switch t := r.task(c.req.Task); {
	case len(waits) == 1:
		return found, nil
	case len(waits) > 1:
		return nil, refuse(codeConflict, "%d tasks of run %s wait for approval: name one: %s", len(waits), r.ID,
			strings.Join(waits, ", "))
	case c.req.Task == "":
		return nil, refuse(codeConflict, "no task of run %s waits for approval (the run is %s)", r.ID, r.State)
	case t == nil:
		return nil, noTask(r, c.req.Task)
	case t.Ask != nil && t.Ask.Answer != nil:
		return nil, refuse(codeConflict, "task %s of run %s was %s already", t.Task, r.ID, t.Ask.Answer.Reason)
	default:
		return nil, refuse(codeConflict, "task %s of run %s does not wait for approval: it is %s", t.Task, r.ID,
			strings.TrimSuffix(t.State+": "+t.Reason, ": "))
	}
}

// eachApproval hands fn the tasks that wait for a person.
func (a *attention) eachApproval(grant *authGrant, fn func(AttentionItem)) {
	for id := range a.asks.open {
		r := a.state.Runs[id]
		if r == nil || !grant.sees(r.Workflow) {
			continue
		}
		for i := range r.Tasks {
			t := &r.Tasks[i]
			if t.asking() && t.Ask.For == askApprove && r.Cancelling == "" {
				fn(AttentionItem{Key: stateKey(askApprove, r.ID, t.Task), Kind: attentionApprove,
					Workflow: r.Workflow, Task: t.Task, Reason: t.waitsFor(), Runs: []string{r.ID}, Count: 1,
					First: t.began(), Last: t.began()})
			}
		}
	}
}
