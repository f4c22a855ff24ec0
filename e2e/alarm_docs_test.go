// Tests of the alarms that the documentation shows, and of the script among the examples: each is run as the principal
// runs it, with programs in the place of mail, curl and logger that note what they get.

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// alarmPlayed runs a line of shell as an alarm, and gives what mail, curl and logger got: their arguments and their
// standard input. Those in broken fail.
func alarmPlayed(t *testing.T, line string, broken ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"mail", "curl", "logger"} {
		script := "#!/bin/sh\n{ printf '%s' " + name + "; printf ' <%s>' \"$@\"; echo; cat; } >> " + dir + "/got\n"
		for _, other := range broken {
			if name == other {
				script = "#!/bin/sh\nexit 1\n"
			}
		}
		if err := os.WriteFile(dir+"/"+name, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	input, err := json.Marshal(map[string]any{"text": "hub: 2 new\n\nNEW\n* it's \"odd\"", "host": "hub",
		"new": []map[string]any{{"key": "failed:w:1", "reason": "exit 3"}, {"key": "file:v:2", "reason": "odd"}}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "CREDENTIALS_DIRECTORY=/run/credentials/cdktr",
		"CDKTR_ALARM_TEXT=hub: 2 new\n\nNEW\n* it's \"odd\""}
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	got, _ := os.ReadFile(dir + "/got")
	return string(got)
}

// TestAlarmDocs runs each command of docs/operations.md.
func TestAlarmDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(page), "\n## The alarm\n")
	_, shell, _ := strings.Cut(part, "\n```sh\n")
	shell, _, _ = strings.Cut(shell, "\n```\n")
	wants := []struct{ what, want string }{
		{"a mail", "mail <-s> <hub: 2 new> <ops@example.org>\nhub: 2 new\n\nNEW\n* it's \"odd\"\n"},
		{"by ntfy", "<https://ntfy.example.org/cdktr>\nhub: 2 new\n\nNEW\n* it's \"odd\"\n"},
		{"a webhook", "<https://hooks.example.org/cdktr>\n{\"host\":\"hub\",\"new\":[{\"key\":"},
		{"a chat", "<-K> </run/credentials/cdktr/chat>\n{\n  \"text\": \"hub: 2 new\\n"},
		{"journal", "logger <-t> <cdktr-alarm> <-p> <daemon.err>\nfailed:w:1 exit 3\nfile:v:2 odd\n"},
	}
	parts := strings.Split(shell, "\n\n")
	if len(parts) != len(wants) {
		t.Fatalf("there are %d commands, not %d: %q", len(parts), len(wants), parts)
	}
	for i, part := range parts {
		comment, line, _ := strings.Cut(part, "\n")
		if strings.HasPrefix(line, "jq") {
			if _, err := exec.LookPath("jq"); err != nil {
				harness.Lacks(t, "there is no jq")
			}
		}
		if got := alarmPlayed(t, line); !strings.Contains(comment, wants[i].what) ||
			!strings.Contains(got, wants[i].want) {
			t.Errorf("%s\n%s\ngot %q, want %q", comment, line, got, wants[i].want)
		}
	}
	_, settings, _ := strings.Cut(part, "\n```yaml\n")
	settings, _, _ = strings.Cut(settings, "\n```\n")
	x := &site{*harness.Open(t)}
	if err := os.WriteFile(x.Dir+"/config.yml", []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range harness.Lines[Setting](t, x.OK("config", "--json", "--config", x.Dir+"/config.yml")) {
		if s.Key == "alarm" {
			if got := alarmPlayed(t, s.Value); !strings.HasPrefix(got, "mail <-s> <cdktr needs attention> <ops@") {
				t.Errorf("%s: %q", s.Value, got)
			}
			return
		}
	}
	t.Error("the file sets no alarm")
}

// TestAlarmScript: examples/alarm.sh tells by mail, and by ntfy when that fails.
func TestAlarmScript(t *testing.T) {
	t.Parallel()
	const line = "../examples/alarm.sh ops@example.org https://ntfy.example.org/cdktr"
	if got := alarmPlayed(t, line); got != "mail <-s> <cdktr: hub: 2 new> <ops@example.org>\nhub: 2 new\n\nNEW\n* "+
		"it's \"odd\"\n" {
		t.Errorf("%q", got)
	}
	if got := alarmPlayed(t, line, "mail"); !strings.HasPrefix(got,
		"curl <-fsS> <-m> <30> <-H> <Title: cdktr: hub: 2 new>") ||
		!strings.Contains(got, "\nNEW\n") {
		t.Errorf("%q", got)
	}
}
