package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSchedClockSet sets the clock under four kinds of schedules: what it leaps over, what comes next, and what does
// not come again.
func TestSchedClockSet(t *testing.T) {
	for _, test := range []struct {
		schedule  []string
		jitter    time.Duration
		now       string // what the clock says, once it was set
		by        time.Duration
		leap      string // fixed, newest, how many
		next, and string
	}{
		{[]string{"30 12 * * *"}, 0, "2026-03-10 13:00:30", time.Hour, "12:30 12:30 1", "2026-03-11 12:30:00",
			"2026-03-12 12:30:00"},
		{[]string{"*/10 * * * *"}, 0, "2026-03-10 13:00:30", time.Hour, "none 13:00 6", "2026-03-10 13:10:00",
			"2026-03-10 13:20:00"},
		{[]string{"@every 15m"}, 0, "2026-03-10 13:00:30", time.Hour, "none 13:00 4", "2026-03-10 13:15:00",
			"2026-03-10 13:30:00"},
		{[]string{"*/10 * * * *", "30 12 * * *"}, 0, "2026-03-10 13:00:30", time.Hour, "12:30 13:00 6",
			"2026-03-10 13:10:00", "2026-03-10 13:20:00"},
		{[]string{"0 9 * * *"}, 0, "2026-03-10 13:00:30", time.Hour, "", "2026-03-11 09:00:00", "2026-03-12 09:00:00"},
		{[]string{"30 12 * * *"}, 0, "2026-03-10 16:00:30", 4 * time.Hour, "none 12:30 1", "2026-03-11 12:30:00",
			"2026-03-12 12:30:00"},
		{[]string{"0 * * * *"}, 0, "2056-03-10 12:00:30", 30 * 365 * 24 * time.Hour, "none 12:00 100004",
			"2056-03-10 13:00:00", "2056-03-10 14:00:00"},
		{[]string{"30 11 * * *"}, 0, "2026-03-10 11:00:30", -time.Hour, "", "2026-03-11 11:30:00",
			"2026-03-12 11:30:00"},
		{[]string{"30 12 * * *"}, 0, "2026-03-10 11:00:30", -time.Hour, "", "2026-03-10 12:30:00",
			"2026-03-11 12:30:00"},
		{[]string{"*/10 * * * *"}, 0, "2026-03-10 11:00:30", -time.Hour, "", "2026-03-10 11:10:00",
			"2026-03-10 11:20:00"},
		{[]string{"*/10 * * * *", "15 11 * * *"}, 0, "2026-03-10 11:00:30", -time.Hour, "", "2026-03-10 11:10:00",
			"2026-03-10 11:20:00"},
		{[]string{"30 11 * * *"}, 0, "2026-03-10 08:00:30", -4 * time.Hour, "", "2026-03-10 11:30:00",
			"2026-03-11 11:30:00"},
		{[]string{"30 11 * * *"}, 0, "1996-03-10 08:00:30", -30 * 365 * 24 * time.Hour, "", "1996-03-10 11:30:00",
			"1996-03-11 11:30:00"},
	} {
		s := schedNew(time.UTC)
		e := schedSet(t, s, &Workflow{ID: "w", Schedule: test.schedule, Jitter: Duration(test.jitter)}, schedEpoch)
		leaps := s.clockSet(schedAt(test.now), test.by)
		got := ""
		for _, leap := range leaps {
			fixed := "none"
			if !leap.fixed.IsZero() {
				fixed = leap.fixed.Format("15:04")
			}
			got += fmt.Sprintf("%s %s %d", fixed, leap.newest.Format("15:04"), leap.total)
		}
		next := e.tick()
		and, _ := e.next(next)
		if got != test.leap && !(test.leap != "" && strings.HasPrefix(test.leap, "none 12:00 1") &&
			strings.HasPrefix(got, "none 12:00 1")) ||
			!next.Equal(schedAt(test.next)) || !and.Equal(schedAt(test.and)) {
			t.Errorf("%q set by %v: leapt %q, next %v and %v", test.schedule, test.by, got, next, and)
		}
	}
}

