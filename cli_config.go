// cli_config.go: settings, and where each comes from: a flag, else the environment, else the configuration file, else
// the default. The file may also name principals under contexts, and --context picks one of them.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"
)

// configFileDefault is the file that is read where --config names none. It need not be there.
const configFileDefault = "/etc/cdktr/config.yml"

// configMaxFile is how many bytes a configuration file may have; a larger one is refused.
const configMaxFile = 1 << 20

// configSocket is the socket's name within the runtime folder.
const configSocket = "cdktr.sock"

// configRuntime is the runtime folder of the box. systemd makes it for the service (RuntimeDirectory=cdktr); root may
// make it too.
const configRuntime = "/run/cdktr"

// configLook is how long a look at a socket of this box may take. The kernel answers at once.
const configLook = time.Second

// configKey is one setting. env names the variables that set it; those that CDKTR has are last.
type configKey struct {
	name string
	env  []string
	help string
}

// configKeys is every setting there is.
var configKeys = []configKey{
	{"principal", []string{"CDKTR_PRINCIPAL", "CDKTR_PRINCIPAL_HOST"},
		"where clients and agents find the principal: ipc://PATH, tcp://HOST:PORT or ssh://[USER@]HOST"},
	{"context", []string{"CDKTR_CONTEXT"},
		"the one of contexts, in the configuration file, that says where the principal is"},
	{"credential", []string{"CDKTR_CREDENTIAL"}, "the file that lets a client or an agent in over tcp://"},
	{"insecure", []string{"CDKTR_INSECURE"}, "tcp:// without keys: loopback, or any"},
	{"bind", []string{"CDKTR_BIND"}, "addresses on which the principal listens beside its socket: tcp://ADDR:PORT,..."},
	{"socket_group", []string{"CDKTR_SOCKET_GROUP"}, "group whose members may use the principal's socket"},
	{"state", []string{"CDKTR_STATE"}, "folder of the journal, history, output and spool"},
	{"workflows", []string{"CDKTR_WORKFLOWS", "CDKTR_WORKFLOW_DIR"}, "folder of workflow files"},
	{"socket", []string{"CDKTR_SOCKET"}, "path of the principal's socket"},
	{"pools", []string{"CDKTR_POOLS"}, "places of pools that have more than one: k=n,k=n"},
	{"timezone", []string{"CDKTR_TIMEZONE"}, "time zone of schedules that name none"},
	{"wait_for_clock", []string{"CDKTR_WAIT_FOR_CLOCK"},
		"how long schedules wait at the start for a clock that nothing has set yet"},
	{"name", []string{"CDKTR_AGENT_NAME"}, "name of the agent"},
	{"labels", []string{"CDKTR_AGENT_LABELS"}, "labels of the agent: k=v,k=v"},
	{"capacity", []string{"CDKTR_AGENT_CAPACITY", "CDKTR_AGENT_MAX_CONCURRENCY"}, "runs that the agent takes at once"},
	{"grace", []string{"CDKTR_GRACE"}, "time between TERM and KILL when a task is stopped"},
	{"drain_timeout", []string{"CDKTR_DRAIN_TIMEOUT"}, "how long a stopping agent waits for its runs"},
	{"retain_age", []string{"CDKTR_RETAIN_AGE"}, "how long output and history are kept; 0: for ever"},
	{"retain_runs", []string{"CDKTR_RETAIN_RUNS"}, "how many runs of a workflow its history keeps; 0: all"},
	{"retain_bytes", []string{"CDKTR_RETAIN_BYTES"}, "how many bytes of output and history are kept; 0: no bound"},
	{"alarm", []string{"CDKTR_ALARM"}, "command that the principal runs to tell people of what needs attention"},
	{"alarm_delay", []string{"CDKTR_ALARM_DELAY"}, "how long the alarm waits for more to tell at once"},
	{"alarm_repeat", []string{"CDKTR_ALARM_REPEAT"}, "after which the alarm tells again what is still there; 0: never"},
	{"metrics_file", []string{"CDKTR_METRICS_FILE"},
		"file in which the principal keeps its metrics, for node_exporter: PATH.prom"},
	{"max_connections", []string{"CDKTR_MAX_CONNECTIONS"}, "how many may be connected to a principal"},
	{"log_level", []string{"CDKTR_LOG_LEVEL"}, "debug, runs, info, warn or error"},
}

