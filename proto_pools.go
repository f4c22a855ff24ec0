// proto_pools.go: pools as the op pools and `pools --json` show them.

package main

import "strings"

// PoolInfo is a pool: who has its places, and who waits for them.
type PoolInfo struct {
	Pool     string `json:"pool"`
	Places   int    `json:"places"`
	Declared bool   `json:"declared"` // in the principal's configuration; else it has one place
	// more than Places for a while when a lost run has come back, or fewer are declared
	Taken     int       `json:"taken"`
	Workflows int       `json:"workflows"` // files that name it
	Holding   int       `json:"holding"`   // how many have places
	Waiting   int       `json:"waiting"`   // how many wait for some
	Holders   []PoolUse `json:"holders"`   // the first of them
	Waiters   []PoolUse `json:"waiters"`   // the first of them, in the order in which they are to have places
}

// PoolUse is a run, or a task of one, that has places of a pool or waits for them.
type PoolUse struct {
	Run      string `json:"run"`
	Workflow string `json:"workflow"`
	Task     string `json:"task,omitempty"` // "": it is the run itself
	Places   int    `json:"places"`
	Since    Stamp  `json:"since,omitzero"`  // when it began to hold or to wait
	Agent    string `json:"agent,omitempty"` // that has it
	Reason   string `json:"reason,omitempty"`
}

// where names the workflow, and the task if it is one.
func (u *PoolUse) where() string { return strings.TrimSuffix(u.Workflow+" "+u.Task, " ") }
