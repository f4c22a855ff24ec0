// workflow_pool.go: the key pool, of a workflow and of a task: the name of a pool, or a map of pools to places.

package main

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Bounds of what a file, and a principal's configuration, may say of pools.
const (
	poolMaxPlaces = 10_000 // of a pool, and that one may want of it; more are a fault
	poolMaxNamed  = 16     // pools of a workflow or a task; more are a fault
	poolMaxName   = 64     // bytes of a pool's name
)

// poolNameFault says what keeps text from being the name of a pool, nil when nothing does.
func poolNameFault(text string) error {
	switch {
	case len(text) > poolMaxName:
		return fmt.Errorf("the name of a pool may have %d bytes, not %d", poolMaxName, len(text))
	case !workflowLabel(text):
		return fmt.Errorf("%s cannot name a pool: want letters, digits and _ . -", workflowQuote(text))
	}
	return nil
}

// pool reads the pools in which somebody needs places before he goes on: a name alone is one place.
func (r *workflowReader) pool(p workflowPair, to *map[string]int) {
	const want = "the name of a pool, or a map of pools and places such as {database: 2}"
	pools := map[string]int{}
	switch p.value.Kind {
	case yaml.ScalarNode:
		name, ok := r.scalar(p, want)
		if !ok {
			return
		}
		if err := poolNameFault(name); err != nil {
			r.errorf(p.value, "pool: %v", err)
		}
		pools[name] = 1
	default:
		pairs, ok := r.table(p, want)
		if !ok {
			return
		}
		if len(pairs) == 0 || len(pairs) > poolMaxNamed {
			r.errorf(p.value, "pool: there are %d pools, and there may be 1 to %d", len(pairs), poolMaxNamed)
			return
		}
		for _, one := range pairs {
			places := 1
			if err := poolNameFault(one.key); err != nil {
				r.errorf(one.at, "pool: %v", err)
			}
			if !workflowNull(one.value) {
				r.whole(workflowPair{"pool: " + one.key, one.at, one.value}, 1, poolMaxPlaces, &places)
			}
			pools[one.key] = places
		}
	}
	*to = pools
}

// poolAlone refuses pool in a task that asks the principal for something else, and beside repeat: places would be held
// or asked for again between thousands of attempts.
func (t *workflowTask) poolAlone(r *workflowReader) {
	p, has := t.keys["pool"]
	if !has {
		return
	}
	if what := t.asks(); what == askWorkflow {
		r.errorf(p.at, "pool does not go with workflow: write it into the file of %s", t.Workflow)
	} else if what != "" {
		r.errorf(p.at, "pool is for a process, and a task with %s has none: leave it out", what)
	}
	if _, repeats := t.keys["repeat"]; repeats {
		r.errorf(p.at, "pool does not go with repeat, between whose attempts others would wait: write it in the task "+
			"behind this one")
	}
}

// checkPools refuses a task that would wait for ever: for a place that its own run has.
func (d *workflowDraft) checkPools(r *workflowReader) {
	d.checkPoolsOf(r, d.tasks)
	for _, h := range d.handlers { // of which the run still has its places
		r.within(h.name, func() { d.checkPoolsOf(r, h.tasks) })
	}
}

// checkPoolsOf is checkPools for some of the tasks.
func (d *workflowDraft) checkPoolsOf(r *workflowReader, tasks []*workflowTask) {
	for _, t := range tasks {
		for _, name := range sortedKeys(t.Pool) {
			if d.spec.Pool[name] > 0 {
				r.within("task "+workflowQuote(t.ID), func() {
					r.errorf(t.keys["pool"].at, "pool %s: the whole run has places in it already, and the task "+
						"would wait for its own run: leave it out here or at the top", name)
				})
			}
		}
	}
}