// configValue is a setting and where it came from.
type configValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// config is every setting with its value, and the principals that the file knows by name.
type config struct {
	values   map[string]configValue
	contexts []configContext // by name
	file     string
	unnamed  bool // no setting names the socket: configDialPath has looked for it
}

// configContext is a principal that the file knows by name: its endpoint, and the credential for it. One of the two may
// be empty.
type configContext struct {
	Name       string `json:"context"`
	Principal  string `json:"principal,omitempty"`
	Credential string `json:"credential,omitempty"`
}

// configLoad finds the value of every setting. flags holds those that the command line sets; file is --config, or ""
// for the default file.
func configLoad(ctx context.Context, flags map[string]string, file string,
	getenv func(string) string) (*config, error) {
	fromFile, contexts, name, err := configRead(ctx, file)
	if err != nil {
		return nil, err
	}
	return configOf(flags, fromFile, contexts, name, getenv)
}

// configOf finds the value of every setting, given what the file of that name says.
func configOf(flags, fromFile map[string]string, contexts []configContext, name string,
	getenv func(string) string) (*config, error) {
	c := &config{values: map[string]configValue{}, contexts: contexts, file: name}
	for _, key := range configKeys {
		v := configValue{key.name, "", "default"}
		for _, env := range key.env {
			if text := configEnv(env, getenv); text != "" && v.From == "default" {
				v.Value, v.From = text, "environment "+env
			}
		}
		if text, ok := fromFile[key.name]; ok && v.From == "default" {
			v.Value, v.From = text, "file "+name
		}
		if text, ok := flags[key.name]; ok {
			v.Value, v.From = text, "flag --"+strings.ReplaceAll(key.name, "_", "-")
		}
		v.Value = configPlain(key.name, v.Value)
		c.values[key.name] = v
	}
	if err := c.enter(c.values["context"]); err != nil {
		return nil, err
	}
	c.fillDefaults(getenv)
	return c, nil
}

// configure reads the settings.
func configure(ctx context.Context, c *cli) (err error) {
	c.cfg, err = configLoad(ctx, c.flags.set, c.flags.config, c.getenv)
	switch {
	case err != nil && ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: err}
	case err != nil:
		return &exitError{code: exitUsage, err: err, hint: "cdktr config --check names every fault of the file"}
	}
	return nil
}

// configRank orders the sources of settings: a higher rank goes before a lower one.
func configRank(from string) int {
	for i, kind := range []string{"default", "file", "environment", "flag"} {
		if strings.HasPrefix(from, kind) {
			return i
		}
	}
	return 0
}

// enter takes principal and credential from the context that choice names: both of them, even where one is empty. A
// principal that comes from a source of at least the same rank stays, and then so does the credential.
func (c *config) enter(choice configValue) error {
	if choice.Value == "" {
		return nil
	}
	var names []string
	for _, k := range c.contexts {
		names = append(names, k.Name)
		if k.Name != choice.Value {
			continue
		}
		if configRank(c.values["principal"].From) >= configRank(choice.From) {
			return nil
		}
		from := "context " + k.Name + ", " + choice.From
		c.values["principal"] = configValue{"principal", k.Principal, from}
		if configRank(c.values["credential"].From) < configRank(choice.From) {
			c.values["credential"] = configValue{"credential", k.Credential, from}
		}
		return nil
	}
	if near := nearHint(choice.Value, names); near != "" {
		return fmt.Errorf("%s: there is no context %q%s", choice.From, choice.Value, near)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: there is no context %q: %s has no contexts", choice.From, choice.Value, c.file)
	}
	return fmt.Errorf("%s: there is no context %q (there is %s)", choice.From, choice.Value, strings.Join(names, ", "))
}

// at gives the same settings with another context, as if --context had named that.
func (c *config) at(name string) (*config, error) {
	other := c.copy()
	for _, key := range []string{"principal", "credential"} {
		other.values[key] = configValue{key, "", "default"}
	}
	choice := configValue{"context", name, "flag --context"}
	other.values["context"] = choice
	if err := other.enter(choice); err != nil {
		return nil, err
	}
	return other, nil
}

