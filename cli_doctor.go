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
	Text  string `json:"text"`
}

// doctor is one look at a box.
type doctor struct {
	c        *cli
	now      time.Time
	findings []doctorFinding

	endpoint string // where a principal has answered, "" where none has
	told     string // the state folder that it has told, "" where it has not
	pid      int    // its process, 0 where that is not known
}

// doctorVerb is the entry of `doctor`.
func doctorVerb() cliVerb {
	return cliVerb{name: "doctor",
		help: "say how this box is: principal, agents, state folder, disk, bytes written a day, time zone, clock",
		run:  doDoctor,
		more: `
It prints one line for each thing: ok, warn, or bad. Exit codes: 0 nothing is bad, 1 something is.`,
		flags:    func(f *cliFlags) { f.setting("state", "the state folder `DIR`") },
		examples: []string{"cdktr doctor", "cdktr doctor --json | jq -r 'select(.state != \"ok\") | .text'"}}
}

// doDoctor carries out the verb.
func doDoctor(ctx context.Context, c *cli, args []string) error {
	d := &doctor{c: c, now: time.Now()}
	d.say("program", doctorOK, "cdktr %s, %s, %s/%s", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
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
	if tz := c.getenv("TZ"); zoneWrong(tz) {
		d.say("timezone", doctorWarn, "TZ=%s names no time zone that is known: UTC is the local time here; write it "+
			"as Europe/London", tz)
	} else {
		d.say("timezone", doctorOK, "%s is that of this shell; a principal says its own when it starts",
			zoneName(time.Local))
	}
	if clockUnset() {
		d.say("clock", doctorWarn, "%s; nothing has set it since the machine started, as far as the kernel was "+
			"told: does NTP run?", stampOf(d.now).Format(stampLayout))
	} else {
		d.say("clock", doctorOK, "%s", stampOf(d.now).Format(stampLayout))
	}
	return d.print()
}

// say notes a finding.
func (d *doctor) say(what, state, format string, args ...any) {
	d.findings = append(d.findings, doctorFinding{what, state, fmt.Sprintf(format, args...)})
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
			_, err = fmt.Fprintln(p.w, p.paint(look.color, look.text)+"  "+p.paint("", text))
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
	var exit *exitError
	switch {
	case errors.As(err, &exit) && exit.code == exitNotAllowed:
		d.say("principal", doctorBad, "%v: %s", err, exit.hint)
		return
	case err != nil:
		d.say("principal", doctorBad, "%v", err)
		return
	}
	d.endpoint, d.told, d.pid = conn.endpoint, r.Folder, int(conn.conn.Peer().PID)
	switch {
	case r.Version != programVersion():
		d.say("principal", doctorWarn, "%s answers; it is version %s, and this one is %s", conn.endpoint, r.Version,
			programVersion())
	default:
		d.say("principal", doctorOK, "%s answers, %s after it was called", conn.endpoint,
			time.Since(began).Round(10*time.Microsecond))
	}
	agents, lost := 0, []string(nil)
	if conn.askAll(ctx, Request{Op: "agents"}, func(r *Reply) error {
		for _, a := range r.Agents {
			agents++
			if a.State == agentLost {
				lost = append(lost, a.Name)
			}
		}
		return nil
	}) == nil {
		d.count("agents", "agent", agents, lost, "lost", "none: runs wait until there is one")
	}
	if r, err := conn.ask(ctx, Request{Op: "attention", N: protoNone}); err == nil {
		d.alarm(ctx, r.Alarm)
	}
	r, err = conn.ask(ctx, Request{Op: "ls"})
	if err == nil {
		var broken []string
		for _, w := range r.Workflows {
			if w.Error != "" {
				broken = append(broken, w.Workflow)
			}
		}
		if r.Note != "" {
			d.say("workflows", doctorBad, "%s", r.Note)
		}
		d.count("workflows", "workflow", len(r.Workflows), broken, "whose file does not load",
			"none: the folder has no file that loads")
	}
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
		d.say("alarm", doctorBad, "%s", text)
	case missing != "":
		d.say("alarm", doctorWarn, "the shell of this user does not find %q: cdktr attention --test-alarm tries it",
			missing)
	default:
		d.say("alarm", doctorOK, "%s", text)
	}
}

