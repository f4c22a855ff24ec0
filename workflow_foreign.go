// workflow_foreign.go: the keys of other systems, and what each is here. The parser names ours where somebody writes
// theirs, and docs/coming-from-others.md is made of this table.

package main

import (
	"fmt"
	"slices"
	"strings"
)

// workflowForeignKey is a key of other systems.
type workflowForeignKey struct {
	of    string // the systems that have it, with commas between them; "" for what people try
	names string // as it is written there, with blanks between several
	ours  string // our keys for it, with blanks between them: the first that its place allows is meant
	how   string // how it is done here, or what is different about it; code is in backticks
}

// Systems that the table is about.
const (
	foreignDagu    = "Dagu"
	foreignAirflow = "Airflow"
	foreignActions = "GitHub Actions"
	foreignAnsible = "Ansible"
	foreignSystemd = "systemd"
)

// workflowForeign are the keys of other systems. A key that several of them have is found in its first row.
var workflowForeign = []workflowForeignKey{
	// What there is.
	{foreignDagu + ", " + foreignActions, "steps", "tasks",
		"steps follow each other; here `depends` says what waits for what"},
	{foreignActions, "jobs", "tasks", ""},
	{foreignAirflow, "dag_id", "", "the id of a workflow is the path of its file"},
	{foreignAirflow, "default_args", "", "defaults of all workflows of a folder are in its `defaults.yml`"},
	{foreignActions, "defaults", "shell working_directory", ""},
	{foreignSystemd, "Unit", "", "one file has the schedule and what it starts"},
	{"", "title", "name", ""},
	{"", "doc comment", "description", ""},
	{foreignDagu + ", " + foreignAirflow + ", " + foreignAnsible, "tags", "",
		"workflows are chosen by their ids, with globs as `etl.*`; a key that begins with `x-` is your own"},
	{foreignDagu, "group", "", "the folders of the files are the groups: `etl/daily.yml` is `etl.daily`"},

	// What a task does.
	{foreignDagu + ", " + foreignAnsible, "command", "run", ""},
	{foreignDagu, "script", "run", ""},
	{foreignAirflow, "bash_command", "run", ""},
	{foreignSystemd, "ExecStart", "run", ""},
	{"", "bash sh exec", "run", ""},
	{"", "program executable", "cmd", ""},
	{foreignAirflow, "python_callable op_args op_kwargs", "python", ""},
	{foreignDagu, "call", "workflow", ""},
	{foreignAirflow, "trigger_dag_id external_dag_id", "workflow", ""},
	{foreignActions, "uses with", "",
		"there are no actions to download: `run` is a shell line, and `workflow` starts another workflow"},
	{foreignAnsible, "uri get_url", "http", ""},
	{"", "request webhook", "http", ""},
	{foreignDagu, "executor type", "",
		"a task runs on the agent's machine: `run: docker run IMAGE` is one, and so is `run: ssh HOST COMMAND`"},
	{foreignDagu + ", " + foreignActions, "container services", "",
		"tasks run on the agent's machine: `run: docker run IMAGE` is one"},
	{"", "image docker", "", "tasks run on the agent's machine: `run: docker run IMAGE` is one"},
	{"", "arguments", "args params", ""},
	{foreignSystemd, "StandardInputText", "stdin", ""},
	{foreignDagu, "stdout stderr logDir", "",
		"the output of each task is kept, see `cdktr logs RUN`; a file gets it with `run: make >build.log`"},
	{foreignSystemd, "StandardOutput StandardError", "", "the output of each task is kept, see `cdktr logs RUN`"},
	{foreignDagu + ", " + foreignActions, "output outputs", "",
		"a task hands values on with lines `KEY=value` in the file `$CDKTR_OUTPUT`"},
	{foreignAnsible, "register", "", "a task hands values on with lines `KEY=value` in the file `$CDKTR_OUTPUT`"},
	{foreignAirflow, "do_xcom_push", "", "a task hands values on with lines `KEY=value` in the file `$CDKTR_OUTPUT`"},

	// What waits for what.
	{foreignDagu, "depends_on", "depends", ""},
	{foreignActions, "needs", "depends", ""},
	{foreignSystemd, "After Requires Wants", "depends", ""},
	{"", "upstream", "depends", ""},
	{foreignAirflow, "trigger_rule", "when",
		"`all_success` is `success`, `all_done` is `always`, `one_failed` is `failure`"},
	{foreignDagu, "preconditions precondition", "if", ""},
	{foreignSystemd, "ExecCondition ConditionPathExists", "if", ""},
	{"", "condition run_if", "if when", ""},
	{foreignAirflow, "skip_on_exit_code", "success_exit",
		"`success_exit: [0, 99]` takes such an exit code for a success"},
	{foreignActions, "if", "if",
		"a shell line: exit 0 runs the task. `${{ … }}` is nothing here: a parameter `day` is `$PARAM_DAY`"},
	{foreignAnsible, "when", "if", "a shell line; `when` says here what the tasks before it did"},
	{foreignDagu, "skipIfSuccessful", "if", "an `if` can look for what an earlier run has made"},
	{foreignAnsible, "creates", "if", ""},
	{foreignAirflow, "depends_on_past wait_for_downstream", "overlap", "`overlap: queue` keeps runs in order"},

	// When it fires.
	{foreignAirflow, "schedule_interval", "schedule", ""},
	{foreignActions, "on", "on schedule",
		"`schedule` stands by itself; `on` has files, other workflows and lines of a command"},
	{foreignActions, "push pull_request release", "",
		"nothing follows a repository by itself: its hook says `cdktr run ID -p branch=main`"},
	{foreignActions, "workflow_dispatch repository_dispatch", "", "`cdktr run ID` starts every workflow"},
	{foreignActions, "workflow_call", "", "a task with `workflow` starts every workflow"},
	{foreignActions, "workflow_run", "on", "`on: [{workflow: {id: etl.daily}}]`"},
	{foreignSystemd, "OnCalendar OnUnitActiveSec OnBootSec", "schedule",
		"a calendar becomes a cron expression; there are `@every 90s` and `@reboot`"},
	{"", "every interval crontab", "schedule", ""},
	{"", "tz cron_tz", "timezone", ""},
	{foreignAirflow, "start_date", "start_time", ""},
	{foreignAirflow, "end_date", "end_time", ""},
	{foreignSystemd, "Persistent", "catchup", "`Persistent=true` is `catchup: once`"},
	{"", "misfire", "catchup", ""},
	{foreignSystemd, "RandomizedDelaySec", "jitter", ""},
	{foreignAirflow, "max_active_runs", "overlap", ""},
	{foreignDagu, "maxActiveRuns", "overlap", ""},
	{foreignActions, "concurrency cancel-in-progress", "overlap pool",
		"`overlap: replace` ends the run before it; a pool is a lock across workflows"},
	{"", "concurrency_policy", "overlap", ""},
	{foreignSystemd, "PathExists PathChanged PathModified DirectoryNotEmpty", "on",
		"`on: [{file: {path: /data/in/*.csv}}]`"},
	{"", "enabled disabled disable paused suspend is_paused_upon_creation", "",
		"`cdktr pause ID` stops a schedule, and `cdktr resume ID` starts it again"},

	// Attempts, time, and places.
	{foreignDagu, "retryPolicy retry_policy", "retries", ""},
	{"", "attempts max_retries retry", "retries", ""},
	{foreignAnsible, "delay", "retry_delay", "beside `until` it is `every` of `repeat`"},
	{foreignSystemd, "RestartSec", "retry_delay", ""},
	{"", "retry_interval backoff", "retry_delay", ""},
	{foreignAirflow, "max_retry_delay", "retry_max_delay", ""},
	{foreignAirflow, "retry_exponential_backoff", "retry_max_delay",
		"each delay is twice the one before, up to `retry_max_delay`"},
	{foreignSystemd, "Restart StartLimitBurst", "retries", ""},
	{foreignSystemd, "RestartForceExitStatus RestartPreventExitStatus", "retry_exit", ""},
	{foreignSystemd, "SuccessExitStatus", "success_exit", ""},
	{foreignDagu + ", " + foreignActions, "continueOn continue-on-error", "allow_failure",
		"`true`, or the exit codes with which it may fail"},
	{foreignAnsible, "ignore_errors failed_when", "allow_failure",
		"`success_exit` says which exit codes are a success"},
	{foreignDagu, "repeatPolicy", "repeat", ""},
	{foreignAnsible, "until", "repeat", "`repeat: {until: CMD, every: 10s, times: 20}`"},
	{foreignAirflow, "poke_interval", "repeat", "`repeat: {every: 30s, for: 2h}`"},
	{foreignDagu, "timeoutSec timeout_sec", "timeout", ""},
	{foreignActions, "timeout-minutes", "timeout", ""},
	{foreignAirflow, "execution_timeout dagrun_timeout", "timeout", ""},
	{foreignSystemd, "RuntimeMaxSec TimeoutStartSec", "timeout", ""},
	{"", "deadline max_runtime", "timeout", ""},
	{foreignDagu, "signalOnStop", "stop_signal", ""},
	{foreignSystemd, "KillSignal", "stop_signal", ""},
	{"", "kill_after stop_grace_period", "grace", ""},
	{"", "retry_on_exit_code retry_on_exit_codes", "retry_exit", ""},
	{foreignDagu, "maxCleanUpTimeSec", "grace", ""},
	{foreignSystemd, "TimeoutStopSec", "grace", ""},
	{foreignDagu, "maxActiveSteps", "max_active_tasks", ""},
	{"", "parallelism", "max_active_tasks", ""},
	{foreignDagu, "delaySec restartWaitSec", "", "`run: sleep 10` waits"},
	{foreignDagu + ", " + foreignAirflow, "queue", "agent pool", ""},
	{foreignAirflow, "pool_slots", "pool", "`pool: {database: 2}` takes two places"},
	{foreignAirflow, "priority_weight", "priority", ""},
	{foreignAirflow, "sla", "expect", ""},

	// Several of one task.
	{foreignDagu, "parallel", "foreach", ""},
	{foreignActions, "strategy matrix", "foreach", ""},
	{foreignActions, "max-parallel", "max_parallel", ""},
	{foreignActions, "fail-fast", "", "one failing instance of `foreach` does not stop the others"},
	{foreignAnsible, "loop with_items", "foreach", ""},
	{foreignAirflow, "expand", "foreach", ""},
	{foreignAnsible, "serial", "max_parallel", ""},

	// Where, as whom, with what.
	{foreignActions, "runs-on", "agent", ""},
	{foreignAnsible, "hosts delegate_to", "agent",
		"a workflow or a task goes to an agent with these labels; `foreach` with ssh reaches hosts without one"},
	{"", "labels node_selector", "agent", ""},
	{foreignAnsible, "become become_user", "user", ""},
	{foreignSystemd, "Group SupplementaryGroups", "user", "`user` brings the groups of that user"},
	{foreignDagu, "dir workingDir", "working_directory", ""},
	{foreignAnsible, "chdir", "working_directory", ""},
	{foreignAirflow, "cwd", "working_directory", ""},
	{"", "workdir", "working_directory", ""},
	{foreignAnsible + ", " + foreignSystemd, "environment", "env", ""},
	{foreignAnsible, "vars", "env", ""},
	{"", "variables", "env", ""},
	{foreignAirflow, "append_env", "", "a task always has the agent's environment too"},
	{foreignDagu, "dotenv", "env_file", ""},
	{foreignSystemd, "EnvironmentFile", "env_file", ""},
	{foreignActions, "inputs", "params", ""},
	{"", "parameters", "params", ""},
	{foreignSystemd, "LoadCredential", "secrets", ""},
	{foreignSystemd, "MemoryMax", "limits", "`limits: {memory: 512M}`"},
	{foreignSystemd, "CPUQuota", "limits", "`limits: {cpu: 50%}`"},
	{foreignSystemd, "TasksMax", "limits", "`limits: {pids: 100}`"},
	{foreignSystemd, "Nice", "limits", "`limits: {nice: 10}`"},
	{"", "resources mem_limit memory_limit cpus cpu_limit pids_limit", "limits", ""},
	{foreignDagu, "histRetentionDays", "log",
		"`log: {keep: 30d}`; history is kept as the principal's `retain_age` says"},
	{foreignActions, "permissions", "", "a task may do what its user may: see `user`"},

	// Afterwards.
	{foreignDagu, "handlerOn handler_on", "on_failure on_success on_exit",
		"there are `on_success` and `on_exit` too: each is a map of tasks, or a shell line"},
	{foreignAirflow, "on_failure_callback", "on_failure", "within the graph a task with `when: failure` does that"},
	{foreignAirflow, "on_success_callback", "on_success", "within the graph a task behind all others does that"},
	{foreignSystemd, "OnFailure", "on_failure", "a command, not the name of a unit"},
	{foreignSystemd, "OnSuccess", "on_success", "a command, not the name of a unit"},
	{foreignSystemd, "ExecStopPost ExecStartPost", "on_exit", "within the graph a task with `when: always` does that"},
	{foreignAnsible, "rescue", "on_failure", "within the graph a task with `when: failure` does that"},
	{foreignAnsible, "always block", "on_exit", "within the graph a task with `when: always` does that"},
	{foreignAnsible, "notify handlers", "on_success", "within the graph a task that depends on another does that"},
	{"", "on_fail", "on_failure", "within the graph a task with `when: failure` does that"},
	{"", "finally cleanup", "on_exit", "within the graph a task with `when: always` does that"},
	{foreignDagu, "mailOn mailOnError smtp", "on_failure",
		"no mail is sent by itself: `on_failure: 'mail -s failed ops < \"$CDKTR_TAIL\"'`"},
	{foreignAirflow, "email email_on_failure email_on_retry", "on_failure",
		"no mail is sent by itself: a command of yours does it"},
	{"", "mailto mail notification notifications alerts", "on_failure",
		"no mail is sent by itself: a command of yours does it"},
	{foreignDagu, "approval", "approve", ""},
}

