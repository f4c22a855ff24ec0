// state_batch.go: batches, the runs that a backfill makes for past fires of a schedule. A batch is one event, however
// many fires it has: a run is queued when there is a place for it, and how many were is all that has to be kept. Pure,
// as state.go is.

package main

import (
	"errors"
	"strconv"
	"strings"
)

const (
	batchMaxFires = 10_000 // of one batch; a backfill of more is refused
	batchMaxOpen  = 20     // batches that make runs; more are refused as busy
	stateMaxBatch = 100    // batches that are kept; the first that is over goes for a new one
)

// batchPrefix begins the id of a batch, which otherwise looks like that of a run.
const batchPrefix = "B"

// Batch is a backfill: how far it is, and how its runs went.
type Batch struct {
	ID       string            `json:"batch"`
	Workflow string            `json:"workflow"`
	State    string            `json:"state"`            // running, succeeded, failed or cancelled
	Reason   string            `json:"reason,omitempty"` // why it was stopped; in a reply also what it waits for
	By       string            `json:"by,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	First    Stamp             `json:"first"` // of its fires, in the order in which they are made up for
	Last     Stamp             `json:"last"`
	Parallel int               `json:"max_parallel"`
	Begun    Stamp             `json:"begun"`
	Finished Stamp             `json:"finished,omitzero"`

	Fires     int `json:"fires"` // all
	Made      int `json:"made"`  // those that have a run
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Crashed   int `json:"crashed"`
	Cancelled int `json:"cancelled"`
	Skipped   int `json:"skipped"`

	Times string `json:"times,omitempty"` // all fires, see batchTimes; "" once no more runs are made
}

// isBatchID says whether a text is the id of a batch.
func isBatchID(text string) bool {
	rest, ok := strings.CutPrefix(text, batchPrefix)
	return ok && len(rest) == 26 && strings.Trim(rest, ulidDigits) == "" && rest[0] <= '7'
}

// ended gives how many of its runs have ended.
func (b *Batch) ended() int { return b.Succeeded + b.Failed + b.Crashed + b.Cancelled + b.Skipped }

// active gives how many of its runs are active.
func (b *Batch) active() int { return b.Made - b.ended() }

// makes says whether it is to make more runs.
func (b *Batch) makes() bool { return b.Times != "" }

// count gives the counter for runs that ended in that state, nil for one in which no run ends.
func (b *Batch) count(state string) *int {
	switch state {
	case runSucceeded:
		return &b.Succeeded
	case runFailed:
		return &b.Failed
	case runCrashed:
		return &b.Crashed
	case runCancelled:
		return &b.Cancelled
	case runSkipped:
		return &b.Skipped
	}
	return nil
}

// settle notes whether the batch is over: no more runs are made, and none is active.
func (b *Batch) settle(now Stamp) {
	b.State, b.Finished = runRunning, Stamp{}
	if b.makes() || b.active() > 0 {
		return
	}
	b.Finished = now
	switch {
	case b.Made < b.Fires:
		b.State = runCancelled
	case b.Failed+b.Crashed+b.Cancelled > 0:
		b.State = runFailed
	default:
		b.State = runSucceeded
	}
}

// applyBatch folds the begin and the stop of a batch.
func (s *State) applyBatch(e *Event) error {
	b := s.Batches[e.Batch]
	if e.Kind == evBatchStopped {
		if b == nil || !b.makes() {
			return errors.New("apply " + e.Kind + ": batch " + e.Batch + " makes no runs")
		}
		b.Times, b.Reason = "", e.Reason
		b.settle(e.Time)
		return nil
	}
	times := batchRead(e.Times)
	if b != nil || len(times) == 0 || !isBatchID(e.Batch) {
		return errors.New("apply " + e.Kind + ": batch " + e.Batch + " is there already, or has no fires")
	}
	if len(s.Batches) >= stateMaxBatch {
		for _, id := range sortedKeys(s.Batches) { // their ids sort by time
			if !s.Batches[id].Finished.IsZero() {
				delete(s.Batches, id)
				break
			}
		}
	}
	if s.Batches == nil {
		s.Batches = map[string]*Batch{}
	}
	b = &Batch{ID: e.Batch, Workflow: e.Workflow, State: runRunning, By: e.By, Params: e.Params, First: e.Scheduled,
		Last: e.Until, Parallel: e.Parallel, Begun: e.Time, Fires: len(times), Times: e.Times}
	s.Batches[b.ID] = b
	s.LastRun = max(s.LastRun, b.ID[len(batchPrefix):])
	return nil
}

// batchMade notes that a run of a batch was queued.
func (s *State) batchMade(e *Event) {
	b := s.Batches[e.Batch]
	if b == nil {
		return
	}
	b.Made++
	if b.Made >= b.Fires {
		b.Times = ""
	}
}

// batchMoved notes that a run of a batch has another state than before. A batch that was over goes on while a person
// has a run of it tried again.
func (s *State) batchMoved(r *Run, before string, now Stamp) {
	b := s.Batches[r.Batch]
	if b == nil || r.State == before {
		return
	}
	if n := b.count(before); n != nil {
		*n--
	}
	if n := b.count(r.State); n != nil {
		*n++
	}
	b.settle(now)
}

// batchTimes writes the times of fires, in seconds since 1970: the first, and then the steps from each to the next, as
// 86400, or 86400*30 for so many alike. A year of daily fires is a short text.
func batchTimes(times []int64) string {
	if len(times) == 0 {
		return ""
	}
	b := strconv.AppendInt(nil, times[0], 10)
	for i := 1; i < len(times); {
		step, n := times[i]-times[i-1], 1
		for i+n < len(times) && times[i+n]-times[i+n-1] == step {
			n++
		}
		b = strconv.AppendInt(append(b, ' '), step, 10)
		if n > 1 {
			b = strconv.AppendInt(append(b, '*'), int64(n), 10)
		}
		i += n
	}
	return string(b)
}

// batchRead reads what batchTimes has written; nil where that is no such text, or has more than batchMaxFires.
func batchRead(text string) (times []int64) {
	for i, word := range strings.Fields(text) {
		step, count, many := strings.Cut(word, "*")
		at, err := strconv.ParseInt(step, 10, 64)
		n := 1
		if many && err == nil {
			n, err = strconv.Atoi(count)
		}
		if err != nil || n < 1 || n > batchMaxFires-len(times) || many && i == 0 {
			return nil
		}
		for range n {
			if len(times) > 0 {
				times = append(times, times[len(times)-1]+at)
			} else {
				times = append(times, at)
			}
		}
	}
	return times
}
