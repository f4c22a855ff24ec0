// proto_stats.go: how a workflow has done, as the op stats answers.

package main

// Stats is how a workflow has done. Durations are in seconds, and of the runs that had begun and were not skipped.
type Stats struct {
	Workflow  string        `json:"workflow"`
	Runs      int           `json:"runs"`
	Succeeded int           `json:"succeeded"`
	Failed    int           `json:"failed"`
	Cancelled int           `json:"cancelled"`
	Crashed   int           `json:"crashed"`
	Skipped   int           `json:"skipped,omitempty"`
	Rate      float64       `json:"rate"` // the share that succeeded, of those that were neither cancelled nor skipped
	P50       float64       `json:"p50"`
	P95       float64       `json:"p95"`
	Longest   *StatsLongest `json:"longest,omitempty"`
	Used      TaskUse       `json:"used,omitzero"` // by all tasks of all runs; of memory, the most that one used
	Histogram []StatsBucket `json:"histogram,omitempty"`
	Calendar  []StatsDay    `json:"calendar"`
}

// StatsLongest is the run that took longest.
type StatsLongest struct {
	Run     string  `json:"run"`
	Seconds float64 `json:"seconds"`
}

// StatsBucket counts the runs that took no longer than Upto, but longer than the Upto of the bucket before.
type StatsBucket struct {
	Upto  float64 `json:"upto"`
	Count int     `json:"count"`
}

// StatsDay is a day of the calendar, in the principal's time zone.
type StatsDay struct {
	Day   string `json:"day"`
	Worst string `json:"worst"` // outcome, "" without a run
	Runs  int    `json:"runs"`
}
