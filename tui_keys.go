// tui_keys.go: the table of keys, from which the last row, the help and the tests are made, and the way of a key
// through box, prompt and table.

package main

import (
	"slices"
	"strings"
)

// tuiBinding is what a key does.
type tuiBinding struct {
	keys  string                     // names as termKey.String writes them, the one that is shown first
	on    string                     // screens on which it does, "" all
	group string                     // of the help
	what  string                     // in the help
	label string                     // in the last row, "" when it is not shown there
	twin  string                     // what does the same on the command line
	act   bool                       // it changes something: not with --readonly, and not while the connection is lost
	why   func(*tui, tuiPick) string // why it cannot be done now, "" when it can; nil: it always can
	do    func(*tui, tuiPick)        // nil: the screen knows the key
}

// Groups of the help, in their order.
const (
	tuiGroupMove   = "Move"
	tuiGroupScreen = "Screen"
	tuiGroupAct    = "Act"
)

const (
	tuiOnLists   = "attention workflows runs agents events"
	tuiOnRows    = "attention workflows runs agents events run"
	tuiOnRunRows = "attention workflows runs run events"
)

// tuiBindings is every key. Of several that fit, the first one counts.
func tuiBindings(readonly bool) []tuiBinding {
	list := slices.Concat(tuiScreenKeys(), tuiGoKeys(), tuiActKeys(), tuiMoveKeys())
	if readonly {
		list = slices.DeleteFunc(list, func(b tuiBinding) bool { return b.act })
	}
	return list
}

func tuiScreenKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", on: "workflows stats source", group: tuiGroupScreen, what: "the workflow's runs", label: "runs",
			twin: "cdktr ps --all --workflow ID", why: tuiNeedWorkflow, do: (*tui).openRuns},
		{keys: "enter", on: "runs", group: tuiGroupScreen, what: "the run with its tasks", label: "open",
			twin: "cdktr show RUN", why: tuiNeedRun, do: (*tui).openRun},
		{keys: "enter", on: "attention", group: tuiGroupScreen, what: "what it is about", label: "open",
			why: whyNotOpen, do: (*tui).openItem},
		{keys: "enter", on: "agents", group: tuiGroupScreen, what: "the agent's runs", label: "its runs",
			why: whyNotAgent, do: (*tui).openAgentRuns},
		{keys: "enter", on: "run", group: tuiGroupScreen, what: "the task's whole output", label: "log",
			twin: "cdktr logs RUN --task TASK", do: (*tui).openLog},
		{keys: "enter", on: "events", group: tuiGroupScreen, what: "what the event is about", label: "open",
			why: whyNotOpen, do: (*tui).openItem},
		{keys: "v", on: "run", group: tuiGroupScreen, what: "table, waves, timeline", label: "view",
			do: (*tui).nextView},
		{keys: "l", on: "attention workflows runs events", group: tuiGroupScreen, what: "output of the run",
			label: "log", twin: "cdktr logs -f RUN", why: tuiNeedRun, do: (*tui).openLog},
		{keys: "l", on: "run", group: tuiGroupScreen, what: "output of all its tasks", label: "all output",
			twin: "cdktr logs -f RUN", do: (*tui).openRunLog},
		{keys: "i", on: tuiOnRunRows + " source", group: tuiGroupScreen, what: "statistics of the workflow",
			label: "stats", twin: "cdktr stats ID", why: tuiNeedWorkflow, do: (*tui).openStats},
		{keys: "e", on: tuiOnRunRows + " stats", group: tuiGroupScreen,
			what: "definition of the workflow, and its last fault", label: "source", twin: "cdktr show ID",
			why: tuiNeedWorkflow, do: (*tui).openSource},
		{keys: "tab", on: "run", group: tuiGroupScreen, what: "tasks or output", label: "pane", do: (*tui).nextPane},
		{keys: "+ -", on: "run", group: tuiGroupScreen, what: "more or less room for the output"},
		{keys: "f", on: "log events", group: tuiGroupScreen, what: "follow what comes", label: "follow"},
		{keys: "n N", on: "log run source", group: tuiGroupScreen, what: "next, previous hit", label: "next",
			why: whyNotNext},
		{keys: "&", on: "log", group: tuiGroupScreen, what: "show only lines that match", label: "only",
			do: (*tui).promptOnly},
		{keys: "w", on: "log source", group: tuiGroupScreen, what: "wrap long lines", label: "wrap"},
		{keys: "t", on: "log", group: tuiGroupScreen, what: "times on and off", label: "times"},
		{keys: "o", on: "log", group: tuiGroupScreen, what: "standard output, errors, both", label: "out/err"},
		{keys: "c", on: "log", group: tuiGroupScreen, what: "colours of the task"},
		{keys: "s", on: "log", group: tuiGroupScreen, what: "save to a file", label: "save",
			twin: "cdktr logs RUN > FILE", do: (*tui).promptSave},
		{keys: "/", on: tuiOnLists, group: tuiGroupScreen, what: "filter: words, !not, state:fail agent:x",
			label: "filter", do: (*tui).promptFilter},
		{keys: "/", on: "log run source", group: tuiGroupScreen,
			what: "search: output, tasks of a run (state:fail), a definition", label: "search",
			do: (*tui).promptFilter},
		{keys: "s", on: tuiOnLists, group: tuiGroupScreen, what: "sort by the next column", do: (*tui).nextSort},
		{keys: "S", on: tuiOnLists, group: tuiGroupScreen, what: "sort the other way round", do: (*tui).turnSort},
		{keys: "space", on: "workflows runs agents", group: tuiGroupScreen,
			what: "mark the row: keys act on all that are marked", do: (*tui).mark},
	}
}

