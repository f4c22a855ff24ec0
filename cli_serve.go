// cli_serve.go: the verbs that start something: a principal, an agent, or, for `run FILE`, both within this process.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

func agentFlags(f *cliFlags) {
	f.setting("state", "`DIR` for what must survive a restart")
	f.setting("name", "`NAME` of the agent (default: the machine's)")
	f.setting("capacity", "`N` runs at once (default: one a core)")
	f.setting("grace", "time between TERM and KILL (default 10s)")
	f.setting("drain_timeout", "how long a stop waits for runs (default 1m)")
	f.setting("log_level", serveLevelsText+" (default info)")
	f.Var(&f.labels, "label", "a label `K=V` that workflows can ask for; may be given again")
}

// startPrincipalVerb is the entry of `start principal`.
func startPrincipalVerb() cliVerb {
	return cliVerb{name: "start principal", help: "schedule the workflows of a folder, queue runs, keep their state",
		run: doStartPrincipal, rereads: true,
		more: `
With --with-agent this process executes the runs as well: one box needs no more. TERM stops it: it waits for the runs
of its agent up to the drain timeout, then stops them. A second TERM kills what is left of them and ends the process
within 5 seconds; a third ends it at once. Without a terminal, HUP makes it read the workflows folder and the keys
again.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.withAgent, "with-agent", false, "execute runs in this process too")
			f.BoolVar(&f.noSched, "no-scheduler", false, "fire nothing by schedule")
			f.setting("workflows", "`DIR` of workflow files (default workflows)")
			f.BoolVar(&f.compatPorts, "compat-ports", false,
				"with --insecure: the ports 5562 and 5563 too, where CDKTR's own programs send and fetch output")
			f.setting("socket", "`PATH` of the socket for clients and agents")
			f.setting("retain_age", "how long output and history are kept (default 90d)")
			f.setting("retain_runs", "`N` runs of each workflow are kept (default 1000)")
			f.setting("retain_bytes", "`SIZE` that output and history may have (default 512M)")
			f.setting("alarm", "`COMMAND` that is told what needs attention (default: none)")
			f.setting("alarm_delay", "how long the alarm waits for more to tell at once (default 1m)")
			f.setting("alarm_repeat", "after which the alarm tells again what is still there, 0 is never (default 6h)")
			f.setting("metrics_file", "keep metrics in `FILE`, for node_exporter (default: none)")
			f.setting("max_connections", "`N` may be connected, a few of them no agents (default 8192)")
			f.setting("wait_for_clock", "fire nothing before something has set the clock, for at most "+
				"`DURATION` (default 0: do not wait)")
			f.setting("timezone", "`ZONE` of schedules that name none (default: the machine's)")
			f.Func("pool", "a pool and its places, as `NAME=N`; may be given again (default: 1 each)",
				func(text string) error {
					f.set["pools"] = strings.TrimPrefix(f.set["pools"]+","+text, ",")
					return nil
				})
			f.setting("socket_group", "`GROUP` whose members may use the socket too")
			f.Func("bind", "listen on `tcp://ADDR:PORT` too, for those with a key; may be given again",
				func(text string) error {
					f.set["bind"] = strings.TrimPrefix(f.set["bind"]+","+text, ",")
					return nil
				})
			agentFlags(f)
		},
		examples: []string{
			"cdktr start principal --with-agent",
			"cdktr start principal --workflows /etc/cdktr/workflows --state /var/lib/cdktr",
			"cdktr start principal --bind tcp://0.0.0.0:5561",
			"cdktr start principal --with-agent --no-scheduler",
		}}
}

// startAgentVerb is the entry of `start agent`.
func startAgentVerb() cliVerb {
	return cliVerb{name: "start agent", help: "take runs from a principal and execute them",
		run: doStartAgent, rereads: true, flags: agentFlags,
		more: `
TERM stops it: it waits for its runs up to the drain timeout, then stops them. A second TERM kills what is left of them
and ends the process within 5 seconds; a third ends it at once. Without a terminal, HUP makes it read its credential
again.`,
		examples: []string{
			"cdktr start agent",
			"cdktr start agent --credential edge-07.cred",
			"cdktr start agent --principal ssh://hub --name edge-07 --label site=london --capacity 4 --state " +
				"/var/lib/cdktr-agent",
		}}
}

// zone loads the time zone of schedules that name none.
func (c *cli) zone() (*time.Location, error) {
	name := c.cfg.get("timezone")
	zone, err := zoneLoad(name)
	if err != nil {
		return nil, usageError("timezone: %w: write it as Europe/London, or UTC%s", err,
			nearMeans(workflowZoneMeant(name)))
	}
	return zone, nil
}

