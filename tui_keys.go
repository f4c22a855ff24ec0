//go:build !noui

// tui_keys.go: which key does what, a table for each screen. The last row, the help and the tests are made from these
// tables; tui_press.go looks a key up in them.

package main

import (
	"slices"
	"strings"
)

// tuiBinding is what a key does.
type tuiBinding struct {
	// The keys, as termKey.String names them: the one that is shown comes first. on names the screens; the table of
	// one screen leaves it out, and "" is all of them.
	keys, on string

	// What the help says of it: its group, what the key does, and the command that does the same. label is what the
	// last row says; "" leaves the key out there.
	group, what, twin, label string

	// act: it changes something. It does nothing with --readonly, and while the connection is lost.
	act bool

	// why says why it can do nothing now, "" when it can; nil: it always can. do does it; nil: the screen does, by its
	// method key (tuiKeyed).
	why func(*tui, tuiPick) string
	do  func(*tui, tuiPick)
}

// Groups of the help, in their order.
const (
	tuiGroupMove   = "Move"
	tuiGroupScreen = "Screen"
	tuiGroupAct    = "Act"
)

// tuiBindings is every key of every screen. On one screen a key has one meaning.
func tuiBindings(readonly bool) []tuiBinding {
	var list []tuiBinding
	for _, table := range []struct {
		screen string
		keys   []tuiBinding
	}{
		{"attention", append(tuiAttentionKeys(), tuiKeysApprove()...)}, {"workflows", tuiWorkflowsKeys()},
		{"runs", tuiRunsKeys()},
		{"agents", tuiAgentsKeys()}, {"events", tuiEventsKeys()}, {"run",
			append(append(tuiRunKeys(), tuiKeyChild()), tuiKeysApprove()...)},
		{"log", tuiLogKeys()},
		{"pools", tuiPoolsKeys()}, {"stats", tuiStatsKeys()}, {"source", tuiSourceKeys()}, {"", tuiGoKeys()},
		{"", tuiMoveKeys()},
	} {
		for _, b := range table.keys {
			b.on = orDefault(b.on, table.screen)
			list = append(list, b)
		}
	}
	if readonly {
		list = slices.DeleteFunc(list, func(b tuiBinding) bool { return b.act })
	}
	return list
}

// tuiAttentionKeys is the keys of the screen of what needs a person, which key 0 opens.
func tuiAttentionKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", group: tuiGroupScreen, what: "what it is about", label: "open", why: whyNotOpen,
			do: (*tui).openItem},
		tuiKeyLog, tuiKeyStats, tuiKeySource, tuiKeyFilter, tuiKeySort, tuiKeyTurn,
		tuiKeyRetry, tuiKeyRun,
		{keys: "a", group: tuiGroupAct, what: "acknowledge: it is known", label: "ack", twin: "cdktr ack KEY",
			act: true, why: whyNotAck, do: (*tui).actAck},
		{keys: "z", group: tuiGroupAct, what: "snooze: it comes back in 4 hours", label: "snooze",
			twin: "cdktr ack KEY --snooze 4h", act: true, why: whyNotAck, do: (*tui).actSnooze},
	}
}

// tuiWorkflowsKeys is the keys of the list of workflows, which key 1 opens.
func tuiWorkflowsKeys() []tuiBinding {
	return []tuiBinding{
		tuiKeyRuns, tuiKeyLog, tuiKeyStats, tuiKeySource, tuiKeyFilter, tuiKeySort, tuiKeyTurn, tuiKeyMark,
		tuiKeyCancel, tuiKeyRun, tuiKeyPause,
	}
}

// tuiRunsKeys is the keys of a list of runs: of all, which key 2 opens, or of some.
func tuiRunsKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", group: tuiGroupScreen, what: "the run with its tasks", label: "open", twin: "cdktr show RUN",
			why: whyNoRun, do: (*tui).openRun},
		tuiKeyLog, tuiKeyStats, tuiKeySource, tuiKeyFilter, tuiKeySort, tuiKeyTurn, tuiKeyMark,
		tuiKeyRetry, tuiKeyCancel, tuiKeyRun,
		{keys: "K", group: tuiGroupAct, what: "kill all the run's tasks at once", twin: "cdktr cancel RUN --force",
			act: true, why: whyNotCancel, do: (*tui).actKill},
	}
}

