// cli_config_check.go: config --check, which finds every fault of a configuration file and of the environment: what a
// start would refuse, and what it would take though it can hardly be meant.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// configOther is the variables CDKTR_… that set no setting, or that tasks get.
const configOther = "CDKTR_PRINCIPAL_PORT CDKTR_SSH CDKTR_LOGS_LISTENING_PORT CDKTR_LOGS_PUBLISHING_PORT " +
	"CDKTR_WORKFLOW_ID CDKTR_RUN_ID CDKTR_TASK_ID CDKTR_ATTEMPT CDKTR_OUTPUT CDKTR_LOG CDKTR_TAIL CDKTR_REASON " +
	"CDKTR_RUN_STATE CDKTR_SECONDS CDKTR_FAILED_TASKS CDKTR_SCHEDULED_AT CDKTR_STARTED_AT CDKTR_COOKIE"

// configPathMost is how many bytes the path of a socket may have (unix(7)); a longer one is a fault.
const configPathMost = 107

// configCheck is one check.
type configCheck struct {
	c      *cli
	ctx    context.Context
	file   *configText
	faults []workflowFault
}

// doConfigCheck checks the file that is named, or the one that would be read, and then the environment.
func doConfigCheck(ctx context.Context, c *cli, args []string) error {
	if len(args) > 1 || len(args) > 0 && c.flags.config != "" {
		return usageError("config --check takes one FILE")
	}
	if len(args) == 1 {
		c.flags.config = args[0]
	}
	k := &configCheck{c: c, ctx: ctx}
	name := orDefault(c.flags.config, configFileDefault)
	files := 1
	text, info, err := fileReadWithin(ctx, nil, name, name, configMaxFile)
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: err}
	case errors.Is(err, fs.ErrNotExist) && c.flags.config == "" || name == os.DevNull:
		k.file, files = &configText{name: name}, 0
		c.say(name + " is not there: only the environment is checked")
	case err != nil:
		return &exitError{code: exitUsage, err: fmt.Errorf("read configuration %s: %w", name, pathCause(err))}
	default:
		k.file = configParse(name, text)
		k.faults = k.file.faults
		if uid, _ := ownerIDs(info); info.Mode()&0o022 != 0 || uid != 0 && uid != os.Geteuid() {
			k.warn("", "%s, mode %04o: whoever can write this file can run commands as the principal's user (alarm)",
				ownerName(uid), info.Mode().Perm())
		}
	}
	k.environment()
	if c.cfg, err = configOf(c.flags.set, k.file.values, k.file.contexts, name, c.getenv); err != nil {
		k.bad("context", "%v", err)
	} else {
		k.all()
	}
	sort.SliceStable(k.faults, func(i, j int) bool { return k.faults[i].Line < k.faults[j].Line })
	return validatePrint(c, k.faults, files)
}

// bad notes a fault of a setting, where it stands; warn one that does not keep anything from starting.
func (k *configCheck) bad(key, format string, args ...any) { k.note(key, false, format, args) }

func (k *configCheck) warn(key, format string, args ...any) { k.note(key, true, format, args) }

func (k *configCheck) note(key string, warning bool, format string, args []any) {
	f := workflowFault{File: k.file.name, Warning: warning, Message: fmt.Sprintf(format, args...)}
	from := ""
	if k.c.cfg != nil {
		from = k.c.cfg.values[key].From
	}
	switch at := k.file.at[key]; {
	case strings.HasPrefix(from, "environment") || strings.HasPrefix(from, "flag"):
		f.File = from
	case at != nil:
		f.Line, f.Col = at.Line, at.Column
	}
	if len(k.faults) < configFaultsMost {
		k.faults = append(k.faults, f)
	}
}

// environment looks for variables that are nearly those of a setting.
func (k *configCheck) environment() {
	known := strings.Fields(configOther)
	for i := range configKeys {
		known = append(known, configKeys[i].env...)
	}
	for _, kv := range k.c.environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "CDKTR_") || slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			k.faults = append(k.faults, workflowFault{File: "environment " + name, Warning: true,
				Message: "nothing reads this variable (did you mean " + near + "?)"})
		}
	}
}

