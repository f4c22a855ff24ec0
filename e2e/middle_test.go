// What happens in the middle of a run, whatever keys its workflow has: somebody kills the principal, or the agent, or
// stops the run.

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// middleRow is a workflow whose task `at` is held up in the middle of it: HOLD in a script says that it has come so
// far, and waits for as long as the file hold is there.
type middleRow struct {
	name string
	// DIR/ is the folder of the site, and SERVER the address of a server that holds up its answers.
	file string
	up   func(x *site, run string) bool // whether a run is in the middle, where no HOLD tells
	free func(x *site, run string)      // lets a run go on, where no file does

	ends [4]string // how the run and its tasks end for each of middleActs; "": that is not tried
	logs [2]string // what `at` has written in the end, for the first two
}

// The acts, in the order of middleRow.ends.
var middleActs = []string{"the principal is killed", "the agent is killed", "cancel twice", "cancel --force"}

const middleHold = `if [ -e $DIR/stubborn ]; then trap "" TERM; fi; : > $DIR/up/$CDKTR_RUN_ID; ` +
	`while [ -e $DIR/hold ]; do sleep 0.05; done`

// middleTries says that the task `at` of a run is between two attempts.
func middleTries(x *site, run string) bool {
	r := x.show(run)
	return r != nil && r.task("at") != nil && r.task("at").Attempts >= 2
}

// middleHeld says that a run is held up.
func middleHeld(x *site, run string) bool {
	_, err := os.Stat(x.Dir + "/up/" + run)
	return err == nil
}

// middleLate says that a run is held up, or that its time was over before that, on a machine with much to do.
func middleLate(x *site, run string) bool {
	r := x.show(run)
	return middleHeld(x, run) || r != nil && r.State == runFailed
}

