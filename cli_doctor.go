// cli_doctor.go: the verbs doctor and ping. doctor prints a line for each thing that it looks at: the program, the
// principal, its agents and workflows, the state folder, its disk, the bytes written a day, the time zone and the
// clock. It changes nothing.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	doctorLow    = 64 << 20           // with fewer bytes free, a disk is worth a warning
	doctorWindow = 7 * 24 * time.Hour // the longest time over which writing is averaged
	doctorNames  = 5                  // how many things a line names; it counts the rest
)

// The states of a thing.
const (
	doctorOK   = "ok"
	doctorWarn = "warn" // it works, but maybe not for long or not for everybody
	doctorBad  = "bad"
)

// doctorFinding is one thing and how it is.
type doctorFinding struct {
	What  string `json:"what"`
	State string `json:"state"` // ok, warn, bad
	Text  string `json:"text,omitempty"`

	// of a fault, see doctorFaults
	Code  string `json:"code,omitempty"`
	Means string `json:"means,omitempty"`
	Do    string `json:"do,omitempty"`
}

// doctor is one look at a box.
type doctor struct {
	c        *cli
	now      time.Time
	box      doctorBox
	findings []doctorFinding

	endpoint string // where a principal has answered, "" where none has
	told     string // the state folder that it has told, "" where it has not
	pid      int    // its process, 0 where that is not known
	limits   bool   // a workflow has limits
}

// doctorVerb is the entry of `doctor`.
func doctorVerb() cliVerb {
	return cliVerb{name: "doctor",
		help: "say how this box is: principal, agents, state folder, disk, bytes written a day, time zone, clock",
		run:  doDoctor, unset: true,
		more: `
It prints one line for each thing: ok, warn, or bad; below a fault, in brackets its code, what it means and what to do.
Exit codes: 0 nothing is bad, 1 something is.`,
		flags: func(f *cliFlags) {
			f.setting("state", "the state folder `DIR`")
			f.BoolVar(&f.list, "list", false, "print every fault that it knows, and look at nothing")
			f.StringVar(&f.explain, "explain", "", "say what the fault of a `CODE` means, and what to do")
		},
		examples: []string{"cdktr doctor", "cdktr doctor --explain disk-low",
			"cdktr doctor --json | jq -r 'select(.state != \"ok\") | .code + \": \" + .text'"}}
}

// doDoctor carries out the verb.
func doDoctor(ctx context.Context, c *cli, args []string) error {
	if c.flags.list || c.flags.explain != "" {
		return doctorExplain(c)
	}
	d := &doctor{c: c, now: time.Now(), box: doctorBoxOf()}
	if err := d.all(ctx); err != nil {
		return err
	}
	return d.print()
}

// all looks at everything.
func (d *doctor) all(ctx context.Context) error {
	c := d.c
	d.say("program", doctorOK, "cdktr %s, %s, %s/%s", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if err := configure(ctx, c); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.fault("config-faults", "%v", err)
		if c.cfg, err = configOf(c.flags.set, nil, nil, configFileDefault, c.getenv); err != nil {
			return err
		}
	}
	d.principal(ctx)
	_, named := c.flags.set["state"]
	if named {
		d.told = ""
	}
	if d.endpoint != "" && !strings.HasPrefix(d.endpoint, "ipc:") && !named {
		d.say("state", doctorOK, "is where the principal is, which answered by %s: neither its folder nor its disk "+
			"was looked at; ask cdktr doctor there", d.endpoint)
	} else {
		d.folder(orDefault(d.told, c.cfg.get("state")))
	}
	d.process()
	tz := c.getenv("TZ")
	d.zone(tz, zoneWrong(tz))
	if d.box.unset() {
		d.fault("clock-unset", "%s; nothing has set it since the machine started, as far as the kernel was told",
			stampOf(d.now).Format(stampLayout))
	} else {
		d.say("clock", doctorOK, "%s", stampOf(d.now).Format(stampLayout))
	}
	return nil
}

// zone says by which time zone this shell goes. tz is what it was told.
func (d *doctor) zone(tz string, wrong bool) {
	if wrong {
		d.fault("timezone-unknown", "TZ=%s names no time zone that is known: UTC is the local time here", tz)
		return
	}
	d.say("timezone", doctorOK, "%s is that of this shell; a principal says its own when it starts",
		zoneName(time.Local))
}

// fault notes a fault of the table.
func (d *doctor) fault(code, format string, args ...any) {
	f := doctorFaultOf(code)
	d.findings = append(d.findings, doctorFinding{f.what, f.state, fmt.Sprintf(format, args...), f.code, f.means, f.do})
}

// say notes a finding.
func (d *doctor) say(what, state, format string, args ...any) {
	d.findings = append(d.findings, doctorFinding{What: what, State: state, Text: fmt.Sprintf(format, args...)})
}

