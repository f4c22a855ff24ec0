// principal_refused.go: agents that cannot take every run. One that is too old does not know a key of the workflow. It
// says so in its hello, or when it is given the run, or it is so old that it hangs up instead. It is not given the same
// at once again: the run goes to another agent or waits, and its reason says so. What an agent refused it is given
// again after a while, which doubles each time. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"slices"
	"time"
)

const (
	// how long an agent is not given again what it refused or hung up on; twice as long each time
	fleetRefusedMin  = 1 * time.Second
	fleetRefusedMost = 10 * time.Minute // the longest such time
	// refusals that are remembered; with more those are forgotten whose time is over, or else all
	fleetMaxRefused = 1000
)

// fleetWhat is a version of a workflow that an agent was given.
type fleetWhat struct{ agent, version string }

// fleetRefusal is how often the agent did not take it, why the last time, and until when it is not given it again.
type fleetRefusal struct {
	times  int
	build  string // the agent's version; another version may know more
	reason string
	until  time.Time
	asked  bool // the queue was looked at since until
}

// fleetOld says that an agent was passed over because it is too old.
type fleetOld struct {
	workflow, reason string
	since            time.Time
}

// knowing notes what an agent knows when it says hello, and forgets what another version of it has refused.
func (f *fleet) knowing(link *agentLink, hello *agentMsg) {
	link.build, link.can = hello.Version, hello.Can
	knows := make(map[string]bool, len(hello.Knows))
	for _, key := range hello.Knows {
		knows[key] = true
	}
	link.lacks = map[string]bool{}
	for _, key := range protoKnows() {
		if !knows[key] {
			link.lacks[key] = true
		}
	}
	for what, refusal := range f.refusals {
		if what.agent == link.name && refusal.build != link.build {
			delete(f.refusals, what)
		}
	}
}

// title names an agent and its version.
func (l *agentLink) title() string {
	return fmt.Sprintf("agent %s (%s)", l.name, orDefault(l.build, "of no version"))
}

// refusing says why an agent is not given a version of a workflow again now, "" when it did not refuse it.
func (f *fleet) refusing(link *agentLink, version string) string {
	if len(f.refusals) == 0 {
		return ""
	}
	refusal := f.refusals[fleetWhat{link.name, version}]
	if refusal == nil || !f.cfg.now().Before(refusal.until) {
		return ""
	}
	return refusal.reason
}

// refused notes that an agent did not take a version of a workflow.
func (f *fleet) refused(link *agentLink, version, reason string) {
	now, what := f.cfg.now(), fleetWhat{link.name, version}
	if len(f.refusals) >= fleetMaxRefused {
		for other, refusal := range f.refusals {
			if now.After(refusal.until) {
				delete(f.refusals, other)
			}
		}
		if len(f.refusals) >= fleetMaxRefused {
			clear(f.refusals)
		}
	}
	refusal := f.refusals[what]
	if refusal == nil {
		refusal = &fleetRefusal{build: link.build}
		f.refusals[what] = refusal
	}
	wait := fleetRefusedMost
	if refusal.times < 10 { // 2^10 s is more than that
		wait = min(wait, fleetRefusedMin<<refusal.times)
	}
	refusal.times++
	refusal.until, refusal.asked = now.Add(wait), false
	refusal.reason = fmt.Sprintf("%s %s", link.title(), reason)
	if refusal.times > 1 {
		refusal.reason += fmt.Sprintf(", %d times now: it is asked again after a while", refusal.times)
	}
}

// hearRefused takes in that an agent refuses a run that it was given. It can refuse only a run that has not begun.
func (f *fleet) hearRefused(link *agentLink, m *agentMsg) {
	r := f.state.Runs[m.Run]
	u := f.parts.at(link, m.Run)
	switch {
	case u != nil:
		r = u.run
	case !link.has(r, m.Lease) || !r.Started.IsZero():
		return
	}
	reason := protoReason(orDefault(m.Reason, "refused it"))
	if len(m.Unknown) > 0 {
		reason = "does not know " + protoKeysText(m.Unknown)
		link.old = &fleetOld{r.Workflow, link.title() + " " + reason, f.cfg.now()}
		f.stirred = true
		for _, key := range protoKnows() {
			if slices.Contains(m.Unknown, key) {
				link.lacks[key] = true
			}
		}
		f.enroll(link)
	}
	f.cfg.Log.Warn("an agent refused a run", "agent", link.name, "version", link.build, "run", r.ID, "workflow",
		r.Workflow, "cause", textHead(reason, principalMaxEcho))
	f.refused(link, r.Version, reason)
	if u != nil {
		f.parts.back(u, link.title()+" "+reason)
		return
	}
	f.giveUpRun(r, link.title()+" "+reason, true)
}

// takenUp notes that an agent has begun a run of a version, so that it can do others.
func (f *fleet) takenUp(agent, version string) { delete(f.refusals, fleetWhat{agent, version}) }

// untilAsked gives how long the loop may sleep before an agent may be given again what it refused, wait at most.
// Nothing is to be given while nothing is queued.
func (f *fleet) untilAsked(now time.Time, wait time.Duration) time.Duration {
	if len(f.queue.runs)+len(f.parts.line) == 0 {
		return wait
	}
	for what, refusal := range f.refusals {
		if f.links[what.agent] != nil && refusal.until.After(now) {
			wait = min(wait, refusal.until.Sub(now))
		}
	}
	return wait
}

// askAgain has the queue looked at when an agent may be given again what it refused.
func (f *fleet) askAgain(now time.Time) {
	for what, refusal := range f.refusals {
		if !refusal.asked && !now.Before(refusal.until) && f.links[what.agent] != nil {
			refusal.asked, f.assignable = true, true
		}
	}
}

// eachOld hands fn the agents that were passed over as too old, if the peer may see agents.
func (a *attention) eachOld(grant *authGrant, fn func(AttentionItem)) {
	if !grant.may(protoOpOf("agents")) {
		return
	}
	for _, link := range a.fleet.links {
		if old := link.old; old != nil {
			fn(AttentionItem{Key: stateKey(attentionOld, link.name, ""), Kind: attentionOld, Agent: link.name, Count: 1,
				First: stampOf(old.since), Last: stampOf(old.since),
				Reason: fmt.Sprintf("%s of workflow %s: upgrade it, or that run goes to others", old.reason,
					old.workflow)})
		}
	}
}