// middleRows are the workflows. Where the agent is killed they begin anew (failover: rerun), and what succeeded before
// stays so.
var middleRows = []middleRow{
	{name: "values", file: `name: Values
description: What a task is given
failover: rerun
agent: {site: here}
priority: 5
timeout: 1h
params:
  day: {default: monday, choices: [monday, friday], description: which day}
  n: {default: "1", pattern: "[0-9]"}
shell: bash -eu -c
env: {WORD: "a ${params.day}"}
env_file: DIR/env
working_directory: DIR/in
max_active_tasks: 1
log: {max_size: 1K, keep: 1h}
tasks:
  before: {name: Before, description: hands a value on, run: 'echo N=7 >> "$CDKTR_OUTPUT"'}
  at:
    depends: [before]
    shell: sh -c
    stdin: given
    umask: "027"
    timeout: 1h
    env: {TWICE: "${env.WORD} ${tasks.before.outputs.N}"}
    working_directory: DIR/in/deep
    run: |
      say() { echo "$1 $TWICE $FROM_FILE $N $PARAM_DAY $PARAM_N $(umask) $(basename $PWD)"; }
      say up; HOLD; say on; cat
  after: {depends: at, cmd: test, args: ["${tasks.before.outputs.N}", -eq, "7"]}
`,
		ends: [4]string{"succeeded after=succeeded at=succeeded before=succeeded",
			"succeeded after=succeeded at=succeeded before=succeeded",
			"cancelled after=skipped at=cancelled before=succeeded",
			"cancelled after=skipped at=cancelled before=succeeded"},
		logs: [2]string{"up a monday 7 file 7 monday 1 0027 deep|on a monday 7 file 7 monday 1 0027 deep|given",
			"up a monday 7 file 7 monday 1 0027 deep|up a monday 7 file 7 monday 1 0027 deep|" +
				"on a monday 7 file 7 monday 1 0027 deep|given"}},

	{name: "judged", file: `failover: rerun
retries: 1
tasks:
  lint: {run: exit 3, allow_failure: [3]}
  part: {run: exit 24, success_exit: [0, 24]}
  none: {if: exit 1, run: exit 9}
  at:
    depends: [lint, part, none]
    retries: 1
    retry_delay: 1ms
    retry_max_delay: 1s
    retry_exit: [75]
    stop_signal: TERM
    grace: 1h
    run: 'echo up; if [ $((CDKTR_ATTEMPT % 2)) = 1 ]; then exit 75; fi; HOLD'
  found: {depends: [at], when: failure, run: 'true'}
  tidy: {depends: [at], when: always, run: 'true'}
`,
		ends: [4]string{"succeeded at=succeeded found=succeeded lint=failed none=skipped part=succeeded tidy=succeeded",
			"succeeded at=succeeded found=succeeded lint=failed none=skipped part=succeeded tidy=succeeded",
			"cancelled at=cancelled found=skipped lint=failed none=skipped part=succeeded tidy=skipped",
			"cancelled at=cancelled found=skipped lint=failed none=skipped part=succeeded tidy=skipped"},
		logs: [2]string{"up|up", "up|up|up|up"}},

	{name: "tried", up: middleTries, file: `failover: rerun
tasks:
  at: {run: test ! -e DIR/hold, retries: 1000, retry_delay: 50ms, retry_max_delay: 50ms}
`,
		ends: [4]string{"succeeded at=succeeded", "succeeded at=succeeded", "cancelled at=cancelled",
			"cancelled at=cancelled"}},

	{name: "repeated", up: middleTries, file: `failover: rerun
tasks:
  at: {run: 'true', repeat: {every: 100ms, for: 1h, times: 100000, until: test ! -e DIR/hold}}
`,
		ends: [4]string{"succeeded at=succeeded", "succeeded at=succeeded", "cancelled at=cancelled",
			"cancelled at=cancelled"}},

	{name: "late", file: `failover: rerun
timeout: 1s
tasks:
  at: {run: 'HOLD; while :; do sleep 0.05; done'}
  tidy: {depends: [at], when: always, run: 'true'}
`,
		up:   middleLate,
		ends: [4]string{"failed at=failed tidy=succeeded", "failed at=failed tidy=succeeded"}},

	{name: "slow", file: `tasks:
  at: {run: 'HOLD; exit 3'}
on_failure: {slow: {run: exec sleep 1000, timeout: 200ms}}
`,
		ends: [4]string{"failed at=failed on_failure.slow=failed", "crashed at=crashed on_failure.slow=failed",
			"cancelled at=cancelled", "cancelled at=cancelled"}},

	{name: "each", file: `failover: rerun
tasks:
  at: {foreach: [a, b, c], max_parallel: 2, pool: narrow, run: 'HOLD'}
`,
		ends: [4]string{"succeeded at=succeeded at[a]=succeeded at[b]=succeeded at[c]=succeeded",
			"succeeded at=succeeded at[a]=succeeded at[b]=succeeded at[c]=succeeded",
			"cancelled at=cancelled at[a]=cancelled at[b]=cancelled at[c]=skipped",
			"cancelled at=cancelled at[a]=cancelled at[b]=cancelled at[c]=skipped"}},

	{name: "uv", file: `failover: rerun
params: {day: monday}
tasks:
  at:
    python: {script: "${params.day}.py", args: [--day, "${params.day}"], packages: ["a>=1"], project: false, uv: DIR/uv,
      working_directory: DIR/in/deep}
`,
		ends: [4]string{"succeeded at=succeeded", "succeeded at=succeeded", "cancelled at=cancelled",
			"cancelled at=cancelled"},
		logs: [2]string{"deep: run --with a>=1 monday.py --day monday|on",
			"deep: run --with a>=1 monday.py --day monday|deep: run --with a>=1 monday.py --day monday|on"}},

	{name: "long", file: `name: CDKTR's own form
description: and all of it
cron: "0 0 4 1 1 *"
start_time: 2026-01-01T00:00:00Z
end_time: 2099-01-01T00:00:00Z
failover: rerun
tasks:
  before: {config: !Subprocess {cmd: test, args: [-e, DIR/hold]}}
  at:
    depends: [before]
    config: !UvPython {script_path: old.py, packages: [b], is_uv_project: true, working_directory: DIR/in,
      uv_path: DIR/uv}
`,
		ends: [4]string{"succeeded at=succeeded before=succeeded", "succeeded at=succeeded before=succeeded",
			"cancelled at=cancelled before=succeeded", "cancelled at=cancelled before=succeeded"},
		logs: [2]string{"in: run old.py|on", "in: run old.py|in: run old.py|on"}},

	{name: "asked", file: `failover: rerun
tasks:
  at:
    secrets: [TOKEN]
    http:
      method: PUT
      url: SERVER/${run.id}
      headers: {Authorization: "Bearer ${env.TOKEN}"}
      body: "the token is ${env.TOKEN}"
      expect: 200
`,
		ends: [4]string{"succeeded at=succeeded", "succeeded at=succeeded", "cancelled at=cancelled",
			"cancelled at=cancelled"},
		logs: [2]string{"PUT Bearer ***, the token is ***", "PUT Bearer ***, the token is ***"}},

	{name: "limited", file: `failover: rerun
limits: {nice: 7}
tasks:
  at: {limits: {memory: 512M, cpu: 200%, pids: 500}, run: 'test $(nice) -ge 7; HOLD; test $(nice) -ge 7'}
`,
		ends: [4]string{"succeeded at=succeeded", "succeeded at=succeeded", "cancelled at=cancelled",
			"cancelled at=cancelled"}},

	{name: "approved", file: `failover: rerun
tasks:
  at: {approve: Go on?, approvers: [root, "uid:0"], timeout: 1h}
  after: {depends: [at], run: 'test "$by" = root'}
`,
		up:   func(x *site, run string) bool { r := x.show(run); return r != nil && r.Parked },
		free: func(x *site, run string) { x.OK("approve", run) },
		ends: [4]string{"succeeded after=succeeded at=succeeded", "succeeded after=succeeded at=succeeded",
			"cancelled after=skipped at=cancelled", "cancelled after=skipped at=cancelled"}},

	{name: "parent", file: `failover: rerun
tasks:
  free: {workflow: started, wait: false}
  at: {depends: [free], workflow: waited, params: {up: "${run.id}"}}
`,
		ends: [4]string{"succeeded at=succeeded free=succeeded", "succeeded at=succeeded free=succeeded",
			"cancelled at=cancelled free=succeeded", "cancelled at=cancelled free=succeeded"}},

	{name: "handled", file: `tasks:
  fails: {run: exit 3}
on_failure:
  at: {secrets: [TOKEN], foreach: [a, b], max_parallel: 1, pool: mail, run: 'echo "$ITEM has $TOKEN"; HOLD'}
on_success: exit 9
on_exit: 'true'
`,
		ends: [4]string{"failed fails=failed on_exit=succeeded on_failure.at=succeeded on_failure.at[a]=succeeded " +
			"on_failure.at[b]=succeeded",
			"failed fails=failed on_exit=succeeded on_failure.at=crashed on_failure.at[a]=crashed on_failure.at[b]=skipped",
			"failed fails=failed on_exit=skipped on_failure.at=cancelled on_failure.at[a]=cancelled " +
				"on_failure.at[b]=skipped",
			"failed fails=failed on_exit=skipped on_failure.at=cancelled on_failure.at[a]=cancelled " +
				"on_failure.at[b]=skipped"}},
}

