// Tests of config --check: every fault has its place and its words.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configCheckRun checks a file with that text, and gives the exit code, and what is printed without the file's name.
func configCheckRun(t *testing.T, dir, text string, env []string, flags ...string) (code int, out string) {
	t.Helper()
	file := filepath.Join(dir, "c.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	c := &cli{out: &stdout, err: &stderr, environ: env, getenv: func(name string) string {
		for _, kv := range env {
			if k, v, _ := strings.Cut(kv, "="); k == name {
				return v
			}
		}
		return ""
	}}
	code = c.main(context.Background(), append([]string{"config", "--check", file}, flags...))
	return code, strings.ReplaceAll(strings.ReplaceAll(stdout.String(), file, "F"), dir, "D") + stderr.String()
}

// TestConfigCheck: the table of what can be wrong. DIR is a folder of the test.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cred := &credential{Endpoint: "tcp://hub:1", Name: "edge", Role: roleAgent}
	pair, err := authNewPair()
	if err != nil {
		t.Fatal(err)
	}
	cred.Pair, cred.Server = pair, pair.Public
	bare := *cred
	bare.Endpoint = ""
	err = errors.Join(os.Mkdir(dir+"/state", 0o700), os.Mkdir(dir+"/open", 0o700), os.Chmod(dir+"/open", 0o777),
		os.Mkdir(dir+"/seen", 0o755), os.WriteFile(dir+"/file", nil, 0o600),
		os.WriteFile(dir+"/edge.cred", []byte(cred.text()), 0o600),
		os.WriteFile(dir+"/bare.cred", []byte(bare.text()), 0o600),
		os.WriteFile(dir+"/read.cred", []byte(cred.text()), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		env        []string
		code       int
		want       []string // lines of output begin so, in this order; none: there are none
	}{
		{"nothing", "", nil, 0, nil},
		{"all is well", "state: DIR/state\nworkflows: DIR/state\ntimezone: Europe/Berlin\nlabels: {a: b}\n" +
			"pools: {p: 2}\nbind: tcp://127.0.0.1:5561\ncapacity: 4\nretain_bytes: 1G\n", nil, 0, nil},
		{"unknown", "workflow: x\nx: y\n", nil, 2, []string{
			`F:1:1: unknown setting "workflow" (did you mean "workflows"?)`,
			`F:2:1: unknown setting "x" (cdktr config lists them)`}},
		{"dashes", "retain-age: 1d\n", nil, 2,
			[]string{`F:1:1: unknown setting "retain-age" (did you mean "retain_age"?)`}},
		{"no YAML", "a: [\n", nil, 2, []string{"F:2:1: "}},
		{"not text", "a: \xff\n", nil, 2, []string{"F"}},
		{"a list", "- a\n", nil, 2, []string{"F:1:1: want lines of `key: value`"}},
		{"a map", "state: {a: b}\n", nil, 2, []string{"F:1:8: state: want a single value"}},
		{"twice", "name: a\nname: b\n", nil, 2, []string{`F:2:1: key "name" is here a second time`}},
		{"numbers", "capacity: many\nretain_runs: -1\nmax_connections: 0\nretain_bytes: 1Q\n", nil, 2, []string{
			`F:1:11: capacity: want a number from 1 to 10000, not "many"`,
			`F:2:14: retain_runs: want a number of runs, not "-1"`, `F:3:18: max_connections: want a number`,
			"F:4:15: retain_bytes: "}},
		{"durations", "grace: soon\ndrain_timeout: 1x\nalarm_delay: 2w\nwait_for_clock: x\nalarm: true\n", nil, 2, []string{
			"F:1:8: grace: ", "F:2:16: drain_timeout: ", "F:3:14: alarm_delay: ", "F:4:17: wait_for_clock: "}},
		{"zone", "timezone: Europe/Berln\n", nil, 2, []string{"F:1:11: timezone: "}},
		{"level", "log_level: warning\n", nil, 2, []string{`F:1:12: log_level: "warning" is none of debug`}},
		{"insecure", "insecure: yes\n", nil, 2, []string{`F:1:11: insecure: "yes" is neither`}},
		{"bind", "bind: 0.0.0.0:5561\n", nil, 2, []string{`F:1:7: bind "0.0.0.0:5561": write tcp://ADDR:PORT`}},
		{"bound twice", "bind: tcp://h:1,tcp://h:1\n", nil, 2, []string{"F:1:7: bind: tcp://h:1 is there twice"}},
		{"insecure for all", "bind: tcp://*:5561\ninsecure: loopback\n", nil, 2,
			[]string{"F:1:7: bind: tcp://*:5561 is no loopback address"}},
		{"insecure any", "bind: tcp://*:5561\ninsecure: any\n", nil, 0,
			[]string{"F:2:11: warning: insecure: any: whoever reaches"}},
		{"group", "socket_group: nobody-has-this\n", nil, 2, []string{`F:1:15: socket-group: there is no group`}},
		{"pools", "pools: {a b: 1}\nlabels: x\n", nil, 2, []string{"F:1:8: pools: ", "F:2:9: labels: "}},
		{"principal", "principal: hub:5561\n", nil, 2, []string{"F:1:12: endpoint "}},
		{"principal needs a key", "principal: tcp://hub:5561\n", nil, 0,
			[]string{"F:1:12: warning: tcp://hub:5561 needs a key"}},
		{"context", "context: pari\ncontexts:\n  paris: {principal: ssh://p}\n", nil, 2,
			[]string{`F:1:10: file `}},
		{"contexts", "contexts:\n  a: {principal: foo}\n  b: {credential: /none}\n  c: x\n", nil, 2,
			[]string{"F:2:18: contexts: a: ", "F:3:19: read key: /none: no such file", "F:4:3: contexts: \"c\": want"}},
		{"context that is not used", "context: a\nprincipal: ssh://b\ncontexts: {a: {principal: ssh://c}}\n", nil, 0,
			[]string{"F:1:10: warning: context: a is never used"}},
		{"credential", "credential: DIR/edge.cred\nname: other\n", nil, 2,
			[]string{"F:2:7: name: the credential is for the agent edge"}},
		{"credential that others read", "credential: DIR/read.cred\n", nil, 2,
			[]string{"F:1:13: read key: others can read"}},
		{"credential of nowhere", "credential: DIR/bare.cred\n", nil, 2,
			[]string{"F:1:13: credential: D/bare.cred names no"}},
		{"no folder", "workflows: DIR/none\nstate: DIR/file\n", nil, 2, []string{
			"F:1:12: workflows: D/none: no such file or directory", "F:2:8: state: D/file is no folder"}},
		{"state to come", "state: DIR/none\n", nil, 0, nil},
		{"state in nothing", "state: DIR/none/none\n", nil, 0,
			[]string{"F:1:8: warning: state: D/none/none is not there"}},
		{"modes", "workflows: DIR/open\nstate: DIR/seen\n", nil, 2, []string{
			"F:1:12: workflows: everybody", "F:2:8: warning: state: others can look into D/seen (mode 0755)"}},
		{"relative", "workflows: .\n", nil, 0, []string{"F:1:12: warning: workflows: . is meant from wherever"}},
		{"socket", "socket: /" + strings.Repeat("x", 120) + "\n", nil, 2,
			[]string{"F:1:9: socket: the path has 121 bytes"}},
		{"socket's folder", "socket: DIR/none/s\n", nil, 0, []string{"F:1:9: warning: socket: its folder D/none"}},
		{"socket of a group", "socket: DIR/state/s\nsocket_group: 0\n", nil, 0,
			[]string{"F:2:15: warning: socket_group: its members cannot enter D/state"}},
		{"alarm", "alarm: no-such-command now\nalarm_repeat: 1m\nalarm_delay: 1h\n", nil, 0, []string{
			`F:1:8: warning: alarm: the shell of this user does not find`,
			"F:2:15: warning: alarm_repeat: 1m is shorter"}},
		{"no alarm", "alarm_delay: 1m\n", nil, 0,
			[]string{"F:1:14: warning: alarm_delay, alarm_repeat: there is no alarm"}},
		{"long stop", "grace: 2m\n", nil, 0, []string{"F:1:8: warning: grace: with drain_timeout a stop may take 3m"}},
		{"environment", "", []string{"CDKTR_CAPACTY=1", "CDKTR_GRACE=x", "CDKTR_AGENT_CAPCITY=1", "OTHER=1"}, 2,
			[]string{"environment CDKTR_AGENT_CAPCITY: warning: nothing reads this variable (did you mean " +
				"CDKTR_AGENT_CAPACITY?)",
				"environment CDKTR_GRACE: grace: "}},
	} {
		code, out := configCheckRun(t, dir, strings.ReplaceAll(c.text, "DIR", dir), c.env)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) < len(c.want) || code != c.code || c.want == nil && len(lines) > 1 {
			t.Errorf("%s: exit code %d, want %d, and lines %q:\n%s", c.name, code, c.code, c.want, out)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s: line %d is %q, want %q", c.name, i, lines[i], want)
			}
		}
	}
	if code, out := configCheckRun(t, dir, "insecure: any\n", nil, "--strict"); code != 2 {
		t.Errorf("--strict: %d, %s", code, out)
	}
	code, out := configCheckRun(t, dir, "x: y\n", nil, "--json")
	first, _, _ := strings.Cut(out, "\n")
	if f := (faultJSON{}); json.Unmarshal([]byte(first), &f) != nil || f.Line != 1 || f.Column != 1 || code != 2 {
		t.Errorf("--json: %d, %s", code, out)
	}
	if err := os.Chmod(dir+"/c.yml", 0o666); err != nil {
		t.Fatal(err)
	}
	if _, out := configCheckRun(t, dir, "", nil); !strings.Contains(out, "whoever can write this file") {
		t.Errorf("a file that all can write: %s", out)
	}
}
