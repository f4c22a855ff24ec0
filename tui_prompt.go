//go:build !noui

// tui_prompt.go: the row in which the user types: filters, searches, commands.

package main

import (
	"errors"
	"os"
	"slices"
	"strings"
)

const (
	tuiMinName = 4                 // letters from the end of a run's id that may stand for it
	tuiEither  = "workflow or run" // what an argument of a command can be
)

// tuiPrompt is what is being typed.
type tuiPrompt struct {
	input *viewInput
	typed func(text string)            // after each key; nil: nothing
	done  func(text string)            // on enter
	undo  func()                       // on esc; nil: nothing
	words func(before string) []string // what the word behind before may be; nil: nothing
}

// ask opens the prompt. Each mark has a history of its own.
func (u *tui) ask(mark, text string, p tuiPrompt) {
	if u.history[mark] == nil {
		u.history[mark] = &viewInput{}
	}
	p.input = u.history[mark]
	p.input.set(mark, text)
	u.prompt = &p
}

// promptKey gives a key to the prompt.
func (u *tui) promptKey(k termKey) {
	p := u.prompt
	if k.Code == termKeyTab || k.Code == termKeyBackTab {
		if p.words != nil {
			dir := 1
			if k.Code == termKeyBackTab {
				dir = -1
			}
			before, _ := p.input.word()
			p.input.complete(dir, p.words(before))
		}
		return
	}
	switch answer := p.input.key(k); {
	case answer != viewOpen:
		u.endPrompt(answer == viewYes)
	case p.typed != nil:
		p.typed(p.input.String())
	}
}

// endPrompt closes the prompt. done carries out what was typed; else it is undone.
func (u *tui) endPrompt(done bool) {
	p := u.prompt
	if p == nil {
		return
	}
	u.prompt = nil
	if done {
		p.done(p.input.String())
	} else if p.undo != nil {
		p.undo()
	}
}

// promptFilter filters a list, or searches a text or the tasks of a run, while the user types.
func (u *tui) promptFilter(tuiPick) {
	switch s := u.screen().(type) {
	case *tuiLogScreen:
		u.promptSearch(s.view)
	case *tuiSource:
		u.promptSearch(s.view)
	case *tuiRunScreen:
		if s.view.Pane == 1 {
			u.promptSearch(s.out.log)
			return
		}
		before := s.search
		s.searchedFrom = s.view.Selected
		set := func(text string) { s.setFilter(u, text) }
		u.ask("/", "", tuiPrompt{typed: set, done: set, undo: func() {
			s.search = before
			s.find(s.searchedFrom, 1,
				true)
		}})
	case tuiFiltered:
		before := s.getFilter()
		set := func(text string) { s.setFilter(u, text) }
		u.ask("/", before, tuiPrompt{typed: set, done: set, undo: func() { set(before) }})
	}
}

// promptSearch searches in a text.
func (u *tui) promptSearch(v *viewLog) {
	v.searchBegin()
	u.ask("/", "", tuiPrompt{
		typed: func(text string) { v.setSearch(text) },
		done: func(text string) {
			if fault := v.setSearch(text); fault != "" {
				u.say("%s", fault)
			}
			v.searchEnd(true)
		},
		undo: func() { v.searchEnd(false) }})
}

// promptOnly shows only the lines of output that match.
func (u *tui) promptOnly(tuiPick) {
	s, ok := u.screen().(*tuiLogScreen)
	if !ok {
		return
	}
	u.ask("&", "", tuiPrompt{done: func(text string) {
		if fault := s.view.setOnly(text); fault != "" {
			u.say("%s", fault)
		}
	}})
}

