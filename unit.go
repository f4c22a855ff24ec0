// unit.go: the text of the systemd units in which a principal and an agent run (systemd.unit(5)), a comment in front of
// each line. docs/security.md has the same lines in a table, which a test holds to what is here.

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The names of the units.
const (
	unitPrincipalName = "cdktr-principal.service"
	unitAgentName     = "cdktr-agent.service"
	unitSocketName    = "cdktr-metrics.socket"
	unitAnswerName    = "cdktr-metrics@.service"
)

// unitKind is a set of units: a line of unitLines is in those that it names.
type unitKind uint16

const (
	unitPrincipal    unitKind = 1 << iota // the machine's principal
	unitAgent                             // the machine's agent, whose tasks need no other user's rights
	unitSudoAgent                         // the machine's agent, whose tasks may use sudo and the like
	unitRootAgent                         // the machine's agent as root: its tasks may do what root may
	unitOwnPrincipal                      // the principal of one user's own manager (systemctl --user)
	unitOwnAgent                          // the agent of the same
	unitSocket                            // the socket of metrics by HTTP
	unitAnswer                            // what systemd starts for each connection to it

	unitPrincipals = unitPrincipal | unitOwnPrincipal
	unitUserAgents = unitAgent | unitSudoAgent
	unitAgents     = unitUserAgents | unitRootAgent | unitOwnAgent
	unitMachine    = unitPrincipal | unitUserAgents | unitRootAgent
	unitMetrics    = unitSocket | unitAnswer
	unitLocked     = unitPrincipals | unitAgent // get no more rights
	unitAll        = unitPrincipals | unitAgents
)

// unitLine is a line of a unit and why it is there.
type unitLine struct {
	text, why string
	in        unitKind
	from      int // the first version of systemd that gets it, 0: all
	below     int // the first version that does not, 0: none
}

// unitSpec is what a unit is made of.
type unitSpec struct {
	Kind       unitKind
	Systemd    int      // the version of systemd that is to read it
	Bin        string   // the program
	Args       []string // behind start principal, or start agent
	User       string   // "" for that of the manager
	Group      string   // a group that the agent needs for the socket; "": none
	Credential string   // a file that systemd hands to the agent; "": none
	Stop       time.Duration
	Clock      bool     // it looks whether the clock was set, which ProtectClock forbids even to look at
	Home       bool     // it reads a folder below /home or /root
	Writable   []string // further folders that it writes to
	With       []string // flags of install that the next one is to have too, as "--user root"
}

const (
	unitHead = "# cdktr install wrote this: " // begins the first line of a unit, before the sum of the rest
	unitWith = "# with "                      // begins a line with a flag of install
)

// text gives the unit. Its first line has a sum of the others, by which unitEdited knows a unit that was changed since.
func (s *unitSpec) text() string {
	if s.Kind&unitMetrics != 0 {
		return s.metrics()
	}
	name, what := s.name(), "runs the tasks of workflows"
	if s.Kind&unitPrincipals != 0 {
		what = "schedules workflows"
	}
	var b strings.Builder
	for _, flag := range s.With {
		b.WriteString("\n" + unitWith + flag)
	}
	fmt.Fprintf(&b, "\n[Unit]\nDescription=cdktr: %s\n", what)
	if s.Kind&unitMachine != 0 {
		b.WriteString("Wants=network-online.target\nAfter=network-online.target")
		if s.Kind&unitAgents != 0 {
			b.WriteString(" " + unitPrincipalName)
		}
		b.WriteByte('\n')
	}
	s.lines(&b, unitTries)
	b.WriteString("\n[Service]\n")
	s.lines(&b, s.own())
	s.lines(&b, unitLines)
	if s.Clock {
		s.lines(&b, unitClock) // behind the line that takes it away
	}
	target := "default.target"
	if s.Kind&unitMachine != 0 {
		target = "multi-user.target"
	}
	fmt.Fprintf(&b, "\n[Install]\nWantedBy=%s\n", target)
	command := "systemctl edit "
	if s.Kind&unitMachine == 0 {
		command = "systemctl --user edit "
	}
	return unitHeaded(b.String(), command+name)
}

