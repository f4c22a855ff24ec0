package main

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"strings"
	"testing"
)

// A wrong command line is refused before a principal is asked, in the words of the command line and not of the wire,
// with what may have been meant. There is no principal in this test.
func TestMainWords(t *testing.T) {
	long := strings.Repeat("b", 3000)
	for _, c := range []struct {
		args string // fields; LONG is 3,000 letters, EMPTY an empty argument
		want string // in what is said
	}{
		{"helo", "did you mean `cdktr help`?"},
		{"hlep", "did you mean `cdktr help`?"},
		{"stats2", "did you mean `cdktr stats`?"},
		{"import", "`cdktr import crontab` makes workflows"}, {"crontab", "`cdktr import crontab` makes workflows"},
		{"export", "`cdktr export crontab` prints workflows"}, {"cron", "`cdktr import crontab` makes workflows"},
		{"trigerr", "`cdktr run ID` starts a run"},
		{"workflws", "`cdktr ls` lists workflows"},
		{"start agnt", "did you mean `cdktr start agent`?"},
		{"start scheduler", "`cdktr start principal --with-agent` is the daemon"},
		{"start hello", "`cdktr run ID` a run of a workflow"},
		{"daemon-reload", "`cdktr rescan` has it look at once"},
		{"list-timers", "`cdktr ls` lists workflows"},
		{"dags trigger hello", "`cdktr run ID` starts a run"},
		{"workflow run hello", "did you mean `cdktr run hello"},
		{"workflow hello", "`cdktr ls` lists workflows"},
		{"agents forget edge-07", "did you mean `cdktr forget edge-07"},
		{"agents list", "`cdktr agents` agents"},
		{"agents lits", "did you mean --principal lits?"},
		{"run hello --params a=b", "did you mean -p NAME=VALUE?"},
		{"logs hello --tail 5", "did you mean -n N?"},
		{"logs -n5 hello", "logs has no flag -n5\nhint: write it apart: -n 5"},
		{"logs -fn 5 hello", "logs has no flag -fn\nhint: write it apart: -f -n"},
		{"logs -fn5 hello", "logs has no flag -fn5\nhint: write it apart: -f -n 5"},
		{"logs -u hello", "did you mean --workflow WORKFLOW?"},
		{"workflows/hello.yml", "`cdktr run workflows/hello.yml` runs a file"},
		{"run hello name=x", "did you mean -p name=x?"},
		{"next 0 9 a b c", "cdktr next --cron '30 8 * * mon-fri'"},
		{"next @daily", "cdktr next --cron '30 8 * * mon-fri'"},
		{"next --tz Berlin --cron @daily", `did you mean "Europe/Berlin"?`},
		{"start agent --label foo", `invalid value "foo" for --label K=V: want NAME=VALUE`},
		{"ps --json=maybe", `invalid boolean value "maybe" for --json: parse error`},
		{"ps --state faild", `did you mean "failed"?`},
		{"logs hello --since yesterday",
			`"yesterday" is neither a time nor how long ago: write it as 2026-01-31T02:30, 90m or 2d`},
		{"logs --fail hello", "logs has no flag --fail"},
		{"ps -o json", "did you mean --json?"},
		{"ps -a", "did you mean --all?"},
		{"ls --port 5561", "did you mean --principal VALUE?"},
		{"start principal --port 5561", "did you mean --bind tcp://ADDR:PORT?"},
		{"start principal -d", "it stays in the foreground"},
		{"run hello -d", "did you mean --detach?"},
		{"run hello --dry-run", "`cdktr validate FILE` checks a file"},
		{"-V", "`cdktr version` says the version"},
		{"LONG", "... (3000 bytes in all)"},
		{"--jsno ls", "did you mean --json?"},
		{"ls -x", "ls has no flag -x"},
		{"ls --LONG", "... (3000 bytes in all)"},
		{"ps hello", "did you mean --workflow hello?"},
		{"check state", "did you mean --state state?"},
		{"ping hub", "did you mean --principal hub?"},
		{"version 1", "version takes no arguments"},
		{"start principal x", "start principal takes no arguments"},
		{"run EMPTY", "argument 1 of run is empty: ID|FILE|-"},
		{"ls EMPTY", "argument 1 of ls is empty"},
		{"next EMPTY", "argument 1 of next is empty"},
		{"pause EMPTY", "argument 1 of pause is empty"},
		{"why w EMPTY", "argument 2 of why is empty"},
		{"authorize EMPTY key --role viewer", "argument 1 of authorize is empty"},
		{"logs w --grep (", `--grep "(" is no regular expression`},
		{"next --tz LONG --cron @daily", "names no time zone"},
		{"events --since LONG", "... (3000 bytes in all)"},
		{"ps --state LONG", "... (3000 bytes in all)"},
	} {
		var args []string
		for _, word := range strings.Fields(c.args) {
			args = append(args, strings.ReplaceAll(strings.ReplaceAll(word, "EMPTY", ""), "LONG", long))
		}
		code, said := mainSays(t, append(args, "--principal", "ipc://"+filepath.Join(t.TempDir(), "none.sock"))...)
		if code != exitUsage || !strings.Contains(said, c.want) || len(said) > 1000 {
			t.Errorf("%s: exit %d, %.600q, want %q", c.args, code, said, c.want)
		}
	}
}

