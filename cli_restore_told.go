// cli_restore_told.go: what a restore tells: from when the state is, and what it cannot know, as what agents have done
// since and which fires were missed.

package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"
)

// restoreTold is what is told. Its fields bear the names of the JSON.
type restoreTold struct {
	damaged int // lines of history and output that readers pass over
	keys    bool
	extra   bool   // it has workflow files and configuration
	active  []*Run // by id
	agents  []string
	fires   []restoreMissed
	notes   []string
}

// restoreMissed is the fires of a workflow between the backup and now.
type restoreMissed struct {
	Workflow string `json:"workflow"`
	Missed   int    `json:"missed"` // fires
	Runs     int    `json:"runs"`   // that the start makes of them
	Catchup  string `json:"catchup"`
	Since    Stamp  `json:"since"`
}

// restoreJSON is a restore as --json prints it.
type restoreJSON struct {
	File   string          `json:"file"`
	State  string          `json:"state"`
	DryRun bool            `json:"dry_run"`
	Files  int             `json:"files"`
	Bytes  int64           `json:"bytes"`
	Event  uint64          `json:"event"`
	Saved  Stamp           `json:"saved,omitzero"`
	Newest string          `json:"newest,omitempty"` // run
	Keys   bool            `json:"keys"`
	Active []string        `json:"active"`
	Agents []string        `json:"agents"`
	Missed []restoreMissed `json:"missed"`
	Notes  []string        `json:"notes"`
}

