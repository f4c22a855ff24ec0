// principal_kept.go: runs that have ended and are kept in memory, to be listed, shown and retried without a look into
// the history. The state keeps the newest of them by their number; here it is seen to that they are not too large
// together. That is an event, run.archived: what the journal of a version before folds to does not change.

package main

const (
	principalMaxKept = 32 << 20 // bytes of memory of runs that have ended, about; the oldest of more are in the history alone
	principalMinKept = 16       // of the newest runs that have ended, which are kept whatever they take: who waits for one is yet to be told how it ended
)

// principalKept is about how much memory each run takes that has ended, and all of them. It belongs to the loop.
type principalKept struct {
	runs map[string]int64
	all  int64
	most int64 // principalMaxKept, but for tests
}

// add counts a run that has ended.
func (k *principalKept) add(r *Run) {
	k.remove(r.ID)
	k.runs[r.ID] = principalKeptMem(r)
	k.all += k.runs[r.ID]
}

// remove counts a run no more: it is active again, or is not in memory.
func (k *principalKept) remove(id string) {
	k.all -= k.runs[id]
	delete(k.runs, id)
}

// principalKeptMem gives about how much memory a run takes that has ended.
func principalKeptMem(r *Run) int64 {
	const attempt, output = 100, 64 // of the program's own, for each
	size := principalRunMem(r.Params, len(r.Tasks)) + int64(len(r.Reason))
	for i := range r.Tasks {
		t := &r.Tasks[i]
		size += int64(len(t.Reason) + len(t.Cancelling))
		for j := range t.Earlier {
			size += int64(attempt + len(t.Earlier[j].Reason))
		}
		for name, value := range t.Outputs {
			size += int64(output + len(name) + len(value))
		}
	}
	return size
}

// archive drops the oldest runs that have ended from memory while all of them take too much. They must be on their way into the
// history. Only on the loop.
func (p *principal) archive() {
	for p.kept.all > p.kept.most && len(p.state.Finished) > principalMinKept {
		r := p.state.Runs[p.state.Finished[0]]
		if p.emit(&Event{Kind: evArchived, Run: r.ID, Workflow: r.Workflow}) != nil {
			return
		}
	}
}
