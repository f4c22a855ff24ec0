package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// doctorSays gives what doctor says of each thing, and its exit code.
func (x *e2e) doctorSays(flags ...string) (map[string]doctorFinding, int) {
	x.T.Helper()
	r := x.Cdktr(append([]string{"doctor", "--json"}, flags...)...)
	says := map[string]doctorFinding{}
	for _, f := range harness.Lines[doctorFinding](x.T, r.Out) {
		says[f.What] = f
	}
	return says, r.Code
}

// TestDoctor asks on a box that is well, on one with a lost agent and a broken file, and on one where nothing runs.
func TestDoctor(t *testing.T) {
	x := e2eNew(t)
	if says, code := x.doctorSays(); code != exitFailed || says["principal"].State != doctorBad ||
		says["state"].State != doctorWarn || says["program"].State != doctorOK {
		t.Errorf("before anything was started: exit code %d, %+v", code, says)
	}
	x.File("w.yml", "tasks:\n  a: {run: 'seq 1000'}\n")
	p := x.Principal("--with-agent")
	x.run("w")
	says, code := x.doctorSays()
	for _, what := range []string{"program", "principal", "agents", "workflows", "state", "disk", "writes"} {
		if says[what].State != doctorOK && what != "disk" { // the tests' disk is what it is
			t.Errorf("%s: %+v", what, says[what])
		}
	}
	if code != 0 || says["clock"].Text == "" || !strings.Contains(says["state"].Text,
		fmt.Sprintf("process %d holds it", p.Cmd.Process.Pid)) || !strings.Contains(says["writes"].Text, "so far ") {
		t.Errorf("exit code %d, %+v", code, says)
	}
	if text := x.OK("doctor"); strings.Count(text, "\n")-strings.Count(text, "\n     ") != len(says) ||
		!strings.Contains(text, "+ ok    agents     1 agent\n") {
		t.Errorf("as text:\n%s", text)
	}
	x.Agent("two").Kill()
	x.File("broken.yml", "tasks:\n  a: {rum: x}\n")
	x.Until("the agent is lost, and the file seen", func() bool {
		says, code := x.doctorSays()
		return code == 0 && says["agents"].Text == "2 agents, 1 lost: two" &&
			says["workflows"].Text == "2 workflows, 1 whose file does not load: broken"
	})
	p.Stop()
	if says, code := x.doctorSays(); code != exitFailed || !strings.Contains(says["state"].Text, "nobody holds it") {
		t.Errorf("with nothing running: exit code %d, %+v", code, says)
	}
}

