package main

import (
	"testing"
)

func TestWorkflowLimitsFaults(t *testing.T) {
	task := func(limits string) string { return "tasks:\n  a: {run: x, limits: " + limits + "}\n" }
	const front = `w.yml:2:23: task "a": `
	const inside = `task "a": limits: `
	workflowTestFaults(t, []workflowFaultCase{
		{"all of them", task("{memory: 1.5G, cpu: 200%, pids: 1, nice: -20}"), ""},
		{"at the top", "limits: {nice: 19}\ntasks:\n  a: {run: x}\n", ""},
		{"nothing", task("{}"), ""},
		{"no map", task("512M"), front + `limits: want a map such as {memory: 512M, cpu: 50%}, not "512M"`},
		{"memory that is no size", task("{memory: much}"),
			`w.yml:2:32: ` + inside + `memory: "much" is not a size: write it as 512K, 10M or 2G`},
		{"memory without a unit", task("{memory: 512}"),
			`w.yml:2:32: ` + inside + `memory: "512" is a number of bytes: write 512M`},
		{"too little memory", task("{memory: 64K}"),
			`w.yml:2:32: ` + inside + `memory: "64K" is less than 1M, and no shell starts with that`},
		{"no memory", task("{memory: 0}"),
			`w.yml:2:32: ` + inside + `memory: "0" is less than 1M, and no shell starts with that`},
		{"cpu without %", task("{cpu: 50}"), `w.yml:2:29: ` + inside +
			`cpu: "50" has no %: write 50%`},
		{"cpu of nothing", task("{cpu: 0%}"), `w.yml:2:29: ` + inside +
			`cpu: want percent of one processor, 1% to 100000%, such as 50%, or 200% for two, not "0%"`},
		{"no pids", task("{pids: 0}"),
			`w.yml:2:30: ` + inside + `pids: want a whole number from 1 to 4194304, not "0"`},
		{"nice beyond", task("{nice: 20}"),
			`w.yml:2:30: ` + inside + `nice: want a whole number from -20 to 19, not "20"`},
		{"misspelt", task("{memroy: 1G}"),
			`w.yml:2:24: ` + inside + `key "memroy" is not known (did you mean "memory"?)`},
		{"of systemd", "tasks:\n  a: {run: x, MemoryMax: 1G}\n",
			`w.yml:2:15: task "a": key "MemoryMax" is not known (here it is "limits"): limits: {memory: 512M}`},
		{"of systemd, within", task("{CPUQuota: 50%}"),
			`w.yml:2:24: ` + inside + `key "CPUQuota" is not known (here it is "limits", of a task): limits: {cpu: 50%}`},
		{"without a process", "tasks:\n  a: {approve: go?, limits: {nice: 1}}\n",
			`w.yml:2:21: task "a": limits is for a process, and a task with approve has none: leave it out`},
	})
}

// TestLimitsOf: what a task does not say itself the workflow says, and a file without limits is what it was.
func TestLimitsOf(t *testing.T) {
	w, faults := workflowParse("w.yml", "w", []byte("limits: {memory: 1G, cpu: 50%, nice: 5}\ntasks:\n"+
		"  own: {run: x, limits: {memory: 2M, pids: 7, nice: 0}}\n  none: {run: x}\n  some: {run: x, limits: {cpu: "+
		"20%}}\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for i, want := range []string{"memory 2M, cpu 50%, pids 7, nice 0", "memory 1G, cpu 50%, nice 5",
		"memory 1G, cpu 20%, nice 5"} {
		if got := w.limitsOf(&w.Tasks[i]).text(); got != want {
			t.Errorf("%s: %s, want %s", w.Tasks[i].ID, got, want)
		}
	}
	if got := specLimits(w); got != "memory 1G, cpu 50%, nice 5; own memory 2M, pids 7, nice 0; some cpu 20%" {
		t.Error(got)
	}
	plain, _ := workflowParse("w.yml", "w", []byte("tasks:\n  a: {run: x}\n"))
	empty, _ := workflowParse("w.yml", "w", []byte("limits: ~\ntasks:\n  a: {run: x, limits: {memory: , nice: ~}}\n"))
	was, _ := plain.hash()
	if is, _ := empty.hash(); is != was || plain.limitsOf(&plain.Tasks[0]) != nil || specLimits(plain) != "" {
		t.Errorf("without limits: %+v", empty)
	}
}

// TestLimitsReason: the reason of a failure names the limit, and a stop keeps its own.
func TestLimitsReason(t *testing.T) {
	l := &Limits{Memory: 64 << 20, PIDs: 9}
	for _, c := range []struct {
		res  procResult
		want string
	}{
		{procResult{Reason: "signal SIGKILL", Struck: procStruck{Memory: true, PIDs: true}},
			"out of memory: it may have 64M (signal SIGKILL)"},
		{procResult{Reason: "signal SIGKILL", Struck: procStruck{Machine: true, PIDs: true}},
			"the machine, or the unit of the agent, was out of memory (signal SIGKILL)"},
		{procResult{Reason: "exit 2", Struck: procStruck{PIDs: true}},
			"exit 2, and it could not have more than 9 processes"},
		{procResult{Reason: "exit 1", Struck: procStruck{Each: true}},
			"exit 1, and each of its processes could not have more than 64M of memory"},
		{procResult{Reason: "exit 1"}, "exit 1"},
		{procResult{Struck: procStruck{PIDs: true}}, ""},
		{procResult{Reason: "cancelled", Stopped: true, Struck: procStruck{Memory: true}}, "cancelled"},
		{procResult{Reason: "timed out", TimedOut: true, Struck: procStruck{Each: true}}, "timed out"},
	} {
		if limitsReason(l, &c.res); c.res.Reason != c.want {
			t.Errorf("%q, want %q", c.res.Reason, c.want)
		}
	}
}
