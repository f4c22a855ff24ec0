// workflow_expect.go: reads the key expect of a workflow.

package main

import "time"

// workflowExpectKeys are the keys of expect.
var workflowExpectKeys = []workflowKey[*workflowDraft]{
	{
		name: "by", kind: "clock", unset: "at no time",
		does: "A time of day in the workflow's zone. On each day on which it fires, a run is to have succeeded by " +
			"then.",
		example: "by: \"04:00\"",
		read:    workflowExpectBy,
	},
	{
		name: "within", kind: "duration", unset: "no limit",
		does:    "How long after it was queued a run is to be over.",
		example: "within: 30m",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.duration(p, &d.spec.Expect.Within)
			if d.spec.Expect.Within == 0 {
				r.errorf(p.value, "within: want a time above 0, or leave the key out for no limit")
			}
		},
	},
}

// workflowExpect reads what is expected of the runs.
func workflowExpect(r *workflowReader, d *workflowDraft, p workflowPair) {
	pairs, ok := r.table(p, "a map such as {by: \"04:00\", within: 30m}")
	if !ok {
		return
	}
	d.spec.Expect = &Expect{}
	r.within("expect", func() { workflowFill(r, d, pairs, workflowExpectKeys, nil) })
}

// workflowExpectBy reads a time of day.
func workflowExpectBy(r *workflowReader, d *workflowDraft, p workflowPair) {
	text, ok := r.scalar(p, "a time of day such as \"04:00\"")
	if !ok {
		return
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		r.errorf(p.value, "by: want a time of day from 00:00 to 23:59, such as \"04:00\", not %s", workflowQuote(text))
		return
	}
	d.spec.Expect.By = at.Format("15:04")
}

// checkExpect finds a time of day without a schedule: on which days would it count? As a default it counts for those
// that have one.
func (d *workflowDraft) checkExpect(r *workflowReader) {
	at := d.keys["expect"].at
	if d.spec.Expect != nil && d.spec.Expect.By != "" && len(d.schedules) == 0 && r.files[at] == "" {
		r.errorf(at, "expect: by counts on the days on which the workflow fires, and it has no "+
			"schedule: write one, or within alone")
	}
}
