// principal_copier.go: the copies of workflows, runs and agents that go into replies. They are made on the loop; other
// goroutines may then keep and send them.

package main

import (
	"slices"
	"strings"
	"time"
)

// copier makes copies for replies, and adds what other parts of the principal know. Only on the loop.
type copier struct {
	*principalLoop
	queue     *queue
	fleet     *fleet
	timetable *timetable
	listeners *listeners
}

// infoOf gives of a workflow what ls shows.
func (cp *copier) infoOf(f *workflowFile) WorkflowInfo {
	info := WorkflowInfo{Workflow: f.ID, Name: f.ID, File: f.File, Schedule: []string{},
		Listeners: cp.listeners.infoOf(f.ID)}
	if w := f.Spec; w != nil {
		info.Name, info.Description, info.Timezone, info.Tasks = orDefault(w.Name, f.ID), w.Description, w.Timezone,
			len(w.Tasks)
		info.Schedule = append(info.Schedule, w.Schedule...)
		info.Defaults = f.Defaults
	}
	if at, ok := cp.timetable.sched.dueOf(f.ID); ok {
		info.Next = stampOf(at)
	}
	cp.notePause(&info)
	for _, fault := range f.Faults {
		if fault.Warning {
			info.Warnings = append(info.Warnings, fault.String())
		} else if info.Error == "" {
			info.Error = fault.String()
		}
	}
	if few := cp.fleet.pools.tooFewIn(f); few != "" {
		info.Warnings = append(info.Warnings, few)
	}
	if ws := cp.state.Workflows[f.ID]; ws != nil {
		info.Recent = slices.Clone(ws.Recent)
	}
	if last := cp.lastRun(f.ID); last != nil {
		info.Last = last.short()
		info.Last.State = last.shownState()
	}
	return info
}

// lastRun gives the newest run of a workflow, nil when there is none. A run that is not in memory any more has no
// tasks.
func (cp *copier) lastRun(workflow string) *Run {
	if id := cp.newestRun(workflow); id != "" {
		return cp.state.Runs[id]
	}
	if ws := cp.state.Workflows[workflow]; ws != nil {
		return ws.Last
	}
	return nil
}

// newestRun gives the newest run of a workflow that is in memory, "" when there is none.
func (cp *copier) newestRun(workflow string) string {
	newest := ""
	for _, id := range cp.queue.active[workflow] {
		newest = max(newest, id)
	}
	if ws := cp.state.Workflows[workflow]; ws != nil {
		for _, o := range ws.Recent {
			if cp.state.Runs[o.Run] != nil {
				newest = max(newest, o.Run)
			}
		}
	}
	return newest
}

// shown copies a run for a reply. A queued run's reason says what it waits for.
func (cp *copier) shown(r *Run) *Run {
	r = r.clone()
	cp.notePools(r)
	cp.noteParts(r)
	if r.Ahead {
		r.State, r.Reason = r.shownState(), "agent "+r.Agent+" begins it when it has a place for it"
	} else if r.State == runQueued {
		if wait := cp.fleet.waitReason(r); r.Reason == "" {
			r.Reason = wait
		} else if wait != "" {
			r.Reason += "; " + wait
		}
	} else if r.Reason == "" && r.Parked {
		r.Reason = r.waitsFor()
	}
	return r
}

// notePools notes in a copy of a run for which places its tasks wait; in the run itself, if that is all it does.
func (cp *copier) notePools(r *Run) {
	pools := cp.fleet.pools
	if pools.tasks[r.ID] == nil {
		return
	}
	for _, task := range sortedKeys(pools.tasks[r.ID]) {
		if wait := pools.taskWaits(r, task); wait != "" && r.Parked && r.Reason == "" {
			r.Reason = "task " + task + ": " + wait
		}
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		t.Reason = orDefault(pools.taskWaits(r, t.Task), t.Reason)
	}
}

// noteParts notes in a copy of a run for which agents its tasks wait; in the run itself, if that is all it does.
func (cp *copier) noteParts(r *Run) {
	parts := cp.fleet.parts
	if parts.tasks[r.ID] == nil {
		return
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		wait := parts.waits(r, t)
		if wait == "" {
			continue
		}
		t.Reason = strings.TrimPrefix(t.Reason+"; "+wait, "; ")
		if r.Parked && r.Reason == "" {
			r.Reason = "task " + t.Task + ": " + wait
		}
	}
}

// poolOf copies a pool, with so many at most of those who have places and of those who wait.
func (cp *copier) poolOf(name string, most int) PoolInfo {
	pools := cp.fleet.pools
	_, declared := pools.declared[name]
	info := PoolInfo{Pool: name, Places: pools.placesOf(name), Declared: declared, Holders: []PoolUse{},
		Waiters: []PoolUse{}}
	pl := pools.of[name]
	if pl == nil {
		return info
	}
	info.Taken, info.Holding, info.Waiting = pl.taken, len(pl.holders), pl.waiting
	for _, u := range pl.holders[:min(most, len(pl.holders))] {
		info.Holders = append(info.Holders, cp.poolUseOf(u, name))
	}
	pl.eachOf(most, func(u *poolUse) { info.Waiters = append(info.Waiters, cp.poolUseOf(u, name)) })
	return info
}

// poolUseOf copies who has places of a pool or waits for them.
func (cp *copier) poolUseOf(u *poolUse, name string) PoolUse {
	r := u.run
	use := PoolUse{Run: r.ID, Workflow: r.Workflow, Task: u.task, Places: u.want[name], Agent: r.Agent}
	t := r.task(u.task)
	switch {
	case t != nil && u.has:
		use.Since = t.began()
	case t != nil:
		use.Since, use.Reason = t.Ask.Since, cp.fleet.pools.taskWaits(r, u.task)
	case u.has:
		use.Since = r.Started
	default:
		use.Since, use.Reason = r.Queued, cp.fleet.waitReason(r)
		if again, ok := cp.queue.requeued[r.ID]; ok {
			use.Since = stampOf(again)
		}
	}
	return use
}

// agentOf copies an agent, and adds what only its connection knows. Only on the loop.
func (cp *copier) agentOf(name string) *Agent {
	a := *cp.state.Agents[name]
	a.Running, _ = cp.fleet.runsAt(name)
	if link := cp.fleet.links[name]; link != nil {
		a.Seen, a.Skew, a.Load = stampOf(link.heard), link.skew.Round(time.Second).Seconds(), link.load
		if link.leaving {
			a.State = agentDrain
		}
		if link.inProcess {
			a.Seen = stampOf(cp.cfg.now())
			if cp.cfg.load != nil {
				a.Load = cp.cfg.load()
			}
		}
	}
	if a.Labels == nil || protoSize(a.Labels) > protoMaxLabels { // those of an old agent may have no bound
		a.Labels = map[string]string{}
	}
	a.Version = textHead(a.Version, protoMaxName)
	return &a
}

// rowOf copies a run without its tasks, and gives their numbers instead. Only on the loop.
func (cp *copier) rowOf(r *Run) RunRow {
	row := protoRowOf(r)
	spec := cp.state.Versions[r.Version]
	if row.Total == 0 && spec != nil {
		row.Total = len(spec.Tasks)
	}
	row.Run = cp.shown(row.Run)
	row.Reason = orDefault(row.Reason, r.waitsFor()) // the row has no tasks to say it
	row.Tasks = []TaskRun{}
	return row
}
