// workflow_faults_test.go: the message for each mistake in a file, word for word.

package main

import (
	"strings"
	"testing"
)

const (
	// A whole file in the short form, and one in CDKTR's; cases put something before or after.
	workflowTestShort = "tasks:\n  a: {run: x}\n"
	workflowTestLong  = "name: x\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n  a:\n    name: a\n    config: " +
		"!Subprocess {cmd: echo, args: []}\n"
)

func TestWorkflowFaults(t *testing.T) { workflowTestFaults(t, workflowFaultCases) }

// workflowTestFaults reads each file, and wants these faults of it, one a line.
func workflowTestFaults(t *testing.T, cases []workflowFaultCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec, faults := workflowParse("w.yml", "w", []byte(c.file))
			var got []string
			for _, fault := range faults {
				got = append(got, fault.String())
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("file:\n%s\ngot:\n%s\nwant:\n%s", c.file, text, c.want)
			}
			if loads := spec != nil; loads == workflowBroken(faults) {
				t.Errorf("loads %v with these faults:\n%s", loads, c.want)
			}
		})
	}
}

// All keys of a task and of a workflow, as messages list them.
var (
	workflowTestTaskKeys = workflowOr(workflowNames(workflowTaskKeys))
	workflowTestTopKeys  = workflowOr(workflowNames(workflowKeys))
)

type workflowFaultCase struct{ name, file, want string }

