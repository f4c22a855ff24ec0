// Tests of the alarm on the principal's loop, with a false clock and a command that is played: what it is told and
// when, what it is not told, and what a restart makes of it. e2e/alarm_test.go runs real commands.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// alarmRig is a principal with an alarm whose command is played.
type alarmRig struct {
	*principalRig
	x *fleetAgent

	mu     sync.Mutex
	told   []string
	inputs []alarmInput
	result commandResult
	hold   chan bool // the command waits for it; nil: it does not
}

func alarmRigOpen(t *testing.T, dir string, set alarmConfig, workflows ...*Workflow) *alarmRig {
	t.Helper()
	r := &alarmRig{}
	set.Command, set.Host, set.run = "tell", "hub", r.run
	g := &principalRig{t: t, dir: dir, log: &principalLog{}}
	g.cfg = principalConfig{dialect: compatNew, StateDir: dir, NoSync: true, Zone: time.UTC, Alarm: set,
		Log: slog.New(slog.NewTextHandler(g.log, nil))}
	r.principalRig = g
	g.start(workflows...)
	return r
}

// run is the command: it notes what it is told, in short.
func (r *alarmRig) run(ctx context.Context, spec commandSpec) commandResult {
	var in alarmInput
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return commandResult{Reason: "stopped with the principal"}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := json.Unmarshal(spec.Stdin, &in); err != nil {
		r.t.Errorf("the command gets no JSON: %v: %s", err, spec.Stdin)
	}
	if last := spec.Env[len(spec.Env)-1]; last != "CDKTR_ALARM_TEXT="+in.Text || spec.Timeout != alarmTimeout {
		r.t.Errorf("it gets %q for %v", last, spec.Timeout)
	}
	var parts []string
	for _, list := range []struct {
		head  string
		items []AttentionItem
	}{{"new", in.New}, {"still", in.Still}, {"over", in.Over}} {
		for _, item := range list.items {
			parts = append(parts, list.head+" "+item.what())
		}
	}
	text := strings.Join(parts, "; ")
	if r.result.Reason != "" {
		text = "failed: " + text
	}
	r.told, r.inputs = append(r.told, text), append(r.inputs, in)
	return r.result
}

// tells lets time pass while the agent is there, and holds what the alarm told meanwhile to what it should have.
func (r *alarmRig) tells(after time.Duration, want ...string) {
	r.t.Helper()
	if r.x != nil {
		r.x.beat(after)
	} else {
		time.Sleep(after)
	}
	synctest.Wait()
	r.mu.Lock()
	got := r.told
	r.told = nil
	r.mu.Unlock()
	if strings.Join(got, " | ") != strings.Join(want, " | ") {
		r.t.Errorf("the alarm told %q, want %q", got, want)
	}
}

// ends has the command end so from now on.
func (r *alarmRig) ends(result commandResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result = result
}

// outcome has the agent bring a run of a workflow to its end: with an exit, or well.
func (r *alarmRig) outcome(workflow string, exit int) string {
	r.t.Helper()
	id := r.principalRig.run(workflow)
	r.end(exit)
	return id
}

// end ends the run that the agent was given last.
func (r *alarmRig) end(exit int) {
	r.t.Helper()
	as, state := r.x.last(), runSucceeded
	r.x.report(fleetBegun(as)...)
	if exit != 0 {
		state = runFailed
	}
	task, over := fleetEvent(as, evTaskFinished, "a", state), fleetEvent(as, evRunFinished, "", state)
	task.Event.Exit = &exit
	if exit != 0 {
		task.Event.Reason, over.Event.Reason = fmt.Sprint("exit ", exit), fmt.Sprint("task a: exit ", exit)
	}
	r.x.report(task, over)
}

// TestAlarmTells: what is new is told once, together with what comes within the delay; what is over is told; what stays
// is told again; what was acknowledged or is over before it was told is not.
func TestAlarmTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay, repeat = time.Minute, 6 * time.Hour
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: delay, Repeat: repeat},
			principalTask(Workflow{ID: "w"}), principalTask(Workflow{ID: "v"}))
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.tells(time.Hour)

		r.outcome("w", 3)
		r.tells(delay/2, []string(nil)...)
		r.outcome("v", 4)
		r.tells(delay/2, "new v a exit 4 on x; new w a exit 3 on x")
		r.outcome("w", 3)
		r.tells(time.Hour)
		r.outcome("v", 0)
		r.tells(delay, "over v a exit 4 on x, recovered since")
		r.tells(repeat-time.Hour, "still w a exit 3 on x")

		r.outcome("v", 4) // over before it is told
		r.outcome("v", 0)
		r.tells(time.Hour)
		r.outcome("v", 4)
		r.ack(attentionFailed, 0) // the newest
		r.tells(time.Hour)
		r.ack(attentionFailed, 2*time.Hour) // that of w, which was told
		r.tells(2 * time.Hour)
		r.tells(delay, "new w a exit 3 on x")
		r.ack(attentionFailed, 0)
		r.tells(repeat * 2)
		r.outcome("w", 3)
		r.tells(delay, "new w a exit 3 on x")

		run := r.ask(Request{Op: "attention"}).Items[0].Runs[0] // tried again: not over before that has ended
		if reply := r.ask(Request{Op: "retry", Run: run}); !reply.OK {
			t.Fatal(reply.Error)
		}
		r.tells(delay)
		r.end(0)
		r.tells(delay, "over w a exit 3 on x, recovered since")
		r.tells(repeat * 2)
		r.stop()
	})
}

