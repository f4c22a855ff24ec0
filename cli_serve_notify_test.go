// Tests of what a service tells systemd and journald: messages to a socket as systemd has one, lines with priorities,
// and that only loops which go on feed the watchdog.

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

// TestNotifyPulses: systemd hears of life when all loops have shown themselves, not when one has; while the service
// stops one is enough. Nothing is ever asked of a loop where no watchdog is set, or one for another process.
func TestNotifyPulses(t *testing.T) {
	name := filepath.Join(configFolders(t, "x")[0], "s")
	systemd := harness.OpenNotify(t, name)
	env := map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3600000000",
		"WATCHDOG_PID": fmt.Sprint(os.Getpid())}
	n, err := serveNotifyOpen(configEnvOf(env))
	if err != nil {
		t.Fatal(err)
	}
	n.log = slog.New(slog.DiscardHandler)
	defer n.close()
	one, two := n.pulse(), n.pulse()
	if wait := one(); wait != 15*time.Minute {
		t.Errorf("with a watchdog of an hour a loop may sleep for %s", wait)
	}
	if wait := one(); wait <= 14*time.Minute || wait > 15*time.Minute {
		t.Errorf("right after that for %s", wait)
	}
	n.ready()
	if got := systemd.Next(); got != "READY=1" {
		t.Errorf("with one loop of two systemd heard %q", got)
	}
	two()
	if got := systemd.Next(); got != "WATCHDOG=1" {
		t.Errorf("with both it heard %q", got)
	}
	n.stop()
	systemd.Until("STOPPING=1")
	n.shown(&servePulse{n: n})
	if got := systemd.Next(); got != "WATCHDOG=1" {
		t.Errorf("while it stops: %q", got)
	}
	for what, more := range map[string][2]string{"no watchdog": {"WATCHDOG_USEC", ""},
		"another's": {"WATCHDOG_PID", "1"}, "nonsense": {"WATCHDOG_USEC", "x"}} {
		env := map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3600000000", more[0]: more[1]}
		n, err := serveNotifyOpen(configEnvOf(env))
		if err != nil || n.pulse() != nil {
			t.Errorf("%s: loops are asked to wake (%v)", what, err)
		}
		n.close()
	}
}

// TestNotifyStatus: how it is, in words; the newest counts.
func TestNotifyStatus(t *testing.T) {
	for _, c := range []struct {
		runs, queued int
		lack         string
		stopping     bool
		want         string
	}{
		{0, 0, "", false, "0 runs"},
		{1, 0, "", false, "1 run"},
		{2, 3, "", false, "2 runs, 3 queued"},
		{1, 0, "no principal", false, "1 run, no principal"},
		{2, 3, "", true, "draining 2 runs"},
		{0, 3, "", true, "stopping"},
	} {
		if got := serveStatus(c.runs, c.queued, c.lack, c.stopping); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	name := filepath.Join(configFolders(t, "x")[0], "s")
	systemd := harness.OpenNotify(t, name)
	n, err := serveNotifyOpen(configEnvOf(map[string]string{"NOTIFY_SOCKET": name}))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	for i := range 1000 {
		n.tell(i, 0, "")
	}
	if n := len(systemd.Until("STATUS=999 runs")); n > 3 {
		t.Errorf("%d messages were sent before the one that counted", n)
	}
}

// TestNotifyNobody: without systemd nothing happens, and where its socket is gone that is said.
func TestNotifyNobody(t *testing.T) {
	n, err := serveNotifyOpen(configEnvOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	n.tell(1, 1, "")
	n.ready()
	n.stop()
	n.close()
	n, err = serveNotifyOpen(configEnvOf(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none")}))
	if err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("a socket that is not there: %v", err)
	}
	n.ready()
	n.close()
}

// TestNotifyStuckLoop: each loop shows that it goes on as often as it must, and no more once it is stuck.
func TestNotifyStuckLoop(t *testing.T) {
	expect := func(what string, pulses *atomic.Int64, stick func(free chan struct{})) {
		t.Helper()
		time.Sleep(time.Minute)
		if n := pulses.Load(); n < 60 {
			t.Errorf("%s showed itself %d times in a minute, and was to do so each second", what, n)
		}
		free := make(chan struct{})
		stick(free)
		synctest.Wait()
		before := pulses.Load()
		time.Sleep(time.Minute)
		if n := pulses.Load(); n != before {
			t.Errorf("%s showed itself %d times while it was stuck", what, n-before)
		}
		close(free)
		synctest.Wait()
		if pulses.Load() == before {
			t.Errorf("%s does not go on", what)
		}
	}
	t.Run("principal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var pulses atomic.Int64
			g := &principalRig{t: t, dir: t.TempDir(), log: &principalLog{}}
			g.cfg = principalConfig{dialect: compatNew, StateDir: g.dir, NoSync: true, Zone: time.UTC,
				Log:   slog.New(slog.NewTextHandler(g.log, nil)),
				pulse: func() time.Duration { pulses.Add(1); return time.Second }}
			g.start()
			defer g.stop()
			expect("the principal", &pulses, func(free chan struct{}) { g.p.call(func() { <-free }) })
		})
	})
	t.Run("agent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var pulses atomic.Int64
			g := agentRigOpen(t)
			defer g.end()
			g.a.call(func() { g.a.cfg.pulse = func() time.Duration { pulses.Add(1); return time.Second } })
			expect("the agent", &pulses, func(free chan struct{}) { g.a.call(func() { <-free }) })
		})
	})
}

// TestServeLogJournal: for journald each line has its priority in front, and no time; for others it is as it ever was.
func TestServeLogJournal(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(serveLogTo(&text, slog.LevelDebug, true))
	log.Debug("d")
	log.Log(t.Context(), logLevelRuns, "run succeeded")
	log.Info("i", "two lines", "a\nb")
	log.With("k", "v").WithGroup("g").Warn("w", "x", 1)
	log.Error("e")
	want := "<7>level=DEBUG msg=d\n<6>level=INFO msg=\"run succeeded\"\n<6>level=INFO msg=i \"two " +
		"lines\"=\"a\\nb\"\n<4>level=WARN msg=w k=v g.x=1\n<3>level=ERROR msg=e\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
	text.Reset()
	slog.New(serveLogTo(&text, slog.LevelInfo, false)).Warn("w")
	if !regexp.MustCompile(`^time=\S+ level=WARN msg=w\n$`).MatchString(text.String()) {
		t.Errorf("to a file: %s", &text)
	}
}

// TestServeLogStream: JOURNAL_STREAM counts for the very stream that it names.
func TestServeLogStream(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	info, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	for told, want := range map[string]bool{
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino): true, fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1): false, "1:1": false,
		"": false, "nonsense": false,
	} {
		for _, stream := range []io.Writer{w, termSafeOf(w)} { // as main has it
			if serveJournal(stream, told) != want {
				t.Errorf("JOURNAL_STREAM=%s, a %T: %t", told, stream, !want)
			}
		}
	}
	if serveJournal(&bytes.Buffer{}, "1:1") {
		t.Error("what is no file is taken for the journal")
	}
}
