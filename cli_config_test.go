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
	t.Parallel()
	// for the key context
	const contexts = "contexts: {of-file: {principal: x}, of-env: {principal: x}, of-flag: {principal: x}}\n"
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
			c, err := configLoad(t.Context(), flags, name, configEnvOf(env))
			if err != nil {
				t.Fatal(err)
			}
			got := c.values[key.name]
			// without a default
			if mask == 0 && slices.Contains([]string{"labels", "pools", "credential", "context", "insecure", "bind",
				"socket_group", "alarm", "metrics_file"}, key.name) {
				if got.Value != "" {
					t.Errorf("%s: %+v", key.name, got)
				}
				continue
			}
			if mask == 0 && (got.Value == "" || c.get(key.name) != got.Value) || mask != 0 &&
				(got.Value != want || got.From != from) {
				t.Errorf("%s, mask %d: %+v, want %q from %q", key.name, mask, got, want, from)
			}
		}
	}
	c, err := configLoad(t.Context(), nil, configFile(t, "# nothing\n"),
		configEnvOf(map[string]string{"HOME": "/home/me"}))
	if err != nil || len(c.list()) != len(configKeys) {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"state": "/home/me/.local/state/cdktr", "workflows": "workflows",
		"timezone": "Local", "grace": "10s", "drain_timeout": "1m", "log_level": "info"} {
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
		{map[string]string{"CDKTR_WORKFLOW_DIR": "w", "CDKTR_WORKFLOWS": "v"}, "workflows", "v",
			"environment CDKTR_WORKFLOWS"},
		{map[string]string{"CDKTR_AGENT_MAX_CONCURRENCY": "7"}, "capacity", "7",
			"environment CDKTR_AGENT_MAX_CONCURRENCY"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "box"}, "principal", "tcp://box:5561",
			"environment CDKTR_PRINCIPAL_HOST"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "box", "CDKTR_PRINCIPAL_PORT": "99"}, "principal", "tcp://box:99",
			"environment CDKTR_PRINCIPAL_HOST"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "box", "CDKTR_PRINCIPAL": "ipc:///p"}, "principal", "ipc:///p",
			"environment CDKTR_PRINCIPAL"},
		{map[string]string{"CDKTR_PRINCIPAL_HOST": "0.0.0.0"}, "principal", "ipc:///of/file", "file " + file},
		{map[string]string{"CDKTR_PRINCIPAL_PORT": "99"}, "principal", "ipc:///of/file", "file " + file},
		{map[string]string{"STATE_DIRECTORY": "/var/lib/x"}, "state", "/var/lib/x", "environment STATE_DIRECTORY"},
		{map[string]string{"STATE_DIRECTORY": "/var/lib/x", "CDKTR_STATE": "/s"}, "state", "/s",
			"environment CDKTR_STATE"},
		{map[string]string{"CDKTR_SOCKET": "ipc:///run/x/sock"}, "socket", "/run/x/sock", "environment CDKTR_SOCKET"},
	} {
		got, err := configLoad(t.Context(), nil, file, configEnvOf(c.env))
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
		got, err := configLoad(t.Context(), nil, os.DevNull, configEnvOf(map[string]string{"HOME": filepath.Join(at,
			"home"), "XDG_STATE_HOME": c.xdg}))
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
		"nonsense: x\n":                          `:1:1: unknown setting "nonsense" (cdktr config lists them)`,
		"stat: x\n":                              `:1:1: unknown setting "stat" (did you mean "state"?)`,
		"state: x\n\n  \nname: a\nnaem: b\n":     `:5:1: unknown setting "naem"`,
		"state: [a, b]\n":                        ":1:8: state: want a single value",
		"state:\n  a: b\n":                       ":2:3: state: want a single value",
		"labels:\n  a: [b]\n":                    ":2:3: labels: want lines of `name: value`",
		"- a\n":                                  "want lines of `key: value`",
		"just text":                              "want lines of `key: value`",
		"state: \"x\n":                           ":1:8: ",
		"a: b: c\n":                              ":1:",
		"capacity: 1\nname: a\ncapacity: 2\n":    `:3:1: key "capacity" is here a second time: the first is on line 1, column 1`,
		`{"name": "a", "name": "b"}`:             `:1:15: key "name" is here a second time`,
		"contexts: {a: {principal: x}, a: {}}\n": `:1:31: key "a" is here a second time`,
		"contexts:\n  a: {principal: x, principal: y}": `:2:21: key "principal" is here a second time`,
		"labels: {a: b, a: c}\n":                       `:1:16: key "a" is here a second time`,
	} {
		name := configFile(t, text)
		if c, err := configLoad(t.Context(), nil, name, configEnvOf(nil)); err == nil ||
			!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, %v; want %q", text, c, err, want)
		}
	}
	if _, err := configLoad(t.Context(), nil, filepath.Join(t.TempDir(), "none"), configEnvOf(nil)); err == nil ||
		!strings.Contains(err.Error(), "read configuration") {
		t.Errorf("a file that is named and not there: %v", err)
	}
	c, err := configLoad(t.Context(), nil, configFile(t, "labels: {site: london, gpu: 1}\ncapacity: 4\nname:\n"),
		configEnvOf(nil))
	if pools, poolsErr := c.pools(); poolsErr != nil || len(pools) != 0 {
		t.Errorf("pools: %v, %v", pools, poolsErr)
	}
	if err != nil || c.get("labels") != "site=london,gpu=1" || c.get("capacity") != "4" || c.get("name") == "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// How many places pools have, as a map in the file or as text.
