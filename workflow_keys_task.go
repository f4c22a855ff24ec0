// workflow_keys_task.go: the table of the keys of a task, and of the maps below them. Documentation and the schema of
// the file are made of it too: see workflowKey.

package main

import "strings"

// workflowTaskKeys are the keys of a task, in the order that messages and the documentation list them.
var workflowTaskKeys = []workflowKey[*workflowTask]{
	{
		name: "name", kind: "text",
		does:    "For the reader.",
		example: "name: Load the shops",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Name, _ = r.scalar(p, "text") },
	},
	{
		name: "description", kind: "text",
		does:    "For the reader.",
		example: "description: Loads all shops",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			t.Description, _ = r.scalar(p, "text")
		},
	},
	{
		name: "run", kind: "text",
		does:    "A shell script. The shell gets it untouched: values come through the environment.",
		example: "run: make all",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Run = r.filled(p, "a shell line") },
	},
	{
		name: "shell", kind: "text", unset: "the workflow's",
		does:    "The shell of `run`, `if` and `until`, split at spaces; the script is its last argument.",
		example: "shell: bash -euo pipefail -c",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Shell = r.shell(p) },
	},
	{
		name: "cmd", kind: "text",
		does:    "A program, started without a shell; `${…}` is replaced. One without a slash is looked up in `PATH`.",
		example: "cmd: pg_dump",
		read:    (*workflowReader).cmd,
	},
	{
		name: "args", kind: "list",
		does:    "Its arguments, one each, spaces and all; `${…}` is replaced.",
		example: "args: [-d, \"${params.db}\"]",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Args = r.args(p, &t.texts) },
	},
	{
		name: "python", kind: "python",
		does:    "A script that [uv](https://docs.astral.sh/uv/) runs. uv must be on the agent; see [Python](#python).",
		example: "python: {script: report.py}",
		read:    (*workflowReader).python,
	},
	{
		name: "workflow", kind: "text",
		does:    "The id of another workflow: the task is a run of it, see [below](#workflows-that-start-workflows).",
		example: "workflow: etl.daily",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.child(r, p) },
	},
	{
		name: "params", kind: "env",
		does:    "The parameters of that run; `${…}` is replaced.",
		example: "params: {shop: \"${params.db}\"}",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.childParams(r, p) },
	},
	{
		name: "wait", kind: "flag", unset: "`true`",
		does:    "The task ends with that run; with `false`, as soon as the run is queued.",
		example: "wait: false",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.childWait(r, p) },
	},
	{
		name: "approve", kind: "text",
		does:    "A question to a person, see [below](#approvals); `${…}` is replaced.",
		example: "approve: Ship to production?",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.approve(r, p) },
	},
	{
		name: "approvers", kind: "list", unset: "whoever may operate",
		does:    "Who may answer it: names of keys and local users, or `uid:` and a number.",
		example: "approvers: [ana, \"uid:1000\"]",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.approvers(r, p) },
	},
	{
		name: "http", kind: "http",
		does:    "A request, made by the agent's `curl`, see [Requests](#requests).",
		example: "http: {url: https://example.org/healthz}",
		read:    workflowHTTP,
	},
	{
		name: "config", kind: "config",
		does:    "The same in CDKTR's form, see [files of CDKTR](coming-from-cdktr.md#files-of-cdktr).",
		example: "config: !Subprocess {cmd: ls}",
		read:    (*workflowReader).config,
	},
	{
		name: "depends", kind: "ids",
		does:    "The tasks that must be over before this one starts.",
		example: "depends: [fetch, clean]",
		read:    (*workflowReader).depends,
	},
	{
		name: "when", kind: "success | failure | always", unset: "`success`",
		does: "`success`: all before it succeeded. `failure`: a task before it, at any distance, failed or was " +
			"stopped. `always`: whatever happened.",
		example: "when: always",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			if strings.ContainsAny(p.value.Value, " =<>({$") {
				r.errorf(p.value, "when: want success, failure or always, not %s: a condition goes into if, as a "+
					"shell line",
					workflowQuote(p.value.Value))
				return
			}
			r.word(p, &t.When, whenSuccess, whenFailure, whenAlways)
		},
	},
	{
		name: "if", kind: "text",
		does: "A shell line: whether the task is to run, asked before its first attempt. When it says no, the task " +
			"is " +
			"skipped, which counts as a success: see [Conditions](#conditions).",
		example: "if: test -s dump.zst",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.guard(p, &t.If) },
	},
	{
		name: "allow_failure", kind: "allowed", unset: "no failure",
		does: "Its failure, or one with such an exit code, does not fail the run: see [Failures that are " +
			"allowed](#failures-that-are-allowed).",
		example: "allow_failure: [3, 75]",
		read:    (*workflowReader).allowFailure,
	},
	{
		name: "retries", kind: "0..1000", unset: "`0`",
		does:    "Attempts beyond the first.",
		example: "retries: 3",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			r.whole(p, 0, workflowMaxRetries, &t.Retries)
		},
	},
	{
		name: "retry_delay", kind: "duration", unset: "`10s`",
		does:    "The wait before the second attempt. It doubles for each further one, give or take a fifth.",
		example: "retry_delay: 30s",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.duration(p, &t.RetryDelay) },
	},
	{
		name: "retry_max_delay", kind: "duration", unset: "`5m` or `retry_delay` if that is longer",
		does:    "The doubling ends here.",
		example: "retry_max_delay: 10m",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.duration(p, &t.RetryMaxDelay) },
	},
	{
		name: "retry_exit", kind: "exits", unset: "every failure",
		does:    "Only an attempt that ended with one of these is tried again.",
		example: "retry_exit: [75]",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.RetryExit = r.exits(p, 1) },
	},
	{
		name: "success_exit", kind: "exits", unset: "`0`",
		does:    "What counts as success, in place of 0.",
		example: "success_exit: [0, 24]",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.SuccessExit = r.exits(p, 0) },
	},
	{
		name: "foreach", kind: "foreach",
		does:    "Done once for each item, see [Once for each of many](#once-for-each-of-many).",
		example: "foreach: [eu, us]",
		read:    (*workflowReader).foreach,
	},
	{
		name: "max_parallel", kind: "1..1000", unset: "`10`",
		does:    "How many items of `foreach` are at work at the same time.",
		example: "max_parallel: 2",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			r.whole(p, 1, foreachMax, &t.MaxParallel)
		},
	},
	{
		name: "repeat", kind: "repeat",
		does:    "Attempt after attempt, see [Waiting for something](#waiting-for-something).",
		example: "repeat: {every: 30s, for: 2h}",
		read:    (*workflowReader).repeat,
	},
	{
		name: "timeout", kind: "duration", unset: "none",
		does:    "How long one attempt may take.",
		example: "timeout: 15m",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.duration(p, &t.Timeout) },
	},
	{
		name: "pool", kind: "pools",
		does:    "Each attempt waits until it has its places in these [pools](#pools).",
		example: "pool: tape",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.pool(p, &t.Pool) },
	},
	{
		name: "agent", kind: "labels", unset: "the run's agent",
		does:    "An agent that has all of them does the task, see [On another agent](#on-another-agent).",
		example: "agent: {disk: tape}",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.labels(p, &t.Agent) },
	},
	{
		name: "stop_signal", kind: "signal", unset: "`TERM`",
		does:    "What a stop sends first.",
		example: "stop_signal: INT",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.signal(p, &t.StopSignal) },
	},
	{
		name: "grace", kind: "duration", unset: "the agent's",
		does:    "How long after that `KILL` comes; at most `1h`.",
		example: "grace: 30s",
		read:    workflowGrace,
	},
	{
		name: "stdin", kind: "text", unset: "nothing",
		does:    "What it reads on standard input, up to 64 KiB. A newline is added where the text ends without one.",
		example: "stdin: \"yes\"",
		read:    workflowStdin,
	},
	{
		name: "umask", kind: "text", unset: "the agent's",
		does:    "The permissions that files it makes do not get, as three octal digits.",
		example: "umask: \"027\"",
		read:    workflowUmask,
	},
	{
		name: "secrets", kind: "names", unset: "the workflow's",
		does: "Secrets of the agent that it gets in its environment, besides the workflow's: see " +
			"[Secrets](#secrets).",
		example: "secrets: [PGPASSWORD]",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { workflowSecrets(r, p, &t.Secrets) },
	},
	{
		name: "user", kind: "text", unset: "the workflow's",
		does:    "Whom it runs as, see [Another user](#another-user).",
		example: "user: backup",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { workflowUser(r, p, &t.User) },
	},
	{
		name: "limits", kind: "limits", unset: "the workflow's",
		does:    "How much of its machine it may take, see [Limits](#limits).",
		example: "limits: {memory: 512M, cpu: 50%}",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { workflowLimits(r, p, &t.Limits) },
	},
	{
		name: "env", kind: "env",
		does:    "Environment of this task, over the workflow's; `${…}` is replaced.",
		example: "env: {LEVEL: debug}",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Env = r.env(p, &t.texts) },
	},
	{
		name: "working_directory", kind: "path", unset: "the workflow's",
		does:    "Where it starts; `${…}` is replaced.",
		example: "working_directory: /tmp",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			t.WorkingDirectory = r.expanded(p, "a path", &t.texts)
		},
	},
}

