// principal_copier.go: the copies of workflows, runs and agents that go into replies. They are made on the loop; other
// goroutines may then keep and send them.

package main

import (
	"slices"
	"time"
)

// copier makes copies for replies, and adds what other parts of the principal know. Only on the loop.
type copier struct {
	*principalLoop
	queue     *queue
	fleet     *fleet
	timetable *timetable
}

// infoOf gives of a workflow what ls shows.
func (cp *copier) infoOf(f *workflowFile) WorkflowInfo {
	info := WorkflowInfo{Workflow: f.ID, Name: f.ID, File: f.File, Schedule: []string{},
		Paused: cp.timetable.pausedBy(f.ID)}
	if w := f.Spec; w != nil {
		info.Name, info.Description, info.Timezone, info.Tasks = orDefault(w.Name, f.ID), w.Description, w.Timezone,
			len(w.Tasks)
		info.Schedule = append(info.Schedule, w.Schedule...)
	}
	if at, ok := cp.timetable.sched.dueOf(f.ID); ok {
		info.Next = stampOf(at)
	}
	for _, fault := range f.Faults {
		if fault.Warning {
			info.Warnings = append(info.Warnings, fault.String())
		} else if info.Error == "" {
			info.Error = fault.String()
		}
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
	if r.Ahead {
		r.State, r.Reason = r.shownState(), "agent "+r.Agent+" begins it when it has a place for it"
	} else if r.State == runQueued {
		if wait := cp.fleet.waitReason(r); r.Reason == "" {
			r.Reason = wait
		} else if wait != "" {
			r.Reason += "; " + wait
		}
	}
	return r
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
	row.Tasks = []TaskRun{}
	return row
}
