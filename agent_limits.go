// agent_limits.go: the limits of a task: they are put in force with its process, what is missing of them is said once
// in the output of its run, and an attempt that ran into one of them says so in its reason.

package main

import (
	"fmt"
	"slices"
)

// limitsFor gives limits as a process has them, nil for none.
func limitsFor(l *Limits) *procLimits {
	if l == nil {
		return nil
	}
	return &procLimits{Memory: l.Memory, CPU: l.CPU, PIDs: l.PIDs, Nice: l.Nice}
}

// limitsReason adds to the reason of a failure which limit the process has run into. What was stopped has a reason of
// its own.
func limitsReason(l *Limits, res *procResult) {
	if l == nil || res.Reason == "" || res.Stopped || res.TimedOut {
		return
	}
	switch {
	case res.Struck.Memory:
		res.Reason = fmt.Sprintf("out of memory: it may have %s (%s)", sizeText(l.Memory), res.Reason)
	case res.Struck.Machine:
		res.Reason = fmt.Sprintf("the machine, or the unit of the agent, was out of memory (%s)", res.Reason)
	case res.Struck.PIDs:
		res.Reason += fmt.Sprintf(", and it could not have more than %d processes", l.PIDs)
	case res.Struck.Each:
		res.Reason += fmt.Sprintf(", and each of its processes could not have more than %s of memory",
			sizeText(l.Memory))
	}
}

// limitsSay has the output of a run say what of the limits of an attempt is not in force as it should be, each text
// once in a run: there may be thousands of attempts.
func (a *agent) limitsSay(t *taskTry, lacks string) {
	if r := t.run; !slices.Contains(r.lacks, lacks) {
		r.lacks = append(r.lacks, lacks)
		a.remark(r, t, "limits: "+lacks)
	}
}