// tuiAgentsKeys is the keys of the list of agents, which key 3 opens.
func tuiAgentsKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", group: tuiGroupScreen, what: "the agent's runs", label: "its runs", why: whyNotAgent,
			do: (*tui).openAgentRuns},
		tuiKeyFilter, tuiKeySort, tuiKeyTurn, tuiKeyMark,
		{keys: "d", group: tuiGroupAct, what: "give the agent no more runs", label: "drain",
			twin: "cdktr drain AGENT", act: true, why: whyNotDrain, do: (*tui).actDrain},
		{keys: "u", group: tuiGroupAct, what: "give it runs again", label: "undrain", twin: "cdktr undrain AGENT",
			act: true, why: whyNotUndrain, do: (*tui).actUndrain},
		{keys: "x", group: tuiGroupAct, what: "take a lost agent off the list", label: "forget",
			twin: "cdktr forget AGENT", act: true, why: whyNotForget, do: (*tui).actForget},
	}
}

// tuiEventsKeys is the keys of the screen of events, which key 4 opens. tuiEventList.key acts on those without a do.
func tuiEventsKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", group: tuiGroupScreen, what: "what the event is about", label: "open", why: whyNotOpen,
			do: (*tui).openItem},
		tuiKeyLog, tuiKeyStats, tuiKeySource, tuiKeyFollow, tuiKeyFilter, tuiKeySort, tuiKeyTurn,
	}
}

// tuiPoolsKeys is the keys of the screen of pools, which key P opens.
func tuiPoolsKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", group: tuiGroupScreen, what: "the run with its tasks", label: "open", twin: "cdktr show RUN",
			why: whyNoRun, do: (*tui).openRun},
		tuiKeyLog, tuiKeyStats, tuiKeySource, tuiKeyFilter, tuiKeyCancel,
	}
}

// tuiRunKeys is the keys of the screen of one run. tuiRunScreen.key acts on those without a do.
func tuiRunKeys() []tuiBinding {
	return []tuiBinding{
		{keys: "enter", group: tuiGroupScreen, what: "the task's whole output", label: "log",
			twin: "cdktr logs RUN --task TASK", do: (*tui).openLog},
		{keys: "space", group: tuiGroupScreen, what: "open or close the instances of a task with foreach",
			why: whyNotFold, do: tuiFold},
		{keys: "v", group: tuiGroupScreen, what: "table, waves, timeline", label: "view", do: (*tui).nextView},
		{keys: "l", group: tuiGroupScreen, what: "output of all its tasks", label: "all output",
			twin: "cdktr logs -f RUN", do: (*tui).openRunLog},
		tuiKeyStats, tuiKeySource,
		{keys: "tab", group: tuiGroupScreen, what: "tasks or output", label: "pane", do: (*tui).nextPane},
		{keys: "+ -", group: tuiGroupScreen, what: "more or less room for the output"},
		tuiKeyNext, tuiKeySearch,
		tuiKeyRetry, tuiKeyCancel, tuiKeyRun,
		{keys: "K", group: tuiGroupAct, what: "kill the task at once; the rest of the run goes on",
			label: "kill task", twin: "cdktr cancel RUN --task TASK --force", act: true, why: whyNotKillTask,
			do: (*tui).actKillTask},
	}
}

// tuiLogKeys is the keys of the screen of output. tuiLogScreen.key acts on those without a do.
func tuiLogKeys() []tuiBinding {
	return []tuiBinding{
		tuiKeyFollow, tuiKeyNext,
		{keys: "&", group: tuiGroupScreen, what: "show only lines that match", label: "only", do: (*tui).promptOnly},
		tuiKeyWrap,
		{keys: "t", group: tuiGroupScreen, what: "times on and off", label: "times"},
		{keys: "o", group: tuiGroupScreen, what: "standard output, errors, both", label: "out/err"},
		{keys: "c", group: tuiGroupScreen, what: "colours of the task"},
		{keys: "s", group: tuiGroupScreen, what: "save to a file", label: "save", twin: "cdktr logs RUN > FILE",
			do: (*tui).promptSave},
		tuiKeySearch,
		tuiKeyCancel, tuiKeyRun,
	}
}

// tuiStatsKeys is the keys of the screen of a workflow's statistics.
func tuiStatsKeys() []tuiBinding {
	return []tuiBinding{tuiKeyRuns, tuiKeySource, tuiKeyRun, tuiKeyPause}
}

// tuiSourceKeys is the keys of the screen of a workflow's definition. tuiSource.key acts on those without a do.
func tuiSourceKeys() []tuiBinding {
	return []tuiBinding{tuiKeyRuns, tuiKeyStats, tuiKeyNext, tuiKeyWrap, tuiKeySearch, tuiKeyRun, tuiKeyPause}
}