// configEnv gives the value of a variable. CDKTR names the principal with two variables, one for the host and one for
// the port.
func configEnv(name string, getenv func(string) string) string {
	text := getenv(name)
	if name != "CDKTR_PRINCIPAL_HOST" {
		return text
	}
	if text == "" || text == "0.0.0.0" { // a principal listens on 0.0.0.0, but nobody can connect to that
		return ""
	}
	port := getenv("CDKTR_PRINCIPAL_PORT")
	if port == "" {
		port = "5561"
	}
	return "tcp://" + text + ":" + port
}

// get gives the value of a key.
func (c *config) get(key string) string { return c.values[key].Value }

// duration gives the value of a setting that is a duration.
func (c *config) duration(key string) (time.Duration, error) {
	d, err := parseDuration(c.get(key))
	if err != nil {
		return 0, usageError("%s: %w", key, err)
	}
	return d, nil
}

// list gives every setting in the order of configKeys, and then those of the contexts.
func (c *config) list() []configValue {
	var list []configValue
	for _, key := range configKeys {
		list = append(list, c.values[key.name])
	}
	for _, k := range c.contexts {
		for field, value := range map[string]string{"principal": k.Principal, "credential": k.Credential} {
			if value != "" {
				list = append(list, configValue{"contexts." + k.Name + "." + field, value, "file " + c.file})
			}
		}
	}
	contexts := list[len(configKeys):]
	sort.Slice(contexts, func(i, j int) bool { return contexts[i].Key < contexts[j].Key })
	return list
}

// set sets a key that has no value yet.
func (c *config) set(key, value, from string) {
	if v := c.values[key]; v.Value == "" {
		c.values[key] = configValue{key, value, from}
	}
}

// copy gives a copy of the settings, which can be changed without changing these.
func (c *config) copy() *config {
	return &config{values: maps.Clone(c.values), contexts: c.contexts, file: c.file, unnamed: c.unnamed}
}

// with gives the same settings with another value of one.
func (c *config) with(key, value, from string) *config {
	other := c.copy()
	other.values[key] = configValue{key, configPlain(key, value), from}
	return other
}

// configPlain gives a value as the program has it: a path of a socket may be written as an endpoint too.
func configPlain(key, value string) string {
	if key == "socket" {
		return strings.TrimPrefix(value, "ipc://")
	}
	return value
}

// fillDefaults sets the defaults, which depend on the machine and on other settings.
func (c *config) fillDefaults(getenv func(string) string) {
	if dir := configFirst(getenv("STATE_DIRECTORY")); dir != "" {
		c.set("state", dir, "environment STATE_DIRECTORY")
	}
	home := getenv("HOME")
	if home == "" {
		home = "/"
	}
	c.set(configStateFolder(getenv("XDG_STATE_HOME"), home))
	c.unnamed = c.get("socket") == ""
	if c.unnamed {
		path, from := configDialPath(configPlaces(getenv, configRuntime, c.get("state")), os.Getuid())
		c.set("socket", path, from)
	}
	if c.get("credential") == "" { // a credential names the principal itself
		c.set("principal", "ipc://"+c.get("socket"), c.values["socket"].From)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "agent"
	}
	for key, value := range map[string]string{"workflows": "workflows", "timezone": "Local", "name": host,
		"capacity": fmt.Sprint(runtime.NumCPU()), "grace": "10s", "drain_timeout": "1m", "log_level": "info",
		"retain_age": "90d", "wait_for_clock": "0s", "retain_runs": "1000", "retain_bytes": "512M",
		"alarm_delay": "1m", "alarm_repeat": "6h",
		"max_connections": "8192"} {
		c.set(key, value, "default")
	}
}

// configStateFolder gives the default state folder, by the XDG Base Directory Specification. A folder that is already
// in the usual place stays in use, so that its state is not lost when somebody sets XDG_STATE_HOME later.
func configStateFolder(xdg, home string) (key, value, from string) {
	usual := filepath.Join(home, ".local/state/cdktr")
	if !filepath.IsAbs(xdg) { // the specification says to ignore relative paths
		return "state", usual, "default"
	}
	named := filepath.Join(xdg, "cdktr")
	if _, err := os.Stat(named); err != nil {
		if _, err := os.Stat(usual); err == nil {
			return "state", usual, "default"
		}
	}
	return "state", named, "environment XDG_STATE_HOME"
}

// configPlace is a folder that may hold the socket.
type configPlace struct {
	dir, from string
	owned     bool // a principal uses it only if it belongs to the principal's user
	ready     bool // and only if it is there already; root may make it
}