// TestAlarmKinds: it tells of what never ran too: files, agents, what is overdue.
func TestAlarmKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay, wait = time.Minute, time.Minute + 2*alarmPause
		arm := map[string]string{"arch": "arm"}
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: delay}, principalTask(Workflow{ID: "w", Agent: arm}),
			principalTask(Workflow{ID: "v", Agent: arm}))
		fault := func(texts ...string) {
			f := workflowFile{ID: "w", File: "w.yml", Spec: principalTask(Workflow{ID: "w", Agent: arm})}
			for _, text := range texts {
				f.Faults = append(f.Faults, workflowFault{File: "w.yml", Message: text})
			}
			r.do(func() { r.p.setFiles([]workflowFile{f}, nil) })
		}
		fault("no tasks")
		r.tells(wait, "new w does not load")
		fault("no name")
		r.tells(wait) // it is still the file that does not load
		fault()
		r.tells(wait, "over w does not load")

		r.principalRig.run("w")
		r.tells(wait, "new w is overdue") // there is no agent at all
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.tells(wait, "over w is overdue")
		r.principalRig.run("v")
		r.tells(attentionWaits - 2*wait - time.Second)
		r.tells(wait+time.Second, "new w is overdue") // it has waited for long now
		r.tells(attentionWaits + wait)                // v is overdue for the same cause
		r.x.gone()
		r.x = nil
		r.tells(attentionAway - time.Second)
		r.tells(wait, "new agent x is lost")
		x := fleetAgentJoin(r.principalRig, "x", 1)
		r.x = x
		r.tells(wait, "over agent x is lost")
		if reply := r.ask(Request{Op: "drain", Agent: "x"}); !reply.OK {
			t.Fatal(reply.Error)
		}
		x.gone()
		r.x = nil
		r.tells(time.Hour) // somebody is at work on it
		if reply := r.ask(Request{Op: "undrain", Agent: "x"}); !reply.OK {
			t.Fatal(reply.Error)
		}
		r.tells(wait, "new agent x is lost")
		if reply := r.ask(Request{Op: "forget", Agent: "x"}); !reply.OK {
			t.Fatal(reply.Error)
		}
		r.tells(time.Hour) // who forgets it knows
		r.stop()
	})
}

// TestAlarmFails: what a failed command had to tell is told again later and later, with what has come since and without
// what is over; the failure is an item of its own, until it goes well.
func TestAlarmFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second = time.Second
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{}, principalTask(Workflow{ID: "w"}),
			principalTask(Workflow{ID: "v"}))
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		exit := 3
		r.ends(commandResult{Exit: &exit, Reason: "exit 3", Output: "one\n\n  two \n"})
		r.outcome("w", 1)
		const w, v = "new w a exit 1 on x", "new v a exit 2 on x"
		r.tells(2*second, "failed: "+w)
		if got := r.attention(); got != "failed wx task a: exit 1; alarm  exit 3: two" &&
			got != "alarm  exit 3: two; failed wx task a: exit 1" {
			t.Error(got)
		}
		r.tells(alarmRetry - 3*second)
		r.outcome("v", 2)
		r.tells(5*second, "failed: "+v+"; "+w)
		info := r.ask(Request{Op: "attention"}).Alarm
		if info == nil || info.Failed != 2 || info.State != runFailed || *info.Exit != 3 ||
			!info.Next.After(time.Now()) {
			t.Errorf("%+v", info)
		}
		r.ack(attentionAlarm, 0)
		r.tells(2*alarmRetry, "failed: "+v+"; "+w) // its own failure is not told, and stays acknowledged
		if got := r.attention(); strings.Contains(got, "alarm") {
			t.Error(got)
		}
		r.outcome("w", 0)
		r.tells(4*alarmRetry, "failed: "+v)
		r.ends(commandResult{})
		if reply := r.ask(Request{Op: "alarm"}); !reply.OK || reply.Alarm.State != runSucceeded {
			t.Errorf("%+v", reply)
		}
		r.tells(2*second, "new a test", v)
		if got := r.attention(); strings.Contains(got, "alarm") {
			t.Error(got)
		}
		if alarmWait(1) != alarmRetry || alarmWait(3) != 4*alarmRetry || alarmWait(1000) != alarmRetryMost {
			t.Error(alarmWait(1), alarmWait(3), alarmWait(1000))
		}
		r.stop()
	})
}