// Keys that several screens have: the tables above say which.
var (
	tuiKeyRuns = tuiBinding{keys: "enter", group: tuiGroupScreen, what: "the workflow's runs", label: "runs",
		twin: "cdktr ps --all --workflow ID", why: whyNoWorkflow, do: (*tui).openRuns}
	tuiKeyLog = tuiBinding{keys: "l", group: tuiGroupScreen, what: "output of the run", label: "log",
		twin: "cdktr logs -f RUN", why: whyNoRun, do: (*tui).openLog}
	tuiKeyStats = tuiBinding{keys: "i", group: tuiGroupScreen, what: "statistics of the workflow", label: "stats",
		twin: "cdktr stats ID", why: whyNoWorkflow, do: (*tui).openStats}
	tuiKeySource = tuiBinding{keys: "e", group: tuiGroupScreen, what: "definition of the workflow, and its last fault",
		label: "source", twin: "cdktr show ID", why: whyNoWorkflow, do: (*tui).openSource}
	tuiKeyFollow = tuiBinding{keys: "f", group: tuiGroupScreen, what: "follow what comes", label: "follow"}
	tuiKeyNext   = tuiBinding{keys: "n N", group: tuiGroupScreen, what: "next, previous hit", label: "next",
		why: whyNotNext}
	tuiKeyWrap   = tuiBinding{keys: "w", group: tuiGroupScreen, what: "wrap long lines", label: "wrap"}
	tuiKeyFilter = tuiBinding{keys: "/", group: tuiGroupScreen, what: "filter: words, !not, state:fail agent:x",
		label: "filter", do: (*tui).promptFilter}
	tuiKeySearch = tuiBinding{keys: "/", group: tuiGroupScreen,
		what:  "search: output, tasks of a run (state:fail), a definition",
		label: "search", do: (*tui).promptFilter}
	tuiKeySort = tuiBinding{keys: "s", group: tuiGroupScreen, what: "sort by the next column", do: (*tui).nextSort}
	tuiKeyTurn = tuiBinding{keys: "S", group: tuiGroupScreen, what: "sort the other way round", do: (*tui).turnSort}
	tuiKeyMark = tuiBinding{keys: "space", group: tuiGroupScreen,
		what: "mark the row: keys act on all that are marked", do: (*tui).mark}
	tuiKeyRetry = tuiBinding{keys: "t", group: tuiGroupAct, what: "run again what failed and what follows it",
		label: "retry", twin: "cdktr retry RUN", act: true, why: whyNotRetry, do: (*tui).actRetry}
	tuiKeyCancel = tuiBinding{keys: "x", group: tuiGroupAct, what: "cancel the run", label: "cancel",
		twin: "cdktr cancel RUN", act: true, why: whyNotCancel, do: (*tui).actCancel}
	tuiKeyRun = tuiBinding{keys: "r", group: tuiGroupAct,
		what: "run the workflow now; of a run, with its parameters", label: "run", twin: "cdktr run ID", act: true,
		why: whyNotRun, do: (*tui).actRun}
	tuiKeyPause = tuiBinding{keys: "p", group: tuiGroupAct, what: "pause or resume the schedule", label: "pause",
		twin: "cdktr pause ID", act: true, why: whyNotPause, do: (*tui).actPause}
)

// tuiGoKeys is the keys of all screens: those that lead to a screen, and those that do the same on each.
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
			why: whyNoRun,
			do:  (*tui).openLog},
		{keys: "P", group: tuiGroupScreen, what: "pools: who has their places, and who waits", twin: "cdktr pools",
			do: func(u *tui, _ tuiPick) { u.open(tuiPoolsNew(u)) }},
		{keys: "F", group: tuiGroupScreen, what: "freeze what is shown", do: (*tui).freeze},
		{keys: "y", on: "attention workflows runs agents events pools run log stats source", group: tuiGroupScreen,
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

// tuiMoveKeys is the keys that move on all screens.
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

// has says whether a binding is of a key.
func (b *tuiBinding) has(key string) bool { return slices.Contains(strings.Fields(b.keys), key) }

// fits says whether a binding is for a screen.
func (b *tuiBinding) fits(screen string) bool {
	return b.on == "" || slices.Contains(strings.Fields(b.on), screen)
}

// tuiElsewhere gives the bindings of other screens than one, each once, with all screens that have it in on. What that
// screen has itself is left out.
func tuiElsewhere(list []tuiBinding, screen string) []tuiBinding {
	var others []tuiBinding
	for _, b := range list {
		same := func(a tuiBinding) bool { return a.keys == b.keys && a.what == b.what }
		if slices.ContainsFunc(list, func(a tuiBinding) bool { return same(a) && a.fits(screen) }) {
			continue
		}
		if at := slices.IndexFunc(others, same); at >= 0 {
			others[at].on += " " + b.on
			continue
		}
		others = append(others, b)
	}
	return others
}

// onText names the screens of a binding.
func (b *tuiBinding) onText() string { return strings.ReplaceAll(b.on, " ", ", ") }
