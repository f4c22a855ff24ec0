// End-to-end tests of completion: what fits, asked of a principal, and three real shells with a key pressed in them.

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// completionSite is a site with something of each kind. A choice of a parameter is what bash's compgen would run.
func completionSite(t *testing.T) (*site, string) {
	t.Helper()
	x := newSite(t)
	x.File("etl/daily.yml", "description: 'Loads: the shops'\npool: db\nparams:\n  mode: {default: full, choices: "+
		"[full, quick, \"$(touch PWNED)\"], description: how much}\n  shop: west\ntasks:\n  load: {run: 'true', description: "+
		"gets it}\n  mail: {run: 'true'}\n")
	x.File("etl/bad.yml", "tasks: {a: {run: exit 7}}\n")
	x.File("greet.yml", "params: {who: {choices: [ada, bob]}}\ntasks: {hello: {run: 'true'}}\n")
	x.Principal()
	x.Agent("edge-1", "--label", "site=london")
	x.Until("the agent is there", func() bool { return x.OK("agents", "--json") != "" })
	r := x.Code(1, "run", "etl.bad", "--wait")
	if err := os.WriteFile(x.Dir+"/config.yml", []byte("contexts:\n  london: {principal: 'ssh://hub.london'}\n  here: "+
		"{principal: 'ipc://"+x.Dir+"/s'}\n  none: {principal: 'ipc:///nonexistent'}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return x, strings.TrimSpace(r.Out)
}

// TestCompletionAsks: what only a principal knows, each with what it is. The flags before the cursor say which one.
func TestCompletionAsks(t *testing.T) {
	x, run := completionSite(t)
	for words, want := range map[string]string{
		"run|":                               "etl.bad\tmanual,etl.daily\tLoads: the shops,greet\tmanual",
		"run|etl.d":                          "etl.daily\tLoads: the shops",
		"run|etl.daily|-p|":                  "mode=\thow much,shop=",
		"run|-p|shop=x|etl.daily|-p|m":       "mode=\thow much",
		"run|etl.daily|-p|mode=":             "mode=$(touch PWNED),mode=full,mode=quick",
		"run|./workflows/greet.yml|-p|":      "who=",
		"run|./workflows/greet.yml|-p|who=a": "who=ada",
		"run|./none.yml|-p|":                 "",
		"logs|etl.daily|--task|":             "load\tgets it,mail",
		"logs|" + run + "|--task=":           "--task=a",
		"approve|" + run + "|":               "a",
		"drain|":                             "edge-1\tup 0/",
		"pools|":                             "db\t0 of 1 taken",
		"start|principal|--pool|":            "db=\t0 of 1 taken",
		"start|agent|--label|":               "site=london\tagent edge-1",
		"show|" + run[:20]:                   run + "\tetl.bad failed ",
		"cancel|":                            "",
		"ack|":                               "failed:etl.bad:",
		"ps|--workflow|gr":                   "greet\tmanual",
		"ls|--config|config.yml|--context|": "here\tipc://" + x.Dir + "/s,london\tssh://hub.london," +
			"none\tipc:///nonexistent",
		"--config|config.yml|--context|here|show|gr": "greet\tmanual",
		"--config=config.yml|--context=none|show|gr": "",
		"show|--principal|ipc:///nonexistent|":       "",
		"show|--config|/nonexistent|":                "",
	} {
		out := x.OK(append([]string{"completion", "for", "fish", "--"}, strings.Split(words, "|")...)...)
		_, got, _ := strings.Cut(out, "\n")
		got = strings.ReplaceAll(strings.TrimSpace(got), "\n", ",")
		if got != want && (!strings.HasPrefix(got, want) || want == "" || strings.Contains(got, ",")) {
			t.Errorf("%s is completed with %q, want %q", words, got, want)
		}
	}
}

// TestCompletionHangs: a principal that takes the connection and says nothing costs a key press a bounded time.
func TestCompletionHangs(t *testing.T) {
	x := newSite(t)
	l, err := net.Listen("unix", filepath.Join(x.Dir, "deaf"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	for _, words := range []string{"run|", "ps|--workflow|", "run|w|-p|", "help|sch"} {
		r := x.Cdktr(append([]string{"completion", "for", "zsh", "--", "--principal", "ipc://" + x.Dir + "/deaf"},
			strings.Split(words, "|")...)...)
		if r.Code != 0 || !strings.HasPrefix(r.Out, ":") {
			t.Errorf("%s: %+v", words, r)
		}
	}
	if took := time.Since(began); took > harness.Patience {
		t.Errorf("it took %s", took)
	}
}

// TestCompletionShells types into three real shells and presses the key.
func TestCompletionShells(t *testing.T) {
	x, run := completionSite(t)
	item := ""
	for _, row := range harness.Lines[struct{ Key string }](t, x.OK("attention", "--json")) {
		item = row.Key
	}
	rows := []struct{ typed, want string }{
		{"compl", "completion"},
		{"start ag", "start agent"},
		{"run etl.d", "run etl.daily"},
		{"run etl.daily -p mo", "run etl.daily -p mode="},
		{"run etl.daily -p mode=fu", "run etl.daily -p mode=full"},
		{"ps --state fa", "ps --state failed"},
		{"ps --state=fa", "ps --state=failed"},
		{"ps --wor", "ps --workflow"},
		{"next --tz Europe/Lo", "next --tz Europe/London"},
		{"ack failed:etl.b", "ack " + item},
		{"show " + run[:24], "show " + run},
		{"drain ed", "drain edge-1"},
		{"start agent --label si", "start agent --label site=london"},
		{"logs etl.daily --task lo", "logs etl.daily --task load"},
		{"run ./workflows/gr", "run ./workflows/greet.yml"},
		{"start principal --workflows workf", "start principal --workflows workflows/"},
		{"man --out=workf", "man --out=workflows/"},
		{"ls --config config.yml --context lon", "ls --config config.yml --context london"},
		{"help sched", "help schedules"},
		{"authorize x --role op", "authorize x --role operator"},
	}
	for shell, start := range map[string][]string{
		"bash": {"exec bash --noprofile --norc -i", "PS1='shell$ '", "source <(cdktr completion bash)"},
		"zsh": {"exec zsh -f -i", "PS1='shell$ '", "autoload -U compinit; compinit -D -u",
			"source <(cdktr completion zsh)"},
		"fish": {"exec fish --no-config -i", "function fish_prompt; echo -n 'shell$ '; end",
			"set -g fish_autosuggestion_enabled 0", "cdktr completion fish | source"},
	} {
		t.Run(shell, func(t *testing.T) {
			harness.Need(t, "the test needs "+shell, shell, "--version")
			harness.Need(t, "the test needs tmux", "tmux", "-V")
			y := *x
			y.T = t
			u := uiTmuxAt(&y, filepath.Join(x.Dir, shell), 120, 30)
			for _, line := range start {
				u.keys(line, "Enter")
			}
			u.keys("clear; echo be''gun", "Enter")
			u.shows("begun")
			for _, row := range rows {
				u.keys("C-u")
				u.keys("-l", "cdktr "+row.typed)
				u.shows("shell$ cdktr " + row.typed)
				u.keys("Tab")
				u.shows("shell$ cdktr " + row.want)
				u.keys("C-u")
				u.keys("clear; echo be''gun", "Enter")
				u.shows("begun")
				u.hides(row.want)
			}
			u.keys("-l", "cdktr run etl.daily -p 'mode=$")
			u.keys("Tab")
			u.shows("mode=$(touch PWNED)'")
			u.keys("C-u")
			if shell != "bash" { // it says what each is
				u.keys("-l", "cdktr re")
				u.keys("Tab", "Tab")
				u.shows("retry", "run again what failed", "start the schedule of a workflow again")
				u.keys("C-u")
			}
			if _, err := os.Stat(x.Dir + "/PWNED"); err == nil {
				t.Error("a key press ran what stands in a name")
			}
		})
	}
}
