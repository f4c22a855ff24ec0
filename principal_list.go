// principal_list.go: the ops that list workflows, runs, coming fires and agents, or show one of them. Each is a look
// (principal_look.go).

package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// lookPoolUses is how many holders and how many waiters of a pool are listed, if the request does not say.
const lookPoolUses = 20

// lookHelp lists the ops.
func (l *looks) lookHelp(c *opCall) {
	c.reply(Reply{Verbs: protoOps, Version: programVersion(), Clock: stampOf(l.cfg.now())})
}

// lookLs lists workflows by id: those that have a file.
func (l *looks) lookLs(c *opCall) {
	ids, ok := lookAsk(l, c, func() []string { return l.catalog.ids })
	if !ok {
		return
	}
	ids = visible(ids, c.grant)
	count, limit := len(ids), c.req.N.rows(opsPage, opsPage)
	from := sort.Search(len(ids), func(i int) bool { return ids[i] > c.req.After })
	var page []string
	for _, id := range ids[from:] {
		if idMatches(c.req.Pattern, id) {
			page = append(page, id)
			if len(page) > limit {
				break
			}
		}
	}
	list, ok := lookCopy(l, c, page, func(id string) (info WorkflowInfo, ok bool) {
		if f := l.catalog.files[id]; f != nil {
			return l.copier.infoOf(f), true
		}
		return info, false // its file was removed meanwhile
	})
	if !ok {
		return
	}
	next := ""
	for i := range list {
		list[i] = protoWorkflowRow(list[i])
	}
	if n := min(limit, fitting(list)); n < len(list) {
		list = list[:n]
		if n > 0 {
			next = list[n-1].Workflow
		}
	}
	reply := Reply{Workflows: list, Next: next, Count: count}
	if c.req.After == "" && c.grant.sees("") {
		reply.Note = l.catalog.folderNote()
	}
	c.reply(reply)
}

// lookRescan has the workflows folder read at once, and answers when what was found is in force. While the file system
// hangs it waits, until the peer leaves; others who ask meanwhile wait for the same reading.
func (l *looks) lookRescan(c *opCall) {
	if l.cfg.Folder == nil {
		c.refuse(refuse(codeInvalid, "this principal follows no workflows folder"))
		return
	}
	if !l.readSlot(c) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the request
		select {
		case <-c.stopped:
		case <-c.conn.Done():
		case <-l.ended:
		case <-ctx.Done():
		}
		cancel()
	}()
	if !l.cfg.Folder.readAgain(ctx) {
		l.refuseStopping(c)
		return
	}
	reply, ok := lookAsk(l, c, func() Reply { return Reply{Count: len(l.catalog.files), Note: l.catalog.folderNote()} })
	if ok {
		c.reply(reply)
	}
}

// fitting gives how many of the rows fit into one reply. At least one does: no row may be longer than protoMaxRow.
func fitting[T any](rows []T) int {
	size := 0
	for i := range rows {
		size += protoSize(rows[i])
		if size > opsBytes && i > 0 {
			return i
		}
	}
	return len(rows)
}

// lookShow shows all of one workflow, or of one run.
func (l *looks) lookShow(c *opCall) {
	id := c.req.Workflow
	switch {
	case c.req.Run != "":
		l.showRun(c)
		return
	case id == "":
		c.refuse(refuse(codeInvalid, "show needs a workflow or a run"))
		return
	}
	reply := Reply{}
	refused, ok := lookAsk(l, c, func() *protoError {
		f := l.catalog.files[id]
		if f == nil {
			return l.catalog.noWorkflow(c, id)
		}
		reply = Reply{Workflows: []WorkflowInfo{l.copier.infoOf(f)}, Spec: f.Spec}
		return nil
	})
	switch {
	case !ok:
	case refused != nil:
		c.refuse(refused.meant())
	default:
		reply.Workflows[0] = protoWorkflowRow(reply.Workflows[0])
		if size := protoSize(reply); size > protoMaxRow {
			reply.Spec, reply.Note = nil, fmt.Sprintf("workflow %s is too large for a message, %d bytes: what it "+
				"does is in its file", id, size)
		}
		c.reply(reply)
	}
}

