package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUnitText: what each kind of unit has and has not, for each systemd.
func TestUnitText(t *testing.T) {
	for _, test := range []struct {
		name string
		spec unitSpec
		has  []string // lines
		not  []string // what no line begins with
	}{
		{"a principal", unitSpec{Kind: unitPrincipal, Systemd: 252, Bin: "/usr/local/bin/cdktr", User: "cdktr",
			Args: []string{"--workflows", "/etc/cdktr/workflows"}},
			[]string{"Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "RestartSec=5", "User=cdktr",
				"ExecStart=/usr/local/bin/cdktr start principal --workflows /etc/cdktr/workflows",
				"ProtectSystem=strict", "ProtectHome=yes", "ProtectClock=yes", "WatchdogSec=2min", "Restart=always",
				"StartLimitIntervalSec=0", "WantedBy=multi-user.target", "OOMScoreAdjust=-500"},
			[]string{"Type=notify-reload", "RestartSteps", "Delegate", "SystemCallFilter=adjtimex",
				"After=network-online.target cdktr-principal.service"}},
		{"a newer systemd", unitSpec{Kind: unitPrincipal, Systemd: 257, Bin: "/b"},
			[]string{"Type=notify-reload", "RestartSec=1", "RestartSteps=6", "RestartMaxDelaySec=1min"},
			[]string{"Type=notify\n", "ExecReload", "RestartSec=5"}},
		{"what the settings ask for", unitSpec{Kind: unitPrincipal, Systemd: 252, Bin: "/b", Clock: true, Home: true,
			Writable: []string{"/srv/my state"}},
			[]string{"ProtectHome=read-only", "SystemCallFilter=adjtimex", `ReadWritePaths=-"/srv/my state"`},
			[]string{"ProtectClock", "ProtectHome=yes"}},
		{"an agent", unitSpec{Kind: unitAgent, Systemd: 254, Bin: "/b", User: "cdktr-agent", Group: "cdktr",
			Stop: 90 * time.Second, Args: []string{"--state", "/s"}},
			[]string{"Delegate=yes", "DelegateSubgroup=agent", "KillMode=mixed", "TimeoutStopSec=90",
				"SupplementaryGroups=cdktr", "NoNewPrivileges=yes", "UMask=0027", "ExecStart=/b start agent --state /s",
				"OOMPolicy=continue", "After=network-online.target cdktr-principal.service"},
			[]string{"ProtectSystem", "ProtectClock", "OOMScoreAdjust", "MemoryDenyWriteExecute", "PrivateTmp"}},
		// systemd has no new privileges with each of these, where the user is not root
		{"with sudo", unitSpec{Kind: unitSudoAgent, Systemd: 252, Bin: "/b", User: "u"},
			[]string{"UMask=0027", "Delegate=yes", "CapabilityBoundingSet=~CAP_SYS_TIME CAP_WAKE_ALARM"},
			[]string{"NoNewPrivileges", "LockPersonality", "Restrict", "SystemCall", "ProtectKernel", "Protect"}},
		{"root's", unitSpec{Kind: unitRootAgent, Systemd: 252, Bin: "/b", User: "root"},
			[]string{"User=root", "Delegate=yes"},
			[]string{"UMask", "NoNewPrivileges", "LockPersonality", "Restrict", "SystemCall", "Protect", "Capab"}},
		{"of one user", unitSpec{Kind: unitOwnPrincipal, Systemd: 252, Bin: "/b"},
			[]string{"WantedBy=default.target", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes"},
			[]string{"User", "After", "StateDirectory", "RuntimeDirectory", "Protect", "Private", "Capab", "OOMScore"}},
		{"of one user's tasks", unitSpec{Kind: unitOwnAgent, Systemd: 252, Bin: "/b"},
			[]string{"Delegate=yes", "KillMode=mixed"}, []string{"NoNew", "Restrict", "SystemCall", "UMask", "Lock"}},
		{"a credential", unitSpec{Kind: unitAgent, Systemd: 247, Bin: "/b", Credential: "/etc/cdktr/agent.cred"},
			[]string{"LoadCredential=agent.cred:/etc/cdktr/agent.cred",
				"ExecStart=/b start agent --credential ${CREDENTIALS_DIRECTORY}/agent.cred"}, nil},
		{"before systemd has credentials", unitSpec{Kind: unitAgent, Systemd: 246, Bin: "/b",
			Credential: "/etc/cdktr/agent.cred"},
			[]string{"ExecStart=/b start agent --credential /etc/cdktr/agent.cred"}, []string{"LoadCredential"}},
		{"the socket of metrics", unitSpec{Kind: unitSocket, Args: []string{"127.0.0.1:9464"},
			With: []string{"--metrics 127.0.0.1:9464"}},
			[]string{"ListenStream=127.0.0.1:9464", "Accept=yes", "WantedBy=sockets.target", "MaxConnections=16",
				"# with --metrics 127.0.0.1:9464"}, []string{"[Service]", "User", "Restart"}},
		{"an answer at it", unitSpec{Kind: unitAnswer, Bin: "/b", Args: []string{"ipc:///s"}},
			[]string{"ExecStart=/b metrics --http --principal ipc:///s", "StandardInput=socket", "User=cdktr",
				"PrivateNetwork=yes"}, []string{"[Socket]", "[Install]", "Restart"}},
		{"words with something in them", unitSpec{Kind: unitAgent, Systemd: 252, Bin: "/my b",
			With: []string{"--user u"}, Args: []string{"--config", `/a "b" $HOME %h\x`}},
			[]string{`ExecStart="/my b" start agent --config "/a \"b\" $$HOME %%h\\x"`, "# with --user u"}, nil},
	} {
		text := test.spec.text()
		lines := strings.SplitAfter(text, "\n")
		for _, want := range test.has {
			if !slices.Contains(lines, want+"\n") {
				t.Errorf("%s: no line %q in\n%s", test.name, want, text)
			}
		}
		for _, not := range test.not {
			if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, not) }) {
				t.Errorf("%s: a line begins with %q in\n%s", test.name, not, text)
			}
		}
		if unitEdited(text) {
			t.Errorf("%s: seems to be changed by hand", test.name)
		}
		if before, other, _ := strings.Cut(text, "\nDescription"); !unitEdited(before + "\n" + other) {
			t.Errorf("%s: changed by hand, and does not seem to be", test.name)
		}
		for i, line := range lines { // each line of the service says why it is there
			if i > 0 && strings.Contains(line, "=") && line[0] != '#' && lines[i-1][0] != '#' &&
				!strings.Contains("Description Wants After WantedBy", line[:strings.IndexByte(line, '=')]) {
				t.Errorf("%s: no comment before %q", test.name, line)
			}
		}
	}
}
