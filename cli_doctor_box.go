// cli_doctor_box.go: what doctor finds out about this box: why the principal cannot be reached, the file system of the
// state, the bounds of the principal's process, and the unit that started it.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	doctorSpecs   = 200      // how many workflows are looked into for labels, users and limits; others are not
	doctorInodes  = 1000     // with fewer free inodes, a warning
	doctorFiles   = 1024     // the fewest open files that are enough without a warning
	doctorWatches = 8192     // the same for watches of files
	doctorInsts   = 64       // and for those who watch
	doctorFuture  = 1 * 60   // seconds by which an event may be in the future
	doctorUnit    = 64 << 10 // bytes of a unit; a larger one is not read
)

// doctorBox is where doctor looks; a test has other places.
type doctorBox struct {
	proc   string   // /proc
	linger string   // the folder with a file for each user who lingers
	units  []string // folders of units, the first that has one wins
	disk   func(*os.File) (diskFacts, error)
	unset  func() bool // nothing has set the clock
}

// doctorBoxOf gives the places of this box.
func doctorBoxOf() doctorBox {
	return doctorBox{proc: "/proc", linger: "/var/lib/systemd/linger", units: []string{"/etc/systemd/system",
		"/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"},
		disk: diskFactsOf, unset: clockUnset}
}

// unreached gives the code of the fault that keeps the principal from answering.
func (d *doctor) unreached(err error) string {
	endpoint := d.c.cfg.get("principal")
	var exit *exitError
	var name *net.DNSError
	var timeout net.Error
	denied := errors.As(err, &exit) && exit.code == exitNotAllowed
	switch file, local := strings.CutPrefix(endpoint, "ipc://"); {
	case local:
		info, err := os.Stat(file)
		return d.socketLook(err, info, denied)
	case denied:
		return "key-unknown"
	case exit != nil && exit.code == exitUsage:
		return "key-missing"
	case strings.Contains(err.Error(), errCurveHello.Error()):
		return "key-server"
	case errors.As(err, &name):
		return "principal-name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "principal-refused"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETUNREACH), errors.As(err, &timeout) && timeout.Timeout():
		return "principal-silent"
	}
	return "principal-fault"
}

// socketLook gives the code for a socket that does not answer, by what a look at its file gave. denied: the principal
// or the kernel has refused this user.
func (d *doctor) socketLook(err error, info fs.FileInfo, denied bool) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "socket-folder"
	case err != nil:
		return "principal-absent"
	case denied:
		return "socket-denied"
	case info.Mode()&fs.ModeSocket != 0:
		return "socket-stale"
	}
	return "principal-fault"
}

// agents says which agents are not well. version is the principal's.
func (d *doctor) agents(agents []*Agent, version string) {
	var lost, other, off []string
	for _, a := range agents {
		switch {
		case a.State == agentLost:
			lost = append(lost, a.Name)
			continue
		case a.Version != version:
			other = append(other, a.Name+" "+a.Version)
		}
		if a.Skew != 0 {
			off = append(off, fmt.Sprintf("%s %+.0f s", a.Name, a.Skew))
		}
	}
	d.few("agents", "agent", len(agents), []doctorUnwell{{"agents-lost", "lost", lost},
		{"agents-version", "of another version", other}, {"agents-clock", "whose clock is off", off}}, "agents-none")
}

// doctorUnwell is the things of a kind that have one fault.
type doctorUnwell struct {
	code, how string
	names     []string
}

// few says how many things of a kind there are, and which have faults. none is the code where there are none.
func (d *doctor) few(what, thing string, n int, unwell []doctorUnwell, none string) {
	if n == 0 {
		d.fault(none, "none")
		return
	}
	well := true
	for _, u := range unwell {
		if len(u.names) == 0 {
			continue
		}
		well = false
		names := u.names[:min(len(u.names), doctorNames)]
		d.fault(u.code, "%s, %d %s: %s", countText(n, thing), len(u.names), u.how, restoreFew(names, len(u.names)))
	}
	if well {
		d.say(what, doctorOK, "%s", countText(n, thing))
	}
}

