package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completionCLI is an invocation with no principal behind it.
func completionCLI(t *testing.T) *cli {
	t.Helper()
	nowhere := "ipc://" + filepath.Join(t.TempDir(), "none.sock")
	return &cli{getenv: func(name string) string {
		if name == "CDKTR_PRINCIPAL" {
			return nowhere
		}
		return ""
	}}
}

// What fits where no principal is needed, nor one there.
func TestCompletionFits(t *testing.T) {
	for _, test := range []struct {
		words   string // a comma between them
		has     string // fields
		not     string
		besides string
	}{
		{"", "run ls start completion help task", "principal --json", ""},
		{"re", "retry resume", "run", ""},
		{"start,", "agent principal", "run", ""},
		{"start,pr", "principal", "agent", ""},
		{"task,", "run", "logs", ""},
		{"-H,hub,", "run ls", "hub", ""},
		{"-H,", "", "run ls", ""},
		{"--js", "--json", "run", ""},
		{"ps,--w", "--watch --workflow", "--all", ""},
		{"run,x,-", "-p --follow --json", "", ""},
		{"nonsense,", "", "run", ""},
		{"run,", "", "run", "files"},
		{"ps,--state,", "failed skipped", "waiting", ""},
		{"ps,--state,f", "failed", "running", ""},
		{"ps,--state=f", "--state=failed", "failed", ""},
		{"ps,-n,", "", "", ""},
		{"ps,--json,--state,", "queued", "", ""},
		{"next,--tz,Europe/Lo", "Europe/London", "Europe/Paris", ""},
		{"start,principal,--timezone,U", "UTC", "", ""},
		{"authorize,edge,--role,", "agent operator trigger viewer", "", ""},
		{"ls,--color,", "auto always never", "", ""},
		{"ls,--color=n", "--color=never", "--color=auto", ""},
		{"start,agent,--log-level,", "debug runs", "", ""},
		{"ls,--insecure=", "--insecure=any --insecure=loopback", "", ""},
		{"ls,--credential,", "", "", "files"},
		{"check,--state,", "", "failed", "dirs"},
		{"start,principal,--workflows,", "", "", "dirs"},
		{"man,--out=", "", "", "dirs"},
		{"init,", "", "", "dirs"},
		{"init,x,", "", "", ""},
		{"validate,a.yml,", "", "", "files"},
		{"completion,", "bash zsh fish", "", ""},
		{"help,", "run start schedules workflow-files", "agent", ""},
		{"help,start,", "agent principal", "schedules", ""},
		{"man,e", "events environment exit-codes", "run", ""},
		{"approve,", "", "", ""},
		{"ls,--principal,", "ssh://", "", "nospace"},
	} {
		k := completionFind(t.Context(), completionCLI(t), strings.Split(test.words, ","))
		var got []string
		for _, fit := range k.fits {
			got = append(got, fit.word)
			if strings.ContainsAny(fit.word+fit.help, "\t\n") || len(fit.help) > completionHelpMost+4 {
				t.Errorf("%q: %q", test.words, fit)
			}
		}
		for _, word := range strings.Fields(test.has) {
			if !slices.Contains(got, word) {
				t.Errorf("%q: %q has no %q", test.words, got, word)
			}
		}
		for _, word := range strings.Fields(test.not) {
			if slices.Contains(got, word) {
				t.Errorf("%q: %q has %q", test.words, got, word)
			}
		}
		if k.besides != test.besides || test.has == "" && test.not == "" && len(got) > 0 {
			t.Errorf("%q: besides %q, %q", test.words, k.besides, got)
		}
	}
}

// A line is taken apart as bash does, and what fits is written so that bash takes it for a word.
func TestCompletionLine(t *testing.T) {
	const breaks = " \t\n\"'@><=;|&(:"
	for line, want := range map[string]string{
		"cdktr ":                   "|",
		"cdktr  run\tetl":          "run,etl|etl",
		"cdktr run w -p a=b":       "run,w,-p,a=b|b",
		"cdktr ack failed:x:":      "ack,failed:x:|",
		"cdktr ls --principal a@b": "ls,--principal,a@b|b",
		`cdktr run "a b" c`:        "run,a b,c|c",
		`cdktr run "a b`:           "run,a b|a b",
		`cdktr run -p x="a b`:      "run,-p,x=a b|a b",
		`cdktr run a\ b`:           "run,a b|a b",
		`cdktr run ''`:             "run,|",
		`cdktr run '' `:            "run,,|",
		`cdktr run 'a\'b`:          "run,a\\b|a\\b",
		"cdktr run é=ü":            "run,é=ü|ü",
	} {
		words, typed := completionLine(line, breaks)
		if got := strings.Join(words, ",") + "|" + words[len(words)-1][typed.front:]; got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	for _, c := range []struct {
		word  string
		quote rune
		want  string
	}{
		{"a.b-c/d=1:2", 0, "a.b-c/d=1:2"}, {"a b", 0, `a\ b`}, {"ship[eu]", 0, `ship\[eu\]`}, {"a b", '"', "a b"},
		{"$(id)`x`", 0, "\\$\\(id\\)\\`x\\`"}, {"$x\"", '"', `\$x\"`}, {"it's", '\'', `it'\''s`},
	} {
		if got := completionQuote(c.word, c.quote); got != c.want {
			t.Errorf("%q in %q: %s, want %s", c.word, c.quote, got, c.want)
		}
	}
}
