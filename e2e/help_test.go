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
		if !strings.Contains(text, "\nSee also\n") || strings.Contains(text, "\t") {
			t.Errorf("help %s: %.300s", row.Topic, text)
		}
		harness.Fields(t, x.OK("help", row.Topic, "--json"), "topic help text")
	}
	for words, want := range map[string]string{
		"exit codes": "130", "workflow files": "max_active_tasks", "env": "CDKTR_AGENT_CAPACITY", "cron": "@every 90s",
		"start principal": "cdktr start principal [flags]", "task run": "cdktr run [flags]", "config": "cdktr config",
		"help": "Use: cdktr help",
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
	x.Refused(2, []string{"man --out writes all pages"}, "man", "run", "--out", dir)
	x.File("notes", "")
	x.Refused(1, []string{"write man pages", "not a directory"}, "man", "--out", x.Dir+"/workflows/notes")
}
