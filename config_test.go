package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func configEnvOf(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func configFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Each key: the flag goes before the environment, that before the file, that before the default.
func TestConfigPrecedence(t *testing.T) {
	for _, key := range configKeys {
		file := configFile(t, key.name+": of-file\n")
		for mask := range 8 {
			flags, env, name := map[string]string{}, map[string]string{"HOME": "/home/me"}, configFile(t, "")
			want, from := "", ""
			if mask&1 != 0 {
				name, want, from = file, "of-file", "file "+file
			}
			if mask&2 != 0 {
				env[key.env[0]] = "of-env"
				want, from = "of-env", "environment "+key.env[0]
			}
			if mask&4 != 0 {
				flags[key.name] = "of-flag"
				want, from = "of-flag", "flag --"+strings.ReplaceAll(key.name, "_", "-")
			}
			c, err := configLoad(flags, name, configEnvOf(env))
			if err != nil {
				t.Fatal(err)
			}
			got := c.values[key.name]
			if mask == 0 && slices.Contains([]string{"labels", "credential", "insecure", "bind", "socket_group"}, key.name) { // without a default
				if got.Value != "" {
					t.Errorf("%s: %+v", key.name, got)
				}
				continue
			}
			if mask == 0 && (got.Value == "" || c.get(key.name) != got.Value) || mask != 0 && (got.Value != want || got.From != from) {
				t.Errorf("%s, mask %d: %+v, want %q from %q", key.name, mask, got, want, from)
			}
		}
	}
	c, err := configLoad(nil, configFile(t, "# nothing\n"), configEnvOf(map[string]string{"HOME": "/home/me"}))
	if err != nil || len(c.list()) != len(configKeys) {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"state": "/home/me/.local/state/cdktr", "workflows": "workflows", "timezone": "Local", "grace": "10s", "drain_timeout": "1m", "log_level": "info"} {
		if got := c.values[key]; got.Value != want || got.From != "default" {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

// Names that CDKTR uses, and what systemd sets.
func TestConfigOtherNames(t *testing.T) {
	file := configFile(t, "principal: ipc:///of/file\nworkflows: of-file\ncapacity: 3\n")
	for _, c := range []struct {
		env       map[string]string
		key, want string
		from      string
	}{
		{map[string]string{"CDKTR_WORKFLOW_DIR": "w"}, "workflows", "w", "environment CDKTR_WORKFLOW_DIR"},
		{map[string]string{"CDKTR_WORKFLOW_DIR": "w", "CDKTR_WORKFLOWS": "v"}, "workflows", "v", "environment CDKTR_WORKFLOWS"},
		{map[string]string{"CDKTR_AGENT_MAX_CONCURRENCY": "7"}, "capacity", "7", "environment CDKTR_AGENT_MAX_CONCURRENCY"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "box"}, "principal", "tcp://box:5561", "environment CDKTR_PRINCIPAL_HOST"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "box", "CDKTR_PRINCIPAL_PORT": "99"}, "principal", "tcp://box:99", "environment CDKTR_PRINCIPAL_HOST"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "box", "CDKTR_PRINCIPAL": "ipc:///p"}, "principal", "ipc:///p", "environment CDKTR_PRINCIPAL"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "0.0.0.0"}, "principal", "ipc:///of/file", "file " + file},
		{map[string]string{"CDKTR_PRINCIPAL_PORT": "99"}, "principal", "ipc:///of/file", "file " + file},
		{map[string]string{"STATE_DIRECTORY": "/var/lib/x"}, "state", "/var/lib/x", "environment STATE_DIRECTORY"},
		{map[string]string{"STATE_DIRECTORY": "/var/lib/x", "CDKTR_STATE": "/s"}, "state", "/s", "environment CDKTR_STATE"},
	} {
		got, err := configLoad(nil, file, configEnvOf(c.env))
		if err != nil || got.values[c.key] != (configValue{c.key, c.want, c.from}) {
			t.Errorf("%v: %+v, %v", c.env, got.values[c.key], err)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		"stat: x\n":                          `:1:1: unknown setting "stat" (cdktr config lists them)`,
		"state: x\n\n  \nname: a\nnaem: b\n": `:5:1: unknown setting "naem"`,
		"state: [a, b]\n":                    ":1:8: state: want a single value",
		"state:\n  a: b\n":                   ":2:3: state: want a single value",
		"labels:\n  a: [b]\n":                ":2:3: labels: want lines of `name: value`",
		"- a\n":                              "want lines of `key: value`",
		"just text":                          "want lines of `key: value`",
		"state: \"x\n":                       "read configuration",
		"a: b: c\n":                          "read configuration",
	} {
		name := configFile(t, text)
		if c, err := configLoad(nil, name, configEnvOf(nil)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, %v; want %q", text, c, err, want)
		}
	}
	if _, err := configLoad(nil, filepath.Join(t.TempDir(), "none"), configEnvOf(nil)); err == nil || !strings.Contains(err.Error(), "read configuration") {
		t.Errorf("a file that is named and not there: %v", err)
	}
	c, err := configLoad(nil, configFile(t, "labels: {site: london, gpu: 1}\ncapacity: 4\nname:\n"), configEnvOf(nil))
	if err != nil || c.get("labels") != "site=london,gpu=1" || c.get("capacity") != "4" || c.get("name") == "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// Where the socket lies: in the first folder that is named, but where there is one already before that.
func TestConfigSocket(t *testing.T) {
	top, err := os.MkdirTemp("", "cdktr") // t.TempDir is too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	run, xdg, state := filepath.Join(top, "r"), filepath.Join(top, "x"), filepath.Join(top, "s")
	for _, dir := range []string{run, xdg, state} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	both := map[string]string{"RUNTIME_DIRECTORY": run, "XDG_RUNTIME_DIR": xdg}
	expect := func(what string, env map[string]string, dir, from string) {
		t.Helper()
		path, origin := configSocketPath(configEnvOf(env), state)
		if path != filepath.Join(dir, configSocket) || from != "" && origin != from {
			t.Errorf("%s: %s from %s, want it in %s from %s", what, path, origin, dir, from)
		}
	}
	expect("both", both, run, "environment RUNTIME_DIRECTORY")
	expect("one", map[string]string{"XDG_RUNTIME_DIR": xdg}, xdg, "environment XDG_RUNTIME_DIR")
	if os.Getuid() == 0 {
		expect("none, as root", nil, "/run/cdktr", "")
	} else if _, err := os.Stat("/run/cdktr/" + configSocket); err != nil {
		expect("none", nil, state, "the state folder")
	}
	if err := os.WriteFile(filepath.Join(xdg, configSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a file of that name", both, run, "environment RUNTIME_DIRECTORY")
	os.Remove(filepath.Join(xdg, configSocket))
	for _, c := range []struct{ dir, from string }{{state, "the state folder"}, {xdg, "environment XDG_RUNTIME_DIR"}, {run, "environment RUNTIME_DIRECTORY"}} {
		l, err := net.Listen("unix", filepath.Join(c.dir, configSocket))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		expect(fmt.Sprint("a socket in ", c.dir), both, c.dir, c.from)
	}
	cfg, err := configLoad(map[string]string{"socket": "/my/sock"}, configFile(t, ""), configEnvOf(both))
	if err != nil || cfg.get("principal") != "ipc:///my/sock" || cfg.values["principal"].From != "flag --socket" {
		t.Errorf("%+v, %v", cfg.values["principal"], err)
	}
}