// unitHeaded puts the first line in front of the rest of a unit.
func unitHeaded(rest, command string) string {
	return unitHead + unitSum(rest) + ", put changes into a drop-in: " + command + rest
}

// metrics gives the text of the socket, or of what answers. Args has the address, or the place of the principal.
func (s *unitSpec) metrics() string {
	var b strings.Builder
	for _, flag := range s.With {
		b.WriteString("\n" + unitWith + flag)
	}
	if s.Kind == unitSocket {
		b.WriteString("\n[Unit]\nDescription=cdktr: metrics by HTTP\n\n[Socket]\n# where Prometheus asks\n" +
			"ListenStream=" + s.Args[0] + "\n")
		s.lines(&b, unitMetricsLines)
		b.WriteString("\n[Install]\nWantedBy=sockets.target\n")
	} else {
		b.WriteString("\n[Unit]\nDescription=cdktr: one answer with metrics\n" +
			"# an answer that has failed is forgotten\nCollectMode=inactive-or-failed\n\n[Service]\n" +
			"# reads one request and ends\nExecStart=" + unitQuote(s.Bin, true) + " metrics --http --principal " +
			unitQuote(s.Args[0], true) + "\n")
		s.lines(&b, unitMetricsLines)
	}
	return unitHeaded(b.String(), "systemctl edit "+s.name())
}

// name is the file's name.
func (s *unitSpec) name() string {
	switch {
	case s.Kind&unitPrincipals != 0:
		return unitPrincipalName
	case s.Kind == unitSocket:
		return unitSocketName
	case s.Kind == unitAnswer:
		return unitAnswerName
	}
	return unitAgentName
}

// role is the word of start and install for it.
func (s *unitSpec) role() string {
	if s.Kind&(unitPrincipals|unitMetrics) != 0 {
		return "principal"
	}
	return "agent"
}

// lines writes those lines of a table that are for this unit and this systemd.
func (s *unitSpec) lines(b *strings.Builder, table []unitLine) {
	for _, l := range table {
		if l.in&s.Kind == 0 || s.Systemd < l.from || l.below > 0 && s.Systemd >= l.below {
			continue
		}
		if s.Clock && l.text == "ProtectClock=yes" {
			continue
		}
		if s.Home && l.text == "ProtectHome=yes" {
			l.text = "ProtectHome=read-only"
		}
		fmt.Fprintf(b, "# %s\n%s\n", l.why, l.text)
	}
}

// own gives the lines of this unit alone.
func (s *unitSpec) own() []unitLine {
	var lines []unitLine
	add := func(text, why string) { lines = append(lines, unitLine{text: text, why: why, in: unitAll}) }
	state, where := "cdktr-agent", "the spool"
	if s.Kind&unitPrincipals != 0 {
		state, where = "cdktr", "the state"
	}
	words := []string{unitQuote(s.Bin, true), "start", s.role()}
	for _, arg := range s.Args {
		words = append(words, unitQuote(arg, true))
	}
	if s.User != "" {
		add("User="+s.User, "its user")
	}
	if s.Group != "" {
		add("SupplementaryGroups="+s.Group, "the group that may use the principal's socket")
	}
	if s.Credential != "" {
		if s.Systemd >= unitCredentials {
			add("LoadCredential="+unitCredential+":"+s.Credential, "root's file; the agent gets a copy at its start")
			words = append(words, "--credential", "${CREDENTIALS_DIRECTORY}/"+unitCredential)
		} else {
			words = append(words, "--credential", s.Credential)
		}
	}
	if s.Kind&unitMachine != 0 {
		add("StateDirectory="+state, where+", in /var/lib")
		add("StateDirectoryMode=0700", "which is for its user alone")
		add("WorkingDirectory=/var/lib/"+state, "where relative paths begin")
	}
	if s.Kind == unitPrincipal {
		add("RuntimeDirectory=cdktr", "the socket, in /run")
	}
	for _, dir := range s.Writable {
		add("ReadWritePaths=-"+unitQuote(dir, false), "the configuration file names it")
	}
	add("ExecStart="+strings.Join(words, " "), "the rest is in the configuration file")
	if s.Stop > 0 {
		add(fmt.Sprintf("TimeoutStopSec=%d", int(s.Stop.Seconds())), "longer than drain_timeout and grace together")
	}
	return lines
}