// print prints the findings. It gives an error if one of them is bad.
func (d *doctor) print() error {
	p, bad := painterOf(d.c.out, d.c.flags.color, d.c.getenv), 0
	looks := map[string]tableCell{doctorOK: {"+ ok  ", colorGreen}, doctorWarn: {"~ warn", colorYellow},
		doctorBad: {"! bad ", colorRed}}
	for _, f := range d.findings {
		if f.State == doctorBad {
			bad++
		}
		var err error
		if d.c.flags.json {
			err = printJSON(d.c.out, f)
		} else {
			look := looks[f.State]
			text := fmt.Sprintf("%-9s  %s", f.What, f.Text)
			if f.Code != "" {
				text += " [" + f.Code + "]"
			}
			_, err = fmt.Fprintln(p.w, p.paint(look.color, look.text)+"  "+p.paint("", text))
			if err == nil && f.Code != "" {
				_, err = fmt.Fprintf(p.w, "%19s%s\n%19s> %s\n", "", f.Means, "", f.Do)
			}
		}
		if err != nil {
			return err
		}
	}
	if bad > 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("%s to be put right", countText(bad, "thing"))}
	}
	return nil
}

// principal asks the principal how it is, and for agents and workflows that are not well.
func (d *doctor) principal(ctx context.Context) {
	began := time.Now()
	conn, err := d.c.dial(ctx)
	var r *Reply
	if err == nil {
		defer conn.close()
		r, err = conn.ask(ctx, Request{Op: "ping"})
	}
	if err != nil {
		d.fault(d.unreached(err), "%v", err)
		return
	}
	d.endpoint, d.told, d.pid = conn.endpoint, r.Folder, int(conn.conn.Peer().PID)
	d.version(r.Version, time.Since(began))
	var agents []*Agent
	if conn.askAll(ctx, Request{Op: "agents"}, func(r *Reply) error {
		agents = append(agents, r.Agents...)
		return nil
	}) == nil {
		d.agents(agents, r.Version)
	}
	if r, err := conn.ask(ctx, Request{Op: "attention", N: protoNone}); err == nil {
		d.alarm(ctx, r.Alarm)
	}
	d.workflows(ctx, conn, agents)
}

// version says that the principal has answered, and whether it is of the same version.
func (d *doctor) version(theirs string, took time.Duration) {
	if theirs != programVersion() {
		d.fault("versions-differ", "%s answers; it is version %s, and this one is %s", d.endpoint, theirs,
			programVersion())
		return
	}
	d.say("principal", doctorOK, "%s answers, %s after it was called", d.endpoint, took.Round(10*time.Microsecond))
}

// alarm says how the alarm is. Where this box has the settings of the principal it looks for the command too.
func (d *doctor) alarm(ctx context.Context, info *AlarmInfo) {
	text := info.text(func(at Stamp) string { return timeText(at, d.now) })
	missing, line := "", d.c.cfg.get("alarm")
	if info != nil && line != "" && strings.HasPrefix(d.endpoint, "ipc:") {
		missing = commandMissing(ctx, line)
	}
	switch {
	case info == nil:
		d.say("alarm", doctorOK, "none is set: nobody is told of what needs attention")
	case info.Failed > 0:
		d.fault("alarm-failed", "%s", text)
	case missing != "":
		d.fault("alarm-command", "the shell of this user does not find %q", missing)
	default:
		d.say("alarm", doctorOK, "%s", text)
	}
}

// noFolder says why the state folder cannot be looked into.
func (d *doctor) noFolder(dir string, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.told != "":
		d.fault("state-missing", "the principal keeps it in %s, which is not there as seen from here: does it run "+
			"in a container?", dir)
	case errors.Is(err, fs.ErrNotExist):
		d.fault("state-missing", "%s is not there", dir)
	case errors.Is(err, fs.ErrPermission):
		d.fault("state-denied", "this user may not look into %s, nor see its disk", dir)
	default:
		d.say("state", doctorBad, "%v", err)
	}
}

// writable says whether the state folder can be written to, who holds it, and whether that is another principal than
// the one that has answered.
func (d *doctor) writable(dir string, err error, holder string, other bool) {
	switch {
	// another user's principal may write where this one may not
	case err != nil && !(d.told != "" && errors.Is(err, fs.ErrPermission)):
		d.fault("state-write", "%s cannot be written to: %v; %s", dir, err, holder)
	case other:
		d.fault("state-other", "%s; %s", dir, holder)
	default:
		d.say("state", doctorOK, "%s; %s", dir, holder)
	}
}

// folder looks at the state folder, the disk that it is on, and what is written to it.
func (d *doctor) folder(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		d.noFolder(dir, err)
		return
	}
	defer root.Close()
	files := storeFilesOf(root, true)
	holder, other := "nobody holds it", false
	var h storeHolder
	if f, err := diskOpenIn(root, "lock", os.O_RDONLY); err == nil {
		h = storeHolderOf(f)
		if h.PID > 0 && !storeHolderGone(f) {
			holder = storeHeldBy(f)
		}
		f.Close()
	}
	if d.pid > 0 && h.PID != d.pid {
		holder, other = fmt.Sprintf("%s, and it is process %d that answered: that one keeps its state elsewhere, or "+
			"counts processes otherwise (a container)", holder, d.pid), true
	}
	d.writable(dir, unix.Access(dir, unix.W_OK), holder, other)
	d.owners(&files, dir)
	for _, doubt := range authDoubts(dir) {
		d.fault("keys-doubt", "%s: %s", path.Join(dir, doubt.file), doubt.text)
	}
	d.disk(&files)
	d.behind(&files)
	d.writes(&files)
}