// all checks the values of all settings, and how they go together.
func (k *configCheck) all() {
	c, cfg := k.c, k.c.cfg
	plain, err := configOf(nil, nil, nil, cfg.file, func(string) string { return "" })
	if err != nil {
		k.bad("", "%v", err)
		return
	}
	for i := range configKeys { // each by itself, by what a start says of it
		key := configKeys[i].name
		alone := *c
		alone.cfg = plain.with(key, cfg.get(key), "")
		derived := key == "principal" && cfg.get(key) == "ipc://"+cfg.get("socket")
		if cfg.values[key].From == "default" || cfg.get(key) == "" || derived {
			continue
		}
		if err := configStartFault(&alone, key); err != nil {
			more := ""
			if key == "timezone" {
				if near := workflowZoneMeant(cfg.get(key)); near != "" {
					more = " (did you mean " + near + "?)"
				}
			}
			k.bad(key, "%v%s", err, more)
		}
	}
	k.together()
	k.credential("credential", cfg.get("credential"), cfg.get("principal"))
	for _, other := range k.file.contexts {
		at := "contexts." + other.Name + "."
		if other.Principal != "" {
			if err := endpointFault(other.Principal); err != nil {
				k.bad(at+"principal", "contexts: %s: %v", other.Name, err)
			}
		}
		k.credential(at+"credential", other.Credential, other.Principal)
	}
	k.folders()
	if line := cfg.get("alarm"); line != "" {
		if word := commandMissing(k.ctx, line); word != "" {
			k.warn("alarm", "alarm: the shell of this user does not find %q", word)
		}
	}
}

// configStartFault says what a start would say of one setting.
func configStartFault(c *cli, key string) error {
	var err error
	quiet := slog.New(slog.DiscardHandler)
	switch key {
	case "principal":
		err = endpointFault(c.cfg.get(key))
	case "bind":
		_, err = c.cfg.binds()
	case "insecure":
		_, err = c.insecure()
	case "max_connections":
		_, err = c.cfg.maxConnections()
	case "socket_group":
		_, err = serveGroup(c.cfg.get(key))
	case "log_level":
		_, err = c.logger()
	case "grace", "drain_timeout", "capacity", "labels":
		_, err = c.agentConfig(quiet)
	default:
		_, _, err = c.principalConfig(quiet)
	}
	return err
}

// endpointFault says what is wrong with where a principal is said to be.
func endpointFault(endpoint string) error {
	if strings.HasPrefix(endpoint, "ssh:") {
		_, err := wireSSHParse(endpoint)
		return err
	}
	_, _, err := wireEndpointParse(endpoint)
	return err
}

// together finds settings that contradict each other.
func (k *configCheck) together() {
	cfg := k.c.cfg
	binds, err := k.c.cfg.binds()
	insecure := cfg.get("insecure")
	for i, bind := range binds {
		if slices.Contains(binds[:i], bind) {
			k.bad("bind", "bind: %s is there twice", bind)
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(bind, "tcp://"), ":")
		if insecure == insecureLoopback && !strings.HasPrefix(host, "127.") && host != "localhost" && host[0] != '[' {
			k.bad("bind", "bind: %s is no loopback address, and insecure is only for those: leave insecure out, and "+
				"use keys", bind)
		}
	}
	if insecure == insecureAny {
		k.warn("insecure", "insecure: any: whoever reaches a port of this principal can run any workflow")
	}
	if insecure != "" && cfg.get("credential") != "" {
		k.warn("insecure", "insecure: there is a credential as well: which of the two is meant?")
	}
	_, own := k.file.values["principal"]
	if context := k.file.values["context"]; own && context != "" {
		k.warn("context", "context: %s is never used, since principal goes before it", context)
	}
	elsewhere := own && !strings.HasPrefix(cfg.get("principal"), "ipc:")
	if err == nil && len(binds) > 0 && elsewhere {
		k.warn("principal", "principal: this box has a principal of its own (bind), and its clients ask %s",
			cfg.get("principal"))
	}
	delay, _ := cfg.duration("alarm_delay")
	repeat, err := cfg.duration("alarm_repeat")
	if err == nil && repeat > 0 && repeat < delay && delay <= alarmDelayMost {
		k.warn("alarm_repeat", "alarm_repeat: %s is shorter than alarm_delay", cfg.get("alarm_repeat"))
	}
	if idle := k.file.values["alarm_delay"] + k.file.values["alarm_repeat"]; err == nil && cfg.get("alarm") == "" &&
		idle != "" {
		k.warn("alarm_delay", "alarm_delay, alarm_repeat: there is no alarm")
	}
	grace, _ := cfg.duration("grace")
	if drain, err := cfg.duration("drain_timeout"); err == nil && grace > time.Minute && drain+grace > 90*time.Second {
		k.warn("grace", "grace: with drain_timeout a stop may take %s: TimeoutStopSec= of the unit must be longer",
			Duration(drain+grace))
	}
}

