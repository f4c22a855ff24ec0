// workflow_limits.go: reads the key limits, of a workflow and of a task.

package main

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	workflowMinMemory = 1 << 20 // bytes of memory in limits; a shell does not even start with less
	workflowMaxCPU    = 100_000 // percent in limits: a thousand processors
	workflowMaxPIDs   = 1 << 22 // processes in limits, as many as Linux can have
	workflowMinNice   = -20     // the most urgent
	workflowMaxNice   = 19      // the least urgent
)

// workflowLimitsKeys are the keys of limits.
var workflowLimitsKeys = []workflowKey[*Limits]{
	{
		name: "memory", kind: "size", unset: "no limit",
		does: "What all its processes have in memory together, at least `1M`. When that is not enough, it is " +
			"killed.",
		example: "memory: 512M",
		read:    workflowMemory,
	},
	{
		name: "cpu", kind: "percent", unset: "no limit",
		does:    "Processor time, in percent of one processor: with `200%` it has two. What wants more is slowed down.",
		example: "cpu: 50%",
		read:    workflowCPU,
	},
	{
		name: "pids", kind: "1..4194304", unset: "no limit",
		does:    "Processes and threads at the same time. It cannot start more.",
		example: "pids: 100",
		read: func(r *workflowReader, l *Limits, p workflowPair) {
			r.whole(p, 1, workflowMaxPIDs, &l.PIDs)
		},
	},
	{
		name: "nice", kind: "-20..19", unset: "the agent's",
		does:    "How much it lets others go first; see nice(1). Below the agent's own only root can set it.",
		example: "nice: 10",
		read: func(r *workflowReader, l *Limits, p workflowPair) {
			l.Nice = new(int)
			r.whole(p, workflowMinNice, workflowMaxNice, l.Nice)
		},
	},
}

// workflowLimits reads limits.
func workflowLimits(r *workflowReader, p workflowPair, to **Limits) {
	pairs, ok := r.table(p, "a map such as {memory: 512M, cpu: 50%}")
	limits := Limits{}
	r.within("limits", func() { workflowFill(r, &limits, pairs, workflowLimitsKeys, nil) })
	if ok && limits != (Limits{}) {
		*to = &limits
	}
}

// workflowMemory reads a size of memory.
func workflowMemory(r *workflowReader, l *Limits, p workflowPair) {
	text, ok := r.scalar(p, "a size such as 512M")
	if !ok {
		return
	}
	n, err := parseSize(text)
	if err == nil && n < workflowMinMemory {
		err = fmt.Errorf("%s is less than %s, and no shell starts with that", workflowQuote(text),
			sizeText(workflowMinMemory))
		if strings.Trim(text, "0123456789") == "" && n > 0 && n < 100_000 {
			err = fmt.Errorf("%s is a number of bytes: write %sM", workflowQuote(text), text)
		}
	}
	if err != nil {
		r.errorf(p.value, "memory: %v", err)
		return
	}
	l.Memory = n
}

// workflowCPU reads a share of processor time. A number without % might be processors as well.
func workflowCPU(r *workflowReader, l *Limits, p workflowPair) {
	want := fmt.Sprintf("percent of one processor, 1%% to %d%%, such as 50%%, or 200%% for two", workflowMaxCPU)
	text, ok := r.scalar(p, want)
	if !ok {
		return
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 1 || n > workflowMaxCPU:
		r.errorf(p.value, "cpu: want %s, not %s", want, workflowQuote(text))
	case !percent:
		r.errorf(p.value, "cpu: %s has no %%: write %s%%", workflowQuote(text), text)
	default:
		l.CPU = n
	}
}