// TestDoctorOther asks as somebody whose own settings name another folder than that of the principal that answers, as
// root does of a service: what is looked at is the principal's, and a folder that is not is not taken for it.
func TestDoctorOther(t *testing.T) {
	x := e2eNew(t)
	p := x.Principal("--bind", "tcp://127.0.0.1:0", "--insecure")
	tcp := p.Saw(&p.Err, `msg=ready .*(tcp://127.0.0.1:\d+)`)[1]
	other := x.Dir + "/other"
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	x.Env = append(x.Env, "CDKTR_STATE="+other)
	pid := p.Cmd.Process.Pid
	for _, c := range []struct {
		flags       []string
		lock        string // what is put into the lock file, "" to leave it
		state, text string
		disk        bool // is looked at
	}{
		{nil, "", doctorOK, fmt.Sprintf("%s/state; process %d holds it", x.Dir, pid), true},
		{[]string{"--state", other}, "", doctorWarn,
			fmt.Sprintf("%s; nobody holds it, and it is process %d that answered", other, pid), true},
		{[]string{"--principal", tcp, "--insecure"}, "", doctorOK, "is where the principal is, which answered by " +
			tcp, false},
		{[]string{"--principal", tcp, "--insecure", "--state", other}, "", doctorOK, other + "; nobody holds it", true},
		{nil, fmt.Sprintf(`{"pid":%d}`,
			os.Getpid()), doctorWarn, fmt.Sprintf("process %d holds it since 0001-01-01T00:00:00.000Z, and it is "+
			"process %d that answered", os.Getpid(), pid), true},
		{[]string{"--principal", "ipc://" + x.Dir + "/none"}, "", doctorOK, other + "; nobody holds it", true},
	} {
		if c.lock != "" {
			if err := os.WriteFile(x.Dir+"/state/lock", []byte(c.lock), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		says, _ := x.doctorSays(c.flags...)
		if got := says["state"]; got.State != c.state || !strings.Contains(got.Text, c.text) ||
			(says["disk"].Text != "") != c.disk {
			t.Errorf("doctor %q: %+v, want %s: %s; the disk: %+v", c.flags, got, c.state, c.text, says["disk"])
		}
	}
}

// TestDoctorZone gives TZ as people do. What is no zone is said by doctor and by a principal, whose first line names
// what it goes by in any case.
func TestDoctorZone(t *testing.T) {
	for _, c := range []struct {
		tz, name string
		wrong    bool
	}{
		{"", "UTC", false}, {"UTC", "UTC", false}, {"Europe/Berlin", "Europe/Berlin", false},
		{":Europe/Berlin", "Europe/Berlin", false}, {"Etc/UTC", "Etc/UTC", false},
		{"Foo/Bar", "UTC", true}, {"UTC-14", "UTC", true}, {"/no/such/file", "UTC", true},
	} {
		t.Run(c.tz, func(t *testing.T) {
			x := e2eNew(t)
			x.Env = append(x.Env, "TZ="+c.tz)
			p := x.Principal()
			if name := p.Saw(&p.Err, `msg=ready .* timezone=(\S+) in=`)[1]; name != c.name {
				t.Errorf("it goes by %s, want %s", name, c.name)
			}
			if warned := strings.Contains(p.Err.String(),
				"level=WARN msg=\"TZ names no time zone that is known: UTC is the local time instead\" TZ="+c.tz+"\n"); warned != c.wrong {
				t.Errorf("it says:\n%s", p.Err.String())
			}
			state, text := doctorOK, c.name
			if c.wrong {
				state, text = doctorWarn, "TZ="+c.tz
			}
			says, _ := x.doctorSays()
			zone := says["timezone"]
			if zone.State != state || !strings.Contains(zone.Text, c.name) || !strings.Contains(zone.Text, text) {
				t.Errorf("doctor says %+v", zone)
			}
		})
	}
}

// TestDoctorWrites averages over what there is: ten days of journal, the last seven of output, two months of history.
func TestDoctorWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	var c storeEncoder
	if err := c.add(&Event{Seq: 1, Time: stampOf(now.AddDate(0, 0, -10)), Kind: evPaused}); err != nil {
		t.Fatal(err)
	}
	journal := string(c.take())
	for name, text := range map[string]string{
		storeSegmentName(1):         journal + strings.Repeat("x", 50_000-len(journal)),
		"logs/w/2026-06-01.jsonl":   strings.Repeat("x", 9_000_000),
		"logs/w/2026-06-10.jsonl":   strings.Repeat("x", 14_000),
		"history/w/2026-03.jsonl":   strings.Repeat("x", 9_000_000),
		"history/w/2026-05.jsonl":   strings.Repeat("x", 5_000),
		"history/w/2026-06.jsonl":   strings.Repeat("x", 5_000),
		"history/other/2026-06.txt": "",
	} {
		name = dir + "/" + name
		if err := errors.Join(os.MkdirAll(name[:strings.LastIndexByte(name, '/')], 0o700),
			os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d, files := &doctor{now: now}, storeFilesOf(root, true)
	d.writes(&files)
	if len(d.findings) != 1 || d.findings[0].Text != "about 8.0 kB a day: journal 5.0 kB, output 2.0 kB, history "+
		"1.0 kB" {
		t.Errorf("%+v", d.findings)
	}
}