// showRun shows all of one run, with the version of the workflow that it runs if that is still in the state or is what
// the file says now.
func (l *looks) showRun(c *opCall) {
	r, ok := l.withRun(c)
	if !ok {
		return
	}
	specs, ok := lookAsk(l, c, func() (specs [2]*Workflow) {
		specs[0] = l.state.Versions[r.Version]
		if f := l.catalog.files[r.Workflow]; f != nil {
			specs[1] = f.Spec
		}
		return specs
	})
	if !ok {
		return
	}
	spec := specs[0]
	if spec == nil && specs[1] != nil {
		if hash, _ := specs[1].hash(); hash == r.Version {
			spec = specs[1]
		}
	}
	if spec != nil && protoSize(r)+protoSize(spec) > protoMaxRow {
		spec = nil
	}
	row, left := protoRunRow(r)
	c.reply(Reply{Runs: []*Run{row}, Spec: spec, Note: left})
}

// lookPs lists runs, newest first: those in memory by id, and then, if all are wanted, those of the history by when
// they finished. The history is read whatever is in memory: it may have been put there from a backup.
func (l *looks) lookPs(c *opCall) {
	limit := c.req.N.rows(opsDefaultN, opsPage)
	after, before := psCursor(c.req.After)
	match := func(r *Run) bool {
		state := c.req.All || runActive(r.State)
		if c.req.State != "" {
			state = r.shownState() == c.req.State
		}
		workflow := c.req.Workflow == "" || r.Workflow == c.req.Workflow
		young := c.req.Since.IsZero() || !r.Queued.Before(c.req.Since.Time)
		batch := c.req.Batch == "" || r.Batch == c.req.Batch
		return state && workflow && young && batch && c.grant.sees(r.Workflow)
	}
	var ids []string
	known := map[string]bool{} // the runs in memory
	if _, ok := lookAsk(l, c, func() bool {
		for id, r := range l.state.Runs {
			known[id] = true
			first := after == "" || id < after
			if before.IsZero() && first && match(r) {
				ids = append(ids, id)
			}
		}
		return true
	}); !ok {
		return
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	ids = ids[:min(limit+1, len(ids))]
	runs, ok := lookCopy(l, c, ids, func(id string) (*Run, bool) {
		if r := l.state.Runs[id]; r != nil {
			return l.copier.shown(r), true
		}
		delete(known, id) // meanwhile it went into the history, where it is found
		return nil, false
	})
	if !ok {
		return
	}
	places := make([]time.Time, len(runs)) // zero for those in memory
	ended := c.req.All || c.req.State != "" && !runActive(c.req.State)
	if len(runs) <= limit && ended {
		if !l.readSlot(c) {
			return
		}
		var place time.Time
		filter := historyFilter{Workflow: c.req.Workflow, State: c.req.State, Since: c.req.Since.Time,
			tell: func(at time.Time) { place = at }, over: func() bool { return l.gone(c) }}
		if !before.IsZero() {
			filter.behind, filter.behindAt = after, before
		}
		err := l.store.historyList(filter, func(r *Run) bool {
			if !known[r.ID] && match(r) {
				runs, places = append(runs, r), append(places, place)
			}
			return len(runs) <= limit
		})
		if refused := l.historyRefused(c, err); refused != nil {
			c.refuse(refused)
			return
		}
	}
	replyRuns(c, runs, limit, places)
}

// psCursor reads what replyRuns wrote: the last run of a page, and its place in the history if it is from there.
func psCursor(text string) (run string, place time.Time) {
	run, finished, _ := strings.Cut(text, " ")
	if at, err := time.Parse(time.RFC3339Nano, finished); err == nil {
		place = at
	}
	return run, place
}

// replyRuns answers with the runs that fit, and with where to go on when there are more. places has the place of each
// run that is from the history.
func replyRuns(c *opCall, runs []*Run, limit int, places []time.Time) {
	note := ""
	for i, r := range runs {
		row, left := protoRunRow(r)
		runs[i], note = row, orDefault(note, left)
	}
	n := min(limit, fitting(runs))
	reply := Reply{Runs: runs[:n], Count: n, Note: note}
	if n < len(runs) && n > 0 {
		last := runs[n-1]
		reply.Next = last.ID
		if place := places[n-1]; !place.IsZero() {
			reply.Next += " " + place.Format(time.RFC3339Nano)
		}
	}
	c.reply(reply)
}

// lookNext lists coming fires: those of one workflow, or the next of all that are not paused. The loop only copies the
// schedules.
func (l *looks) lookNext(c *opCall) {
	id, n := c.req.Workflow, c.req.N.rows(1, opsMaxFires)
	from := l.cfg.now()
	if !c.req.At.IsZero() {
		from = c.req.At.Time
	}
	var schedules *sched
	var paused, pausedAll *Pause
	refused, ok := lookAsk(l, c, func() *protoError {
		if id != "" && l.catalog.files[id] == nil {
			return l.catalog.noWorkflow(c, id)
		}
		schedules = l.timetable.sched.copyOf(func(other string) bool {
			p := l.state.pauseOf(other)
			return other == id || id == "" && (p == nil || !p.Until.IsZero())
		})
		for other, e := range schedules.entries {
			e.beginAfter(l.state.pauseOf(other))
		}
		paused, pausedAll = l.state.pauseOf(id), l.state.pauseOwn("")
		return nil
	})
	switch {
	case !ok:
	case refused != nil:
		c.refuse(refused.meant())
	case id == "":
		note := ""
		if pausedAll != nil {
			note = "all schedules are paused by " + pausedAll.text() + ": nothing fires before " +
				pausedAll.endText("--all", l.cfg.Zone)
		}
		fires, next := schedules.comingOfAll(from, n, c.req.After, c.grant.sees)
		c.reply(Reply{Fires: fires, Next: next, Note: note})
	default:
		fires := []Fire{}
		for _, at := range schedules.coming(id, from, n) {
			fires = append(fires, Fire{Workflow: id, At: stampOf(at)})
		}
		note := ""
		which := id
		if pausedAll != nil {
			which = "--all" // this resumes those too that were paused one by one
		}
		switch {
		case paused == nil || len(fires) == 0:
		case paused.Until.IsZero():
			note = fmt.Sprintf("%s is paused by %s: none of these will fire until %s", id, paused.text(),
				paused.endText(which, nil))
		default:
			note = fmt.Sprintf("%s is paused by %s: nothing fires before %s", id, paused.text(),
				paused.endText(which, l.cfg.Zone))
		}
		c.reply(Reply{Fires: fires, Note: note})
	}
}

// lookAgents lists agents by name: as many as fit into a reply, or fewer if the request says so.
func (l *looks) lookAgents(c *opCall) {
	names, ok := lookAsk(l, c, func() []string { return sortedKeys(l.state.Agents) })
	if !ok {
		return
	}
	from, found := slices.BinarySearch(names, c.req.After)
	if found {
		from++
	}
	names = names[from:]
	limit := c.req.N.rows(len(names), len(names))
	names = names[:min(limit+1, len(names))]
	agents, ok := lookCopy(l, c, names, func(name string) (*Agent, bool) {
		if l.state.Agents[name] == nil { // it was forgotten meanwhile
			return nil, false
		}
		return l.copier.agentOf(name), true
	})
	if !ok {
		return
	}
	reply := Reply{Agents: agents}
	if n := min(limit, fitting(agents)); n < len(agents) {
		reply.Agents = agents[:n]
		if n > 0 {
			reply.Next = agents[n-1].Name
		}
	}
	c.reply(reply)
}

// lookPools lists pools by name: those that are declared, that a file names, or that somebody has places of or waits
// for.
func (l *looks) lookPools(c *opCall) {
	pools, files := l.copier.fleet.pools, map[string]int{} // pool -> files that name it
	names, ok := lookAsk(l, c, func() []string {
		for name := range pools.declared {
			files[name] += 0
		}
		for name := range pools.of {
			files[name] += 0
		}
		for _, f := range l.catalog.files {
			if f.Spec != nil {
				named := map[string]bool{}
				f.Spec.eachPool(func(name string, _ int) { named[name] = true })
				for name := range named {
					files[name]++
				}
			}
		}
		return sortedKeys(files)
	})
	if !ok {
		return
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name <= c.req.After || !idMatches(c.req.Pattern, name)
	})
	most := c.req.N.rows(lookPoolUses, opsPage)
	list, ok := lookCopy(l, c, names[:min(len(names), opsPage)], func(name string) (PoolInfo, bool) {
		info := l.copier.poolOf(name, most)
		info.Workflows = files[name]
		return info, true
	})
	if !ok {
		return
	}
	reply := Reply{Pools: list[:fitting(list)]}
	if n := len(reply.Pools); n < len(names) && n > 0 {
		reply.Next = list[n-1].Pool
	}
	c.reply(reply)
}