// workflows asks for workflows, and for what they want of agents.
func (d *doctor) workflows(ctx context.Context, conn *client, agents []*Agent) {
	r, err := conn.ask(ctx, Request{Op: "ls"})
	if err != nil {
		return
	}
	peer := conn.conn.Peer()
	rootless := len(agents) == 1 && peer.HasCred && peer.UID != 0 && agents[0].Address == ""
	d.judge(r, agents, rootless, func(id string) *Workflow {
		if r, err := conn.ask(ctx, Request{Op: "show", Workflow: id}); err == nil {
			return r.Spec
		}
		return nil
	})
}

// judge says which workflows of a list are not well. rootless: the only agent is not root's. show gives what one says,
// nil where that is not known.
func (d *doctor) judge(r *Reply, agents []*Agent, rootless bool, show func(id string) *Workflow) {
	if r.Note != "" {
		d.fault("workflows-folder", "%s", r.Note)
	}
	var broken, never, labels, users []string
	for i, w := range r.Workflows {
		if w.Error != "" {
			broken = append(broken, w.Workflow)
			continue
		}
		occasion := slices.ContainsFunc(w.Schedule, func(s string) bool { return s == cronReboot || s == cronStart })
		if len(w.Schedule) > 0 && w.Next.IsZero() && w.Paused == "" && !occasion {
			never = append(never, w.Workflow)
		}
		if i >= doctorSpecs {
			continue
		}
		spec := show(w.Workflow)
		if spec == nil {
			continue
		}
		user, fits := spec.User, doctorFits(spec.Agent, agents)
		d.limits = d.limits || spec.Limits != nil
		for j := range spec.Tasks {
			t := &spec.Tasks[j]
			user, fits = orDefault(user, t.User), fits && doctorFits(t.Agent, agents)
			d.limits = d.limits || t.Limits != nil
		}
		if !fits && len(agents) > 0 {
			labels = append(labels, w.Workflow)
		}
		if user != "" && rootless {
			users = append(users, w.Workflow)
		}
	}
	d.few("workflows", "workflow", len(r.Workflows), []doctorUnwell{
		{"workflows-broken", "whose file does not load", broken}, {"workflows-never", "that never fire", never},
		{"agents-labels", "that no agent has the labels for", labels},
		{"workflows-user", "that want another user", users}}, "workflows-none")
}

// doctorFits says whether an agent that is up has the labels.
func doctorFits(want map[string]string, agents []*Agent) bool {
	return len(want) == 0 || slices.ContainsFunc(agents, func(a *Agent) bool {
		return a.State != agentLost && labelsMatch(want, a.Labels)
	})
}

// owners looks for files of the state folder that belong to others. It does not go into folders.
func (d *doctor) owners(files *storeFiles, dir string) {
	top, err := files.root.Stat(".")
	if err != nil {
		return
	}
	uid, _ := ownerIDs(top)
	for _, folder := range []string{".", storeJournal, authFolder} {
		entries, _ := files.list(folder)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				continue
			}
			if is, _ := ownerIDs(info); is != uid {
				d.fault("state-owner", "%s belongs to %s, and the folder to %s", path.Join(dir, folder, e.Name()),
					ownerName(is), ownerName(uid))
				return
			}
		}
	}
}

// diskKind says what is wrong with the file system of the state, and with its inodes.
func (d *doctor) diskKind(facts diskFacts) {
	switch facts.kind {
	case "network", "memory", "fat":
		d.fault("state-"+facts.kind, "the state folder is on such a file system")
	}
	if facts.inodes > 0 && facts.inodesFree < doctorInodes {
		d.fault("inodes-low", "%d of %d inodes are free", facts.inodesFree, facts.inodes)
	}
}

// behind holds the clock against the newest event of the journal.
func (d *doctor) behind(files *storeFiles) {
	segments, err := files.segments()
	for i := len(segments) - 1; err == nil && i >= 0; i-- {
		first, err := doctorFirst(files, segments[i].name)
		if err != nil {
			continue // it has no event yet
		}
		if ahead := first.Sub(d.now); ahead > doctorFuture*time.Second {
			d.fault("clock-behind", "an event of the journal is of %s, and it is %s",
				stampOf(first).Format(stampLayout), stampOf(d.now).Format(stampLayout))
		}
		return
	}
}

