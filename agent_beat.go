// agent_beat.go: how an agent and its principal know of each other that they are there. The agent says so, the
// principal answers, and whatever else one hears of the other counts as well; the connection below adds nothing of its
// own. How often depends on how long the principal waits for a silent agent before it gives the agent's runs up: it
// says that in its welcome.

package main

import "time"

const (
	agentPatience     = 15 * time.Second // of a principal that says nothing of it: an earlier build
	agentPatienceMost = time.Hour        // no principal waits longer than that
	// with each heartbeat of so many the agent says how busy its machine is, and what time it has
	agentSaysEach = 4
)

// agentPace is how often an agent says that it is there, and how long that holds.
type agentPace struct {
	beat  time.Duration // between two heartbeats
	lease time.Duration // without a principal for so long it stops the runs that would be rerun elsewhere
	deaf  time.Duration // when it has heard nothing for so long it gives up the connection
}

// agentPaceOf gives the pace for a principal that waits so long for a silent agent. A third of that is left between the
// end of the leases and the time when the principal gives the runs to others.
func agentPaceOf(patience time.Duration) agentPace {
	if patience <= 0 {
		patience = agentPatience
	}
	patience = min(patience, agentPatienceMost)
	lease := patience * 2 / 3
	return agentPace{beat: lease / 2, lease: lease, deaf: lease + time.Second}
}

// beat says that the agent is there. While it has no runs it wants an answer to each second heartbeat only: an answer
// wakes it as a heartbeat does, and nothing rests on it. It gives up a connection on which nothing is heard any more,
// and ends the leases of runs that the principal may be about to give away.
func (a *agent) beat() {
	if a.near() {
		return
	}
	now := a.cfg.count()
	a.beaten = now
	switch {
	case a.conn != nil && (now.Sub(a.heard) > a.pace.deaf || len(a.asked) > agentUnanswered):
		a.conn.Cut(nil)
	case a.conn != nil && a.welcomed:
		beat := &agentMsg{Op: msgHeartbeat, Later: len(a.runs)+len(a.ahead)+len(a.asked) == 0}
		if beat.Later {
			a.heard = now
		}
		if len(a.runs) > 0 || a.beats%agentSaysEach == 0 {
			beat.Clock = stampOf(a.cfg.now())
			if a.cfg.load != nil {
				beat.Load = a.cfg.load()
			}
		}
		a.beats++
		a.ask(beat)
	}
	a.endLeases()
}

// ask sends a heartbeat.
func (a *agent) ask(beat *agentMsg) {
	a.asked = append(a.asked, a.cfg.count())
	a.send(beat)
}

// wake is called before a run begins. The principal has answered all heartbeats that it heard before it gave the run
// out. Where there is one more, the lease of the run does not wait for the next.
func (a *agent) wake() {
	if len(a.runs) == 0 && len(a.asked) > 0 {
		a.ask(&agentMsg{Op: msgHeartbeat})
	}
}

// answered takes the answer to the n oldest messages that were not answered yet. The leases count from when the last of
// them was sent, and not from now: the answer may have been on its way for long, and the principal may have heard
// nothing since.
func (a *agent) answered(n uint64) {
	for ; n > 0 && len(a.asked) > 0; n-- {
		a.leaseFrom, a.asked = a.asked[0], a.asked[1:]
	}
}

// endLeases stops the runs that the principal may be about to give away.
func (a *agent) endLeases() {
	if len(a.runs) == 0 || a.near() || a.cfg.count().Sub(a.leaseFrom) < a.pace.lease {
		return
	}
	a.crashRuns("no principal for "+a.pace.lease.String()+": the run may be given to another agent", true,
		func(r *agentRun) bool { return r.as.Spec.failover() == failoverRerun })
}

// near says whether the principal is connected and lives within this process: it needs no sign of life, and an idle
// process need not wake for one.
func (a *agent) near() bool { return a.conn != nil && a.conn.Peer().Transport == wireMemory }

// every gives the time between two heartbeats as things are now; 0: none is due.
func (a *agent) every() time.Duration {
	if a.near() || a.conn == nil && len(a.runs) == 0 {
		return 0
	}
	return a.pace.beat
}

// untilBeat gives how long the loop may sleep: to the next heartbeat, or to the end of the leases, when there are runs.
// Leases count from the last message that the principal is known to have heard, because the principal counts so too
// (agentLostAfter).
func (a *agent) untilBeat() time.Duration {
	now := a.cfg.count()
	wait := a.every() - now.Sub(a.beaten)
	if left := a.pace.lease - now.Sub(a.leaseFrom); left > 0 && len(a.runs) > 0 {
		wait = min(wait, left)
	}
	return max(wait, 0)
}