// middleRoots are those that need an agent of root's, and an agent that has user daemon.
var middleRoots = []middleRow{
	{name: "user", file: `failover: rerun
user: daemon
secrets: [TOKEN]
tasks:
  at: {user: nobody, stdin: given, run: 'echo "$USER has $TOKEN"; HOLD; cat; echo K=v >> $CDKTR_OUTPUT'}
  after: {depends: [at], run: 'test "$USER $K" = "daemon v"'}
`,
		ends: [4]string{"succeeded after=succeeded at=succeeded", "succeeded after=succeeded at=succeeded",
			"cancelled after=skipped at=cancelled", "cancelled after=skipped at=cancelled"},
		logs: [2]string{"nobody has ***|given", "nobody has ***|nobody has ***|given"}},

	{name: "told", file: `tasks:
  good: {run: 'true'}
on_success:
  at: {user: daemon, secrets: [TOKEN], retries: 1, timeout: 1h, run: 'test "$TOKEN" && id -un > /dev/stderr && HOLD'}
  behind: {depends: [at], user: nobody, run: 'test "$USER" = nobody'}
`,
		ends: [4]string{"succeeded good=succeeded on_success.at=succeeded on_success.behind=succeeded",
			"succeeded good=succeeded on_success.at=crashed on_success.behind=skipped",
			"succeeded good=succeeded on_success.at=cancelled on_success.behind=skipped",
			"succeeded good=succeeded on_success.at=cancelled on_success.behind=skipped"}},
}

