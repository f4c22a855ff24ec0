// workflow_keys_top.go: the table of the keys at the top of a workflow file, and of the maps below them. Documentation
// and the schema of the file are made of it too: see workflowKey.

package main

import "fmt"

// workflowKeys are the keys at the top of a file, in the order that messages and the documentation list them.
var workflowKeys = []workflowKey[*workflowDraft]{
	{
		name: "name", kind: "text", unset: "the id",
		does:    "Shown by `ls` and `show`.",
		example: "name: Nightly load",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { d.spec.Name, _ = r.scalar(p, "text") },
	},
	{
		name: "description", kind: "text",
		does:    "Shown by `show`.",
		example: "description: Loads the shops",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			d.spec.Description, _ = r.scalar(p, "text")
		},
	},
	{
		name: "schedule", kind: "cron", unset: "none",
		does:    "When it runs, see [Schedules](schedules.md). Without one it runs when asked.",
		example: "schedule: [\"0 8 * * *\", \"0 20 * * *\"]",
		read:    (*workflowReader).schedule,
	},
	{
		name: "cron", kind: "cron",
		does:    "CDKTR's name for `schedule`; give only one of the two.",
		example: "cron: \"0 */5 * * * *\"",
		read:    (*workflowReader).schedule,
	},
	{
		name: "except", kind: "days",
		does:    "[Days](schedules.md#days-with-no-fire) on which the schedule does not fire.",
		example: "except: [12-25, 2026-04-03, sat-sun]",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.days(p, &d.spec.Except) },
	},
	{
		name: "only", kind: "days",
		does:    "The days on which alone the schedule fires.",
		example: "only: mon-fri",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.days(p, &d.spec.Only) },
	},
	{
		name: "on", kind: "on",
		does: "[Events](#events) that fire it, beside the schedule: files, runs of other workflows, lines of a " +
			"command.",
		example: "on: [{file: {path: \"/data/in/*.csv\"}}]",
		read:    (*workflowReader).listeners,
	},
	{
		name: "timezone", kind: "zone", unset: "the principal's",
		does:    "The time zone of the schedule.",
		example: "timezone: Europe/London",
		read:    (*workflowReader).timezone,
	},
	{
		name: "start_time", kind: "time",
		does:    "No fire before it counts.",
		example: "start_time: 2026-01-31T00:00:00Z",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.time(p, &d.spec.StartTime) },
	},
	{
		name: "end_time", kind: "time",
		does:    "No fire after it counts.",
		example: "end_time: 2026-12-31T23:59:59+01:00",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.time(p, &d.spec.EndTime) },
	},
	{
		name: "catchup", kind: "skip | once | all", unset: "`skip`",
		does:    "What becomes of [missed fires](schedules.md#missed-fires).",
		example: "catchup: once",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.word(p, &d.spec.Catchup, catchupSkip, catchupOnce, catchupAll)
		},
	},
	{
		name: "catchup_window", kind: "duration", unset: "no limit",
		does:    "Missed fires that are older stay missed.",
		example: "catchup_window: 1d",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.duration(p, &d.spec.CatchupWindow)
		},
	},
	{
		name: "overlap", kind: "skip | queue | replace | allow", unset: "`skip`",
		does:    "What a fire does [while a run is active](schedules.md#overlapping-runs).",
		example: "overlap: queue",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.word(p, &d.spec.Overlap, overlapSkip, overlapQueue, overlapReplace, overlapAllow)
		},
	},
	{
		name: "jitter", kind: "duration", unset: "`0`",
		does:    "Each fire comes later by a [fixed part](schedules.md#expressions) of this time.",
		example: "jitter: 5m",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.duration(p, &d.spec.Jitter) },
	},
	{
		name: "priority", kind: "-1000..1000", unset: "`0`",
		does:    "A higher one goes first in the queue; of equal ones the older run.",
		example: "priority: 10",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.whole(p, -workflowMaxPriority, workflowMaxPriority, &d.spec.Priority)
		},
	},
	{
		name: "timeout", kind: "duration", unset: "none",
		does: "How long the whole run may take. Then its tasks are stopped, tasks with `when: failure` or `when: " +
			"always` still run, and the run has failed.",
		example: "timeout: 2h",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.duration(p, &d.spec.Timeout) },
	},
	{
		name: "retries", kind: "0..1000", unset: "`0`",
		does: "How often a failed run is queued again: what failed runs again, and [everything behind " +
			"it](#running-again).",
		example: "retries: 2",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.whole(p, 0, workflowMaxRetries, &d.spec.Retries)
		},
	},
	{
		name: "failover", kind: "rerun | fail",
		does: "What becomes of a run whose agent is lost. `rerun` queues it again, `fail` ends it as crashed. " +
			"The default is `rerun` where `retries` is above 0, else `fail`.",
		example: "failover: rerun",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.word(p, &d.spec.Failover, failoverRerun, failoverFail)
		},
	},
	{
		name: "agent", kind: "labels",
		does:    "Only an agent that has all of them gets the run.",
		example: "agent: {site: london}",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.labels(p, &d.spec.Agent) },
	},
	{
		name: "pool", kind: "pools",
		does:    "A run waits in the queue until it has its places in these [pools](#pools).",
		example: "pool: {database: 2}",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.pool(p, &d.spec.Pool) },
	},
	{
		name: "expect", kind: "expect",
		does: "How its runs are [expected](#what-is-expected) to go. What is late, overdue, or far from its usual " +
			"length needs attention.",
		example: "expect: {by: \"04:00\", within: 30m}",
		read:    workflowExpect,
	},
	{
		name: "params", kind: "params",
		does:    "The parameters that a run may be given, see [Values](#values-parameters-environment-outputs).",
		example: "params: {day: today}",
		read:    (*workflowReader).params,
	},
	{
		name: "shell", kind: "text", unset: "`/bin/sh -c`",
		does: "The shell of every `run`, `if` and `until`, split at spaces; the script is its last argument. A " +
			"task may have its own.",
		example: "shell: bash -euo pipefail -c",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { d.spec.Shell = r.shell(p) },
	},
	{
		name: "env", kind: "env",
		does:    "Environment of every task; `${…}` is replaced.",
		example: "env: {PGHOST: db1}",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { d.spec.Env = r.env(p, &d.texts) },
	},
	{
		name: "env_file", kind: "paths",
		does: "Files of `KEY=value` lines, read on the agent before each task. The attempt fails when a file is " +
			"not there, is no regular file, or cannot be read within 10 s.",
		example: "env_file: /etc/cdktr/shop.env",
		read:    (*workflowReader).envFiles,
	},
	{
		name: "working_directory", kind: "path", unset: "the agent's folder",
		does:    "Where tasks start; `${…}` is replaced.",
		example: "working_directory: /srv/shop",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			d.spec.WorkingDirectory = r.expanded(p, "a path", &d.texts)
		},
	},
	{
		name: "if", kind: "text",
		does: "A shell line: whether the run is to happen, asked on its agent before any task: see " +
			"[Conditions](#conditions).",
		example: "if: test -x /usr/bin/pg_dump",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.guard(p, &d.spec.If) },
	},
	{
		name: "secrets", kind: "names", unset: "none",
		does:    "Secrets of the agent that each task gets in its environment, see [Secrets](#secrets).",
		example: "secrets: [PGPASSWORD]",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { workflowSecrets(r, p, &d.spec.Secrets) },
	},
	{
		name: "user", kind: "text", unset: "the agent's",
		does:    "Whom its tasks run as, see [Another user](#another-user). The agent must be root's.",
		example: "user: backup",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { workflowUser(r, p, &d.spec.User) },
	},
	{
		name: "limits", kind: "limits", unset: "none",
		does:    "How much of its machine each of its tasks may take, see [Limits](#limits).",
		example: "limits: {memory: 512M, cpu: 50%}",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { workflowLimits(r, p, &d.spec.Limits) },
	},
	{
		name: "max_active_tasks", kind: "0..1000", unset: "`0` is no limit",
		does: "How many tasks of one run work at the same time. A task that waits for its next attempt does not " +
			"count.",
		example: "max_active_tasks: 2",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			r.whole(p, 0, workflowMaxTasks, &d.spec.MaxActiveTasks)
		},
	},
	{
		name: "log", kind: "log",
		does:    "How much [output](#output) of one run is stored (default `10M`), and for how long.",
		example: "log: {max_size: 50M, keep: 30d}",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			pairs, _ := r.table(p, "a map such as {max_size: 10M, keep: 30d}")
			r.within("log", func() { workflowFill(r, d, pairs, workflowLogKeys, nil) })
		},
	},
	{
		name: "tasks", kind: "tasks", unset: "required",
		does:    "The tasks by their ids.",
		example: "tasks: {build: {run: make}}",
		read:    (*workflowReader).tasks,
	},
	{
		name: handlerFailure, kind: "handler",
		does:    "What runs when a run has failed or crashed for good, see [Handlers](#handlers).",
		example: "on_failure: mail -s failed ops < \"$CDKTR_TAIL\"",
		read:    workflowReadHandler,
	},
	{
		name: handlerSuccess, kind: "handler",
		does:    "What runs when a run has succeeded.",
		example: "on_success: {ping: {cmd: curl, args: [\"https://example.com/ok\"]}}",
		read:    workflowReadHandler,
	},
	{
		name: handlerExit, kind: "handler",
		does:    "What runs after either, and when a run was cancelled.",
		example: "on_exit: umount /mnt/backup",
		read:    workflowReadHandler,
	},
}