// configPlaces lists the folders in which the socket may be where no setting names it, the first choice first. system
// is configRuntime. XDG_RUNTIME_DIR may be another user's, for su passes it on.
func configPlaces(getenv func(string) string, system, state string) []configPlace {
	var places []configPlace
	if dir := configFirst(getenv("RUNTIME_DIRECTORY")); dir != "" {
		places = append(places, configPlace{dir: dir, from: "environment RUNTIME_DIRECTORY"})
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		places = append(places, configPlace{dir: dir, from: "environment XDG_RUNTIME_DIR", owned: true})
	}
	return append(places, configPlace{dir: system, from: "default", owned: true, ready: true},
		configPlace{dir: state, from: "the state folder"})
}

// configFirst gives the first folder of a list by systemd, which has colons between them.
func configFirst(list string) string {
	first, _, _ := strings.Cut(list, ":")
	return first
}

// configListenPath says where a principal puts its socket: into the first folder that it may use. Sockets that are
// there already do not matter: others have left them.
func configListenPath(places []configPlace, uid int) (path, from string) {
	// there is always one: the state folder is last, and every principal may use its own
	i := slices.IndexFunc(places, func(p configPlace) bool { return configMayUse(p, uid) })
	return filepath.Join(places[i].dir, configSocket), places[i].from
}