// retainLimits reads how much output and history are kept.
func (c *cli) retainLimits() (retainLimits, error) {
	age, err := c.cfg.duration("retain_age")
	if err != nil {
		return retainLimits{}, err
	}
	runs, err := strconv.Atoi(c.cfg.get("retain_runs"))
	if err != nil || runs < 0 || runs > 1_000_000_000 {
		return retainLimits{}, usageError("retain_runs: want a number of runs, not %q", c.cfg.get("retain_runs"))
	}
	bytes, err := parseSize(c.cfg.get("retain_bytes"))
	if err != nil {
		return retainLimits{}, usageError("retain_bytes: %w", err)
	}
	return retainLimits{Age: age, Runs: runs, Bytes: bytes}, nil
}

// alarmSettings reads the alarm, whose command gets the environment of this process.
func alarmSettings(c *cli) (set alarmConfig, err error) {
	set = alarmConfig{Command: strings.TrimSpace(c.cfg.get("alarm")), Environ: taskEnviron(c.environ)}
	if strings.ContainsRune(set.Command, 0) {
		return set, usageError("alarm: the command has a NUL byte in it")
	}
	if dir := c.getenv("CREDENTIALS_DIRECTORY"); dir != "" { // systemd's, for this process and so for its alarm
		set.Environ = append(set.Environ, "CREDENTIALS_DIRECTORY="+dir)
	}
	set.Host, err = os.Hostname()
	if err != nil {
		set.Host = "this machine"
	}
	set.Delay, err = c.cfg.duration("alarm_delay")
	if err != nil {
		return set, err
	}
	set.Repeat, err = c.cfg.duration("alarm_repeat")
	switch {
	case err != nil:
		return set, err
	case set.Delay < 0 || set.Delay > alarmDelayMost:
		return set, usageError("alarm_delay: %s is too long: at most %s", Duration(set.Delay), Duration(alarmDelayMost))
	case set.Repeat != 0 && set.Repeat < alarmRepeatMin:
		return set, usageError("alarm_repeat: %s is too short: at least %s, or 0 for never", Duration(set.Repeat),
			Duration(alarmRepeatMin))
	}
	return set, nil
}

// agentConfig reads what an agent is started with, except for its connection.
func (c *cli) agentConfig(log *slog.Logger) (agentConfig, error) {
	capacity, err := strconv.Atoi(c.cfg.get("capacity"))
	if err != nil || capacity < 1 || capacity > 10_000 {
		return agentConfig{}, usageError("capacity: want a number from 1 to 10000, not %q", c.cfg.get("capacity"))
	}
	grace, err := c.cfg.duration("grace")
	if err != nil {
		return agentConfig{}, err
	}
	drain, err := c.cfg.duration("drain_timeout")
	if err != nil {
		return agentConfig{}, err
	}
	labels := pairsFlag{}
	for _, pair := range strings.FieldsFunc(c.cfg.get("labels"), func(r rune) bool { return r == ',' }) {
		if err := labels.Set(strings.TrimSpace(pair)); err != nil {
			return agentConfig{}, usageError("labels: %w", err)
		}
	}
	for k, v := range c.flags.labels {
		labels[k] = v
	}
	if size := protoSize(labels); size > protoMaxLabels {
		return agentConfig{}, usageError("labels: they have %d bytes as JSON and may have %d", size, protoMaxLabels)
	}
	state, err := filepath.Abs(c.cfg.get("state"))
	if err != nil {
		return agentConfig{}, fmt.Errorf("find state folder: %w", err)
	}
	return agentConfig{
		Name: c.cfg.get("name"), Labels: labels, Capacity: capacity, Credentials: c.getenv("CREDENTIALS_DIRECTORY"),
		StateDir: state, Environ: taskEnviron(c.environ), Log: log,
		Grace: grace, DrainTimeout: drain,
		Boot: serveBoot(c.getenv), now: time.Now, count: clockCount(), load: loadAverage,
	}, nil
}

// taskEnviron is the part of this process's environment that tasks inherit: all but the variables that systemd sets for
// this process alone.
func taskEnviron(environ []string) []string {
	var kept []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
			"JOURNAL_STREAM", "INVOCATION_ID", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY",
			serveBootEnv:
			continue
		}
		kept = append(kept, kv)
	}
	return kept
}

// serveBootEnv is the variable in which a unit hands us the name of this boot, as systemd writes it.
const serveBootEnv = "CDKTR_BOOT"