// credential checks a credential file, and that it goes with the endpoint beside it.
func (k *configCheck) credential(key, file, endpoint string) {
	if file == "" {
		if strings.HasPrefix(endpoint, "tcp:") && k.c.cfg.get("insecure") == "" {
			k.warn(strings.Replace(key, "credential", "principal", 1), "%s needs a key: a credential names one",
				endpoint)
		}
		return
	}
	cred, err := credentialRead(k.ctx, nil, file)
	switch {
	case err != nil:
		k.bad(key, "%v", err)
	case cred.Endpoint == "" && endpoint == "":
		k.bad(key, "credential: %s names no endpoint: principal must say where the principal is", file)
	case key == "credential":
		t := &dialTarget{name: cred.Name}
		t.opt.CurveClient = &curveClient{}
		if _, err := agentNameOf(k.c.cfg.values["name"], t); err != nil && cred.Role == roleAgent {
			k.bad("name", "name: %v", err)
		}
	}
}

// folders checks the paths of the settings: that they are there, of the right kind, and not open to others.
func (k *configCheck) folders() {
	cfg := k.c.cfg
	set := func(key string) bool { return cfg.values[key].From != "default" }
	for _, key := range []string{"workflows", "state"} {
		dir := cfg.get(key)
		info, err := diskStat(k.ctx, nil, dir, dir)
		switch {
		case !set(key): // nobody has named it
		case errors.Is(err, fs.ErrNotExist) && key == "state": // the first start makes it
			if above := filepath.Dir(filepath.Clean(dir)); unix.Access(above, unix.F_OK) != nil {
				k.warn(key, "state: %s is not there, and neither is the folder it is to be in", dir)
			}
		case err != nil:
			k.bad(key, "%s: %s: %v", key, dir, pathCause(err))
		case !info.IsDir():
			k.bad(key, "%s: %s is no folder", key, dir)
		case info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
			k.bad(key, "%s: everybody can write in %s (mode %04o): chmod o-w %s", key, dir, info.Mode().Perm(), dir)
		case key == "state" && info.Mode()&0o077 != 0:
			k.warn(key, "state: others can look into %s (mode %04o): chmod 700 %s", dir, info.Mode().Perm(), dir)
		case !filepath.IsAbs(dir):
			k.warn(key, "%s: %s is meant from wherever the program is started: write the whole path", key, dir)
		}
	}
	socket := cfg.get("socket")
	if !set("socket") {
		return
	}
	info, err := os.Stat(filepath.Dir(socket))
	switch {
	case len(socket) > configPathMost:
		k.bad("socket", "socket: the path has %d bytes, and may have %d", len(socket), configPathMost)
	case err != nil && !errors.Is(err, syscall.ENOENT):
		k.bad("socket", "socket: %v", err)
	case err != nil:
		k.warn("socket", "socket: its folder %s is not there", filepath.Dir(socket))
	case cfg.get("socket_group") != "" && info.Mode()&0o011 == 0:
		k.warn("socket_group", "socket_group: its members cannot enter %s (mode %04o), where the socket is",
			filepath.Dir(socket), info.Mode().Perm())
	}
}
