// End-to-end tests of what teaches: the verbs help and man, and what is said of words that do not exist.

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestHelpTopics: each topic is printed by its name and by other words, also where the configuration is broken; what is
// none is refused with what may be meant.
func TestHelpTopics(t *testing.T) {
	x := newSite(t)
	broken := filepath.Join(x.Dir, "broken.yml")
	if err := os.WriteFile(broken, []byte("nonsense: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range harness.Lines[struct{ Verb, Topic string }](t, x.OK("help", "--json")) {
		if row.Topic == "" {
			continue
		}
		text := x.OK("help", row.Topic, "--config", broken)
		if !strings.Contains(text, "\nSee also:\n") || strings.Contains(text, "\t") {
			t.Errorf("help %s: %.300s", row.Topic, text)
		}
		harness.Fields(t, x.OK("help", row.Topic, "--json"), "topic help text")
	}
	for words, want := range map[string]string{
		"exit codes": "130", "workflow files": "max_active_tasks", "env": "CDKTR_AGENT_CAPACITY", "cron": "@every 90s",
		"start principal": "  cdktr start principal [flags]\n",
		"task run":        "  cdktr task run [flags] ID", "config": "cdktr config",
		"help": "Use:\n  cdktr help",
	} {
		if text := x.OK(append([]string{"help"}, strings.Fields(words)...)...); !strings.Contains(text, want) {
			t.Errorf("help %s has no %q: %.300s", words, want, text)
		}
	}
	harness.Fields(t, x.OK("help", "run", "--json"), "verb args help flags examples")
	x.Refused(2, []string{"there is no verb and no topic", "did you mean `cdktr help schedules`?"}, "help", "shedules")
	x.Refused(2, []string{"did you mean `cdktr run`?"}, "help", "rnu")
	x.Refused(2, []string{"`cdktr ps` lists runs"}, "help", "jobs")
	x.Refused(2, []string{"start what?"}, "start")
	x.Refused(2, []string{"what is \"x\"?"}, "help", "run", "x")
	x.Refused(2, []string{"\"schedules\"", "cdktr help schedules"}, "schedules")
	x.Refused(2, []string{"\"exit-codes\"", "cdktr help exit-codes"}, "exit-codes")
	x.Refused(2, []string{"...", "no topic"}, "help", strings.Repeat("x", 5000))
}

// TestMan: a page is named by its verb or its topic, with or without what man calls it; --out writes all of them.
func TestMan(t *testing.T) {
	x := newSite(t)
	for words, want := range map[string]string{
		"": ".TH CDKTR 1 ", "run": ".TH CDKTR-RUN 1 ", "cdktr-run": ".TH CDKTR-RUN 1 ",
		"start principal": ".TH CDKTR-START-PRINCIPAL 1 ", "schedules": ".TH CDKTR-SCHEDULES 7 ",
		"workflow-files": ".TH CDKTR-WORKFLOW-FILES 5 ", "cron": ".TH CDKTR-SCHEDULES 7 ",
	} {
		if text := x.OK(append([]string{"man"}, strings.Fields(words)...)...); !strings.HasPrefix(text, want) {
			t.Errorf("man %s: %.100q, want %q", words, text, want)
		}
	}
	harness.Fields(t, x.OK("man", "ps", "--json"), "page text")
	dir := filepath.Join(x.Dir, "man")
	x.OK("man", "--out", dir)
	for _, row := range harness.Lines[struct{ File string }](t, x.OK("man", "--out", dir, "--json")) {
		text, err := os.ReadFile(row.File)
		if err != nil || !strings.HasPrefix(string(text), ".TH CDKTR") {
			t.Errorf("%s: %v, %.100q", row.File, err, text)
		}
	}
	if text, err := os.ReadFile(dir + "/man1/cdktr-run.1"); err != nil || string(text) != x.OK("man", "run") {
		t.Errorf("--out writes another page than man prints: %v", err)
	}
	x.Refused(2, []string{"no topic", "did you mean `cdktr run`?"}, "man", "rnu")
	x.Refused(2, []string{"--out DIR: want the name of a folder"}, "man", "--out", "")
	x.Refused(2, []string{"man --out writes all pages"}, "man", "run", "--out", dir)
	x.File("notes", "")
	x.Refused(1, []string{"write man pages", "not a directory"}, "man", "--out", x.Dir+"/workflows/notes")
}

// TestManTerminal: on a terminal man shows the page; where there is none, it is printed as text.
func TestManTerminal(t *testing.T) {
	harness.Need(t, "the test needs man-db", "man", "--version")
	u := uiTmuxOpen(newSite(t), 80, 40)
	u.keys("export TMPDIR=$PWD", "Enter")
	u.keys("MANPAGER=cat LC_ALL=C.UTF-8 cdktr man ping; echo code $?", "Enter")
	u.shows("CDKTR-PING(1)", "cdktr-ping - see whether the principal is there", "code 0")
	u.keys("clear", "Enter")
	u.hides("CDKTR-PING(1)")
	u.keys("(PATH=$PWD/tmux; cdktr man ping); echo code $?", "Enter")
	u.shows("cdktr-ping: see whether the principal is there", "Synopsis:", "code 0")
	if left, err := filepath.Glob(u.site.Dir + "/cdktr-man*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left", err, left)
	}
}

