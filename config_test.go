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
	const contexts = "contexts: {of-file: {principal: x}, of-env: {principal: x}, of-flag: {principal: x}}\n" // for the key context
	for _, key := range configKeys {
		file := configFile(t, key.name+": of-file\n"+contexts)
		for mask := range 8 {
			flags, env, name := map[string]string{}, map[string]string{"HOME": "/home/me"}, configFile(t, contexts)
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
			if mask == 0 && slices.Contains([]string{"labels", "credential", "context", "insecure", "bind", "socket_group"}, key.name) { // without a default
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

// TestConfigStateFolder honours XDG_STATE_HOME, but loses no state that was made before it was set.
func TestConfigStateFolder(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		there     []string
		xdg, want string
	}{
		{nil, "", "home/.local/state/cdktr"},
		{nil, "xdg", "xdg/cdktr"},
		{[]string{"home/.local/state/cdktr"}, "xdg", "home/.local/state/cdktr"},
		{[]string{"home/.local/state/cdktr", "xdg/cdktr"}, "xdg", "xdg/cdktr"},
		{nil, "./relative", "home/.local/state/cdktr"},
	} {
		at, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.there {
			if err := os.MkdirAll(filepath.Join(at, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if c.xdg == "xdg" {
			c.xdg = filepath.Join(at, "xdg")
		}
		got, err := configLoad(nil, os.DevNull, configEnvOf(map[string]string{"HOME": filepath.Join(at, "home"), "XDG_STATE_HOME": c.xdg}))
		if err != nil {
			t.Fatal(err)
		}
		if got.get("state") != filepath.Join(at, c.want) {
			t.Errorf("%v: state %s, want %s", c, got.get("state"), c.want)
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

// Contexts: which source says where the principal is, and with which credential; and what can be wrong with them.
func TestConfigContexts(t *testing.T) {
	const contexts = "contexts:\n  paris: {principal: tcp://paris:1, credential: paris.cred}\n  london: {principal: ssh://london}\n  rome: {credential: rome.cred}\n"
	for _, c := range []struct {
		name, file            string
		env, flags            map[string]string
		principal, credential string
	}{
		{"a flag", "", nil, map[string]string{"context": "paris"}, "tcp://paris:1", "paris.cred"},
		{"the environment", "", map[string]string{"CDKTR_CONTEXT": "london"}, nil, "ssh://london", ""},
		{"the file", "context: paris\n", nil, nil, "tcp://paris:1", "paris.cred"},
		{"a credential alone", "", nil, map[string]string{"context": "rome"}, "", "rome.cred"},
		{"--principal goes before --context", "", nil, map[string]string{"context": "paris", "principal": "tcp://own:2"}, "tcp://own:2", ""},
		{"--credential goes with --context", "", nil, map[string]string{"context": "paris", "credential": "own.cred"}, "tcp://paris:1", "own.cred"},
		{"--context goes before the environment", "", map[string]string{"CDKTR_PRINCIPAL": "tcp://env:3", "CDKTR_CREDENTIAL": "env.cred"}, map[string]string{"context": "london"}, "ssh://london", ""},
		{"CDKTR_PRINCIPAL goes before CDKTR_CONTEXT", "", map[string]string{"CDKTR_PRINCIPAL": "tcp://env:3", "CDKTR_CONTEXT": "paris"}, nil, "tcp://env:3", ""},
		{"CDKTR_CONTEXT goes before the file", "principal: tcp://file:4\ncredential: file.cred\n", map[string]string{"CDKTR_CONTEXT": "london"}, nil, "ssh://london", ""},
		{"in the file principal goes before context", "principal: tcp://file:4\ncontext: paris\n", nil, nil, "tcp://file:4", ""},
	} {
		cfg, err := configLoad(c.flags, configFile(t, c.file+contexts), configEnvOf(c.env))
		if err != nil || cfg.get("principal") != c.principal || cfg.get("credential") != c.credential {
			t.Errorf("%s: %v %+v %+v", c.name, err, cfg.values["principal"], cfg.values["credential"])
		}
	}
	cfg, err := configLoad(map[string]string{"context": "paris"}, configFile(t, contexts), configEnvOf(nil))
	if err != nil || len(cfg.contexts) != 3 || cfg.contexts[0].Name != "london" || cfg.contexts[2].Name != "rome" {
		t.Fatalf("%v: %+v", err, cfg)
	}
	if other, err := cfg.at("london"); err != nil || other.get("principal") != "ssh://london" || other.get("credential") != "" || cfg.get("principal") != "tcp://paris:1" {
		t.Errorf("at london: %v %+v", err, other)
	}
	if _, err := cfg.at("pari"); err == nil || !strings.Contains(err.Error(), `did you mean "paris"?`) {
		t.Errorf("at pari: %v", err)
	}
	for text, want := range map[string]string{
		contexts + "context: lodon":             `there is no context "lodon" (did you mean "london"?)`,
		contexts + "context: xxxxxxxxxx":        "(there is london, paris, rome)",
		"context: paris":                        "has no contexts",
		"contexts: [paris]":                     ":1:11: contexts: want lines of",
		"contexts:\n  paris: tcp://paris:1":     ":2:3: contexts: \"paris\": want",
		"contexts:\n  paris: {principle: x}":    ":2:11: contexts: paris: \"principle\" is neither",
		"contexts:\n  paris: {principal: [x]}":  "is neither",
		"contexts:\n  paris: {}":                "it says neither",
		"contexts:\n  the city: {principal: x}": "want `NAME",
	} {
		if _, err := configLoad(nil, configFile(t, text+"\n"), configEnvOf(nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
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
