package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// With --json errors are JSON too, for every verb and also where the command line makes no sense; without it they are
// text.
func TestMainJSONErrors(t *testing.T) {
	nowhere := "ipc://" + filepath.Join(t.TempDir(), "none.sock")
	for _, c := range []struct {
		args       []string
		code       string
		exit       int
		text, hint string
	}{
		{[]string{"ps", "--json", "--principal", nowhere}, "unreachable", exitUnreachable,
			"no principal has made the socket", "is it running?"},
		{[]string{"--json", "ps", "--principal", nowhere}, "unreachable", exitUnreachable,
			"no principal has made the socket", "is it running?"},
		{[]string{"ls", "--wiat", "--json"}, codeInvalid, exitUsage, "ls has no flag --wiat", ""},
		{[]string{"lss", "--json"}, codeInvalid, exitUsage, `unknown verb "lss"`, "did you mean"},
		{[]string{"run", "x", "--json", "--detach", "--wait"}, codeInvalid, exitUsage, "--detach leaves at once", ""},
		{[]string{"run", "x", "--json", "-p", "p=" + strings.Repeat("x", paramsMax)}, codeInvalid, exitUsage,
			"the parameters have 131081 bytes and may have 131072", ""},
		{[]string{"run", "./x.yml", "-p", "p=" + strings.Repeat("x", paramsMax)}, "", exitUsage,
			"the parameters have 131081 bytes", ""},
		{[]string{"lss"}, "", exitUsage, `unknown verb "lss"`, "did you mean"},
		{[]string{"lss", "--", "--json"}, "", exitUsage, `unknown verb "lss"`, ""},
	} {
		var out, report strings.Builder
		cl := &cli{in: strings.NewReader(""), out: &out, err: &report, getenv: func(string) string { return "" }}
		exit := cl.main(t.Context(), c.args)
		var said struct{ Error mainErrorJSON }
		err := json.Unmarshal([]byte(report.String()), &said)
		if exit != c.exit || out.Len() > 0 || (err == nil) != (c.code != "") || said.Error.Code != c.code ||
			!strings.Contains(report.String(), strings.ReplaceAll(c.text, `"`,
				map[bool]string{true: `\"`, false: `"`}[c.code != ""])) ||
			!strings.Contains(report.String(), c.hint) || strings.Count(report.String(), "\n") != 1 && c.code != "" {
			t.Errorf("%.80q: exit %d, %.300q", c.args, exit, report.String())
		}
	}
}