// foreign ends the message about a key of another system: what it is called here, of the keys that the place allows, or
// else whose key that is, and how it is done. It gives "" for a key that is not in the table, or is one of ours.
func (r *workflowReader) foreign(key string, allowed []string) string {
	if slices.Contains(r.ofTasks, key) || slices.Contains(r.ofWorkflows, key) {
		return ""
	}
	word := workflowForeignWord(key)
	at := slices.IndexFunc(workflowForeign, func(row workflowForeignKey) bool { return row.has(word) })
	if at < 0 {
		return ""
	}
	row, hint, ours := &workflowForeign[at], "", strings.Fields(workflowForeign[at].ours)
	here := slices.IndexFunc(ours, func(k string) bool { return slices.Contains(allowed, k) })
	switch {
	case here >= 0:
		hint = fmt.Sprintf(" (here it is %q)", ours[here])
	case len(ours) == 0:
	case slices.Contains(r.ofTasks, ours[0]):
		hint = fmt.Sprintf(" (here it is %q, of a task)", ours[0])
	case slices.Contains(r.ofWorkflows, ours[0]):
		hint = fmt.Sprintf(" (here it is %q, of the workflow)", ours[0])
	}
	if row.how != "" {
		hint += ": " + strings.ReplaceAll(row.how, "`", "")
	}
	return hint
}

// has says whether the row is about a key, which is written as workflowForeignWord gives it.
func (row *workflowForeignKey) has(word string) bool {
	for name := range strings.FieldsSeq(row.names) {
		if workflowForeignWord(name) == word {
			return true
		}
	}
	return false
}

// workflowForeignWord writes a key as one word in small letters, so that retryPolicy, retry_policy and retry-policy are
// one.
func workflowForeignWord(key string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
}