// add notes something for people.
func (t *restoreTold) add(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// state finds in the state what agents may have gone on with.
func (t *restoreTold) state(r *restorer) {
	for _, id := range sortedKeys(r.state.Runs) {
		if run := r.state.Runs[id]; runActive(run.State) {
			t.active = append(t.active, run)
		}
	}
	t.agents = append(t.agents, sortedKeys(r.state.Agents)...)
	// the time of the newest thing that is in it
	files := storeFilesOf(r.into, true)
	saved := struct {
		Saved Stamp `json:"saved"`
	}{}
	if f, err := files.open(storeSnapshot, 0); err == nil {
		if line, err := storeReaderOf(f, 0).line(); err == nil && storeDecode(line, &saved) == nil {
			r.saved = saved.Saved
		}
		f.Close()
	}
	segments, _ := files.segments()
	if len(segments) == 0 {
		return
	}
	f, err := files.open(segments[len(segments)-1].name, 0)
	if err != nil {
		return
	}
	defer f.Close()
	newest := struct {
		Time Stamp `json:"t"`
	}{}
	for lines := storeReaderOf(f, 0); ; {
		line, err := lines.line()
		if err != nil {
			return
		}
		if storeDecode(line, &newest) == nil && newest.Time.After(r.saved.Time) {
			r.saved = newest.Time
		}
	}
}

// missed says which fires were missed since, by the workflow files of this box.
func (t *restoreTold) missed(ctx context.Context, r *restorer) {
	scheduled := 0
	for _, w := range r.state.Workflows {
		if w.Schedule != "" {
			scheduled++
		}
	}
	if scheduled == 0 {
		return
	}
	zone, err := r.c.zone()
	folder := newWorkflowFolder(r.c.cfg.get("workflows"))
	files, _, scanErr := folder.scan(ctx)
	if err != nil || scanErr != nil && len(files) == 0 {
		t.add("%s had a schedule, and which fires were missed is not known without their files: put the workflows "+
			"folder in place first, or name it with --workflows", countText(scheduled, "workflow"))
		return
	}
	s := schedNew(zone)
	for i := range files {
		spec := files[i].Spec
		if spec == nil || r.state.Workflows[spec.ID] == nil {
			continue
		}
		known := r.state.Workflows[spec.ID]
		if known.Schedule != schedSignature(spec) { // it begins anew
			continue
		}
		entry, err := s.set(spec, files[i].Days, r.now)
		if err != nil || entry == nil || !known.Tick.Before(r.now) {
			continue
		}
		ticks, total := entry.missed(known.Tick.Time, r.now)
		if total == 0 {
			continue
		}
		m := restoreMissed{Workflow: spec.ID, Missed: total, Since: known.Tick,
			Catchup: orDefault(spec.Catchup, catchupSkip)}
		if p := r.state.pauseOf(spec.ID); p != nil { // what was due in a pause is not caught up
			held := sort.Search(len(ticks), func(i int) bool { return !p.covers(stampOf(ticks[i].Add(entry.jitter))) })
			if ticks = ticks[held:]; held > 0 {
				total = len(ticks)
			}
		}
		for _, v := range schedCatchup(spec, ticks, total, r.now, "", "") {
			if v.fire {
				m.Runs++
			}
		}
		t.fires = append(t.fires, m)
	}
	sort.Slice(t.fires, func(i, j int) bool { return t.fires[i].Workflow < t.fires[j].Workflow })
}

// report prints what was restored, and what to think of before the principal starts.
func (r *restorer) report() error {
	t := &r.told
	t.since(r)
	ids := []string{}
	for _, run := range t.active {
		ids = append(ids, run.ID)
	}
	if r.c.flags.json {
		return printJSON(r.c.out, restoreJSON{r.name, r.dir, r.c.flags.dryRun, r.files, r.bytes, r.state.Seq, r.saved,
			r.state.LastRun, t.keys, ids, append([]string{}, t.agents...), append([]restoreMissed{}, t.fires...),
			append([]string{}, t.notes...)})
	}
	done := "restored"
	if r.c.flags.dryRun {
		done = "would restore"
	}
	p := r.c.painter()
	fmt.Fprintf(p.w, "%s %s into %s: %d files, %s\n", done, textSafe(r.name), textSafe(r.dir), r.files,
		doctorBytes(r.bytes))
	for _, note := range t.notes {
		if _, err := fmt.Fprintln(p.w, "- "+textSafe(note)); err != nil {
			return err
		}
	}
	return nil
}

// since words what the state cannot know.
func (t *restoreTold) since(r *restorer) {
	notes := t.notes
	t.notes = nil
	when := "at an unknown time"
	if !r.saved.IsZero() {
		when = fmt.Sprintf("%s (%s ago)", timeText(r.saved, r.now), r.now.Sub(r.saved.Time).Round(time.Second))
	}
	t.add("the state is that of event %d, %s; nothing that came later is in it", r.state.Seq, when)
	if id := r.state.LastRun; id != "" {
		text := id
		if run := r.state.Runs[id]; run != nil {
			text = fmt.Sprintf("%s of %s, %s", id, run.Workflow, run.State)
		}
		t.add("its newest run is %s; a run that was begun later is not known here, and its agent stops it when it "+
			"connects", text)
	}
	if len(t.active) > 0 {
		var ids []string
		for _, run := range t.active[:min(len(t.active), doctorNames)] {
			ids = append(ids, run.Workflow+" "+run.ID)
		}
		t.add("%s not over then (%s): queued ones run now; others go on where their agent still has them, else they "+
			"are crashed, or run again by failover: rerun, though they may have ended since",
			countIs(len(t.active), "run"), restoreFew(ids, len(t.active)))
	}
	if len(t.agents) > 0 {
		t.add("agents that it knows: %s; they must find the principal here: its address, and its key",
			restoreFew(t.agents[:min(len(t.agents), doctorNames)], len(t.agents)))
	}
	for i, m := range t.fires {
		if i == doctorNames {
			t.add("and so on for %d more workflows", len(t.fires)-i)
			break
		}
		t.add("%s: %s missed since %s; the start makes %s of them (catchup: %s)", m.Workflow,
			countText(m.Missed, "fire"), timeText(m.Since, r.now), countText(m.Runs, "run"), m.Catchup)
	}
	if t.damaged > 0 {
		t.add("%s of history and output damaged before the backup; readers pass over them",
			countIs(t.damaged, "line"))
	}
	if !t.keys {
		t.add("the backup has no keys: put those of the old box into %s/%s before the start (cdktr backup --keys has "+
			"them), or every agent and client needs a new credential", r.dir, authFolder)
	}
	t.notes = append(t.notes, notes...)
	if t.extra {
		t.add("workflow files and configuration of the old box are in %s/%s: put them where they belong", r.dir,
			backupExtra)
	}
	if r.c.flags.dryRun {
		return
	}
	t.add("stop the old principal for good, then start this one; with --no-scheduler nothing fires while you look")
}

// restoreFew names the first of n things.
func restoreFew(names []string, n int) string {
	text := strings.Join(names, ", ")
	if n > len(names) {
		text += fmt.Sprintf(" and %d more", n-len(names))
	}
	return text
}

// countIs is countText with its verb in the past.
func countIs(n int, thing string) string {
	if n == 1 {
		return countText(n, thing) + " was"
	}
	return countText(n, thing) + " were"
}