// count says how many of a kind there are, and which are not well.
func (d *doctor) count(what, thing string, n int, unwell []string, how, none string) {
	switch {
	case n == 0:
		d.say(what, doctorWarn, "%s", none)
	case len(unwell) == 0:
		d.say(what, doctorOK, "%s", countText(n, thing))
	default:
		names, more := unwell, ""
		if len(unwell) > doctorNames {
			names, more = unwell[:doctorNames], " and more"
		}
		d.say(what, doctorWarn, "%s, %d %s: %s%s", countText(n, thing), len(unwell), how, strings.Join(names, ", "),
			more)
	}
}

// folder looks at the state folder, the disk that it is on, and what is written to it.
func (d *doctor) folder(dir string) {
	root, err := os.OpenRoot(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.told != "":
		d.say("state", doctorWarn, "the principal keeps it in %s, which is not there as seen from here: does it run "+
			"in a container?", dir)
		return
	case errors.Is(err, fs.ErrNotExist):
		d.say("state", doctorWarn, "%s is not there: nothing keeps its state on this box, or it is named with --state",
			dir)
		return
	case errors.Is(err, fs.ErrPermission) && d.told != "":
		d.say("state", doctorWarn, "%s is the principal's, and this user may not look into it, nor see its disk: "+
			"sudo cdktr doctor", dir)
		return
	case err != nil:
		d.say("state", doctorBad, "%v", err)
		return
	}
	defer root.Close()
	files := storeFilesOf(root, true)
	holder, state := "nobody holds it", doctorOK
	var h storeHolder
	if f, err := diskOpenIn(root, "lock", os.O_RDONLY); err == nil {
		h = storeHolderOf(f)
		if h.PID > 0 && !storeHolderGone(f) {
			holder = storeHeldBy(f)
		}
		f.Close()
	}
	if d.pid > 0 && h.PID != d.pid {
		holder, state = fmt.Sprintf("%s, and it is process %d that answered: that one keeps its state elsewhere, or "+
			"counts processes otherwise (a container)", holder, d.pid), doctorWarn
	}
	err = unix.Access(dir, unix.W_OK)
	// another user's principal may write where this one may not
	if err != nil && !(d.told != "" && errors.Is(err, fs.ErrPermission)) {
		d.say("state", doctorBad, "%s cannot be written to: %v; %s", dir, err, holder)
	} else {
		d.say("state", state, "%s; %s", dir, holder)
	}
	for _, doubt := range authDoubts(dir) {
		d.say("keys", doctorWarn, "%s: %s", path.Join(dir, doubt.file), doubt.text)
	}
	d.disk(&files)
	d.writes(&files)
}

// disk says how much room there is, and whether that is enough for the output and history that may be kept.
func (d *doctor) disk(files *storeFiles) {
	f, err := files.open(".", os.O_RDONLY)
	if err != nil {
		return
	}
	defer f.Close()
	free, err := diskFree(f)
	if err != nil {
		d.say("disk", doctorWarn, "%v", err)
		return
	}
	kept, _ := doctorSize(files, "logs", "")
	history, _ := doctorSize(files, historyFolder, "")
	kept += history
	_, err = files.root.Stat("reserve")
	_, snapshot := files.root.Stat(storeSnapshot)
	text := fmt.Sprintf("%s are free; output and history take %s", doctorBytes(free), doctorBytes(kept))
	bound, _ := parseSize(d.c.cfg.get("retain_bytes"))
	switch {
	case free < diskLeave:
		d.say("disk", doctorBad, "%s: output is dropped; make room", text)
	case free < doctorLow:
		d.say("disk", doctorWarn, "%s: that is little", text)
	case errors.Is(err, fs.ErrNotExist) && snapshot == nil:
		d.say("disk", doctorWarn, "%s; the reserve of 1 MiB was used: the disk was full", text)
	case bound > kept+free:
		d.say("disk", doctorWarn, "%s; there is not room for the %s that may be kept: set retain_bytes", text,
			doctorBytes(bound))
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