// The tables of the words of other tools are sound: none has a word twice, and each of our flags in them belongs to
// some verb.
func TestMainMeant(t *testing.T) {
	for _, table := range [][]struct{ words, hint string }{meantVerbs, meantFlagHints} {
		seen := map[string]bool{}
		for _, entry := range table {
			for _, word := range strings.Fields(entry.words) {
				if seen[word] {
					t.Errorf("%s is there twice", word)
				}
				seen[word] = true
			}
		}
	}
	ours, used := map[string]bool{}, map[string]bool{}
	for _, v := range mainVerbs() {
		f := newCLIFlags(v.name)
		if v.flags != nil {
			v.flags(f)
		}
		f.VisitAll(func(fl *flag.Flag) { ours[fl.Name] = true })
		for _, entry := range meantFlags {
			for _, word := range strings.Fields(entry.words) {
				used[word] = used[word] || f.Lookup(word) == nil && strings.HasPrefix(meantFlag(f, word),
					"did you mean")
			}
		}
	}
	for _, entry := range meantFlags {
		for _, word := range strings.Fields(entry.words) {
			if !used[word] {
				t.Errorf("no verb answers --%s", word)
			}
		}
		for _, name := range strings.Fields(entry.ours) {
			if !ours[name] {
				t.Errorf("%s is no flag", name)
			}
		}
	}
}

// What package flag says of a flag names it as the help does.
func TestMainFlagMissing(t *testing.T) {
	for _, c := range []struct{ last, want string }{{"-n", "-n N"}, {"--since", "--since STRING"},
		{"--principal", "--principal VALUE"}} {
		if code, said := mainSays(t, "logs", "hello", c.last); code != exitUsage ||
			!strings.HasPrefix(said, "cdktr: a value is missing: "+c.want+"\n") {
			t.Errorf("%s: exit %d, %q", c.last, code, said)
		}
	}
}

// mainSays gives the exit code and standard error of a command line that prints nothing else.
func mainSays(t *testing.T, args ...string) (int, string) {
	var out, report strings.Builder
	c := &cli{in: strings.NewReader(""), out: &out, err: &report, getenv: func(string) string { return "" }}
	code := c.main(t.Context(), args)
	if out.Len() > 0 {
		t.Errorf("%.80q prints %q", args, out.String())
	}
	return code, report.String()
}

// Where a client refuses a text of a request, because it is too long or no text, the error calls it what the verb calls
// it.
func TestMainFieldNames(t *testing.T) {
	for _, c := range []struct{ args, field, want string }{
		{"logs w --grep x", "grep", "--grep"}, {"logs w --task x", "task", "--task"},
		{"logs w", "workflow", "the workflow's ID"},
		{"cancel r --task x", "run", "the ID of the run"}, {"cancel r --task x", "task", "--task"},
		{"ps --workflow x", "workflow", "--workflow"},
		{"ack x", "key", "KEY"}, {"run w --key x", "key", "--key"}, {"ls x", "pattern", "PATTERN"},
		{"drain x", "agent", "AGENT"}, {"-H hub show x", "workflow", "the workflow's ID"},
	} {
		req := Request{Op: "x", Workflow: strings.Repeat("w", protoMaxName+1)}
		err := protoTexts(&req)
		if refused, ok := err.(*protoError); !ok || refused.field != "workflow" ||
			refused.fault != "has 257 bytes: it may have 256" {
			t.Fatalf("%#v", err)
		}
		var report strings.Builder
		cl := &cli{err: &report}
		args := strings.Fields(c.args)
		if code := cl.report(t.Context(), args, &protoError{Code: codeInvalid, Message: "field \"x\" has",
			field: c.field, fault: "has 257 bytes"}); code != exitUsage {
			t.Errorf("%s: exit %d", c.args, code)
		}
		if want := "cdktr: " + c.want + " has 257 bytes\n"; report.String() != want {
			t.Errorf("%s: %q, want %q", c.args, report.String(), want)
		}
	}
}