// disk says how much room there is, and whether that is enough for the output and history that may be kept.
func (d *doctor) disk(files *storeFiles) {
	f, err := files.open(".", os.O_RDONLY)
	if err != nil {
		return
	}
	defer f.Close()
	facts, err := d.box.disk(f)
	if err != nil {
		d.say("disk", doctorWarn, "%v", err)
		return
	}
	d.diskKind(facts)
	free := facts.free
	kept, _ := doctorSize(files, "logs", "")
	history, _ := doctorSize(files, historyFolder, "")
	kept += history
	_, err = files.root.Stat("reserve")
	_, snapshot := files.root.Stat(storeSnapshot)
	text := fmt.Sprintf("%s are free; output and history take %s", doctorBytes(free), doctorBytes(kept))
	bound, _ := parseSize(d.c.cfg.get("retain_bytes"))
	switch {
	case free < diskLeave:
		d.fault("disk-full", "%s", text)
	case free < doctorLow:
		d.fault("disk-low", "%s", text)
	case errors.Is(err, fs.ErrNotExist) && snapshot == nil:
		d.fault("disk-reserve", "%s", text)
	case bound > kept+free:
		d.fault("disk-retain", "%s; there is not room for the %s that may be kept", text, doctorBytes(bound))
	default:
		d.say("disk", doctorOK, "%s", text)
	}
}

// writes says how many bytes are written a day, by the growth of the files.
func (d *doctor) writes(files *storeFiles) {
	segments, err := files.segments()
	if err != nil || len(segments) == 0 {
		return
	}
	began, err := doctorFirst(files, segments[0].name)
	if err != nil {
		return
	}
	span, about := d.now.Sub(began), "about "
	if span < 24*time.Hour { // there is no whole day to measure yet
		span, about = 24*time.Hour, "so far "
	}
	var journal int64
	for _, seg := range segments {
		if info, err := files.root.Stat(seg.name); err == nil {
			journal += info.Size()
		}
	}
	aDay := func(n int64, over time.Duration) int64 {
		return int64(float64(n) * float64(24*time.Hour) / float64(over))
	}
	window := min(span, doctorWindow)
	output, _ := doctorSize(files, "logs", d.now.Add(-window).UTC().Format(logDayLayout))
	month := time.Date(d.now.UTC().Year(), d.now.UTC().Month()-1, 1, 0, 0, 0, 0, time.UTC)
	history, _ := doctorSize(files, historyFolder, month.Format("2006-01"))
	journal, output, history = aDay(journal, span), aDay(output, window), aDay(history, min(span, d.now.Sub(month)))
	d.say("writes", doctorOK, "%s%s a day: journal %s, output %s, history %s", about,
		doctorBytes(journal+output+history), doctorBytes(journal), doctorBytes(output), doctorBytes(history))
}

// doctorFirst gives the time of the first event in a segment of the journal.
func doctorFirst(files *storeFiles, name string) (time.Time, error) {
	f, err := files.open(name, os.O_RDONLY)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	line, err := storeReaderOf(f, 0).line()
	e := &Event{}
	if err == nil {
		err = storeDecode(line, e)
	}
	return e.Time.Time, err
}

// doctorSize sums the sizes of the files in the subfolders of a folder. It counts only names that do not sort before
// from.
func doctorSize(files *storeFiles, kind, from string) (size int64, err error) {
	folders, err := files.list(kind)
	for _, folder := range folders {
		entries, _ := files.list(path.Join(kind, folder.Name()))
		for _, e := range entries {
			if info, err := e.Info(); err == nil && e.Name() >= from {
				size += info.Size()
			}
		}
	}
	return size, err
}

// doctorBytes gives a size as people read it.
func doctorBytes(n int64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if size := float64(n) / unit.size; size >= 1 {
			return fmt.Sprintf("%.1f %s", size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// pingVerb is the entry of `ping`.
func pingVerb() cliVerb {
	return cliVerb{name: "ping", help: "see whether the principal is there", run: doPing,
		examples: []string{"cdktr ping", "cdktr ping --principal ipc:///run/cdktr/cdktr.sock"}}
}

func doPing(ctx context.Context, c *cli, args []string) error {
	began := time.Now()
	r, err := c.ask(ctx, Request{Op: "ping"})
	if err != nil {
		return err
	}
	took := time.Since(began)
	if c.flags.json {
		return printJSON(c.out, map[string]any{"principal": c.cfg.get("principal"), "version": r.Version,
			"seconds": took.Seconds(), "seq": r.Seq})
	}
	text := fmt.Sprintf("principal %s answers at %s in %s", r.Version, c.cfg.get("principal"),
		took.Round(10*time.Microsecond))
	return printText(c.out, text)
}
