// main_meant.go: what a user may have meant with a verb, an argument or a flag that does not exist. It is a name that
// comes near, or what other tools call the same thing (cron, systemctl, journalctl, pueue, Dagu, Airflow).

package main

import (
	"errors"
	"flag"
	"slices"
	"strings"
)

// meantVerbs says what to type instead of the verbs of other tools.
var meantVerbs = []struct{ words, hint string }{
	{"stop halt", "`cdktr cancel RUN` stops a run; TERM, or systemctl stop, stops a principal or an agent"},
	{"shutdown quit exit", "TERM, or systemctl stop, stops a principal or an agent"},
	{"abort terminate dequeue signal send", "`cdktr cancel RUN` stops a run, or takes it out of the queue"},
	{"kill", "`cdktr cancel RUN --force` kills a run"},
	{"list get", "`cdktr ls` lists workflows, `cdktr ps` runs, `cdktr agents` agents"},
	{"workflows dags list-units list-timers timers list-dags", "`cdktr ls` lists workflows"},
	{"status", "`cdktr ps` lists runs, `cdktr show ID` tells of a workflow or a run, `cdktr doctor` of the principal"},
	{"health is-active is-system-running",
		"`cdktr ping` says whether the principal is there, `cdktr doctor` whether the box is well"},
	{"jobs list-jobs queue queued running", "`cdktr ps` lists runs, those that wait too"},
	{"runs", "`cdktr ps --all` lists runs"},
	{"history past", "`cdktr ps --all` lists runs, those that have ended too"},
	{"failed failures errors problems alerts list-failed", "`cdktr attention` tells what needs a person"},
	{"reset-failed dismiss", "`cdktr ack KEY` acknowledges what `cdktr attention` tells of"},
	{"trigger submit enqueue execute invoke fire launch", "`cdktr run ID` starts a run"},
	{"restart rerun clear", "`cdktr retry RUN` runs again what did not succeed and all behind it, with --all " +
		"everything"},
	{"enable unpause unmask unsuspend", "`cdktr resume ID` starts the schedule of a workflow again"},
	{"disable suspend mask hold stash unschedule", "`cdktr pause ID` stops the schedule of a workflow"},
	{"schedule is-enabled",
		"a schedule is a line of a workflow's file: `cdktr ls` lists them, `cdktr next` the coming fires"},
	{"describe info inspect cat", "`cdktr show ID` tells of a workflow, with the name of its file, or of a run"},
	{"tail follow", "`cdktr logs -f ID` follows the output of a workflow's newest run"},
	{"log output journal journalctl", "`cdktr logs ID` prints the output of a workflow's newest run"},
	{"lint verify", "`cdktr validate FILE` checks a file"},
	{"test dry dry-run", "`cdktr validate FILE` checks a file, `cdktr run FILE` runs it here with no principal"},
	{"dag tasks steps", "`cdktr graph ID` draws the tasks of a workflow"},
	{"top", "`cdktr ps --watch` goes on printing the runs, `cdktr ui` shows them"},
	{"tui gui web dashboard monitor", "`cdktr ui` is the terminal UI; there is no other"},
	{"reload daemon-reload reread sync",
		"the principal sees changed workflow files and keys by itself; `cdktr rescan` has it look at once"},
	{"export", "`cdktr export crontab` prints workflows as a crontab, `cdktr backup FILE` writes all that a " +
		"principal knows"},
	{"dump save", "`cdktr backup FILE` writes all that a principal knows; every verb takes --json"},
	{"worker", "`cdktr start agent` is a worker"},
	{"agent", "`cdktr start agent` starts one, `cdktr agents` lists them"},
	{"workers nodes hosts", "`cdktr agents` lists agents"},
	{"cordon", "`cdktr drain AGENT` gives an agent no more runs"},
	{"uncordon", "`cdktr undrain AGENT` gives a drained agent runs again"},
	{"server webserver", "`cdktr start principal` is the server"},
	{"principal master coordinator", "`cdktr start principal` starts it"},
	{"daemon scheduler standalone start-all all",
		"`cdktr start principal --with-agent` is the daemon, its scheduler and its agent"},
	{"remove delete rm", "a workflow is gone when its file is: delete that"},
	{"import cron crontab", "`cdktr import crontab` makes workflows of the lines of your crontab"},
	{"add new create register apply",
		"a workflow is a file in the workflows folder: put one there; `cdktr init` makes two to begin with"},
	{"edit", "a workflow is its file: `cdktr show ID` says where that is; edit it, and `cdktr validate` it"},
	{"clean cleanup prune purge gc reset",
		"what is old goes by itself: --retain-age, --retain-runs and --retain-bytes of `cdktr start principal` say " +
			"when"},
	{"set settings variables", "`cdktr config` prints the settings; values of workflows are params and env of their " +
		"files, and -p of `cdktr run`"},
	{"login users adduser user grant token", "`cdktr authorize` says who gets in over tcp://, and what they may do"},
	{"agenda timeline calendar", "`cdktr next` lists the coming fires of all workflows"},
	{"completions autocomplete", "`cdktr completion bash`, zsh or fish prints a script for the shell"},
	{"usage commands verbs topics manual docs", "`cdktr help` lists the verbs, and `cdktr VERB --help` tells more"},
}

// meantNouns are words that other tools put in front of their verbs, as in dags trigger ID.
var meantNouns = []string{"workflow", "workflows", "dag", "dags", "runs", "task", "tasks", "job", "jobs", "agent",
	"server"}

