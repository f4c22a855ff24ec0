// workflow_repeat.go: reads the key repeat of a task.

package main

import "time"

const (
	workflowRepeatLeast = Duration(100 * time.Millisecond) // the shortest time between two attempts
	workflowRepeatTimes = 1_000_000                        // the most attempts that a file can ask for
)

// repeatEvery reads the time between two attempts.
func (r *workflowReader) repeatEvery(t *workflowTask, p workflowPair) {
	r.duration(p, &t.Repeat.Every)
	if t.Repeat.Every < workflowRepeatLeast {
		r.errorf(p.value, "every: want %s or more", workflowRepeatLeast)
	}
}

// repeatFor reads the time for all attempts.
func (r *workflowReader) repeatFor(t *workflowTask, p workflowPair) {
	r.duration(p, &t.Repeat.For)
	if t.Repeat.For == 0 {
		r.errorf(p.value, "for: want a time above 0, or leave the key out for no limit")
	}
}

// repeat reads how a task is repeated.
func (r *workflowReader) repeat(t *workflowTask, p workflowPair) {
	t.Repeat = &Repeat{}
	pairs, ok := r.table(p, "a map such as {every: 30s, for: 2h}")
	r.within("repeat", func() { workflowFill(r, t, pairs, workflowRepeatKeys, nil) })
	r.required(ok, p, pairs, "every")
}

// repeatAlone notes the keys of retries beside repeat: both say when a task is tried again.
func (t *workflowTask) repeatAlone(r *workflowReader) {
	if _, repeats := t.keys["repeat"]; !repeats {
		return
	}
	for _, key := range []string{"retries", "retry_delay", "retry_max_delay", "retry_exit"} {
		if p, both := t.keys[key]; both {
			r.errorf(p.at, "%s does not go with repeat, which says itself when a task is tried again: write times or "+
				"for within repeat", key)
		}
	}
}