// TestSchedClockJitter sets the clock while a tick waits for its jitter: the tick comes once, whichever way the clock
// is set.
func TestSchedClockJitter(t *testing.T) {
	for _, by := range []time.Duration{2 * time.Hour, -10 * time.Minute} {
		s := schedNew(time.UTC)
		e := schedSet(t, s, &Workflow{ID: "w", Schedule: []string{"0 13 * * *"}, Jitter: Duration(50 * time.Minute)},
			schedEpoch)
		tick, now := e.tick(), e.tick().Add(e.jitter/2)
		now = now.Add(by)
		leaps := s.clockSet(now, by)
		switch {
		case by > 0 && (len(leaps) != 1 || !leaps[0].fixed.Equal(tick) || !e.tick().Equal(tick.AddDate(0, 0, 1))):
			t.Errorf("set by %v: %+v, then %v", by, leaps, e.tick())
		case by < 0 && (len(leaps) != 0 || !e.tick().Equal(tick)):
			t.Errorf("set by %v: %+v, then %v", by, leaps, e.tick())
		}
	}
}

// TestPrincipalSleeps: the whole machine sleeps for two hours. What would have fired meanwhile was missed, at fixed
// times or not.
func TestPrincipalSleeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slept, began := time.Duration(0), time.Now()
		g := &principalRig{t: t, dir: t.TempDir(), log: &principalLog{}}
		g.cfg = principalConfig{dialect: compatNew, StateDir: g.dir, NoSync: true, Zone: time.UTC,
			Log:     slog.New(slog.NewTextHandler(g.log, nil)),
			now:     func() time.Time { return time.Now().Add(slept) },
			elapsed: func() time.Duration { return time.Since(began) + slept }}
		g.start(principalTask(Workflow{ID: "fixed", Schedule: []string{"30 0 * * *"}}),
			principalTask(Workflow{ID: "once", Schedule: []string{"*/20 * * * *"}, Catchup: catchupOnce}))
		time.Sleep(10 * time.Minute)
		g.setClock(&slept, 2*time.Hour)
		if got := g.decisions("fixed"); got != "00:30 skipped missed: this machine slept (catchup: skip)" {
			t.Errorf("fixed: %s", got)
		}
		if got := g.decisions("once"); got != "01:40 skipped missed: this machine slept (catchup: once)\n02:00 "+
			"fired caught up: this machine slept" {
			t.Errorf("once: %s", got)
		}
		if strings.Contains(g.log.String(), "the clock was set") {
			t.Errorf("sleep is taken for a clock that was set: %s", g.log)
		}
		g.stop()
	})
}

// principalClock is a principal whose clock can be set.
func principalClock(t *testing.T, set *time.Duration, workflows ...*Workflow) *principalRig {
	g := &principalRig{t: t, dir: t.TempDir(), log: &principalLog{}}
	g.cfg = principalConfig{dialect: compatNew, StateDir: g.dir, NoSync: true, Zone: time.UTC,
		Log: slog.New(slog.NewTextHandler(g.log, nil)),
		now: func() time.Time { return time.Now().Add(*set) }}
	g.start(workflows...)
	return g
}

// setClock sets it, and waits until the principal has looked.
func (g *principalRig) setClock(set *time.Duration, by time.Duration) {
	g.do(func() { *set += by })
	time.Sleep(principalClockCheck + time.Second)
	synctest.Wait()
}