var workflowFaultCases = []workflowFaultCase{
	{"empty", "",
		"w.yml:1:1: the file is empty: a workflow has at least tasks"},
	{"only a comment", "# nothing\n",
		"w.yml:1:1: the file is empty: a workflow has at least tasks"},
	{"null document", "~\n",
		"w.yml:1:1: want a map of keys such as schedule and tasks, not nothing"},
	{"a list", "- a\n",
		"w.yml:1:1: want a map of keys such as schedule and tasks, not a list"},
	{"text", "hello\n",
		"w.yml:1:1: want a map of keys such as schedule and tasks, not \"hello\""},
	{"two documents", "tasks:\n  a: {run: x}\n---\ntasks:\n  a: {run: x}\n",
		"w.yml:3:1: a second document begins here: one file holds one workflow"},
	{"two documents, the second empty", "tasks:\n  a: {run: x}\n---\n",
		"w.yml:3:1: a second document begins here: one file holds one workflow"},
	{"tab", "tasks:\n\ta: {run: x}\n",
		"w.yml:2:1: a tab cannot indent: use spaces"},
	{"tab after spaces", "tasks:\n  a:\n  \trun: x\n",
		"w.yml:3:3: a tab cannot indent: use spaces"},
	{"indentation", "tasks:\n  a: {run: x}\n b: {run: y}\n",
		"w.yml:3:2: this line does not fit the block that it stands in: check its indentation (it began on line 1, " +
			"column 1)"},
	{"deeper than its key", "name: x\n  b: 2\n",
		"w.yml:2:4: a \":\" is not expected here: put a text that holds \": \" in quotes, or check the indentation " +
			"of this line and the one before"},
	{"colon in text", "tasks:\n  a:\n    run: echo a: b\n",
		"w.yml:3:16: a \":\" is not expected here: put a text that holds \": \" in quotes, or check the indentation " +
			"of this line and the one before"},
	{"open list", "tasks:\n  a: {cmd: x, args: [1, 2}\n",
		"w.yml:2:26: \",\" or \"]\" is missing (it began on line 2, column 21)"},
	{"open map", "tasks: {a: {run: x}\n",
		"w.yml:2:1: \",\" or \"}\" is missing (it began on line 1, column 8)"},
	{"open quote", "name: \"abc\ntasks: {}\n",
		"w.yml:1:7: the quote that begins here is never closed"},
	{"at sign", "name: @x\n",
		"w.yml:1:7: a value cannot begin with '@': put it in quotes"},
	{"backtick", "name: `x`\n",
		"w.yml:1:7: a value cannot begin with '`': put it in quotes"},
	{"bad escape", "name: \"\\w\"\n",
		"w.yml:1:8: this escape is not known in double quotes: write a backslash as \\\\, or use single quotes"},
	{"alias without anchor", "tasks:\n  a:\n    cmd: ls\n    args: [*.txt]\n",
		"w.yml:4:12: alias *.txt has no anchor &.txt before it: put a text that begins with * in quotes"},
	{"no colon", "tasks:\n  a\n  b: {run: x}\n",
		"w.yml:3:4: a \":\" is not expected here: put a text that holds \": \" in quotes, or check the indentation " +
			"of this line and the one before"},
	{"dash missing", "tasks:\n  a:\n    depends:\n      - b\n      c\n    run: x\n",
		"w.yml:6:5: a \":\" is missing after the key (it began on line 5, column 7)"},
	{"not UTF-8", "name: b\xff\n",
		"w.yml:1:8: byte 0xFF is not UTF-8: save the file as UTF-8 text"},
	{"NUL byte", "name: b\x00\n",
		"w.yml:1:8: character U+0000 does not belong in a text file"},
	{"escape code", "a: 1\nname: b\x1b[0m\n",
		"w.yml:2:8: character U+001B does not belong in a text file"},
	{"anchor to itself", "name: x\ntasks: &a\n  b: *a\n",
		"w.yml:3:3: task \"b\": key \"b\" is not known: want " + workflowTestTaskKeys + "\n" +
			"w.yml:3:3: task \"b\": nothing says what it does: write one of " + workflowOr(workflowActions)},
	{"deep", "name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
		"w.yml:1:107: nested deeper than 100 levels"},
	{"expect of nothing known", "expect: {at: \"04:00\"}\n" + workflowTestShort,
		"w.yml:1:10: expect: key \"at\" is not known: want by or within"},
	{"expect by no time of day", "schedule: \"0 2 * * *\"\nexpect: {by: 4am}\n" + workflowTestShort,
		"w.yml:2:14: expect: by: want a time of day from 00:00 to 23:59, such as \"04:00\", not \"4am\""},
	{"expect by midnight's other name", "schedule: \"0 2 * * *\"\nexpect: {by: \"24:00\"}\n" + workflowTestShort,
		"w.yml:2:14: expect: by: want a time of day from 00:00 to 23:59, such as \"04:00\", not \"24:00\""},
	{"expect by a time without a schedule", "expect: {by: \"04:00\"}\n" + workflowTestShort,
		"w.yml:1:1: expect: by counts on the days on which the workflow fires, and it has no schedule: write one, or " +
			"within alone"},
	{"expect within no time", "expect: {within: 0}\n" + workflowTestShort,
		"w.yml:1:18: expect: within: want a time above 0, or leave the key out for no limit"},
	{"expect as a text", "expect: soon\n" + workflowTestShort,
		"w.yml:1:9: expect: want a map such as {by: \"04:00\", within: 30m}, not \"soon\""},
	{"pool of no name", "pool: \"a b\"\n" + workflowTestShort,
		"w.yml:1:7: pool: \"a b\" cannot name a pool: want letters, digits and _ . -"},
	{"pool without a place", "pool: {database: 0}\n" + workflowTestShort,
		"w.yml:1:18: pool: database: want a whole number from 1 to 10000, not \"0\""},
	{"pool of the run", "pool: db\ntasks: {n: {run: x, pool: db}}\n",
		"w.yml:2:21: task \"n\": pool db: the whole run has places in it already, and the task would wait for its " +
			"own " +
			"run: leave it out here or at the top"},
	{"pool of the run in a handler", "pool: db\non_exit: {n: {run: x, pool: db}}\n" + workflowTestShort,
		"w.yml:2:23: on_exit: task \"n\": pool db: the whole run has places in it already, and the task would wait " +
			"for its own run: leave it out here or at the top"},
	{"pools as a list", "pool: [database]\n" + workflowTestShort,
		"w.yml:1:7: pool: want the name of a pool, or a map of pools and places such as {database: 2}, not a list"},
	{"no pools", "pool: {}\n" + workflowTestShort,
		"w.yml:1:7: pool: there are 0 pools, and there may be 1 to 16"},
	{"texts that no agent could be sent", "tasks:\n  a: {run: \"" + strings.Repeat("x", 300_000) +
		"\"}\n  b: {cmd: ls, " +
		"args: [\"" + strings.Repeat("y",
		300_000) + "\"]}\n", "w.yml:1:1: the workflow is too large to be sent to an " +
		"agent: 600074 bytes, at most 524288: put long texts into files of their own, or split it"},
	{"long name of a pool", "pool: " + strings.Repeat("a", 65) + "\n" + workflowTestShort,
		"w.yml:1:7: pool: the name of a pool may have 64 bytes, not 65"},
	{"pool of a run and its task", "pool: {db: 2}\ntasks:\n  a: {run: x, pool: db}\n",
		"w.yml:3:15: task \"a\": pool db: the whole run has places in it already, and the task would wait for its " +
			"own " +
			"run: leave it out here or at the top"},
	{"pool beside workflow", "tasks:\n  a: {workflow: x, pool: db}\n",
		"w.yml:2:20: task \"a\": pool does not go with workflow: write it into the file of x"},
	{"pool beside repeat", "tasks:\n  a: {run: x, pool: db, repeat: {every: 1s}}\n",
		"w.yml:2:15: task \"a\": pool does not go with repeat, between whose attempts others would wait: write it " +
			"in the " +
			"task behind this one"},
	{"other pools of a run and its task", "pool: db\ntasks:\n  a: {run: x, pool: {tape: 2}}\n", ""},
	{"pool that is not written", "pool:\n" + workflowTestShort, ""},
	{"pool without a number", "pool: {database: }\n" + workflowTestShort, ""},
	{"no tasks", "name: x\n",
		"w.yml:1:1: key \"tasks\" is missing: a workflow is a map of them"},
	{"misspelt tasks", "task:\n  a: {run: x}\n",
		"w.yml:1:1: key \"task\" is not known (did you mean \"tasks\"?)\n" +
			"w.yml:1:1: key \"tasks\" is missing: a workflow is a map of them"},
	{"empty tasks", "name: x\ntasks: {}\n",
		"w.yml:2:1: warning: there are no tasks: each run succeeds at once"},
	{"null tasks", "name: x\ntasks:\n",
		"w.yml:2:1: warning: there are no tasks: each run succeeds at once"},
	{"tasks a list", "tasks:\n  - run: x\n",
		"w.yml:2:3: tasks: want a map of tasks by their id, not a list"},
	{"unknown key near", "shedule: '@daily'\n" + workflowTestShort,
		"w.yml:1:1: key \"shedule\" is not known (did you mean \"schedule\"?)"},
	{"unknown key", "zzzzzzz: 1\n" + workflowTestShort,
		"w.yml:1:1: key \"zzzzzzz\" is not known: want " + workflowTestTopKeys},
	{"unknown key of a task", "tasks:\n  a: {run: x, dependson: [b]}\n",
		"w.yml:2:15: task \"a\": key \"dependson\" is not known (here it is \"depends\")"},
	{"unknown key of a task, far", "tasks:\n  a: {run: x, qqqqqqqqq: 1}\n",
		"w.yml:2:15: task \"a\": key \"qqqqqqqqq\" is not known: want " + workflowTestTaskKeys},
	{"a guard in a shell line",
		"tasks:\n  a: {run: '[ -x /usr/bin/mdadm ] && mdadm --monitor'}\n  b: {run: 'test -e x && y || true'}\n" +
			"  c: {run: 'if [ -e x ] && y; then z; fi'}\n",
		"w.yml:2:12: warning: task \"a\": where \"[ -x /usr/bin/mdadm ]\" says no, the task has failed: write " +
			"that as its if, which skips it\n" +
			"w.yml:3:12: warning: task \"b\": || true at the end hides that the command before it has failed: the " +
			"task " +
			"always succeeds"},
	{"conditions and failures that are allowed",
		"if: ' '\ntasks:\n  a: {run: x, if: [x], allow_failure: maybe}\n  b: {run: x, allow_failure: [3, 300]}\n" +
			"  c: {run: x, allow_failure: []}\n  d: {cmd: x, if: y, shell: bash -c, allow_failure: 0}\n" +
			"  e: {run: x, success_exit: [0, 24], allow_failure: [24, 25]}\n",
		"w.yml:1:5: if is empty: want a shell line such as test -x /usr/bin/pg_dump\n" +
			"w.yml:3:19: task \"a\": if: want a shell line such as test -x /usr/bin/pg_dump, not a list\n" +
			"w.yml:3:39: task \"a\": allow_failure: want exit codes from 1 to 255, such as [1, 24], not \"maybe\"\n" +
			"w.yml:4:34: task \"b\": allow_failure: want exit codes from 1 to 255, such as [1, 24], not \"300\"\n" +
			"w.yml:5:30: task \"c\": allow_failure: the list is empty: want exit codes from 1 to 255, such as [1, " +
			"24]\n" +
			"w.yml:6:53: task \"d\": allow_failure: want exit codes from 1 to 255, such as [1, 24], not \"0\"\n" +
			"w.yml:7:53: task \"e\": allow_failure: 24 is in success_exit: it is no failure"},
	{"what other tools have keys for",
		"handlerOn: {}\nMAILTO: root\nenabled: false\ntasks:\n  a: {run: x, continue_on_error: true}\n",
		"w.yml:1:1: key \"handlerOn\" is not known (here it is \"on_failure\"): there are on_success and on_exit " +
			"too: each is a map of tasks, or a shell line\n" +
			"w.yml:2:1: key \"MAILTO\" is not known (here it is \"on_failure\"): no mail is sent by itself: a " +
			"command " +
			"of yours does it\n" +
			"w.yml:3:1: key \"enabled\" is not known: cdktr pause ID stops a schedule, and cdktr resume ID starts " +
			"it again\n" +
			"w.yml:5:15: task \"a\": key \"continue_on_error\" is not known (here it is \"allow_failure\"): true, or " +
			"the exit codes with which it may fail"},
	{"handlers", "tasks:\n  a: {run: x}\n  on_exit.b: {run: x}\non_failure:\n  n: {run: x, depends: [m]}\n" +
		"  o: {depends: [o], run: x}\non_success: [x]\non_exit:\n  b: {run: x}\n  c: {cmd: x, args: " +
		"[\"${tasks.b.outputs.k}\", \"${tasks.a.outputs.k}\"]}\n",
		"w.yml:5:25: on_failure: task \"n\": depends on \"m\", which is not a task here\n" +
			"w.yml:6:17: on_failure: task \"o\": depends on itself\n" +
			"w.yml:7:13: on_success: want a map of tasks or a shell line, not a list\n" +
			"w.yml:9:3: on_exit: task \"on_exit.b\" of tasks has the id that this one has in the record of a run: " +
			"rename one of them\n" +
			"w.yml:10:22: on_exit: task \"c\": args: ${tasks.b.outputs.k}: only a task that depends on \"b\", " +
			"directly " +
			"or not, can use its outputs"},
	{"a handler without words", "on_failure: \" \"\n" + workflowTestShort,
		"w.yml:1:13: on_failure is empty: want a shell line or a map of tasks"},
	{"a handler of a task", "tasks:\n  a: {run: x, on_failure: y}\n",
		"w.yml:2:15: task \"a\": key \"on_failure\" is not known: it belongs to the workflow, not to a part of it"},
	{"keys of other tools", "steps: []\nenvironment: {}\nrunsOn: x\nrun: echo\ntasks:\n  a: {command: x, " +
		"depends-on: [b], cwd: /, max_retries: 3, schedule: '@daily'}\n",
		"w.yml:1:1: key \"steps\" is not known (here it is \"tasks\"): steps follow each other; here depends says " +
			"what waits for what\n" +
			"w.yml:2:1: key \"environment\" is not known (here it is \"env\")\n" +
			"w.yml:3:1: key \"runsOn\" is not known (here it is \"agent\")\n" +
			"w.yml:4:1: key \"run\" is not known: it belongs to a task\n" +
			"w.yml:6:3: task \"a\": nothing says what it does: write one of " + workflowOr(workflowActions) + "\n" +
			"w.yml:6:7: task \"a\": key \"command\" is not known (here it is \"run\")\n" +
			"w.yml:6:19: task \"a\": key \"depends-on\" is not known (here it is \"depends\")\n" +
			"w.yml:6:36: task \"a\": key \"cwd\" is not known (here it is \"working_directory\")\n" +
			"w.yml:6:44: task \"a\": key \"max_retries\" is not known (here it is \"retries\")\n" +
			"w.yml:6:60: task \"a\": key \"schedule\" is not known: it belongs to the workflow, not to a part of it"},
	{"not yet", "each: true\ntasks:\n  a: {run: x}\n",
		"w.yml:1:1: key \"each\" is not supported by this version"},
	{"agent of a task", "tasks:\n  a: {approve: Go?, agent: {x: y}}\n  b: {workflow: c, agent: {x: y}}\n" +
		"  c: {run: x, agent: {}}\n  d: {run: x, agent: {x: }}\n  e: {run: x, agent: tape}\n" +
		"  f: {run: x, agent: {x: 'y z'}}\non_exit: {t: {run: x, agent: {x: y}}}\n",
		"w.yml:2:21: task \"a\": agent is for a process, and a task with approve has none: leave it out\n" +
			"w.yml:3:20: task \"b\": agent does not go with workflow: write it into the file of c\n" +
			"w.yml:4:22: task \"c\": agent: there are no labels: name some, or leave the key out for the agent of the " +
			"run\n" +
			"w.yml:5:23: task \"d\": agent: label \"x\" has no value: write one, or leave the label out\n" +
			"w.yml:6:22: task \"e\": agent: want a map of labels such as {site: london}, not \"tape\"\n" +
			"w.yml:7:26: task \"f\": agent: label \"y z\" may hold letters, digits and _ . - only\n" +
			"w.yml:8:23: on_exit: task \"t\": agent: a handler runs on the agent of the run, which has the output: " +
			"leave it out"},
	{"a guard that asks for a program", "tasks:\n  a: {if: command -v mail, run: x}\n",
		"w.yml:2:11: warning: task \"a\": where there is no mail, some shells end command -v with 127, which is no " +
			"answer but a failure: write test -n \"$(command -v mail)\""},
	{"key twice", "name: a\nname: b\n" + workflowTestShort,
		"w.yml:2:1: key \"name\" is here a second time: the first is on line 1, column 1"},
	{"task twice", "tasks:\n  a: {run: x}\n  a: {run: y}\n",
		"w.yml:3:3: key \"a\" is here a second time: the first is on line 2, column 3"},
	{"key of a map", "tasks:\n  ? [a]\n  : {run: x}\n",
		"w.yml:2:5: a key must be text, not a list"},
	{"schedule and cron", "schedule: '@daily'\ncron: '@daily'\n" + workflowTestShort,
		"w.yml:2:1: cron and schedule are the same key: write one of them, as a list where there are several " +
			"expressions"},
	{"bad cron", "schedule: 61 * * * *\n" + workflowTestShort,
		"w.yml:1:11: schedule: minute: 61 is out of range 0-59 in \"61 * * * *\""},
	{"bad cron in a list", "schedule: ['@daily', '@sometimes']\n" + workflowTestShort,
		"w.yml:1:22: schedule: \"@sometimes\" is not a schedule; there are @yearly @annually @monthly @weekly " +
			"@daily @midnight @hourly @reboot @start and @every 90s"},
	{"never fires", "schedule: 0 0 30 2 *\n" + workflowTestShort,
		"w.yml:1:11: warning: schedule \"0 0 30 2 *\" never fires"},
	{"schedule a map", "schedule: {a: b}\n" + workflowTestShort,
		"w.yml:1:11: schedule: want a cron expression such as \"30 2 * * *\", or a list of them, not a map"},
	{"timezone misspelt", "timezone: europe/london\n" + workflowTestShort,
		"w.yml:1:11: timezone: want a name such as Europe/London, or UTC, not \"europe/london\" (did you mean " +
			"\"Europe/London\"?)"},
	{"timezone typo", "timezone: Europe/Lundon\n" + workflowTestShort,
		"w.yml:1:11: timezone: want a name such as Europe/London, or UTC, not \"Europe/Lundon\" (did you mean " +
			"\"Europe/London\"?)"},
	{"timezone case of a rare one", "timezone: america/indiana/knox\n" + workflowTestShort,
		"w.yml:1:11: timezone: want a name such as Europe/London, or UTC, not \"america/indiana/knox\" (did you " +
			"mean \"America/Indiana/Knox\"?)"},
	{"timezone Local", "timezone: Local\n" + workflowTestShort,
		"w.yml:1:11: timezone: leave it out for the principal's own zone; Local means another one on each machine"},
	{"timezone path", "timezone: ../../etc/passwd\n" + workflowTestShort,
		"w.yml:1:11: timezone: want a name such as Europe/London, or UTC, not \"../../etc/passwd\""},
	{"timezone far", "timezone: Middle-earth/Shire/Hobbiton\n" + workflowTestShort,
		"w.yml:1:11: timezone: want a name such as Europe/London, or UTC, not \"Middle-earth/Shire/Hobbiton\""},
	{"start_time a day", "start_time: 2026-01-01\n" + workflowTestShort,
		"w.yml:1:13: start_time: want a time such as 2026-01-31T02:30:00Z or 2026-01-31T02:30:00+01:00, not " +
			"\"2026-01-01\""},
	{"start_time without zone", "start_time: 2026-01-01T00:00:00\n" + workflowTestShort,
		"w.yml:1:13: start_time: want a time such as 2026-01-31T02:30:00Z or 2026-01-31T02:30:00+01:00, not " +
			"\"2026-01-01T00:00:00\""},
	{"end before start", "start_time: 2026-01-02T00:00:00Z\nend_time: 2026-01-01T00:00:00Z\n" + workflowTestShort,
		"w.yml:2:11: end_time 2026-01-01T00:00:00Z is not after start_time 2026-01-02T00:00:00Z"},
	{"catchup word", "catchup: onec\n" + workflowTestShort,
		"w.yml:1:10: catchup: want skip, once or all, not \"onec\" (did you mean \"once\"?)"},
	{"overlap word", "overlap: parallel\n" + workflowTestShort,
		"w.yml:1:10: overlap: want skip, queue, replace or allow, not \"parallel\""},
	{"failover word", "failover: retry\n" + workflowTestShort,
		"w.yml:1:11: failover: want rerun or fail, not \"retry\""},
	{"timeout a list", "timeout: [1]\n" + workflowTestShort,
		"w.yml:1:10: timeout: want a duration such as 30m, not a list"},
	{"timeout text", "timeout: soon\n" + workflowTestShort,
		"w.yml:1:10: timeout: \"soon\" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w"},
	{"timeout below zero", "timeout: -5m\n" + workflowTestShort,
		"w.yml:1:10: timeout: \"-5m\" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w"},
	{"retries", "retries: many\n" + workflowTestShort,
		"w.yml:1:10: retries: want a whole number from 0 to 1000, not \"many\""},
	{"retries high", "tasks:\n  a: {run: x, retries: 1001}\n",
		"w.yml:2:24: task \"a\": retries: want a whole number from 0 to 1000, not \"1001\""},
	{"priority a fraction", "priority: 1.5\n" + workflowTestShort,
		"w.yml:1:11: priority: want a whole number from -1000 to 1000, not \"1.5\""},
	{"agent a list", "agent: [site]\n" + workflowTestShort,
		"w.yml:1:8: agent: want a map of labels such as {site: london}, not a list"},
	{"agent label", "agent: {site: lon don}\n" + workflowTestShort,
		"w.yml:1:15: agent: label \"lon don\" may hold letters, digits and _ . - only"},
	{"env a list", "env: [A=b]\n" + workflowTestShort,
		"w.yml:1:6: env: want a map such as {PGHOST: db1}, not a list"},
	{"env name", "env: {1A: b, A-B: c}\n" + workflowTestShort,
		"w.yml:1:7: env: \"1A\" cannot name a variable: want letters, digits and _, no digit first\n" +
			"w.yml:1:14: env: \"A-B\" cannot name a variable: want letters, digits and _, no digit first"},
	{"env value", "env: {A: [b]}\n" + workflowTestShort,
		"w.yml:1:10: env: A: want text, not a list"},
	{"env_file empty", "env_file: ''\n" + workflowTestShort,
		"w.yml:1:11: env_file: the path is empty"},
	{"param name", "params: {a-b: 1}\n" + workflowTestShort,
		"w.yml:1:10: params: \"a-b\" cannot name a parameter: want letters, digits and _, no digit first"},
	{"params the same variable", "params: {day: 1, DAY: 2}\n" + workflowTestShort,
		"w.yml:1:18: params: \"day\" and \"DAY\" would both be $PARAM_DAY"},
	{"param a list", "params: {day: [1]}\n" + workflowTestShort,
		"w.yml:1:15: params: day: want a default or a map such as {default: a, pattern: \"[a-z]+\"}, not a list"},
	{"param key", "params: {day: {defualt: 1}}\n" + workflowTestShort,
		"w.yml:1:16: params: day: key \"defualt\" is not known (did you mean \"default\"?)"},
	{"param pattern", "params: {day: {pattern: '('}}\n" + workflowTestShort,
		"w.yml:1:25: params: day: pattern: \"(\" is not a regular expression: missing closing ): `(`"},
	{"param pattern brackets", "params: {day: {pattern: 'a)(b'}}\n" + workflowTestShort,
		"w.yml:1:25: params: day: pattern: \"a)(b\" is not a regular expression: unexpected ): `a)(b`"},
	{"param default against pattern", "params: {day: {pattern: '\\d+', default: 12x}}\n" + workflowTestShort,
		"w.yml:1:41: params: day: default \"12x\" does not match the pattern \"\\\\d+\""},
	{"task null", "tasks:\n  a:\n",
		"w.yml:2:5: task \"a\": want a map such as {run: make}, not nothing"},
	{"task text", "tasks:\n  a: make\n",
		"w.yml:2:6: task \"a\": want a map such as {run: make}, not \"make\""},
	{"task id", "tasks:\n  a b: {run: x}\n  ..: {run: x}\n",
		"w.yml:2:3: task \"a b\": an id may hold letters, digits and _ . - only\n" +
			"w.yml:3:3: task \"..\": this is no id"},
	{"nothing to do", "tasks:\n  a: {name: x}\n",
		"w.yml:2:3: task \"a\": nothing says what it does: write one of " + workflowOr(workflowActions)},
	{"two things to do", "tasks:\n  a: {run: x, cmd: y}\n",
		"w.yml:2:15: task \"a\": has run and cmd: write only one of them"},
	{"run empty", "tasks:\n  a: {run: ' '}\n",
		"w.yml:2:12: task \"a\": run is empty: want a shell line"},
	{"args with run", "tasks:\n  a: {run: x, args: [y]}\n",
		"w.yml:2:15: task \"a\": args goes only with cmd"},
	{"shell with cmd", "tasks:\n  a: {cmd: x, shell: bash -c}\n",
		"w.yml:2:15: task \"a\": shell goes only with run or if"},
	{"cmd a line", "tasks:\n  a: {cmd: echo hi there}\n",
		"w.yml:2:12: warning: task \"a\": cmd is one program without its arguments, and \"echo hi there\" is none: " +
			"write cmd: echo with args: [hi, there], or run: for a shell line"},
	{"cmd a path and flags", "tasks:\n  a: {cmd: /usr/bin/rsync -a}\n",
		"w.yml:2:12: warning: task \"a\": cmd is one program without its arguments, and \"/usr/bin/rsync -a\" is " +
			"none: write cmd: /usr/bin/rsync with args: [-a], or run: for a shell line"},
	{"args text", "tasks:\n  a: {cmd: x, args: -t}\n",
		"w.yml:2:21: task \"a\": args: want a list such as [-v, file], not \"-t\""},
	{"args of maps", "tasks:\n  a:\n    cmd: curl\n    args:\n      - Accept: text\n",
		"w.yml:5:9: task \"a\": args: want text in the list (in quotes where it holds \": \" or braces), not a map"},
	{"when word", "tasks:\n  a: {run: x, when: sucess}\n",
		"w.yml:2:21: task \"a\": when: want success, failure or always, not \"sucess\" (did you mean \"success\"?)"},
	{"retry_delay alone", "tasks:\n  a: {run: x, retry_delay: 5s}\n",
		"w.yml:2:15: warning: task \"a\": retry_delay does nothing without retries"},
	{"retry delays crossed", "tasks:\n  a: {run: x, retries: 1, retry_delay: 5m, retry_max_delay: 1m}\n",
		"w.yml:2:61: task \"a\": retry_max_delay 1m is shorter than retry_delay 5m"},
	{"NUL in text", "tasks:\n  a: {cmd: \"a\\0b\"}\n",
		"w.yml:2:12: task \"a\": cmd: a text with a NUL byte can be given to no program"},
	{"depends unknown", "tasks:\n  transform: {run: x}\n  load:\n    depends:\n      - transfrom\n    run: y\n",
		"w.yml:5:9: task \"load\": depends on \"transfrom\", which is not a task here (did you mean \"transform\"?)"},
	{"depends a number", "tasks:\n  a: {run: x, depends: 5}\n",
		"w.yml:2:24: task \"a\": depends on \"5\", which is not a task here"},
	{"depends itself", "tasks:\n  a: {run: x, depends: a}\n",
		"w.yml:2:24: task \"a\": depends on itself"},
	{"depends a map", "tasks:\n  a: {run: x, depends: {b: c}}\n",
		"w.yml:2:24: task \"a\": depends: want the id of a task or a list of them, not a map"},
	{"circle", "tasks:\n  a: {run: x, depends: c}\n  b: {run: x, depends: a}\n  c: {run: x, depends: b}\n",
		"w.yml:2:3: tasks depend on each other in a circle: a -> c -> b -> a"},
	{"dependencies", "tasks:\n  a: {run: x}\n  b: {run: x, dependencies: [a]}\n",
		"w.yml:3:15: warning: task \"b\": dependencies is read as depends: write depends (CDKTR ignores it)"},
	{"dependencies and depends", "tasks:\n  a: {run: x}\n  b: {run: x, depends: a, dependencies: [a]}\n",
		"w.yml:3:27: task \"b\": dependencies and depends are the same key: write depends"},
	{"python empty", "tasks:\n  a: {python: {packages: [x]}}\n",
		"w.yml:2:15: task \"a\": python: script is missing"},
	{"python text", "tasks:\n  a: {python: x.py}\n",
		"w.yml:2:15: task \"a\": python: want a map such as {script: report.py}, not \"x.py\""},
	{"python flag", "tasks:\n  a: {python: {script: x.py, project: yes}}\n",
		"w.yml:2:39: task \"a\": python: project: want true or false, not \"yes\""},
	{"python key", "tasks:\n  a: {python: {script_path: x.py}}\n",
		"w.yml:2:15: task \"a\": python: script is missing\n" +
			"w.yml:2:16: task \"a\": python: key \"script_path\" is not known: want script, args, packages, project, " +
			"uv or working_directory"},
	{"config without tag", "tasks:\n  a: {config: {cmd: x}}\n",
		"w.yml:2:15: task \"a\": config: want the tag !Subprocess or !UvPython before the map, as in config: " +
			"!Subprocess {cmd: ls}"},
	{"config tag", "tasks:\n  a:\n    config: !Python {script: x}\n",
		"w.yml:3:13: task \"a\": config: tag !Python is not known: want !Subprocess or !UvPython (did you mean " +
			"\"!UvPython\"?)"},
	{"config a list", "tasks:\n  a:\n    config: !Subprocess [x]\n",
		"w.yml:3:13: task \"a\": config: want a map after !Subprocess"},
	{"config without cmd", "tasks:\n  a:\n    config: !Subprocess {args: []}\n",
		"w.yml:3:13: task \"a\": config: cmd is missing"},
	{"config without script", "tasks:\n  a:\n    config: !UvPython {}\n",
		"w.yml:3:13: task \"a\": config: script_path is missing"},
	{"tag elsewhere", "name: !Name x\n" + workflowTestShort,
		"w.yml:1:7: tag !Name means nothing here"},
	{"reference to a param", "params: {day: 1}\ntasks:\n  a: {cmd: x, args: ['${params.dya}']}\n",
		"w.yml:3:22: task \"a\": args: ${params.dya}: there is no parameter \"dya\" (did you mean \"day\"?)"},
	{"reference to a param, none", "tasks:\n  a: {cmd: '${params.day}'}\n",
		"w.yml:2:12: task \"a\": cmd: ${params.day}: there is no parameter \"day\""},
	{"reference to a task", "tasks:\n  dump: {run: x}\n  a: {cmd: x, depends: dump, env: {A: " +
		"'${tasks.dupm.outputs.k}'}}\n",
		"w.yml:3:39: task \"a\": env: A: ${tasks.dupm.outputs.k}: there is no task \"dupm\" (did you mean \"dump\"?)"},
	{"reference to no ancestor", "tasks:\n  dump: {run: x}\n  a: {cmd: x, working_directory: " +
		"'${tasks.dump.outputs.k}'}\n",
		"w.yml:3:34: task \"a\": working_directory: ${tasks.dump.outputs.k}: only a task that depends on \"dump\", " +
			"directly or not, can use its outputs"},
	{"reference to itself", "tasks:\n  a: {cmd: x, env: {A: '${tasks.a.outputs.k}'}}\n",
		"w.yml:2:24: task \"a\": env: A: ${tasks.a.outputs.k}: only a task that depends on \"a\", directly or not, " +
			"can use its outputs"},
	{"reference from the workflow's env", "env: {A: '${tasks.a.outputs.k}'}\n" + workflowTestShort,
		"w.yml:1:10: env: A: ${tasks.a.outputs.k}: only a task that depends on \"a\", directly or not, can use its " +
			"outputs"},
	{"reference unknown", "tasks:\n  a: {cmd: '${foo}'}\n",
		"w.yml:2:12: task \"a\": cmd: \"${foo}\" is not a reference: want ${params.NAME}, ${tasks.ID.outputs.KEY}, " +
			"${run.id}, ${run.scheduled_at}, ${item} or ${env.NAME}; $${ is a plain ${"},
	{"reference open", "tasks:\n  a: {cmd: '${params.x'}\n",
		"w.yml:2:12: task \"a\": cmd: \"${params.x\" has no closing }: write $${ for a plain ${"},
	{"reference empty", "tasks:\n  a: {cmd: '${}'}\n",
		"w.yml:2:12: task \"a\": cmd: ${} is empty: want ${params.NAME}, ${tasks.ID.outputs.KEY}, ${run.id}, " +
			"${run.scheduled_at}, ${item} or ${env.NAME}; $${ is a plain ${"},
	{"reference to an item", "tasks:\n  a: {cmd: '${item}'}\n",
		"w.yml:2:12: task \"a\": cmd: ${item}: only a task with foreach has an item, in its own keys"},
	{"reference to a run fact", "working_directory: ${run.di}\n" + workflowTestShort,
		"w.yml:1:20: working_directory: \"${run.di}\" is not a reference: want ${params.NAME}, " +
			"${tasks.ID.outputs.KEY}, ${run.id}, ${run.scheduled_at}, ${item} or ${env.NAME}; $${ is a plain ${"},
	{"merge of a text", "tasks:\n  a:\n    <<: 5\n    run: x\n",
		"w.yml:3:9: task \"a\": \"<<\" wants a map or a list of maps, not \"5\""},
	{"many at once", "schedule: 61 * * * *\ntimeout: soon\ntasks:\n  a: {run: x, cmd: y, depends: b}\n  c: {when: " +
		"now}\n",
		"w.yml:1:11: schedule: minute: 61 is out of range 0-59 in \"61 * * * *\"\n" +
			"w.yml:2:10: timeout: \"soon\" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w\n" +
			"w.yml:4:15: task \"a\": has run and cmd: write only one of them\n" +
			"w.yml:4:32: task \"a\": depends on \"b\", which is not a task here\n" +
			"w.yml:5:3: task \"c\": nothing says what it does: write one of " + workflowOr(workflowActions) + "\n" +
			"w.yml:5:13: task \"c\": when: want success, failure or always, not \"now\""},
	{"alias with a fault", "tasks:\n  a: &a {run: x, timeout: soon}\n  b: *a\n",
		"w.yml:2:27: task \"a\": timeout: \"soon\" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w\n" +
			"w.yml:2:27: task \"b\": timeout: \"soon\" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w"},
	{"long: unknown keys", "foo: 1\neach: [push]\n" + workflowTestLong + "    color: red\n",
		"w.yml:1:1: warning: key \"foo\" is not known; it is ignored\n" +
			"w.yml:2:1: warning: key \"each\" is not supported by this version; it is ignored\n" +
			"w.yml:9:5: warning: task \"a\": key \"color\" is not known; it is ignored"},
	{"long: unknown key of config",
		"name: x\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n  a:\n    name: a\n    config: !Subprocess {cmd: " +
			"echo, args: [], stdin: x}\n",
		"w.yml:6:47: warning: task \"a\": config: key \"stdin\" is not known: it belongs to a task; it is ignored"},
	{"long: mixed with the short form is strict", "foo: 1\n" + workflowTestLong + "  b: {run: x}\n",
		"w.yml:1:1: key \"foo\" is not known: want " + workflowTestTopKeys},
	{"long: no tasks at all", "name: x\nfoo: 1\ntasks: {}\n",
		"w.yml:2:1: warning: key \"foo\" is not known; it is ignored\n" +
			"w.yml:3:1: warning: there are no tasks: each run succeeds at once"},
	{"long: weekday numbers", "cron: 0 0 9 * * 1-5\n" + workflowTestLong,
		"w.yml:1:7: warning: schedule \"0 0 9 * * 1-5\": CDKTR's own library counts weekdays from Sunday=1 and " +
			"reads \"1-5\" as Sun,Mon,Tue,Wed,Thu, not Mon,Tue,Wed,Thu,Fri"},
	{"long: both day fields", "cron: 0 0 0 13 * FRI\n" + workflowTestLong,
		"w.yml:1:7: warning: schedule \"0 0 0 13 * FRI\": CDKTR's own library fires only on days that match both " +
			"the day and the weekday field, not either"},
	{"short: weekday numbers", "cron: 0 0 9 * * 1-5\n" + workflowTestShort,
		""},
	{"long: dependencies", workflowTestLong +
		"  b:\n    name: b\n    dependencies: [a]\n    config: !Subprocess {cmd: ls, args: []}\n",
		"w.yml:9:5: warning: task \"b\": dependencies is read as depends: write depends (CDKTR ignores it)"},
	{"long: depends on no task", workflowTestLong + "    depends: [b]\n",
		"w.yml:7:15: task \"a\": depends on \"b\", which is not a task here"},
	{"long: slash in an id", "name: x\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n  a/b:\n    name: a\n    " +
		"config: !Subprocess {cmd: echo, args: []}\n",
		"w.yml:4:3: task \"a/b\": an id cannot hold '/'"},
	{"long: bad cron", "cron: often\n" + workflowTestLong,
		"w.yml:1:7: schedule: want 5 fields (minute hour day month weekday), 6 with seconds first, or 7 with a year " +
			"last; got 1 in \"often\""},
}
