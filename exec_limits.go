// exec_limits.go: how much of the machine a process may take, with all that it starts. On Linux a cgroup of its own
// sees to that, where one is delegated to us (exec_cgroup_linux.go). Else each process has limits by itself, as far as
// there are such, and the agent says what is missing.

package main

import "strings"

// procLimits is how much a process may take, with all that it starts. 0 is no limit.
type procLimits struct {
	Memory int64 // bytes
	CPU    int   // percent of one processor
	PIDs   int   // processes and threads
	Nice   *int  // nil: ours
}

// How a limit is in force.
const (
	procWayCgroup = "cgroup"             // of all the task's processes together
	procWayEach   = "each process alone" // RLIMIT_DATA
	procWaySet    = "set"                // by setpriority, for each process
	procWayNever  = "not in force"
)

// procHold is how the limits of one process are in force. nil: it has none, and each method does nothing.
type procHold struct {
	limits *procLimits
	cgroup *procCgroup // its cgroup, nil: it has none
	entry  int         // what the child writes to, so that it is in the cgroup; 0: nothing
	data   int64       // its RLIMIT_DATA, 0: ours
	nice   bool        // its nice is to be set

	keys, ways []string // each limit, and how it is in force
	whys       []string // what keeps some from being in force, or from the cgroup
	left       bool     // the cgroup is gone, or about to go; ps.mu guards it
}

// note says how a limit is in force, and why no better, "" where it is as it should be.
func (h *procHold) note(key, way, why string) {
	h.keys, h.ways = append(h.keys, key), append(h.ways, way)
	for _, had := range h.whys {
		if had == why {
			return
		}
	}
	if why != "" {
		h.whys = append(h.whys, why)
	}
}

// text says how the limits are in force, "" where there are none: memory, cpu: cgroup; pids: not in force (why).
func (h *procHold) text() string {
	if h == nil {
		return ""
	}
	var b strings.Builder
	for i, key := range h.keys {
		b.WriteString(key)
		switch {
		case i == len(h.keys)-1:
			b.WriteString(": " + h.ways[i])
		case h.ways[i+1] == h.ways[i]:
			b.WriteString(", ")
		default:
			b.WriteString(": " + h.ways[i] + "; ")
		}
	}
	if len(h.whys) > 0 {
		b.WriteString(" (" + strings.Join(h.whys, "; ") + ")")
	}
	return b.String()
}

// lacks says how the limits are in force where something is missing, "" where nothing is. It never changes, and any
// goroutine may ask.
func (p *proc) lacks() string {
	if p.hold == nil || len(p.hold.whys) == 0 {
		return ""
	}
	return p.hold.text()
}

// procStruck says which limits a process has run into, as far as that is known.
type procStruck struct {
	Memory  bool // the system has killed it: it wanted more memory than it may have
	Machine bool // the system has killed it: its unit, or the whole machine, had no memory left
	PIDs    bool // the system has refused it a process
	Each    bool // nobody knows: each process by itself was refused the memory that it may not have
}

// dropCgroup gives up the cgroup of a process that did not start.
func (p *proc) dropCgroup() {
	if p.hold != nil {
		p.ps.sys.cgroups.leave(p.hold.cgroup)
	}
}

// leaveCgroup gives up the cgroup of a process for which nothing is left to do. No loop may call it, nor anybody who
// holds ps.mu.
func (p *proc) leaveCgroup() {
	if p.hold == nil {
		return
	}
	p.ps.mu.Lock()
	leaves := p.isDone && !p.ending && !p.hold.left
	p.hold.left = p.hold.left || leaves
	p.ps.mu.Unlock()
	if leaves {
		p.ps.sys.cgroups.leave(p.hold.cgroup)
	}
}
