// cli_doctor_table.go: every fault that doctor knows: its code, which never changes, how bad it is, what it means and
// what to do. doctor --list prints it, and docs/troubleshooting.md is made of it (TestDocsDoctor).

package main

import (
	"fmt"
	"strings"
)

// doctorFault is one fault. Texts read as sentences.
type doctorFault struct {
	code  string
	what  string // the thing: the first column
	state string // doctorWarn or doctorBad
	means string
	do    string
}

// doctorFaults is all of them, by the thing that they are of.
var doctorFaults = []doctorFault{
	{"config-faults", "config", doctorBad,
		"The configuration file has faults: no verb starts.",
		"cdktr config --check names each of them with its line."},

	{"principal-absent", "principal", doctorBad,
		"No principal has made its socket: none runs here, or it runs with another socket.",
		"systemctl status cdktr, or cdktr start principal; name its socket with --socket or CDKTR_SOCKET."},
	{"socket-stale", "principal", doctorBad,
		"The socket's file is there and nobody listens: its principal was killed, or hangs at its start.",
		"Start it again; it puts a socket of its own in the place. Its log says why it ended."},
	{"socket-denied", "principal", doctorBad,
		"The principal runs, and this user may not use its socket.",
		"Use sudo, or start the principal with --socket-group GROUP and add the user to that group (a new login " +
			"is needed)."},
	{"socket-folder", "principal", doctorBad,
		"This user cannot enter the folder of the socket, so cannot know whether there is one.",
		"Open the folder to the group of --socket-group (mode 0750), or put the socket elsewhere (--socket)."},
	{"principal-refused", "principal", doctorBad,
		"The machine answers and nobody listens at that port.",
		"Start the principal there with --bind tcp://*:PORT; ss -ltn shows what listens."},
	{"principal-silent", "principal", doctorBad,
		"Nothing comes back from that address: a firewall drops what is sent, the machine is off, or there is no " +
			"route.",
		"Open the port (5561) from here to there; only this direction is needed."},
	{"principal-name", "principal", doctorBad,
		"The name of the principal's machine cannot be resolved.",
		"Correct principal or the credential's endpoint, or write the address."},
	{"key-unknown", "principal", doctorBad,
		"The principal does not know the key of the credential: it was removed, or never authorized.",
		"On its machine: cdktr authorize --new NAME --role ROLE, and copy the file here."},
	{"key-server", "principal", doctorBad,
		"The principal has another key than the credential names: it was set up anew, or another machine answers.",
		"Put keys/ back from a backup (cdktr backup --keys), or give every client a new credential."},
	{"key-missing", "principal", doctorBad,
		"tcp:// needs a key, and no credential is named, or it cannot be read.",
		"Name it with --credential or CDKTR_CREDENTIAL; its file has mode 0600 and belongs to this user."},
	{"principal-fault", "principal", doctorBad,
		"The principal cannot be reached.",
		"The text says why."},
	{"versions-differ", "principal", doctorWarn,
		"This program and the principal are of different versions. They work together, without what the older one " +
			"does not know.",
		"Upgrade the older one."},

	{"agents-none", "agents", doctorWarn,
		"No agent is there: runs are queued and wait.",
		"Start one: cdktr start agent, or start principal --with-agent."},
	{"agents-lost", "agents", doctorWarn,
		"The principal has not heard of these agents for 15 seconds or more.",
		"Look at their machines (cdktr doctor there); cdktr forget NAME if one is gone for good."},
	{"agents-version", "agents", doctorWarn,
		"These agents are of another version than the principal. They get no run with a key that they do not " +
			"know.",
		"Upgrade them; running tasks are waited for."},
	{"agents-clock", "agents", doctorWarn,
		"The clocks of these agents are not the principal's: times of their output are off.",
		"Set the clocks by NTP."},

	{"alarm-failed", "alarm", doctorBad,
		"The command of the alarm failed: nobody is told of what needs attention.",
		"cdktr attention --test-alarm shows what it says."},
	{"alarm-command", "alarm", doctorWarn,
		"The shell of this user does not find the alarm's command.",
		"Install it, or write its whole path."},

	{"workflows-folder", "workflows", doctorBad,
		"The workflows folder cannot be read, wholly or in part.",
		"Make it, or let the principal's user read it; --workflows names it."},
	{"workflows-none", "workflows", doctorWarn,
		"The folder has no workflow.",
		"cdktr init makes two to begin with."},
	{"workflows-broken", "workflows", doctorWarn,
		"These files do not load. Their last good version stays in force, if there was one.",
		"cdktr validate names the faults."},
	{"workflows-never", "workflows", doctorWarn,
		"These workflows have a schedule and no fire is to come: the date does not exist, the years are over, or " +
			"except leaves no day.",
		"cdktr next ID, cdktr why ID."},
	{"agents-labels", "workflows", doctorWarn,
		"No agent that is up has the labels which these workflows ask for: their runs wait for ever.",
		"Start an agent with --label, or correct agent: in the workflow."},
	{"workflows-user", "workflows", doctorWarn,
		"These workflows want another user for their tasks, and the only agent is not root's: their runs fail.",
		"Start an agent as root, or one as that user, and drop user:."},

	{"state-missing", "state", doctorWarn,
		"There is no state folder here: nothing keeps its state on this machine, or it is elsewhere.",
		"Name it with --state."},
	{"state-denied", "state", doctorWarn,
		"This user may not look into the state folder.",
		"sudo cdktr doctor."},
	{"state-write", "state", doctorBad,
		"The state folder cannot be written to: nothing can be recorded.",
		"Mount it for writing, or give it to the principal's user: chown -R USER DIR."},
	{"state-other", "state", doctorWarn,
		"The principal that answers is not the one that holds this folder: there are two, or one runs in a " +
			"container.",
		"Stop the one that is not meant, and name the folder with --state."},
	{"state-owner", "state", doctorBad,
		"Files of the state folder belong to another user than the folder: the principal may not be able to read " +
			"or replace them. Mostly a command was given as root.",
		"chown -R USER DIR, with the folder's owner; cdktr check names the files."},
	{"state-network", "state", doctorWarn,
		"The state lies on a network file system: locks and syncs may not hold, and it hangs when the network " +
			"does.",
		"Put it on a disk of this machine (--state)."},
	{"state-memory", "state", doctorWarn,
		"The state lies in memory: it is gone after a reboot.",
		"Put it on a disk (--state)."},
	{"state-fat", "state", doctorBad,
		"The state lies on a file system without owners and modes: keys cannot be kept from others, and a power " +
			"cut may damage it.",
		"Put it on ext4, xfs, btrfs or f2fs."},

	{"keys-doubt", "keys", doctorWarn,
		"Others can change or read the keys, or they do not belong together.",
		"The text says which command mends it."},

	{"disk-full", "disk", doctorBad,
		"Output is dropped, and soon no run is taken.",
		"Make room; work goes on by itself."},
	{"disk-low", "disk", doctorWarn,
		"There is little room left.",
		"Make room, or set retain_bytes."},
	{"disk-reserve", "disk", doctorWarn,
		"The reserve of 1 MiB was used: the disk was full.",
		"Make 3 MiB free: it is set aside again within a minute."},
	{"disk-retain", "disk", doctorWarn,
		"There is not room for what may be kept.",
		"Set retain_bytes lower."},
	{"inodes-low", "disk", doctorWarn,
		"The file system can hold few more files, though it may have room.",
		"df -i; remove small files, or make the file system anew with more inodes."},

	{"clock-unset", "clock", doctorWarn,
		"Nothing has set the clock since the machine started. Schedules go by it.",
		"Start an NTP client; --wait-for-clock has schedules wait."},
	{"clock-behind", "clock", doctorBad,
		"The newest event in the journal is in the future: the clock was set back.",
		"Set the clock. Fires up to that time count as decided."},

	{"timezone-unknown", "timezone", doctorWarn,
		"TZ names no time zone that is known: UTC is the local time instead.",
		"Write it as Europe/London."},

	{"files-low", "limits", doctorWarn,
		"The principal may have few files open: few agents and clients can connect.",
		"LimitNOFILE=32768 in its unit, or ulimit -n."},
	{"inotify-low", "limits", doctorWarn,
		"The kernel may run out of file watches: workflow files are then looked at only from time to time.",
		"sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512, and the same in " +
			"/etc/sysctl.d."},

	{"unit-killmode", "unit", doctorWarn,
		"The unit kills tasks together with the principal, so that none can end in peace.",
		"KillMode=mixed, or cdktr install."},
	{"unit-delegate", "unit", doctorWarn,
		"The unit delegates no cgroup: limits of tasks are in force only in part.",
		"Delegate=cpu memory pids, or cdktr install."},
	{"unit-restart", "unit", doctorWarn,
		"The unit does not start it again when it ends by a fault.",
		"Restart=on-failure, or cdktr install."},
	{"unit-watchdog", "unit", doctorWarn,
		"The unit has no watchdog: a principal that hangs is not noticed.",
		"WatchdogSec=60, or cdktr install."},
	{"linger", "unit", doctorWarn,
		"The principal is a user's service, and that user does not linger: it ends with the last login, and does " +
			"not start at boot.",
		"loginctl enable-linger USER."},
}