// workflowActions are the keys of which a task has exactly one.
var workflowActions = []string{"run", "cmd", "python", "http", "workflow", "approve", "config"}

// workflowRepeatKeys are the keys of repeat.
var workflowRepeatKeys = []workflowKey[*workflowTask]{
	{
		name: "every", kind: "duration", unset: "required",
		does:    "The time from the end of an attempt to the start of the next, at least `100ms`.",
		example: "every: 30s",
		read:    (*workflowReader).repeatEvery,
	},
	{
		name: "for", kind: "duration", unset: "no limit",
		does: "How long from the start of the first attempt. Then the task has failed; an attempt that is at work is " +
			"stopped.",
		example: "for: 2h",
		read:    (*workflowReader).repeatFor,
	},
	{
		name: "times", kind: "1..1000000", unset: "no limit",
		does:    "How many attempts. Then the task has failed.",
		example: "times: 20",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			r.whole(p, 1, workflowRepeatTimes, &t.Repeat.Times)
		},
	},
	{
		name: "until", kind: "text",
		does: "A shell line that runs after each attempt. Exit code 0 ends the task, whatever the attempt did, " +
			"unless its outputs cannot be kept.",
		example: "until: test -e /data/in.csv",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			t.Repeat.Until = r.filled(p, "a shell line such as test -e /data/in.csv")
		},
	},
}