// serveBoot names this boot of the machine, in the kernel's way of writing it.
func serveBoot(getenv func(string) string) string {
	id := getenv(serveBootEnv)
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return clockBoot()
	}
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// principalConfig reads what a principal is started with, and how long its schedules may wait for the clock.
func (c *cli) principalConfig(log *slog.Logger) (cfg principalConfig, wait time.Duration, err error) {
	cfg = principalConfig{dialect: compatNew, StateDir: c.cfg.get("state"), NoScheduler: c.flags.noSched,
		Boot: serveBoot(c.getenv), Log: log, Environ: taskEnviron(c.environ),
		load: loadAverage, elapsed: clockElapsed(), follow: clockFollow}
	cfg.Zone, err = c.zone()
	if err != nil {
		return cfg, 0, err
	}
	cfg.Retain, err = c.retainLimits()
	if err != nil {
		return cfg, 0, err
	}
	cfg.Pools, err = c.cfg.pools()
	if err != nil {
		return cfg, 0, err
	}
	cfg.Alarm, err = alarmSettings(c)
	if err != nil {
		return cfg, 0, err
	}
	if file := c.cfg.get("metrics_file"); file != "" {
		cfg.MetricsFile, err = filepath.Abs(file)
		if err != nil {
			return cfg, 0, fmt.Errorf("find metrics file: %w", err)
		}
	}
	wait, err = c.cfg.duration("wait_for_clock")
	return cfg, wait, err
}

// ownState refuses to start a daemon as root in the state folder of another user: it would do that user's work as root,
// with files that the user can exchange meanwhile. It logs who else can get at the folder. A folder that is not there
// yet will be ours.
func (c *cli) ownState(dir string, log *slog.Logger) error {
	o, err := ownerOf(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case o != nil && o.foreign():
		return &exitError{code: exitRefused,
			err: fmt.Errorf("state folder %s belongs to %s, and this is root: it would do that user's work as root, "+
				"and leave files that the user cannot read", dir, ownerName(o.uid)),
			hint: fmt.Sprintf("start it as that user (by its unit, or sudo -u %s cdktr start …), name another "+
				"folder with --state, or make this one root's: chown -R root: %s", o.user(), dir)}
	case errors.Is(err, errOwnerPath):
		log.Warn("state folder", "cause", err)
	case err != nil:
		return fmt.Errorf("open state folder: %w", err)
	}
	for _, doubt := range authDoubts(dir) {
		log.Warn("state folder", "file", filepath.Join(dir, doubt.file), "cause", doubt.text)
	}
	return nil
}

// serving changes the settings to those of a principal. The state folder gets a full path, because the directory in
// which this process works may be replaced.
func (c *cli) serving() error {
	c.cfg = c.cfg.serving(c.getenv)
	state, err := filepath.Abs(c.cfg.get("state"))
	if err != nil {
		return fmt.Errorf("find state folder: %w", err)
	}
	c.cfg = c.cfg.with("state", state, c.cfg.values["state"].From)
	return nil
}

// doStartPrincipal serves until it is told to stop.
func doStartPrincipal(ctx context.Context, c *cli, args []string) error {
	began := time.Now()
	if err := c.serving(); err != nil {
		return err
	}
	log, err := c.logger()
	if err != nil {
		return err
	}
	agentCfg, err := c.agentConfig(log)
	if err != nil {
		return err
	}
	cfg, wait, err := c.principalConfig(log)
	if err != nil {
		return err
	}
	if tz := c.getenv("TZ"); zoneWrong(tz) {
		log.Warn("TZ names no time zone that is known: UTC is the local time instead", "TZ", tz)
	}
	folder := newWorkflowFolder(c.cfg.get("workflows"))
	if err := c.ownState(cfg.StateDir, log); err != nil {
		return err
	}
	notify := c.notify(log)
	defer notify.close()
	cfg.tell, cfg.pulse = func(runs, queued int) { notify.tell(runs, queued, "") }, notify.pulse()
	cfg.timer, cfg.turned = wakeTimerNew, processorsByNeed(c.getenv)
	p, err := principalOpen(cfg)
	if err != nil {
		return err
	}
	p.timetable.held = wait > 0 && clockUnset()
	doors, err := c.openDoors(log, p.notes)
	if err != nil {
		return errors.Join(err, p.store.close())
	}
	p.cfg.Keys, p.cfg.Listening, p.cfg.Folder, folder.zone = doors.keys, doors.addresses(), folder, cfg.Zone
	changed := c.firstScan(ctx, folder, p)
	c.settle()
	h := newHost(p)
	h.doors = doors
	doors.serve(h.ctx, &h.group, p)
	if p.timetable.held {
		log.Info("nothing fires before the clock is set", "at_most", wait.String())
		h.group.Go(func() {
			set := clockAwait(h.ctx, wait, clockUnset)
			log.Info("schedules begin", "clock_is_set", set)
			p.call(p.timetable.begin)
		})
	}
	h.group.Go(func() {
		runWorkflowWatch(h.ctx, folder, func(changed []workflowFile, removed []string) {
			p.call(func() { p.setFiles(changed, removed) })
		}, func(err error) { log.Warn("watch workflows", "cause", err) })
	})
	if c.flags.withAgent {
		agentCfg.pulse = notify.pulse()
		if err := h.startAgent(ctx, agentCfg, c.hurry); err != nil {
			return errors.Join(err, h.stop())
		}
	}
	log.Info("ready", "workflows", len(changed), "listening", strings.Join(doors.addresses(), " "), "state",
		c.cfg.get("state"), "timezone", zoneName(cfg.Zone), "in", time.Since(began).Round(time.Millisecond).String())
	notify.ready()
	collectByNeed()
	h.group.Go(func() {
		runReload(h.ctx, c.hangups, notify, func() {
			h.reloadPools(c, log)
			h.reload(folder, log)
		})
	})
	select {
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx).Error())
	case <-p.ended:
	}
	notify.stop()
	return h.stop()
}