// configMayUse says whether a principal of this user may put its socket into a place.
func configMayUse(p configPlace, uid int) bool {
	info, err := os.Stat(p.dir)
	switch {
	case !p.owned || p.ready && uid == 0:
		return true
	case err != nil:
		return !p.ready && errors.Is(err, fs.ErrNotExist)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == uid
}

// configDialPath finds the socket for a client: of the sockets that are there the first one that answers, else the
// first one. It connects to them only if there are several. Where there is none, it gives the place where a principal
// of this user would listen.
func configDialPath(places []configPlace, uid int) (path, from string) {
	var found []configPlace
	for _, p := range places {
		path := filepath.Join(p.dir, configSocket)
		info, err := os.Stat(path)
		if err == nil && info.Mode()&fs.ModeSocket != 0 && !slices.ContainsFunc(found,
			func(other configPlace) bool { return other.dir == p.dir }) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return configListenPath(places, uid)
	}
	best := found[0]
	if len(found) > 1 {
		if i := slices.IndexFunc(found, configAnswers); i >= 0 {
			best = found[i]
		}
	}
	return filepath.Join(best.dir, configSocket), best.from
}

// configAnswers says whether somebody listens on the socket in a place, and whether this user may connect to it. It
// does not wait: the kernel connects to a socket of the same box at once or not at all.
func configAnswers(p configPlace) bool {
	conn, err := net.DialTimeout("unix", filepath.Join(p.dir, configSocket), configLook)
	if err != nil {
		return errors.Is(err, syscall.EAGAIN) // busy
	}
	conn.Close()
	return true
}

// serving gives the settings of a principal. Where no setting names its socket, the socket goes into the first folder
// that the principal may use, even if other folders have one.
func (c *config) serving(getenv func(string) string) *config {
	if !c.unnamed {
		return c
	}
	path, from := configListenPath(configPlaces(getenv, configRuntime, c.get("state")), os.Getuid())
	return c.with("socket", path, from)
}

// configRead reads the configuration file: one level of keys and values, and the contexts. Its first fault is an error.
func configRead(ctx context.Context,
	file string) (values map[string]string, contexts []configContext, name string, err error) {
	name = orDefault(file, configFileDefault)
	text, _, err := fileReadWithin(ctx, nil, name, name, configMaxFile)
	// --config /dev/null asks for no file at all
	if errors.Is(err, fs.ErrNotExist) && file == "" || name == os.DevNull {
		return nil, nil, name, nil
	}
	if err != nil {
		return nil, nil, name, fmt.Errorf("read configuration %s: %w", name, pathCause(err))
	}
	f := configParse(name, text)
	if len(f.faults) > 0 {
		return nil, nil, name, f.faults[0]
	}
	return f.values, f.contexts, name, nil
}

// configFaultsMost is how many faults of a file are noted; further ones are dropped.
const configFaultsMost = 100

// configText is what a configuration file says.
type configText struct {
	name     string
	values   map[string]string
	at       map[string]*yaml.Node // where the values stand
	contexts []configContext       // by name
	faults   []workflowFault
}

// fault notes a fault.
func (f *configText) fault(at *yaml.Node, format string, args ...any) {
	if len(f.faults) < configFaultsMost {
		f.faults = append(f.faults, workflowFault{File: f.name, Line: at.Line, Col: at.Column,
			Message: fmt.Sprintf(format, args...)})
	}
}

// configParse reads the text of a configuration file.
func configParse(name string, text []byte) *configText {
	f := &configText{name: name, values: map[string]string{}, at: map[string]*yaml.Node{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		f.faults = append(f.faults, *workflowSyntax(name, text, err))
		return f
	}
	if len(doc.Content) == 0 {
		return f
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		f.fault(doc.Content[0], "want lines of `key: value`")
		return f
	}
	f.twice(&doc)
	for i := 0; i+1 < len(doc.Content[0].Content); i += 2 {
		key, value := doc.Content[0].Content[i], doc.Content[0].Content[i+1]
		if key.Value == "contexts" {
			f.readContexts(value)
			continue
		}
		if !configKnown(key.Value) {
			near := nearHint(strings.ReplaceAll(key.Value, "-", "_"), configNames())
			f.fault(key, "unknown setting %q%s", textHead(key.Value, cliEchoMost),
				orDefault(near, " (cdktr config lists them)"))
			continue
		}
		text, err := configScalar(value, key.Value == "labels" || key.Value == "pools")
		if err != nil {
			f.fault(value, "%s: %v", key.Value, err)
			continue
		}
		f.values[key.Value], f.at[key.Value] = text, value
	}
	return f
}

// twice refuses a map that has a key twice, since one of the two would be passed over.
func (f *configText) twice(n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for i, child := range n.Content {
		f.twice(child)
		if n.Kind != yaml.MappingNode || i%2 != 0 {
			continue
		}
		if was := first[child.Value]; was != nil {
			f.fault(child, "key %q is here a second time: the first is on line %d, column %d", child.Value, was.Line,
				was.Column)
		}
		first[child.Value] = child
	}
}

// readContexts reads the contexts, each NAME: {principal: ENDPOINT, credential: FILE}.
func (f *configText) readContexts(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.fault(n, "contexts: want lines of `NAME: {principal: ENDPOINT, credential: FILE}`")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, fields := n.Content[i], n.Content[i+1]
		k := configContext{Name: name.Value}
		if k.Name == "" || strings.ContainsAny(k.Name, " \t\n") || fields.Kind != yaml.MappingNode {
			f.fault(name, "contexts: %q: want `NAME: {principal: ENDPOINT, credential: FILE}`", k.Name)
			continue
		}
		for j := 0; j+1 < len(fields.Content); j += 2 {
			field, value := fields.Content[j], fields.Content[j+1]
			into := map[string]*string{"principal": &k.Principal, "credential": &k.Credential}[field.Value]
			if into == nil || value.Kind != yaml.ScalarNode {
				f.fault(field, "contexts: %s: %q is neither principal: ENDPOINT nor credential: FILE", k.Name,
					field.Value)
				continue
			}
			*into = value.Value
			f.at["contexts."+k.Name+"."+field.Value] = value
		}
		if k.Principal == "" && k.Credential == "" {
			f.fault(name, "contexts: %s: it says neither where the principal is nor with which credential", k.Name)
			continue
		}
		f.contexts = append(f.contexts, k)
	}
	sort.Slice(f.contexts, func(i, j int) bool { return f.contexts[i].Name < f.contexts[j].Name })
}

func configKnown(name string) bool { return slices.Contains(configNames(), name) }

// configNames lists what may stand at the top of the file.
func configNames() []string {
	names := []string{"contexts"}
	for i := range configKeys {
		names = append(names, configKeys[i].name)
	}
	return names
}

// configScalar gives a value as text. With pairs the value may also be a map: its text is then k=v,k=v.
func configScalar(n *yaml.Node, pairs bool) (string, error) {
	switch {
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.MappingNode && pairs:
		var parts []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Kind != yaml.ScalarNode || n.Content[i+1].Kind != yaml.ScalarNode {
				return "", errors.New("want lines of `name: value`")
			}
			parts = append(parts, n.Content[i].Value+"="+n.Content[i+1].Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("want a single value")
}