func TestConfigPools(t *testing.T) {
	for text, want := range map[string]string{
		"pools: {database: 2, tape.eu: 10}": "map[database:2 tape.eu:10]",
		"pools: database=2, tape=3":         "map[database:2 tape:3]",
		"pools:":                            "map[]",
		"pools: {database: 0}":              `pools: database: want a number of places from 1 to 10000, not "0"`,
		"pools: {database: two}":            `pools: database: want a number of places from 1 to 10000, not "two"`,
		"pools: database":                   `pools: want NAME=PLACES, not "database"`,
		"pools: a b=2":                      `pools: "a b" cannot name a pool: want letters, digits and _ . -`,
		"pools: a=2,a=3":                    "pools: a is there twice",
	} {
		c, err := configLoad(t.Context(), nil, configFile(t, text+"\n"), configEnvOf(nil))
		if err != nil {
			t.Fatal(err)
		}
		pools, err := c.pools()
		got := fmt.Sprint(pools)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if _, err := configLoad(t.Context(), nil, configFile(t, "pools: {a: {b: c}}\n"), configEnvOf(nil)); err == nil ||
		!strings.Contains(err.Error(), ":1:8: pools: want lines of `name: value`") {
		t.Errorf("a map in a map: %v", err)
	}
}

// Contexts: which source says where the principal is, and with which credential; and what can be wrong with them.
func TestConfigContexts(t *testing.T) {
	const contexts = "contexts:\n  paris: {principal: tcp://paris:1, credential: paris.cred}\n  london: {principal: " +
		"ssh://london}\n  rome: {credential: rome.cred}\n"
	for _, c := range []struct {
		name, file            string
		env, flags            map[string]string
		principal, credential string
	}{
		{"a flag", "", nil, map[string]string{"context": "paris"}, "tcp://paris:1", "paris.cred"},
		{"the environment", "", map[string]string{"CDKTR_CONTEXT": "london"}, nil, "ssh://london", ""},
		{"the file", "context: paris\n", nil, nil, "tcp://paris:1", "paris.cred"},
		{"a credential alone", "", nil, map[string]string{"context": "rome"}, "", "rome.cred"},
		{"--principal goes before --context", "", nil, map[string]string{"context": "paris",
			"principal": "tcp://own:2"}, "tcp://own:2", ""},
		{"--credential goes with --context", "", nil, map[string]string{"context": "paris", "credential": "own.cred"},
			"tcp://paris:1", "own.cred"},
		{"--context goes before the environment", "", map[string]string{"CDKTR_PRINCIPAL": "tcp://env:3",
			"CDKTR_CREDENTIAL": "env.cred"}, map[string]string{"context": "london"}, "ssh://london", ""},
		{"CDKTR_PRINCIPAL goes before CDKTR_CONTEXT", "", map[string]string{"CDKTR_PRINCIPAL": "tcp://env:3",
			"CDKTR_CONTEXT": "paris"}, nil, "tcp://env:3", ""},
		{"CDKTR_CONTEXT goes before the file", "principal: tcp://file:4\ncredential: file.cred\n",
			map[string]string{"CDKTR_CONTEXT": "london"}, nil, "ssh://london", ""},
		{"in the file principal goes before context", "principal: tcp://file:4\ncontext: paris\n", nil, nil,
			"tcp://file:4", ""},
	} {
		cfg, err := configLoad(t.Context(), c.flags, configFile(t, c.file+contexts), configEnvOf(c.env))
		if err != nil || cfg.get("principal") != c.principal || cfg.get("credential") != c.credential {
			t.Errorf("%s: %v %+v %+v", c.name, err, cfg.values["principal"], cfg.values["credential"])
		}
	}
	cfg, err := configLoad(t.Context(), map[string]string{"context": "paris"}, configFile(t, contexts),
		configEnvOf(nil))
	if err != nil || len(cfg.contexts) != 3 || cfg.contexts[0].Name != "london" || cfg.contexts[2].Name != "rome" {
		t.Fatalf("%v: %+v", err, cfg)
	}
	if other, err := cfg.at("london"); err != nil || other.get("principal") != "ssh://london" ||
		other.get("credential") != "" || cfg.get("principal") != "tcp://paris:1" {
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
		if _, err := configLoad(t.Context(), nil, configFile(t, text+"\n"), configEnvOf(nil)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// configFolders makes folders with short names: t.TempDir is too long for the name of a socket.
func configFolders(t *testing.T, names ...string) (dirs []string) {
	t.Helper()
	top, err := os.MkdirTemp("", "cdktr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	for _, name := range names {
		dirs = append(dirs, filepath.Join(top, name))
		if err := os.Mkdir(dirs[len(dirs)-1], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// Where no setting names the socket, a principal listens in the first folder that its user may use, whatever sockets
// there are already.
func TestConfigSocketListen(t *testing.T) {
	d := configFolders(t, "run", "xdg", "system", "state")
	run, xdg, system, state := d[0], d[1], d[2], d[3]
	me, none := os.Getuid(), filepath.Join(state, "none")
	old, err := net.Listen("unix", filepath.Join(state, configSocket)) // another's
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	for _, c := range []struct {
		what, run, xdg, system string
		uid                    int
		want, from             string
	}{
		{"systemd says it", run, xdg, system, me, run, "environment RUNTIME_DIRECTORY"},
		{"systemd says it, to a user whose it does not seem to be", run, xdg, system, me + 1, run,
			"environment RUNTIME_DIRECTORY"},
		{"systemd says two", run + ":" + xdg, "", system, me, run, "environment RUNTIME_DIRECTORY"},
		{"a login", "", xdg, system, me, xdg, "environment XDG_RUNTIME_DIR"},
		{"a login whose folder is not there yet", "", none, system, me, none, "environment XDG_RUNTIME_DIR"},
		{"another's login, handed on by su", "", xdg, none, me + 1, state, "the state folder"},
		{"the box's folder is this user's", "", "", system, me, system, "default"},
		{"the box's folder is another's", "", "", system, me + 1, state, "the state folder"},
		{"the box's folder is not there, and only root may make it", "", "", none, me + 1, state, "the state folder"},
		{"root, by hand", "", "", none, 0, none, "default"},
	} {
		env := configEnvOf(map[string]string{"RUNTIME_DIRECTORY": c.run, "XDG_RUNTIME_DIR": c.xdg})
		path, from := configListenPath(configPlaces(env, c.system, state), c.uid)
		if path != filepath.Join(c.want, configSocket) || from != c.from {
			t.Errorf("%s: %s from %s, want it in %s from %s", c.what, path, from, c.want, c.from)
		}
	}
	env := map[string]string{"RUNTIME_DIRECTORY": run, "STATE_DIRECTORY": state + ":" + run}
	cfg, err := configLoad(t.Context(), nil, configFile(t, ""), configEnvOf(env))
	if err != nil || cfg.get("state") != state || cfg.get("socket") != filepath.Join(state, configSocket) {
		t.Errorf("a client of that state finds %s, %v", cfg.get("socket"), err)
	}
	if got := cfg.serving(configEnvOf(env)).values["socket"]; got.Value != filepath.Join(run, configSocket) {
		t.Errorf("a principal listens at %+v", got)
	}
	env["CDKTR_SOCKET"] = "/my/sock"
	cfg, err = configLoad(t.Context(), nil, configFile(t, ""), configEnvOf(env))
	if err != nil ||
		cfg.serving(configEnvOf(env)).get("socket") != "/my/sock" {
		t.Errorf("a socket with a name: %+v, %v", cfg, err)
	}
}

// Where no setting names the socket, a client finds one that answers before one that a dead principal left, in the
// order of the folders.
func TestConfigSocketDial(t *testing.T) {
	d := configFolders(t, "run", "xdg", "system", "state")
	run, xdg, system, state := d[0], d[1], d[2], d[3]
	other := os.Getuid() + 1 // not this user's: no principal of it would listen there
	both := configEnvOf(map[string]string{"RUNTIME_DIRECTORY": run, "XDG_RUNTIME_DIR": xdg})
	expect := func(what string, getenv func(string) string, uid int, want string) {
		t.Helper()
		if path, _ := configDialPath(configPlaces(getenv, system, state), uid); path != filepath.Join(want,
			configSocket) {
			t.Errorf("%s: %s, want the one in %s", what, path, want)
		}
	}
	left := func(dir string) {
		t.Helper()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, configSocket)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	live := func(dir string) {
		t.Helper()
		os.Remove(filepath.Join(dir, configSocket))
		l, err := net.Listen("unix", filepath.Join(dir, configSocket))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	expect("there is none", both, os.Getuid(), run)
	expect("there is none, and nothing is set", configEnvOf(nil), other, state)
	if err := os.WriteFile(filepath.Join(xdg, configSocket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a file of that name", both, other, run)
	os.Remove(filepath.Join(xdg, configSocket))
	left(xdg)
	expect("one that was left, and no other", both, other, xdg)
	live(system)
	expect("a service's, for a user who is not root", configEnvOf(nil), other, system)
	expect("a service's, beside one that was left", both, other, system)
	left(state)
	expect("a service's, between two that were left", both, other, system)
	live(xdg)
	expect("this user's own, and a service's", both, other, xdg)
	live(run)
	expect("what systemd says first", both, other, run)
	cfg, err := configLoad(t.Context(), map[string]string{"socket": "/my/sock"}, configFile(t, ""), both)
	if err != nil || cfg.get("principal") != "ipc:///my/sock" || cfg.values["principal"].From != "flag --socket" {
		t.Errorf("%+v, %v", cfg.values["principal"], err)
	}
}