// doctorFaultOf finds a fault by its code; nil: there is none.
func doctorFaultOf(code string) *doctorFault {
	for i := range doctorFaults {
		if doctorFaults[i].code == code {
			return &doctorFaults[i]
		}
	}
	return nil
}

// doctorExplain prints the table, or one fault of it.
func doctorExplain(c *cli) error {
	var rows [][]tableCell
	for i := range doctorFaults {
		f := &doctorFaults[i]
		switch {
		case c.flags.explain != "" && f.code != c.flags.explain:
			continue
		case c.flags.json:
			if err := printJSON(c.out, doctorFinding{f.what, f.state, "", f.code, f.means, f.do}); err != nil {
				return err
			}
		case c.flags.explain != "":
			_, err := fmt.Fprintf(c.out, "%s: %s, of %s\n%s\n%s\n", f.code, f.state, f.what, f.means, f.do)
			return err
		}
		rows = append(rows, []tableCell{{text: f.code}, {text: f.state}, {text: f.means}})
	}
	switch {
	case len(rows) == 0:
		var codes []string
		for i := range doctorFaults {
			codes = append(codes, doctorFaults[i].code)
		}
		hint := "cdktr doctor --list has all codes"
		if near := nearest(strings.ToLower(c.flags.explain), codes); near != "" {
			hint = "did you mean " + near + "?"
		}
		return &exitError{code: exitUsage, err: fmt.Errorf("no fault has the code %q",
			textHead(c.flags.explain, cliEchoMost)), hint: hint}
	case c.flags.json:
		return nil
	}
	return c.painter().table([]string{"CODE", "STATE", "MEANS"}, rows)
}