// middleServer holds up its answers, and says which request it answers.
func middleServer(t *testing.T, x *site) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 100)
		n, _ := r.Body.Read(body)
		if err := os.WriteFile(x.Dir+"/up"+r.URL.Path, nil, 0o644); err != nil {
			t.Error(err)
		}
		for held := true; held && r.Context().Err() == nil; <-time.After(harness.Poll) {
			_, err := os.Stat(x.Dir + "/hold")
			held = err == nil
		}
		fmt.Fprintf(w, "%s %s, %s\n", r.Method, r.Header.Get("Authorization"), body[:n])
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// TestMiddle begins a run of each workflow, waits until all are in the middle, and then lets it happen.
func TestMiddle(t *testing.T) {
	harness.Need(t, "apt install bash curl", "sh", "-c", "bash --version && curl --version")
	x := newSite(t)
	x.Env = append(x.Env, "CDKTR_GRACE=1h") // who waits for that has waited in vain
	server := middleServer(t, x)
	rows := middleRows
	if os.Geteuid() == 0 {
		rows = append(rows[:len(rows):len(rows)], middleRoots...)
	}
	for _, dir := range []string{"/up", "/in/deep"} {
		if err := os.MkdirAll(x.Dir+dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"": 0o711, "/up": 0o777} {
		if err := os.Chmod(x.Dir+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	x.File("../env", "FROM_FILE=file\n")
	uv := "#!/bin/sh\necho \"$(basename $PWD): $*\"; " + middleHold + "; echo on\n"
	if err := os.WriteFile(x.Dir+"/uv", []byte(uv), 0o755); err != nil {
		t.Fatal(err)
	}
	secretPut(x, x.Dir+"/one", "TOKEN", secretValue)
	put := strings.NewReplacer("DIR/", x.Dir+"/", "HOLD", middleHold, "SERVER", server.URL)
	for _, row := range rows {
		x.File(row.name+".yml", strings.ReplaceAll(put.Replace(row.file), "$"+x.Dir, "$DIR"))
	}
	x.File("started.yml", "tasks: {a: {run: 'echo x >> $DIR/started'}}\n")
	x.File("waited.yml", "failover: rerun\nparams: {up: }\ntasks:\n  a: {run: '"+
		strings.ReplaceAll(middleHold, "$CDKTR_RUN_ID", "$PARAM_UP")+"'}\n")
	p, agent := x.Principal(), x.Agent("one", "--capacity", "99", "--label", "site=here")
	ended := map[string]string{}
	for n, act := range middleActs {
		x.File("../hold", "")
		if act == "cancel --force" {
			x.File("../stubborn", "")
		}
		runs := make([]string, len(rows))
		for i, row := range rows {
			if row.ends[n] != "" {
				runs[i] = x.Start(row.name)
			}
		}
		for i, row := range rows {
			if runs[i] == "" {
				continue
			}
			up := row.up
			if up == nil {
				up = middleHeld
			}
			x.Until(row.name+" is in the middle", func() bool { return up(x, runs[i]) })
		}
		x.OK("pause", "values") // what is answered is on the disk, and so is all before it
		x.OK("resume", "values")
		switch act {
		case "the principal is killed":
			p.Kill()
			p = x.Principal()
		case "the agent is killed":
			agent.Kill()
			agent = x.Agent("one", "--capacity", "99", "--label", "site=here")
		}
		if n >= 2 {
			for _, run := range runs {
				switch {
				case run == "":
				case act == "cancel --force":
					x.OK("cancel", run, "--force")
				default:
					x.OK("cancel", run)
					x.Cdktr("cancel", run) // which may be over
				}
			}
		} else if err := os.Remove(x.Dir + "/hold"); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			if runs[i] == "" {
				continue
			}
			if row.free != nil && n < 2 {
				x.Until(row.name+" is in the middle again", func() bool { return row.up(x, runs[i]) })
				row.free(x, runs[i])
			}
			r := x.await(runs[i])
			ended[r.ID] = r.State + " " + statesOf(r)
			if ended[r.ID] != row.ends[n] {
				t.Errorf("%s, %s: %s (%s), want %s: %+v", row.name, act, ended[r.ID], r.Reason, row.ends[n], r.Tasks)
			}
			x.Until("nothing of "+row.name+" is left", func() bool {
				return len(harness.Alive("|"+r.ID+"|")) == 0
			})
			if n >= 2 || row.logs[n] == "" {
				continue
			}
			out := strings.ReplaceAll(strings.TrimSpace(x.OK("logs", r.ID, "--task", "at")), "\n", "|")
			if out != row.logs[n] {
				t.Errorf("%s, %s: it wrote %q, want %q", row.name, act, out, row.logs[n])
			}
		}
	}
	started, err := os.ReadFile(x.Dir + "/started")
	if n := strings.Count(string(started), "x"); n != len(middleActs) || err != nil {
		t.Errorf("what nobody waits for was started %d times, %v", n, err)
	}
	p.Kill()
	p = x.Principal()
	for run, want := range ended {
		if r := x.show(run); r.State+" "+statesOf(r) != want {
			t.Errorf("%s was %s, and is %s %s", r.Workflow, want, r.State, statesOf(r))
		}
	}
	agent.Stop()
	p.Stop()
	secretHidden(x)
}