// process looks at the bounds of the principal's process, or of this one where none has answered, and at its unit.
func (d *doctor) process() {
	self := "self"
	if d.pid > 0 {
		self = strconv.Itoa(d.pid)
	}
	if text, _, err := fileRead(filepath.Join(d.box.proc, self, "limits"), doctorUnit); err == nil {
		_, rest, _ := strings.Cut(string(text), "Max open files")
		if fields := strings.Fields(rest); len(fields) > 0 {
			if n, err := strconv.Atoi(fields[0]); err == nil && n < doctorFiles {
				d.fault("files-low", "it may have %d files open", n)
			}
		}
	}
	number := func(name string) int {
		text, _, err := fileRead(filepath.Join(d.box.proc, "sys/fs/inotify", name), 100)
		n, numeric := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || numeric != nil {
			return 1 << 30 // not known
		}
		return n
	}
	watches, insts := number("max_user_watches"), number("max_user_instances")
	if watches < doctorWatches || insts < doctorInsts {
		d.fault("inotify-low", "a user may watch %d files, by %d who watch", watches, insts)
	}
	if d.pid > 0 {
		d.unit(self)
	}
}

// unit looks at the unit whose cgroup the principal is in.
func (d *doctor) unit(pid string) {
	text, _, err := fileRead(filepath.Join(d.box.proc, pid, "cgroup"), doctorUnit)
	if err != nil {
		return
	}
	name, user := "", ""
	for _, part := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '/' || r == '\n' }) {
		if uid, ok := strings.CutPrefix(part, "user@"); ok {
			user = strings.TrimSuffix(uid, ".service")
		} else if strings.HasSuffix(part, ".service") {
			name = part
		}
	}
	if name == "" {
		return
	}
	folders := d.box.units
	if user != "" {
		uid, _ := strconv.Atoi(user)
		login := (&owner{uid: uid}).user()
		if _, err := os.Lstat(filepath.Join(d.box.linger, login)); errors.Is(err, fs.ErrNotExist) {
			d.fault("linger", "%s of %s", name, login)
		}
		folders = []string{filepath.Join(d.c.getenv("HOME"), ".config/systemd/user"), "/etc/systemd/user",
			"/usr/lib/systemd/user"}
	}
	for _, folder := range folders {
		file := filepath.Join(folder, name)
		if text, _, err := fileRead(file, doctorUnit); err == nil {
			drops, _ := filepath.Glob(file + ".d/*.conf")
			for _, drop := range drops[:min(len(drops), doctorNames)] {
				more, _, _ := fileRead(drop, doctorUnit)
				text = append(append(text, '\n'), more...)
			}
			d.unitText(file, string(text))
			return
		}
	}
}

// unitText says what is missing in a unit. Of a key that is there twice the last one counts.
func (d *doctor) unitText(file, text string) {
	if !strings.Contains(text, "start principal") {
		return
	}
	set := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			set[key] = value
		}
	}
	before := len(d.findings)
	withAgent := strings.Contains(text, "--with-agent")
	if withAgent && !slices.Contains([]string{"mixed", "process", "none"}, set["KillMode"]) {
		d.fault("unit-killmode", "%s: KillMode=%s", file, set["KillMode"])
	}
	if delegate := set["Delegate"]; withAgent && d.limits && (delegate == "" || delegate == "no") {
		d.fault("unit-delegate", "%s: Delegate=%s", file, delegate)
	}
	if restart := set["Restart"]; restart == "" || restart == "no" {
		d.fault("unit-restart", "%s: Restart=%s", file, restart)
	}
	if set["WatchdogSec"] == "" {
		d.fault("unit-watchdog", "%s: WatchdogSec=", file)
	}
	if len(d.findings) == before {
		d.say("unit", doctorOK, "%s", file)
	}
}