// tuiGoKeys lead to the screens, and do what is the same on all of them.
func tuiGoKeys() []tuiBinding {
	to := func(make func(u *tui) tuiScreen) func(*tui, tuiPick) {
		return func(u *tui, _ tuiPick) { u.goTo(make(u)) }
	}
	list := func(kind tuiKind) func(*tui) tuiScreen { return func(*tui) tuiScreen { return tuiListNew(kind) } }
	return []tuiBinding{
		{keys: "0", group: tuiGroupScreen, what: "what needs a person", twin: "cdktr attention",
			do: to(func(u *tui) tuiScreen { return tuiAttentionNew(u) })},
		{keys: "1", group: tuiGroupScreen, what: "workflows", twin: "cdktr ls", do: to(list(tuiWorkflows))},
		{keys: "2", group: tuiGroupScreen, what: "runs", twin: "cdktr ps --all", do: to(list(tuiRuns))},
		{keys: "3", group: tuiGroupScreen, what: "agents", twin: "cdktr agents", do: to(list(tuiAgents))},
		{keys: "4", group: tuiGroupScreen, what: "events: who did what", twin: "cdktr events -f",
			do: to(func(u *tui) tuiScreen { return tuiEventsNew(u) })},
		{keys: "5", group: tuiGroupScreen, what: "output of the selected row", twin: "cdktr logs -f RUN",
			why: tuiNeedRun,
			do:  (*tui).openLog},
		{keys: "F", group: tuiGroupScreen, what: "freeze what is shown", do: (*tui).freeze},
		{keys: "y", on: tuiOnRows + " log stats source", group: tuiGroupScreen,
			what: "copy the id to the terminal's clipboard", do: (*tui).copyID},
		{keys: "esc backspace", group: tuiGroupScreen, what: "back one level; first filter, search or marks go",
			label: "back", do: (*tui).goBack},
		{keys: "^L", group: tuiGroupScreen, what: "draw everything anew",
			do: func(u *tui, _ tuiPick) { u.painter.forget() }},
		{keys: ":", group: tuiGroupScreen, what: "command: run, cancel, retry, pause, resume, drain, goto, connect, q",
			label: "cmd", do: (*tui).promptCommand},
		{keys: "q", group: tuiGroupScreen, what: "quit; nothing stops", label: "quit",
			do: func(u *tui, _ tuiPick) { u.leaveWith(nil) }},
		{keys: "?", group: tuiGroupScreen, what: "this help", label: "help", do: (*tui).openHelp},
	}
}

func tuiActKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "t", on: "runs run attention", group: tuiGroupAct, what: "run again what failed and what follows it",
			label: "retry", twin: "cdktr retry RUN", act: true, why: whyNotRetry, do: (*tui).actRetry},
		{keys: "x", on: "runs run workflows log", group: tuiGroupAct, what: "cancel the run", label: "cancel",
			twin: "cdktr cancel RUN", act: true, why: whyNotCancel, do: (*tui).actCancel},
		{keys: "r", on: "workflows run runs attention log stats source", group: tuiGroupAct,
			what: "run the workflow now; of a run, with its parameters", label: "run", twin: "cdktr run ID", act: true,
			why: whyNotRun, do: (*tui).actRun},
		{keys: "K", on: "run", group: tuiGroupAct, what: "kill the task at once; the rest of the run goes on",
			label: "kill task", twin: "cdktr cancel RUN --task TASK --force", act: true, why: whyNotKillTask,
			do: (*tui).actKillTask},
		{keys: "K", on: "runs", group: tuiGroupAct, what: "kill all the run's tasks at once",
			twin: "cdktr cancel RUN --force", act: true, why: whyNotCancel, do: (*tui).actKill},
		{keys: "p", on: "workflows stats source", group: tuiGroupAct, what: "pause or resume the schedule",
			label: "pause", twin: "cdktr pause ID", act: true, why: whyNotPause, do: (*tui).actPause},
		{keys: "d", on: "agents", group: tuiGroupAct, what: "give the agent no more runs", label: "drain",
			twin: "cdktr drain AGENT", act: true, why: whyNotDrain, do: (*tui).actDrain},
		{keys: "u", on: "agents", group: tuiGroupAct, what: "give it runs again", label: "undrain",
			twin: "cdktr undrain AGENT", act: true, why: whyNotUndrain, do: (*tui).actUndrain},
		{keys: "x", on: "agents", group: tuiGroupAct, what: "take a lost agent off the list", label: "forget",
			twin: "cdktr forget AGENT", act: true, why: whyNotForget, do: (*tui).actForget},
		{keys: "a", on: "attention", group: tuiGroupAct, what: "acknowledge: it is known", label: "ack",
			twin: "cdktr ack KEY", act: true, why: whyNotAck, do: (*tui).actAck},
		{keys: "z", on: "attention", group: tuiGroupAct, what: "snooze: it comes back in 4 hours", label: "snooze",
			twin: "cdktr ack KEY --snooze 4h", act: true, why: whyNotAck, do: (*tui).actSnooze},
	}
}

func tuiMoveKeys() []tuiBinding {
	by := func(n int) func(*tui, tuiPick) { return func(u *tui, _ tuiPick) { u.screen().move(u, n) } }
	half := func(n int) func(*tui, tuiPick) { return func(u *tui, _ tuiPick) { u.screen().page(u, n) } }
	edge := func(end bool) func(*tui, tuiPick) { return func(u *tui, _ tuiPick) { u.screen().edge(u, end) } }
	return []tuiBinding{
		{keys: "j down", group: tuiGroupMove, what: "down", do: by(1)},
		{keys: "k up", group: tuiGroupMove, what: "up", do: by(-1)},
		{keys: "^D", group: tuiGroupMove, what: "half a screen down", do: half(1)},
		{keys: "^U", group: tuiGroupMove, what: "half a screen up", do: half(-1)},
		{keys: "PgDn", group: tuiGroupMove, what: "a screen down", do: half(2)},
		{keys: "PgUp", group: tuiGroupMove, what: "a screen up", do: half(-2)},
		{keys: "g Home", group: tuiGroupMove, what: "first", do: edge(false)},
		{keys: "G End", group: tuiGroupMove, what: "last; in runs: load older ones; in output: follow", do: edge(true)},
		{keys: "h left", on: "log source", group: tuiGroupMove, what: "pan left"},
		{keys: "l right", on: "log source", group: tuiGroupMove, what: "pan right"},
	}
}

// fits says whether a binding is for a screen.
func (b *tuiBinding) fits(screen string) bool {
	return b.on == "" || slices.Contains(strings.Fields(b.on), screen)
}
