// proto_why.go: what became of one instant of a schedule, or is to become of it, as a reply has it.

package main

// Outcomes of an instant.
const (
	whyFired   = "fired"    // it became a run
	whySkipped = "skipped"  // the schedule fires then, and there was no run
	whyNoFire  = "no_fire"  // the schedule does not fire then
	whyComing  = "coming"   // it is to fire
	whyPaused  = "paused"   // it is to come, and the schedule is paused
	whyUnknown = "not_kept" // it is over, and nothing is kept of it
	whyPending = "pending"  // it is over, and not decided
)

// WhyInstant is what became of one instant of a workflow's schedule, or is to become of it.
type WhyInstant struct {
	Workflow  string        `json:"workflow"`
	At        Stamp         `json:"at"`
	Outcome   string        `json:"outcome"`
	Fired     bool          `json:"fired"`
	Reason    string        `json:"reason"`
	Run       string        `json:"run,omitempty"`
	State     string        `json:"state,omitempty"`  // of the run
	Decided   Stamp         `json:"decided,omitzero"` // when it was decided
	Schedules []WhySchedule `json:"schedules"`
	Days      string        `json:"days,omitempty"`   // why nothing fires on that day
	Window    string        `json:"window,omitempty"` // that it lies before start_time or after end_time
	Jitter    float64       `json:"jitter,omitempty"` // seconds by which a fire is moved
	Due       Stamp         `json:"due,omitzero"`     // when it is due then
	Catchup   string        `json:"catchup,omitempty"`
	Pause     *Pause        `json:"pause,omitempty"` // that was in force then, or is
}