const (
	unitCredentials = 247          // the systemd that has LoadCredential
	unitCredential  = "agent.cred" // the credential's name: no secret of a workflow can have a dot in it
)

// unitTries is what belongs into the section Unit.
var unitTries = []unitLine{
	{"StartLimitIntervalSec=0", "no number of failures leaves it down", unitAll, 0, 0},
}

// unitLines is what units have in common.
var unitLines = []unitLine{
	{"Type=notify-reload", "it says when it is ready; a reload is a HUP that it answers", unitAll, 253, 0},
	{"Type=notify", "it says when it is ready", unitAll, 0, 253},
	{"ExecReload=/bin/kill -HUP $MAINPID", "it reads its files again", unitAll, 0, 253},
	{"Environment=CDKTR_BOOT=%b", "the name of this boot, for @reboot: a container's may be hidden", unitAll, 0, 0},
	{"TimeoutStartSec=15min", "a long journal takes its time", unitPrincipals, 0, 0},
	{"WatchdogSec=2min", "it is started again when its loops hang", unitAll, 0, 0},
	{"Restart=always", "whatever has ended it", unitAll, 0, 0},
	{"RestartSec=5", "not at once: what it lacks may come", unitAll, 0, 254},
	{"RestartSec=1", "soon at first", unitAll, 254, 0},
	{"RestartSteps=6", "then later each time", unitAll, 254, 0},
	{"RestartMaxDelaySec=1min", "up to this", unitAll, 254, 0},
	{"KillMode=mixed", "TERM is for the first process, which ends the others in good order", unitAll, 0, 0},
	{"Delegate=yes", "it makes a cgroup for each task with limits", unitAgents, 0, 0},
	{"DelegateSubgroup=agent", "it is in a cgroup beside those from the start", unitAgents, 254, 0},
	{"OOMPolicy=continue", "a task that is killed for its memory ends no other", unitAgents, 0, 0},
	{"OOMScoreAdjust=-500", "when memory is short others go first", unitPrincipal, 0, 0},
	{"LimitNOFILE=32768", "a connection is a file", unitPrincipal, 0, 0},
	{"UMask=0077", "its files are its own", unitPrincipals, 0, 0},
	{"UMask=0027", "what tasks write is not for everybody", unitUserAgents, 0, 0},

	{"NoNewPrivileges=yes", "no program that it starts gets more rights, as sudo does", unitLocked, 0, 0},
	{"CapabilityBoundingSet=", "no right of root's", unitPrincipal, 0, 0},
	{"CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN CAP_NET_BIND_SERVICE",
		"nor here; programs such as ping do not start without these", unitAgent, 0, 0},
	{"CapabilityBoundingSet=~CAP_SYS_TIME CAP_WAKE_ALARM", "the clock stays, also with sudo", unitSudoAgent, 0, 0},
	{"ProtectSystem=strict", "it writes to no file system", unitPrincipal, 0, 0},
	{"ProtectHome=yes", "it sees no home", unitPrincipal, 0, 0},
	{"PrivateTmp=yes", "its /tmp is its own", unitPrincipal, 0, 0},
	{"PrivateMounts=yes", "what is mounted in there stays in there", unitPrincipal, 0, 0},
	{"PrivateDevices=yes", "no disk, no terminal, only the likes of /dev/null", unitPrincipal, 0, 0},
	{"PrivateIPC=yes", "no shared memory with others", unitPrincipal, 0, 0},
	{"RemoveIPC=yes", "and none is left behind", unitPrincipal, 0, 0},
	{"KeyringMode=private", "no keys of the kernel's keyrings", unitPrincipal, 0, 0},
	{"ProtectHostname=yes", "the host's name stays", unitPrincipal, 0, 0},
	{"ProtectClock=yes", "the clock stays", unitPrincipal, 0, 0},
	{"ProtectControlGroups=yes", "cgroups are to look at", unitPrincipal, 0, 0},
	{"ProtectKernelTunables=yes", "settings of the kernel stay: /sys and /proc/sys", unitPrincipal | unitAgent, 0, 0},
	{"ProtectKernelModules=yes", "no modules are loaded", unitPrincipal | unitAgent, 0, 0},
	{"ProtectKernelLogs=yes", "the kernel's log is not for it", unitPrincipal | unitAgent, 0, 0},
	{"LockPersonality=yes", "no other kind of system is played", unitLocked, 0, 0},
	{"RestrictRealtime=yes", "nothing takes a processor for itself", unitLocked, 0, 0},
	{"RestrictSUIDSGID=yes", "no file becomes a way to another user", unitLocked, 0, 0},
	{"SystemCallArchitectures=native", "only programs of this kind of machine", unitLocked, 0, 0},
	{"RestrictNamespaces=yes", "no containers", unitPrincipals, 0, 0},
	{"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "sockets of these kinds", unitPrincipals, 0, 0},
	{"MemoryDenyWriteExecute=yes", "no code is made while it runs", unitPrincipals, 0, 0},
	{"SystemCallErrorNumber=EPERM", "what is not allowed fails, and kills nothing", unitLocked, 0, 0},
	{"SystemCallFilter=~@module @reboot @swap @raw-io", "without what only root needs", unitAgent, 0, 0},
	{"SystemCallFilter=@system-service", "what services need of the kernel", unitPrincipals, 0, 0},
	{"SystemCallFilter=~@privileged @resources", "without what only root needs", unitPrincipals, 0, 0},
	{"SystemCallFilter=@chown", "the socket is given to its group", unitPrincipals, 0, 0},
}

// unitMetricsLines is what the socket of metrics has, and what answers at it.
var unitMetricsLines = []unitLine{
	{"Accept=yes", "a process for each connection", unitSocket, 0, 0},
	{"MaxConnections=16", "so many at one time", unitSocket, 0, 0},
	{"TriggerLimitIntervalSec=0", "no number of connections closes it", unitSocket, 0, 0},
	{"User=cdktr", "who may use the principal's socket", unitAnswer, 0, 0},
	{"StandardInput=socket", "the request", unitAnswer, 0, 0},
	{"StandardOutput=socket", "the answer", unitAnswer, 0, 0},
	{"StandardError=journal", "what goes wrong", unitAnswer, 0, 0},
	{"RuntimeMaxSec=30", "however slow the asker", unitAnswer, 0, 0},
	{"MemoryMax=64M", "and however much it says", unitAnswer, 0, 0},
	{"CapabilityBoundingSet=", "no right of root's", unitAnswer, 0, 0},
	{"NoNewPrivileges=yes", "nor ever one", unitAnswer, 0, 0},
	{"PrivateNetwork=yes", "no connection but this", unitAnswer, 0, 0},
	{"RestrictAddressFamilies=AF_UNIX", "and the one to the principal", unitAnswer, 0, 0},
	{"PrivateDevices=yes", "no devices", unitAnswer, 0, 0},
	{"PrivateTmp=yes", "nothing of others", unitAnswer, 0, 0},
	{"ProtectHome=yes", "no homes", unitAnswer, 0, 0},
	{"ProtectSystem=strict", "nothing is written", unitAnswer, 0, 0},
	{"InaccessiblePaths=-/var/lib/cdktr", "the principal's state, which is its user's", unitAnswer, 0, 0},
	{"SystemCallArchitectures=native", "only programs of this kind of machine", unitAnswer, 0, 0},
}

// unitClock takes the place of ProtectClock.
var unitClock = []unitLine{
	{"SystemCallFilter=adjtimex", "wait_for_clock looks whether the clock was set", unitPrincipals, 0, 0},
}

// unitQuote writes a word as a unit has it. command: where variables are replaced too (systemd.service(5)).
func unitQuote(word string, command bool) string {
	word = strings.ReplaceAll(word, "%", "%%")
	if command {
		word = strings.ReplaceAll(word, "$", "$$")
	}
	if word == "" || strings.ContainsAny(word, " \t\"'\\;") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
	}
	return word
}

// unitSum is a short sum of a text.
func unitSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// unitEdited says whether a file that was read is other than any cdktr install has written it.
func unitEdited(text string) bool {
	first, rest, _ := strings.Cut(text, "\n")
	sum, ours := strings.CutPrefix(first, unitHead)
	sum, _, _ = strings.Cut(sum, ",")
	return !ours || sum != unitSum("\n"+rest)
}