// TestAlarmRestart: what was told is told once, whoever starts again; what is over by then is told to be; and a command
// that is at work holds up neither the loop nor a stop.
func TestAlarmRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = 3 * time.Second
		w, v := principalTask(Workflow{ID: "w"}), principalTask(Workflow{ID: "v"})
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Repeat: time.Hour}, w, v)
		again := func(workflows ...*Workflow) {
			t.Helper()
			r.stop()
			r.start(workflows...)
		}
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.outcome("w", 1)
		r.tells(wait, "new w a exit 1 on x")
		x := r.x
		x.gone()
		r.x = nil
		r.tells(attentionAway+wait, "new agent x is lost")
		again(w, v)
		r.tells(time.Hour-2*attentionAway, []string(nil)...)
		r.tells(3*attentionAway, "still w a exit 1 on x", "still agent x is lost")

		r.hold = make(chan bool)
		r.principalRig.run("v") // overdue at once, but that waits for a while after the start
		again(w, v)
		r.tells(attentionAway - time.Second)
		r.do(func() {
			if r.p.alarm.running != nil {
				t.Error("the agents have had no time to come back")
			}
		})
		time.Sleep(wait) // the command is at work
		synctest.Wait()
		if reply := r.ask(Request{Op: "alarm"}); reply.Error == nil || reply.Error.Code != codeBusy {
			t.Errorf("%+v", reply)
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took != alarmLast {
			t.Errorf("the stop took %v", took)
		}
		r.hold = nil
		r.start(v) // and the file of w is gone: nobody is told that it is over
		r.tells(attentionAway+wait, "new v is overdue")
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.end(0)
		r.tells(wait, "over v is overdue; over agent x is lost")
		if n := len(r.p.state.Told); n != 0 {
			t.Errorf("%d things are still known to be told", n)
		}
		r.stop()
	})
}

// TestAlarmIdle: an alarm that has nothing to tell wakes nobody.
func TestAlarmIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: time.Minute, Repeat: 6 * time.Hour},
			principalTask(Workflow{ID: "w"}))
		r.stop()
		turns := 0
		r.cfg.turned = func() { turns++ }
		r.start(principalTask(Workflow{ID: "w"}))
		still := func(what string, most int) {
			t.Helper()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			turns = 0
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			if turns > most {
				t.Errorf("%s it wakes the loop %d times in 20 minutes", what, turns)
			}
		}
		still("with nothing there", 0)
		r.do(func() {
			r.p.setFiles([]workflowFile{{ID: "w", File: "w.yml", Faults: []workflowFault{{Message: "odd"}}}}, nil)
		})
		still("with something that was told", 0)
		r.ack(attentionFile, 0)
		still("with something that was acknowledged", 0)
		r.tells(0, "new w does not load")
		r.stop()
	})
}

// TestAlarmText: the text is bounded, has no control characters, and counts what it does not tell.
func TestAlarmText(t *testing.T) {
	in := &alarmInput{Host: "hub", More: 7, Over: []AttentionItem{{Kind: attentionAgent, Agent: "x", Recovered: true}}}
	for i := range 40 {
		in.New = append(in.New, AttentionItem{Kind: attentionFailed, Workflow: fmt.Sprint("w", i), Runs: []string{"R"},
			Reason: "a\x00\x1b[31m\nb", Lines: []string{"c\td"}, Streams: "o"})
	}
	text := in.text()
	if head, _, _ := strings.Cut(text, "\n"); head != "hub: 40 new, 1 recovered, 7 more" {
		t.Error(head)
	}
	if !strings.Contains(text, "\n\nNEW\n* w0\n  a  [31m b\n  run R\n  o| c d\n* w1\n") ||
		!strings.HasSuffix(text, "* agent x is lost: over\n\n7 more: cdktr attention") {
		t.Errorf("%s", text)
	}
	for i := range in.New {
		in.New[i].Reason = strings.Repeat("\u00e9", 500)
	}
	if text := in.text(); len(text) > alarmMaxText+40 || !utf8.ValidString(text) ||
		!strings.HasSuffix(text, "\n... the rest: cdktr attention") {
		t.Errorf("%d bytes: %.100s", len(text), text)
	}
}

// TestAlarmApproval: it tells that a task waits for a person, and that it does no more.
func TestAlarmApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{}, &Workflow{ID: "w", Tasks: []Task{{ID: "a", Approve: "Ship?"}}})
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		for _, op := range []string{"approve", "cancel"} {
			run := r.principalRig.run("w")
			as := r.x.last()
			asks := fleetEvent(as, evTaskAsked, "a", "")
			asks.Event.Asks = askApprove
			r.x.report(append(fleetBegun(as), asks)...)
			r.tells(2*time.Second, "new w a waits for approval")
			r.do(func() { // lists of runs say it too, which have no tasks
				row := r.p.copier.rowOf(r.p.state.Runs[run])
				if row.Reason != "waiting for approval: " {
					t.Errorf("a row says %q", row.Reason)
				}
			})
			if reply := r.ask(Request{Op: op, Run: run, Task: map[string]string{"approve": "a"}[op]}); !reply.OK {
				t.Fatal(reply.Error)
			}
			r.tells(2*time.Second, "over w a waits for approval")
			r.x.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
				fleetEvent(as, evRunFinished, "", runSucceeded))
		}
		r.stop()
	})
}