// meantFlags names our flags for those of other tools. The first of ours that the verb has is meant.
var meantFlags = []struct{ words, ours string }{
	{"param params parameter conf var vars set arg args e env", "p"}, {"lines tail count limit max number num c", "n"},
	{"o output format", "json"},
	{"a A", "all"}, {"d no-wait async background", "detach"}, {"w", "watch wait"}, {"f watch tail", "follow watch"},
	{"host", "bind H"}, {"port listen addr address", "bind principal"},
	{"server url hub connect endpoint socket S", "principal"}, {"dags dir directory folder path", "workflows state"},
	{"data data-dir home storage db", "state"},
	{"cred identity i token password", "credential"}, {"tz time-zone", "timezone tz"}, {"timezone", "tz timezone"},
	{"concurrency slots workers jobs j parallel", "capacity"},
	{"kill signal 9 now s", "force"}, {"after start-date since", "since from"}, {"failed status s", "state"},
	{"dag dag-id id u unit name", "workflow"}, {"t step task-id", "task"},
	{"stderr", "err"}, {"pattern search filter g", "grep"}, {"expr expression", "cron"}, {"labels tag tags", "label"},
	{"t timestamps", "time"},
	{"debug verbose v quiet q", "log-level"}, {"no-color no-colour", "color"},
}

// meantFlagHints says what to do instead of flags of other tools that have no counterpart here.
var meantFlagHints = []struct{ words, hint string }{
	{"v V version", "`cdktr version` says the version"},
	{"dry-run dry", "`cdktr validate FILE` checks a file, `cdktr graph ID` draws what would run"},
	{"d daemon daemonize background",
		"it stays in the foreground: `cdktr install` makes a service of it; or nohup"},
	{"now", "a run starts at once, as soon as an agent has room"},
	{"y yes no-pager", "leave it out: nothing asks, and nothing pages"},
	{"l", "`cdktr ls` lists workflows"},
	{"u unit", "an ID stands by itself, without a flag"},
}

// meantHint gives the hint for a word in one of the tables; "" where it is in none.
func meantHint(table []struct{ words, hint string }, word string) string {
	for _, entry := range table {
		if slices.Contains(strings.Fields(entry.words), word) {
			return entry.hint
		}
	}
	return ""
}

// meantVerb says which verb may have been meant where a command line begins with none; "" if nothing comes near.
func meantVerb(args, verbs []string) string {
	word, text := args[0], args[0]
	switch {
	case word == "start": // one of two words
		word, text = args[1], word+" "+args[1]
	case isFile(word):
		return "`cdktr run " + textHead(word, cliEchoMost) + "` runs a file, `cdktr validate " +
			textHead(word, cliEchoMost) + "` checks it"
	case len(args) > 1 && slices.Contains(meantNouns, word):
		if hint := meantBehind(args[1:]); hint != "" {
			return hint
		}
	}
	if t := helpTopicOf(word); t != nil && t.name == word {
		return "`cdktr help " + word + "` tells of it"
	}
	if hint := meantHint(meantVerbs, word); hint != "" {
		return hint
	}
	if args[0] == "start" && nearest(text, verbs) == "" {
		return "`cdktr start principal` and `cdktr start agent` start a service, `cdktr run ID` a run of a workflow"
	}
	for _, entry := range meantVerbs {
		verbs = append(verbs, strings.Fields(entry.words)...)
	}
	near := nearest(text, verbs) // our verbs are first in the list, and the first of two that are equally near wins
	if hint := meantHint(meantVerbs, near); hint != "" || near == "" {
		return hint
	}
	return "did you mean `cdktr " + near + "`?"
}

// meantBehind says what may have been meant where words begin with a verb that stands in the wrong place, behind
// another word. The verb may be ours or another tool's.
func meantBehind(words []string) string {
	verb, _, err := mainFind(words)
	var unknown *exitError
	switch {
	case verb != nil:
		return "did you mean `cdktr " + textHead(strings.Join(words, " "), cliEchoMost) + "`?"
	case errors.As(err, &unknown):
		return meantHint(meantVerbs, words[0])
	}
	return ""
}

// meantWord says what may have been meant by arguments of a verb that takes only flags.
func meantWord(f *cliFlags, words []string) string {
	if hint := meantBehind(words); hint != "" {
		return hint
	}
	for _, name := range []string{"workflow", "state", "principal"} { // the likeliest first
		if f.Lookup(name) != nil {
			return "did you mean --" + name + " " + textHead(words[0], cliEchoMost) + "?"
		}
	}
	return ""
}

// meantFlag says which flag of a verb may have been meant by one that it does not have.
func meantFlag(f *cliFlags, flagged string) string {
	for _, entry := range meantFlags {
		if !slices.Contains(strings.Fields(entry.words), flagged) {
			continue
		}
		for _, ours := range strings.Fields(entry.ours) {
			if fl := f.Lookup(ours); fl != nil {
				return "did you mean " + cliFlagShown(fl) + "?"
			}
		}
	}
	if hint := meantHint(meantFlagHints, flagged); hint != "" {
		return hint
	}
	var names []string
	f.VisitAll(func(fl *flag.Flag) { names = append(names, fl.Name) })
	if near := nearest(flagged, names); len(near) > 1 {
		return "did you mean " + cliFlagShown(f.Lookup(near)) + "?"
	}
	return ""
}

// meantApart says how to write flags of one letter that stand together, as -n5 or -fn; "" if they are no such flags.
func meantApart(f *cliFlags, flagged string) string {
	if len(flagged) < 2 || f.Lookup(flagged[:1]) == nil {
		return ""
	}
	letters := strings.TrimRight(flagged, "0123456789")
	apart := ""
	for _, letter := range letters {
		if f.Lookup(string(letter)) == nil {
			return ""
		}
		apart += " -" + string(letter)
	}
	if number := flagged[len(letters):]; number != "" {
		apart += " " + number
	}
	return "write it apart:" + textHead(apart, cliEchoMost)
}
