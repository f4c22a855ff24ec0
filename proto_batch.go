// proto_batch.go: what is told of backfills: what one would make, and batches.

package main

// BatchPlan is what a backfill would make, or has begun to make.
type BatchPlan struct {
	Fires     int   `json:"fires"`     // of the schedule, between the two instants
	Make      int   `json:"make"`      // those that get a run
	Succeeded int   `json:"succeeded"` // those that have a run which went well
	Active    int   `json:"active"`    // those that have an active run, or are in a batch
	Others    int   `json:"others"`    // those that --failed does not ask for
	First     Stamp `json:"first,omitzero"`
	Last      Stamp `json:"last,omitzero"` // of those that get a run, by time

	Rows []BatchFire `json:"rows,omitempty"` // of a dry run, in parts
}

// BatchFire is one fire, and what a backfill makes of it.
type BatchFire struct {
	At    Stamp  `json:"at"`
	Make  bool   `json:"make"`
	Run   string `json:"run,omitempty"`   // the newest that there is for it
	State string `json:"state,omitempty"` // of that run; missed: the schedule has passed it over
}

// batchMissed is the state of a fire that the schedule has missed, and that no run was made for.
const batchMissed = "missed"

// protoBatchRow gives a batch as it fits into a row: without its parameters, where they are too large.
func protoBatchRow(b *Batch) *Batch {
	if protoSize(b) > protoMaxRow {
		b.Params = nil
	}
	return b
}