// firstScan gives the principal the workflows of the folder, before its loop runs.
func (c *cli) firstScan(ctx context.Context, folder *workflowFolder, p *principal) []workflowFile {
	changed, removed, err := folder.scan(ctx)
	if err != nil && ctx.Err() == nil {
		p.cfg.Log.Warn("no workflows", "cause", err)
	}
	p.setFiles(changed, removed)
	folder.onFault = p.stir
	return changed
}

// notify opens the way to systemd, where systemd wants to hear how the service is.
func (c *cli) notify(log *slog.Logger) *serveNotify {
	n, err := serveNotifyOpen(c.getenv)
	if err != nil {
		log.Warn("systemd hears nothing", "cause", err)
	}
	n.log = log
	return n
}

// host is a principal, and perhaps an agent, within this process.
type host struct {
	p      *principal
	ctx    context.Context // for everything but the agent
	cancel context.CancelFunc
	group  sync.WaitGroup // everything but the agent
	err    error          // of the principal's loop
	doors  *serveDoors    // nil where nobody can connect from outside

	agent     sync.WaitGroup
	stopAgent context.CancelFunc
	agentErr  error
}

// newHost starts the principal's loop.
func newHost(p *principal) *host {
	h := &host{p: p, stopAgent: func() {}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.group.Go(func() { h.err = p.runPrincipal(h.ctx) })
	return h
}

// connect connects to the principal within this process.
func (h *host) connect() wireConn {
	ours, theirs := wirePipe()
	h.group.Go(func() { h.p.runPeer(theirs) })
	return ours
}

// startAgent starts an agent of this principal. The agent drains when ctx ends, and kills its tasks when hurry is
// closed.
func (h *host) startAgent(ctx context.Context, cfg agentConfig, hurry <-chan struct{}) error {
	cfg.Dial = func(context.Context) (wireConn, error) { return h.connect(), nil }
	a, err := agentOpen(cfg)
	if err != nil {
		return err
	}
	ctx, h.stopAgent = context.WithCancel(ctx)
	h.agent.Go(func() { h.agentErr = a.runAgent(ctx, hurry) })
	return nil
}

// stop ends the agent first, since the principal takes its last reports, and then the principal.
func (h *host) stop() error {
	h.stopAgent()
	h.agent.Wait()
	h.cancel()
	h.group.Wait()
	err := errors.Join(h.err, h.agentErr)
	if h.doors != nil {
		err = errors.Join(err, errors.Join(h.doors.errs...))
	}
	return err
}

// doStartAgent serves a principal in another process until it is told to stop.
func doStartAgent(ctx context.Context, c *cli, args []string) error {
	log, err := c.logger()
	if err != nil {
		return err
	}
	cfg, err := c.agentConfig(log)
	if err != nil {
		return err
	}
	unsettled := *c // for a reload: dialTo puts what the credential says into the settings
	unsettled.cfg = c.cfg.copy()
	target, err := c.dialTo(ctx, true)
	if err != nil {
		return err
	}
	cfg.Name, err = agentNameOf(c.cfg.values["name"], target)
	if err != nil {
		return err
	}
	if err := c.ownState(cfg.StateDir, log); err != nil {
		return err
	}
	notify := c.notify(log)
	defer notify.close()
	cfg.tell, cfg.pulse = notify.agent, notify.pulse()
	cfg.timer, cfg.turned = wakeTimerNew, processorsByNeed(c.getenv)
	dialer := &serveDialer{target: target, waits: diskWaitsNew()}
	cfg.Dial = dialer.dial
	a, err := agentOpen(cfg)
	if err != nil {
		return err
	}
	c.settle()
	log.Info("agent starts", "name", cfg.Name, "capacity", cfg.Capacity, "principal", target.endpoint)
	notify.ready()
	collectByNeed()
	defer notify.stop() // waits for the other call, if that has begun
	defer context.AfterFunc(ctx, notify.stop)()
	reload, ended := context.WithCancel(context.Background())
	defer ended()
	go runReload(reload, c.hangups, notify, func() { dialer.reload(reload, &unsettled, a) })
	return a.runAgent(ctx, c.hurry)
}