// In a bubble the clock begins at midnight UTC on 2000-01-01.
func TestPrincipalClockSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set := time.Duration(0)
		fixed := principalTask(Workflow{ID: "fixed", Schedule: []string{"30 0 * * *"}, Overlap: overlapAllow})
		often := principalTask(Workflow{ID: "often", Schedule: []string{"*/20 * * * *"}, Overlap: overlapAllow,
			Catchup: catchupAll})
		g := principalClock(t, &set, fixed, often)
		time.Sleep(10 * time.Minute)
		g.setClock(&set, time.Hour) // from 00:10 to 01:10
		if got := g.decisions("fixed"); got != "00:30 fired right after the clock was set ahead by 1h0m0s" {
			t.Errorf("ahead: %s", got)
		}
		if got := g.decisions("often"); got != "01:00 skipped missed: the clock was set ahead by 1h0m0s: this time "+
			"was not" {
			t.Errorf("ahead: %s", got)
		}
		time.Sleep(10 * time.Minute) // 01:21
		g.setClock(&set, -time.Hour) // from 01:21 to 00:21
		time.Sleep(time.Hour)        // 01:22
		if got := g.decisions("fixed"); strings.Contains(got, "\n") {
			t.Errorf("back: %s", got)
		}
		if got := g.decisions("often"); !strings.HasSuffix(got,
			"this time was not\n01:20 fired\n00:40 fired\n01:00 fired\n01:20 fired") {
			t.Errorf("back: %s", got)
		}
		g.setClock(&set, -48*time.Hour) // two days before
		time.Sleep(24 * time.Hour)
		if got := g.decisions("fixed"); !strings.HasSuffix(got, "\n00:30 fired") {
			t.Errorf("far back: %s", got)
		}
		if !strings.Contains(g.log.String(), "the clock was set") {
			t.Errorf("it does not tell of it: %s", g.log)
		}
		g.stop()
	})
}

// TestPrincipalClockBackEdited: what fired before the clock was set back does not fire again, even if its file is
// edited.
func TestPrincipalClockBackEdited(t *testing.T) {
	for what, edit := range map[string]func(w *Workflow){
		"nothing":           func(*Workflow) {},
		"its description":   func(w *Workflow) { w.Description = "another" },
		"its tasks, twice":  func(w *Workflow) { w.Tasks = append(w.Tasks, Task{ID: "b", Run: "true"}) },
		"one more schedule": func(w *Workflow) { w.Schedule = append(w.Schedule, "45 0 * * *") },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := time.Duration(0)
				w := principalTask(Workflow{ID: "w", Schedule: []string{"30 0 * * *"}, Overlap: overlapAllow})
				g := principalClock(t, &set, w)
				time.Sleep(51 * time.Minute)
				g.setClock(&set, -45*time.Minute) // from 00:51 to 00:06
				for range 2 {
					edited := *w
					edited.Schedule, edited.Tasks = slices.Clone(w.Schedule), slices.Clone(w.Tasks)
					edit(&edited)
					w = &edited
					g.do(func() { g.p.setFiles(principalFiles(w), nil) })
					if what == "one more schedule" {
						break
					}
				}
				time.Sleep(42 * time.Minute) // 00:49
				if got := strings.Count(g.decisions("w"), "00:30 fired"); got != 1 {
					t.Errorf("it has fired %d times:\n%s", got, g.decisions("w"))
				}
				g.stop()
			})
		})
	}
}

// TestPrincipalClockBackWhileDown starts a principal by a clock that was set back while it was down.
func TestPrincipalClockBackWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := time.Duration(0)
		fixed := principalTask(Workflow{ID: "fixed", Schedule: []string{"30 0 * * *"}, Overlap: overlapAllow})
		often := principalTask(Workflow{ID: "often", Schedule: []string{"*/20 * * * *"}, Overlap: overlapAllow})
		g := principalClock(t, &set, fixed, often)
		time.Sleep(61 * time.Minute)
		g.stop()
		set -= time.Hour // from 01:01 to 00:01
		g.start(fixed, often)
		time.Sleep(time.Hour)
		if got := g.decisions("fixed"); got != "00:30 fired" {
			t.Errorf("an hour back: %s", got)
		}
		if got := strings.Count(g.decisions("often"), "fired"); got != 6 {
			t.Errorf("an hour back, %d times:\n%s", got, g.decisions("often"))
		}
		g.stop()
		set -= 30 * 365 * 24 * time.Hour // it was wrong before, or is now
		g.start(fixed, often)
		time.Sleep(24 * time.Hour)
		if got := g.decisions("fixed"); got != "00:30 fired\n00:30 fired" {
			t.Errorf("30 years back: %s", got)
		}
		g.stop()
	})
}