// promptSave writes the output that is shown to a new file, as plain text.
func (u *tui) promptSave(tuiPick) {
	s, ok := u.screen().(*tuiLogScreen)
	if !ok {
		return
	}
	u.ask("save to: ", "cdktr-"+strings.ToLower(tuiShort(s.run))+".log", tuiPrompt{done: func(name string) {
		if name == "" {
			return
		}
		text := s.view.text()
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // never over an old file
		if err == nil {
			_, err = f.Write(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			u.say("save: %v", err)
			return
		}
		u.say("wrote %s to %s", viewSize(len(text)), name)
	}})
}

// tuiCommand is a command of the prompt.
type tuiCommand struct {
	name string
	arg  string // what it takes: workflow, run, tuiEither, agent, screen, endpoint, or nothing
	act  bool   // it changes something
	do   func(*tui, string)
}

// tuiScreens is what :goto can go to.
var tuiScreens = []string{"attention", "workflows", "runs", "agents", "events", "pools"}

// tuiCommands is what the prompt takes: verbs of the command line, and commands of the UI itself.
func tuiCommands() []tuiCommand {
	acts := func(name, arg string, do func(*tui, string)) tuiCommand { return tuiCommand{name, arg, true, do} }
	looks := func(name, arg string, do func(*tui, string)) tuiCommand { return tuiCommand{name, arg, false, do} }
	// asks sends the verb itself to the principal, with the id in the field that arg names.
	asks := func(verb, arg string) tuiCommand {
		return acts(verb, arg, func(u *tui, id string) {
			req := Request{Op: verb}
			switch arg {
			case "workflow":
				req.Workflow = id
			case "run":
				req.Run = id
			case "agent":
				req.Agent = id
			}
			u.act(verb+" "+tuiName(id), req)
		})
	}
	return []tuiCommand{
		acts("run", "workflow", func(u *tui, arg string) { u.actRun(tuiPick{workflow: arg}) }),
		acts("cancel", "run", func(u *tui, arg string) { u.actCancel(tuiPick{run: arg}) }),
		asks("retry", "run"),
		asks("pause", "workflow"),
		asks("resume", "workflow"),
		asks("drain", "agent"),
		asks("undrain", "agent"),
		acts("forget", "agent", func(u *tui, arg string) { u.actForget(tuiPick{agent: arg}) }),
		looks("show", tuiEither, (*tui).showNamed),
		looks("stats", "workflow", func(u *tui, arg string) { u.openStats(tuiPick{workflow: arg}) }),
		looks("logs", "run", func(u *tui, arg string) { u.openLog(tuiPick{run: arg}) }),
		looks("goto", "screen", (*tui).goToNamed),
		looks("connect", "endpoint", (*tui).connectTo),
		looks("help", "", func(u *tui, _ string) { u.openHelp(tuiPick{}) }),
		looks("q", "", func(u *tui, _ string) { u.leaveWith(nil) }),
	}
}

// promptCommand opens the prompt for a command.
func (u *tui) promptCommand(tuiPick) {
	u.ask(":", "", tuiPrompt{done: u.command, words: u.completions})
}

// command carries out what the user typed behind the colon.
func (u *tui) command(text string) {
	name, arg, _ := strings.Cut(strings.TrimSpace(text), " ")
	arg = strings.TrimSpace(arg)
	if name == "" {
		return
	}
	if name == "quit" {
		name = "q"
	}
	commands := tuiCommands()
	at := slices.IndexFunc(commands, func(c tuiCommand) bool { return c.name == name })
	if at < 0 {
		var names []string
		for _, c := range commands {
			names = append(names, c.name)
		}
		if near := nearHint(name, names); near != "" {
			u.say("no command %q%s", name, near)
			return
		}
		u.say("no command %q; tab behind : offers those there are: %s", name, strings.Join(names, " "))
		return
	}
	switch c := commands[at]; {
	case c.act && u.readonly:
		u.say("%s changes something, and this is --readonly", name)
	case c.act && !u.live():
		u.say("%s needs a connection: %s", name, u.staleText())
	case c.arg == "" && arg != "", c.arg != "" && c.arg != "endpoint" && arg == "":
		u.say("usage: :%s", strings.TrimSpace(name+" "+strings.ToUpper(c.arg)))
	default:
		id, fault := u.named(c.arg, arg)
		if fault != "" {
			u.say("%s: %s", name, fault)
			return
		}
		c.do(u, id)
	}
}

// named gives the id that an argument of a command stands for. The end of a run's id stands for the run, as lists show
// it, and a workflow for its newest run. A whole run id is taken as it is: the principal may know the run.
func (u *tui) named(kind, arg string) (id, fault string) {
	words := u.words(kind)
	switch {
	case slices.Contains([]string{"", "screen", "endpoint"}, kind), slices.Contains(words, arg):
		return arg, ""
	case (kind == "run" || kind == tuiEither) && isRunID(strings.ToUpper(arg)):
		return strings.ToUpper(arg), ""
	case kind == "run" || kind == tuiEither:
		runs := u.words("run")
		at := slices.IndexFunc(runs, func(id string) bool {
			return len(arg) >= tuiMinName && strings.HasSuffix(id, strings.ToUpper(arg)) || u.runOf(id).Workflow == arg
		})
		if at >= 0 {
			return runs[at], ""
		}
	}
	if kind == "run" {
		return "", "no run " + arg + " among the newest: tab offers them, and the whole id of an older one is taken too"
	}
	fault = "no " + kind + " " + arg
	if near := nearest(arg, words); near != "" {
		return "", fault + ": did you mean " + near + "?"
	}
	return "", fault + ": tab offers those there are"
}

// completions gives the words that may follow what was typed: commands, or arguments of one.
func (u *tui) completions(before string) []string {
	var names []string
	for _, c := range tuiCommands() {
		if c.name == strings.TrimSpace(before) {
			return u.words(c.arg)
		}
		names = append(names, c.name)
	}
	if strings.TrimSpace(before) != "" {
		return nil
	}
	return names
}

// words gives the possible arguments of a kind.
func (u *tui) words(kind string) []string {
	switch kind {
	case "workflow":
		return sortedKeys(u.model.workflows)
	case "run":
		ids := slices.Clone(u.model.newest)
		slices.Reverse(ids)
		for _, s := range u.stack { // behind them the older ones that have been loaded
			if l, ok := s.(*tuiList); ok {
				ids = append(ids, l.older.ids...)
			}
		}
		return ids
	case tuiEither:
		return append(u.words("workflow"), u.words("run")...)
	case "agent":
		return sortedKeys(u.model.agents)
	case "screen":
		return tuiScreens
	case "endpoint":
		return u.contexts
	}
	return nil
}

// showNamed is :show, of a workflow or a run.
func (u *tui) showNamed(id string) {
	if isRunID(id) && u.model.workflows[id] == nil {
		u.openRun(tuiPick{run: id})
		return
	}
	u.openSource(tuiPick{workflow: id})
}

// goToNamed is :goto.
func (u *tui) goToNamed(name string) {
	at := slices.IndexFunc(tuiScreens, func(s string) bool { return strings.HasPrefix(s, name) })
	if at < 0 {
		u.say("no screen %q; there are: %s", name, strings.Join(tuiScreens, " "))
		return
	}
	u.goTo(u.screenOf(tuiKind(tuiScreens[at])))
}

// screenOf makes a screen of a kind.
func (u *tui) screenOf(kind tuiKind) tuiScreen {
	switch kind {
	case tuiAttention:
		return tuiAttentionNew(u)
	case tuiEvents:
		return tuiEventsNew(u)
	case tuiPools:
		return tuiPoolsNew(u)
	}
	return tuiListNew(kind)
}

// connectTo is :connect. Without a name it tries the present principal at once; with one it goes to another.
func (u *tui) connectTo(name string) {
	if name == "" || name == u.link.target.at || name == u.link.target.name {
		select {
		case u.link.try <- struct{}{}:
		default:
		}
		u.say("trying %s", u.link.target.at)
		return
	}
	target, err := u.resolve(name)
	if err != nil {
		u.say("connect: %v", err)
		return
	}
	u.connect(target)
}
