// End-to-end tests of attention --markdown.

package e2e

import (
	"strings"
	"testing"
)

// TestHandover: a text tells of failed runs, of what was acknowledged, and of pauses.
func TestHandover(t *testing.T) {
	x := newSite(t)
	x.File("load.yml", "tasks:\n  a:\n    run: |\n      echo '``` # Hello'\n      printf '\\033[31mred\\n'\n"+
		"      exit 3\n")
	x.File("ship.yml", "tasks:\n  a: {run: 'exit 4'}\n")
	x.File("night.yml", "schedule: '0 3 * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.Principal("--with-agent")
	x.run("load")
	x.run("ship")
	x.OK("pause", "night", "--until", "2099-01-01", "--note", "a `disk` # moves")
	for _, line := range strings.Split(x.OK("attention", "--json"), "\n") {
		if strings.Contains(line, `"workflow":"ship"`) {
			key := line[strings.Index(line, `"key":"`)+7:]
			x.OK("ack", key[:strings.IndexByte(key, '"')])
		}
	}
	text := x.OK("attention", "--markdown")
	for _, want := range []string{"# What needs a person\n", ", 1 item.\n", "## Needs a person\n",
		"### `load a exit 3 on ", "- why: `task a: exit 3`\n", "\n````\no| ``` # Hello\n", "\n```sh\ncdktr retry ",
		"## Acknowledged since yesterday\n\n- `failed:ship:", "## Paused schedules\n\n- `night` by `",
		", until Thu 2099-01-01 00:00:00 UTC: ``a `disk` # moves``\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("it has control characters: %q", text)
	}
	x.Refused(2, []string{"not both"}, "attention", "--markdown", "--json")
	x.Refused(2, []string{"not both"}, "attention", "--markdown", "--test-alarm")
}