// workflowPythonKeys are the keys of python, the short form.
var workflowPythonKeys = []workflowKey[*workflowTask]{
	{
		name: "script", kind: "text", unset: "required",
		does:    "What uv runs; `${…}` is replaced.",
		example: "script: report.py",
		read:    (*workflowReader).script,
	},
	{
		name: "args", kind: "list",
		does:    "Arguments of the script, one each; `${…}` is replaced.",
		example: "args: [--day, \"${params.day}\"]",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Python.Args = r.args(p, &t.texts) },
	},
	{
		name: "packages", kind: "list",
		does:    "Each becomes a `--with` of uv; `${…}` is replaced.",
		example: "packages: [\"pandas>=2.3\"]",
		read:    (*workflowReader).packages,
	},
	{
		name: "project", kind: "flag", unset: "`false`",
		does:    "The folder is a uv project, which brings its own packages.",
		example: "project: true",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { r.flag(p, &t.Python.Project) },
	},
	{
		name: "uv", kind: "path", unset: "`uv`",
		does:    "The program uv; `${…}` is replaced.",
		example: "uv: /opt/uv",
		read:    func(r *workflowReader, t *workflowTask, p workflowPair) { t.Python.UV, _ = r.scalar(p, "a path") },
	},
	{
		name: "working_directory", kind: "path", unset: "the task's",
		does:    "Where the script starts; `${…}` is replaced.",
		example: "working_directory: /srv/report",
		read:    (*workflowReader).pythonDirectory,
	},
}

// workflowUvPythonKeys are the keys of config: !UvPython.
var workflowUvPythonKeys = []workflowKey[*workflowTask]{
	{
		name: "script_path", kind: "text", unset: "required",
		does: "`script` of `python`.",
		read: (*workflowReader).script,
	},
	{
		name: "packages", kind: "list",
		does: "`packages` of `python`.",
		read: (*workflowReader).packages,
	},
	{
		name: "is_uv_project", kind: "flag", unset: "`false`",
		does: "`project` of `python`.",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) { r.flag(p, &t.Python.Project) },
	},
	{
		name: "uv_path", kind: "path", unset: "`uv`",
		does: "`uv` of `python`.",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			t.Python.UV, _ = r.scalar(p, "a path")
		},
	},
	{
		name: "working_directory", kind: "path",
		does: "`working_directory` of `python`.",
		read: (*workflowReader).pythonDirectory,
	},
}

// workflowSubprocessKeys are the keys of config: !Subprocess.
var workflowSubprocessKeys = []workflowKey[*workflowTask]{
	{
		name: "cmd", kind: "text", unset: "required",
		does: "`cmd` of a task.",
		read: (*workflowReader).cmd,
	},
	{
		name: "args", kind: "list",
		does: "`args` of a task.",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) { t.Args = r.args(p, &t.texts) },
	},
}