// TestPrincipalClockFrom1970 starts on a board without a clock: nothing fires before the clock is set, or before the
// wait is over, and nothing that was leapt over counts as missed.
func TestPrincipalClockFrom1970(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := -30 * 365 * 24 * time.Hour
		w := principalTask(Workflow{ID: "w", Schedule: []string{"*/5 * * * *", "@reboot"}, Overlap: overlapAllow,
			Catchup: catchupAll})
		g := principalClock(t, &set)
		var isSet atomic.Bool
		g.do(func() { g.p.timetable.held = true; g.p.setFiles(principalFiles(w), nil) })
		done := make(chan bool)
		go func() {
			done <- clockAwait(t.Context(), time.Hour, func() bool { return !isSet.Load() })
			g.p.call(g.p.timetable.begin)
		}()
		time.Sleep(11 * time.Minute)
		if got := g.decisions("w"); got != "" {
			t.Errorf("it fired in 1970: %s", got)
		}
		g.do(func() { set = 0 })
		isSet.Store(true)
		if !<-done {
			t.Error("the clock is set, and that is not seen")
		}
		synctest.Wait()
		if got := g.decisions("w"); got != "00:11 fired" { // @reboot
			t.Errorf("at the start: %s", got)
		}
		time.Sleep(5 * time.Minute)
		if got := g.decisions("w"); got != "00:11 fired\n00:15 fired" {
			t.Errorf("then: %s", got)
		}
		g.stop()
		ctx, cancel := context.WithCancel(t.Context())
		if clockAwait(ctx, time.Minute, func() bool { return true }) {
			t.Error("a clock that is never set was set")
		}
		cancel()
		if clockAwait(ctx, time.Hour, func() bool { return true }) {
			t.Error("a clock was set by giving up")
		}
	})
}

// TestPrincipalClockFollowed: while somebody tells when the clock is set, an idle principal sleeps until shortly before
// a tick, and a clock that is set counts at once. When nobody tells any more it looks each minute.
func TestPrincipalClockFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &principalRig{t: t, dir: t.TempDir(), log: &principalLog{}}
		by, turns := time.Duration(0), atomic.Int64{}
		told, over := make(chan func()), make(chan error)
		g.cfg = principalConfig{dialect: compatNew, StateDir: g.dir, NoSync: true, Zone: time.UTC,
			Log: slog.New(slog.NewTextHandler(g.log, nil)), now: func() time.Time { return time.Now().Add(by) },
			pulse: func() time.Duration { turns.Add(1); return time.Hour },
			follow: func(ctx context.Context, set func()) error {
				for {
					select {
					case fn := <-told:
						fn()
						set()
					case err := <-over:
						return err
					case <-ctx.Done():
						return nil
					}
				}
			}}
		g.start(principalTask(Workflow{ID: "w", Schedule: []string{"50 0 * * *"}, Overlap: overlapAllow}))
		asleep := func(d time.Duration, most int64) {
			t.Helper()
			before := turns.Load()
			time.Sleep(d)
			synctest.Wait()
			if n := turns.Load() - before; n > most {
				t.Errorf("%d turns in %s", n, d)
			}
		}
		asleep(49*time.Minute, 2)
		if got := g.decisions("w"); got != "" {
			t.Errorf("too early: %s", got)
		}
		asleep(time.Minute, 20)
		if got := g.decisions("w"); got != "00:50 fired" {
			t.Errorf("in time: %s", got)
		}
		told <- func() { by = 24 * time.Hour }
		synctest.Wait()
		if got := g.decisions("w"); !strings.Contains(got, "clock was set ahead by 24h") {
			t.Errorf("set: %s", got)
		}
		over <- errors.New("nobody tells")
		synctest.Wait()
		before := turns.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := turns.Load() - before; n < 10 {
			t.Errorf("%d turns in ten minutes", n)
		}
		g.stop()
	})
}

// TestClockFollowEnds: it ends with its context, and says nothing of a clock that nobody sets.
func TestClockFollowEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- clockFollow(ctx, func() { t.Log("the clock was set") }) }()
	cancel()
	if err := <-ended; err != nil && runtime.GOOS == "linux" {
		t.Error(err)
	}
}