// workflowLater are the keys at the top that the file format has, but this version does not support.
var workflowLater = []string{"each", "offline"}

// workflowLogKeys are the keys of log.
var workflowLogKeys = []workflowKey[*workflowDraft]{
	{
		name: "max_size", kind: "size", unset: "`10M`",
		does:    "How much [output](#output) of one run is stored; at least `1K`.",
		example: "max_size: 50M",
		read: func(r *workflowReader, d *workflowDraft, p workflowPair) {
			text, ok := r.scalar(p, "a size such as 10M")
			if !ok {
				return
			}
			n, err := parseSize(text)
			if err == nil && n < workflowMinLog {
				err = fmt.Errorf("%s is less than %s", workflowQuote(text), sizeText(workflowMinLog))
			}
			if err != nil {
				r.errorf(p.value, "max_size: %v", err)
			}
			d.spec.LogMaxSize = n
		},
	},
	{
		name: "keep", kind: "duration", unset: "as `retain_age`",
		does:    "How long the output of a run is kept.",
		example: "keep: 30d",
		read:    func(r *workflowReader, d *workflowDraft, p workflowPair) { r.duration(p, &d.spec.LogKeep) },
	},
}

// workflowParamKeys are the keys of one of params.
var workflowParamKeys = []workflowKey[*workflowParam]{
	{
		name: "default", kind: "text", unset: "every run must give it",
		does:    "The value of a run that gives none.",
		example: "default: north",
		read: func(r *workflowReader, one *workflowParam, p workflowPair) {
			one.Default, _ = r.scalar(p, "text")
			one.Required = false
		},
	},
	{
		name: "pattern", kind: "text",
		does: "A regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) that must match the whole " +
			"value.",
		example: "pattern: \"north|south\"",
		read: func(r *workflowReader, one *workflowParam, p workflowPair) {
			one.Pattern, _ = r.scalar(p, "a regular expression")
		},
	},
	{
		name: "choices", kind: "list",
		does:    "The values that there are, in place of `pattern`.",
		example: "choices: [full, quick]",
		read:    workflowChoices,
	},
	{
		name: "description", kind: "text",
		does:    "For the reader.",
		example: "description: the shop to load",
		read: func(r *workflowReader, one *workflowParam, p workflowPair) {
			one.Description, _ = r.scalar(p, "text")
		},
	},
}