// TestSuggest: whatever does not exist is refused, or told of, with what is there and comes near.
func TestSuggest(t *testing.T) {
	x := newSite(t)
	x.File("nightly.yml", "pool: database\nparams: {mode: {default: full, choices: [full, quick]}}\ntasks: {load: {run: "+
		"'true'}, ask: {approve: 'sure?'}}\n")
	x.File("../bad.yml", "timezon: UTC\n")
	x.File("../contexts.yml", "contexts:\n  london: {principal: 'ssh://hub'}\n")
	x.Principal()
	x.Agent("edge-07")
	x.Until("the agent is there", func() bool { return x.OK("agents", "--json") != "" })
	done := x.Start("nightly")
	x.Until("the run waits", func() bool { return strings.Contains(x.OK("attention"), "sure?") })
	key := harness.Lines[struct{ Key string }](t, x.OK("attention", "--json"))[0].Key
	x.OK("authorize", "--new", "paris", "--role", "viewer", "--endpoint", "tcp://hub:5561", "-o", x.Dir+"/paris.cred")
	for _, c := range []struct {
		code       int
		args, want string
	}{
		{2, "sttas", "did you mean `cdktr stats`?"},
		{2, "start agnet", "did you mean `cdktr start agent`?"},
		{2, "ls --jsn", "did you mean --json?"},
		{2, "ls --color nevr", `(did you mean "never"?)`},
		{2, "help shedules", "did you mean `cdktr help schedules`?"},
		{2, "man shedules", "did you mean `cdktr help schedules`?"},
		{2, "completion bahs", `(did you mean "bash"?)`},
		{2, "ls --config bad.yml", `bad.yml:1:1: unknown setting "timezon" (did you mean "timezone"?)`},
		{2, "ls --config contexts.yml --context lodon", `(did you mean "london"?)`},
		{2, "ps --state faild", `(did you mean "failed"?)`},
		{2, "authorize --new x --role viever", `(did you mean "viewer"?)`},
		{5, "authorize --remove pari", `(did you mean "paris"?)`},
		{2, "start principal --log-level inof", `(did you mean "info"?)`},
		{2, "start principal --timezone Europe/Lodnon", `(did you mean "Europe/London"?)`},
		{2, "next --cron @daily --tz Europe/Lodnon", `(did you mean "Europe/London"?)`},
		{2, "next --cron 0_0_*_*_wendesday", `(did you mean "WEDNESDAY"?)`},
		{2, "next --cron @dayly", "(did you mean @daily?)"},
		{2, "validate workflows/nigtly.yml", "(did you mean ./workflows/nightly.yml?)"},
		{2, "run ./workflows/nigtly.yml", "did you mean ./workflows/nightly.yml?"},
		{5, "run nigtly", `(did you mean "nightly"?)`},
		{5, "show nigtly", `(did you mean "nightly"?)`},
		{5, "graph nigtly", `(did you mean "nightly"?)`},
		{5, "next nigtly", `(did you mean "nightly"?)`},
		{5, "why nigtly", `(did you mean "nightly"?)`},
		{5, "stats nigtly", `(did you mean "nightly"?)`},
		{5, "pause nigtly", `(did you mean "nightly"?)`},
		{5, "resume nigtly", `(did you mean "nightly"?)`},
		{5, "logs nigtly", `(did you mean "nightly"?)`},
		{5, "cancel nigtly", `(did you mean "nightly"?)`},
		{0, "ls nigtly", `(did you mean "nightly"?)`},
		{0, "ps --workflow nigtly", `(did you mean "nightly"?)`},
		{0, "pools databse", `(did you mean "database"?)`},
		{2, "run nightly -p mod=full", `(did you mean "mode"?)`},
		{2, "run nightly -p mode=fulll", `(did you mean "full"?)`},
		{5, "logs " + done + " --task laod", `(did you mean "load"?)`},
		{5, "cancel " + done + " --task laod", `(did you mean "load"?)`},
		{5, "approve " + done + " aks", `(did you mean "ask"?)`},
		{5, "reject " + done + " aks", `(did you mean "ask"?)`},
		{5, "drain edge-7", `(did you mean "edge-07"?)`},
		{5, "undrain edge-7", `(did you mean "edge-07"?)`},
		{5, "forget edge-7", `(did you mean "edge-07"?)`},
		{5, "ack " + key[:len(key)-2], "(did you mean \"" + key + "\"?)"},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		if r := x.Cdktr(args...); r.Code != c.code || !strings.Contains(r.Err+r.Out, c.want) {
			t.Errorf("%s: exit %d, %s%s, want %d, %s", c.args, r.Code, r.Out, r.Err, c.code, c.want)
		}
	}
}