// validate counts faults and warnings apart, each in its number, and ls counts the warnings and says how to read them.
func TestMainCounts(t *testing.T) {
	x := e2eNew(t)
	x.File("bad.yml", "tasks: {a: {rnu: echo}}\n")
	x.File("good.yml", "tasks: {a: {run: echo}}\n")
	x.File("warned.yml", "schedule: '*/90 * * * *'\ntasks: {a: {run: echo}}\n")
	for files, want := range map[string]string{
		"good": "checked 1 file: no fault\n", "warned": "checked 1 file: 1 warning\n",
		"warned warned good": "checked 3 files: 2 warnings\n",
		"bad":                "cdktr: 2 faults in 1 file\n", "bad warned": "cdktr: 2 faults and 1 warning in 2 files\n",
		"none": "cdktr: 1 fault in 1 file\n",
	} {
		args := []string{"validate"}
		for _, name := range strings.Fields(files) {
			args = append(args, filepath.Join(x.Dir, "workflows", name+".yml"))
		}
		if r := x.Cdktr(args...); r.Err != want {
			t.Errorf("%s: %q, want %q", files, r.Err, want)
		}
	}
	x.Principal()
	for pattern, want := range map[string]string{
		"warned": "cdktr: 1 warning on the file of warned: cdktr show warned prints what it is warned of\n",
		"warmed": "cdktr: no workflow matches \"warmed\" (did you mean \"warned\"?)\n",
		"nosuch": "cdktr: no workflow matches \"nosuch\": a pattern is a part of the id, or with * in it the whole\n",
		"good":   "",
	} {
		if r := x.Code(0, "ls", pattern); r.Err != want {
			t.Errorf("ls %s: %q, want %q", pattern, r.Err, want)
		}
	}
	x.File("other.yml", "schedule: ['*/90 * * * *', '*/7 * * * *']\ntasks: {a: {run: echo}}\n")
	x.OK("rescan")
	if r := x.Code(0, "ls", "*r*"); r.Err != "cdktr: 3 warnings on the files of 2 workflows: cdktr show other "+
		"prints those of one, cdktr attention names more\n" {
		t.Errorf("ls: %q", r.Err)
	}
}

// What never became a process has no exit code: neither in the record, nor in what attention says of it, nor for the
// try before.
func TestMainNoExit(t *testing.T) {
	x := e2eNew(t)
	x.File("gone.yml", "tasks: {a: {cmd: /nonexistent}}\n")
	x.File("env.yml", "env_file: /nonexistent.env\ntasks: {a: {run: echo, retries: 1, retry_delay: 1ms}}\n")
	x.File("folder.yml", "tasks: {a: {run: echo, working_directory: /nonexistent}}\n")
	x.File("code.yml", "tasks: {a: {run: exit 127}}\n")
	x.Principal("--with-agent")
	for _, id := range []string{"gone", "env", "folder", "code"} {
		r := x.run(id)
		if got := r.Tasks[0].Exit; r.State != runFailed || (got != nil) != (id == "code") || got != nil && *got != 127 {
			t.Errorf("%s: %s, exit %v", id, r.State, got)
		}
		for _, a := range r.Tasks[0].Earlier {
			if a.Exit != nil {
				t.Errorf("%s: the try before has exit code %d", id, *a.Exit)
			}
		}
		for _, e := range strings.Split(strings.TrimSpace(x.OK("events")), "\n") {
			var event Event
			if err := json.Unmarshal([]byte(e), &event); err != nil || event.Workflow == id && id != "code" &&
				event.Exit != nil {
				t.Errorf("%v: %s", err, e)
			}
		}
	}
	said := x.OK("attention")
	for _, want := range []string{"! gone a on ", "! env a on ", "! folder a on ", "! code a exit 127 on "} {
		if !strings.Contains(said, want) {
			t.Errorf("attention says no %q:\n%s", want, said)
		}
	}
}

// authorize warns where the principal that answers listens at no address for the key. The credential has the port where
// the principal listens.
func TestMainDeafPrincipal(t *testing.T) {
	t.Parallel()
	const deaf = "listens at no tcp:// address"
	for _, flags := range [][]string{nil, {"--bind", "tcp://127.0.0.1:0"}} {
		x := e2eAlone(t)
		p := x.Principal(flags...)
		made := x.Code(0, "authorize", "--new", "one", "--role", "viewer")
		added := x.Code(0, "authorize", "two", "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "--role", "viewer")
		for _, said := range []string{made.Err, added.Err} {
			if strings.Contains(said, deaf) != (flags == nil) {
				t.Errorf("%v: %s", flags, said)
			}
		}
		if flags != nil {
			port := p.Saw(&p.Err, `tcp://127\.0\.0\.1:([1-9]\d*)"? state=`)[1]
			if !strings.Contains(made.Out, ":"+port+"\"\n") {
				t.Errorf("the credential does not name port %s:\n%s", port, made.Out)
			}
		}
	}
}
