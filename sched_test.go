package main

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var schedEpoch = time.Date(2026, 3, 10, 12, 0, 30, 0, time.UTC)

func schedAt(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err) // a test's own table is wrong
	}
	return t
}

func schedSet(t testing.TB, s *sched, w *Workflow, after time.Time) *schedEntry {
	t.Helper()
	e, err := s.set(w, nil, after)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSchedDue(t *testing.T) {
	s := schedNew(time.UTC)
	schedSet(t, s, &Workflow{ID: "hour", Schedule: []string{"0 * * * *"}}, schedEpoch)
	schedSet(t, s, &Workflow{ID: "b", Schedule: []string{"* * * * *"}}, schedEpoch)
	schedSet(t, s, &Workflow{ID: "a", Schedule: []string{"*/2 * * * *", "1-59/2 * * * *"}}, schedEpoch)
	schedSet(t, s, &Workflow{ID: "boot", Schedule: []string{"@reboot"}}, schedEpoch)
	if e := schedSet(t, s, &Workflow{ID: "none"}, schedEpoch); e != nil || len(s.heap) != 3 ||
		!s.entries["boot"].reboots() || s.entries["boot"].starts() || s.entries["b"].reboots() {
		t.Fatalf("%v, %d in the heap", e, len(s.heap))
	}
	if at, ok := s.firstDue(); !ok || !at.Equal(schedAt("2026-03-10 12:01:00")) {
		t.Errorf("first at %v", at)
	}
	if ticks := s.due(schedEpoch.Add(29 * time.Second)); len(ticks) != 0 {
		t.Errorf("early: %v", ticks)
	}
	// Late by less than a minute is merely late, and nothing is lost.
	got := ""
	for _, tick := range s.due(schedAt("2026-03-10 12:02:00")) {
		got += tick.spec.ID + tick.tick.Format(" 15:04, ")
	}
	if got != "a 12:01, b 12:01, a 12:02, b 12:02, " {
		t.Errorf("due: %s", got)
	}
	if _, ok := s.dueOf("boot"); ok {
		t.Error("@reboot has a next tick")
	}
	s.remove("a")
	s.remove("a")
	s.remove("boot")
	if len(s.heap) != 2 || len(s.entries) != 2 || len(s.coming("a", schedEpoch, 3)) != 0 {
		t.Errorf("%d in the heap, %d entries", len(s.heap), len(s.entries))
	}
	if list := s.coming("hour", schedEpoch, 3); len(list) != 3 || !list[2].Equal(schedAt("2026-03-10 15:00:00")) {
		t.Errorf("coming: %v", list)
	}
	// A changed schedule takes the place of the one before.
	schedSet(t, s, &Workflow{ID: "hour", Schedule: []string{"30 * * * *"}}, schedEpoch)
	if at, _ := s.dueOf("hour"); !at.Equal(schedAt("2026-03-10 12:30:00")) || len(s.heap) != 2 {
		t.Errorf("changed: %v", at)
	}
	if schedSet(t, s, &Workflow{ID: "hour"}, schedEpoch) != nil || s.entries["hour"] != nil {
		t.Error("a schedule that was taken away is still there")
	}
	for _, w := range []*Workflow{{ID: "x", Schedule: []string{"61 * * * *"}},
		{ID: "x", Timezone: "Mars/Base", Schedule: []string{"* * * * *"}}} {
		if _, err := s.set(w, nil, schedEpoch); err == nil || !strings.Contains(err.Error(), "workflow x") {
			t.Errorf("%v: %v", w, err)
		}
	}
}

// A tick that is late by more than a minute: due gives the first, missed lists all, and the entry is moved on past
// them.
func TestSchedLate(t *testing.T) {
	for _, jitter := range []Duration{0, Duration(10 * time.Minute)} {
		s := schedNew(time.UTC)
		e := schedSet(t, s, &Workflow{ID: "late", Schedule: []string{"* * * * *"}, Jitter: jitter}, schedEpoch)
		now := schedEpoch.Add(time.Hour)
		ticks := s.due(now)
		if len(ticks) != 1 || !ticks[0].tick.Equal(schedAt("2026-03-10 12:01:00")) {
			t.Fatalf("due: %v", ticks)
		}
		list, total := e.missed(ticks[0].tick.Add(-time.Nanosecond), now)
		if total != len(list) || !list[0].Equal(ticks[0].tick) || list[total-1].Add(e.jitter).After(now) ||
			!list[total-1].Add(time.Minute).Equal(e.tick()) {
			t.Errorf("jitter %v: missed %v to %v, next %v", e.jitter, list[0], list[total-1], e.tick())
		}
		if at, _ := s.firstDue(); !at.After(now) || at.Sub(now) > time.Minute {
			t.Errorf("next at %v", at)
		}
	}
}

func TestSchedJitter(t *testing.T) {
	const span = 30 * time.Second
	seen := map[time.Duration]bool{}
	for i := range 200 {
		w := &Workflow{ID: fmt.Sprint("w", i), Schedule: []string{"0 * * * *"}, Jitter: Duration(span)}
		one, two := schedSet(t, schedNew(time.UTC), w, schedEpoch), schedSet(t, schedNew(time.UTC), w,
			schedEpoch.Add(time.Hour))
		if one.jitter != two.jitter || one.jitter < 0 || one.jitter >= span ||
			!one.at().Equal(one.tick().Add(one.jitter)) || one.tick().Minute() != 0 {
			t.Fatalf("%s: %v, %v", w.ID, one.jitter, two.jitter)
		}
		seen[one.jitter] = true
	}
	if len(seen) < 190 {
		t.Errorf("200 workflows share %d offsets", len(seen))
	}
	if e := schedSet(t, schedNew(time.UTC), &Workflow{ID: "w", Schedule: []string{"0 * * * *"}},
		schedEpoch); e.jitter != 0 {
		t.Errorf("without jitter: %v", e.jitter)
	}
}

func TestSchedWindow(t *testing.T) {
	w := &Workflow{ID: "w", Schedule: []string{"0 * * * *"}, StartTime: stampOf(schedAt("2026-03-10 15:00:00")),
		EndTime: stampOf(schedAt("2026-03-10 17:00:00"))}
	s := schedNew(time.UTC)
	e := schedSet(t, s, w, schedEpoch)
	got := ""
	for _, at := range s.coming("w", schedEpoch, 10) {
		got += at.Format("15 ")
	}
	if got != "15 16 17 " {
		t.Errorf("fires at %s", got)
	}
	if list, total := e.missed(schedEpoch, schedAt("2026-03-11 00:00:00")); total != 3 || len(list) != 3 {
		t.Errorf("missed %v", list)
	}
	s.advance(e, schedAt("2026-03-10 17:00:00"))
	if _, ok := s.firstDue(); ok || e.index >= 0 {
		t.Error("it fires after its end")
	}
	s.advance(e, schedAt("2026-03-10 16:00:00"))
	if at, ok := s.firstDue(); !ok || !at.Equal(schedAt("2026-03-10 17:00:00")) {
		t.Errorf("back in the heap: %v", at)
	}
	// The zone of the workflow goes before that of the principal.
	london := schedSet(t, s, &Workflow{ID: "z", Timezone: "America/New_York", Schedule: []string{"0 9 * * *"}},
		schedEpoch)
	if !london.tick().Equal(schedAt("2026-03-10 13:00:00")) {
		t.Errorf("9:00 in New York is %v", london.tick().UTC())
	}
}

func TestSchedMissed(t *testing.T) {
	e := schedSet(t, schedNew(time.UTC), &Workflow{ID: "w", Schedule: []string{"* * * * *"}}, schedEpoch)
	list, total := e.missed(schedEpoch, schedEpoch.Add(7000*time.Minute))
	if total != 7000 || len(list) != schedMaxMissed ||
		!list[len(list)-1].Equal(schedAt("2026-03-10 12:01:00").Add(6999*time.Minute)) {
		t.Errorf("%d of %d, last %v", len(list), total, list[len(list)-1])
	}
	for i := 1; i < len(list); i++ {
		if list[i].Sub(list[i-1]) != time.Minute {
			t.Fatalf("%v follows %v", list[i], list[i-1])
		}
	}
	if list, total := e.missed(schedEpoch, schedEpoch); total != 0 || len(list) != 0 {
		t.Errorf("of no time: %v", list)
	}
	if list, total := e.missed(schedEpoch, schedEpoch.Add(-time.Hour)); total != 0 || len(list) != 0 {
		t.Errorf("of a clock set back: %v", list)
	}
}

func TestSchedCatchup(t *testing.T) {
	now := schedAt("2026-03-10 12:05:30")
	ticks := []time.Time{schedAt("2026-03-10 12:01:00"), schedAt("2026-03-10 12:02:00"), schedAt("2026-03-10 12:04:00")}
	const cause = "it was down"
	for _, c := range []struct {
		policy string
		window time.Duration
		total  int
		paused string
		want   string
	}{
		{"", 0, 3, "", "12:04 not +2: missed: it was down (catchup: skip)"},
		{catchupSkip, 0, 13, "", "12:04 not +12: missed: it was down (catchup: skip)"},
		{catchupOnce, 0, 3, "", "12:02 not +1: missed: it was down (catchup: once)|12:04 fire: caught up: it was down"},
		{catchupAll, 0, 3, "", "12:01 fire: caught up: it was down|12:02 fire: caught up: it was down|12:04 fire: " +
			"caught up: it was down"},
		{catchupAll, 2 * time.Minute, 3, "",
			"12:02 not +1: missed: it was down, and longer ago than catchup_window 2m|12:04 fire: caught up: it was " +
				"down"},
		{catchupOnce, 4 * time.Minute, 3, "",
			"12:02 not +1: missed: it was down (catchup: once)|12:04 fire: caught up: it was down"},
		{catchupOnce, time.Minute, 3, "", "12:04 not +2: missed: it was down, and longer ago than catchup_window 1m"},
		{catchupAll, time.Minute, 3, "", "12:04 not +2: missed: it was down, and longer ago than catchup_window 1m"},
		{catchupAll, 0, 3, "me", "12:04 not +2: missed: it was down, and paused by me"},
	} {
		w := &Workflow{ID: "w", Catchup: c.policy, CatchupWindow: Duration(c.window)}
		var parts []string
		for _, v := range schedCatchup(w, ticks, c.total, now, cause, c.paused) {
			text := v.tick.Format("15:04") + " fire: " + v.reason
			if !v.fire {
				text = fmt.Sprintf("%s not +%d: %s", v.tick.Format("15:04"), v.missed, v.reason)
			}
			parts = append(parts, text)
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%s within %v of %d, paused %q:\n%s\nwant\n%s", c.policy, c.window, c.total, c.paused, got, c.want)
		}
	}
	if v := schedCatchup(&Workflow{Catchup: catchupAll}, nil, 0, now, cause, ""); v != nil {
		t.Errorf("of nothing: %v", v)
	}
}

func TestSchedDecide(t *testing.T) {
	two := []string{"R1", "R2"}
	for _, c := range []struct {
		overlap, paused string
		active          []string
		left            string
		fire            bool
		reason          string
	}{
		{"", "", nil, "", true, ""}, {overlapSkip, "", two, "", false, "overlap: run R1 is still active"},
		{"", "", two[:1], "", false, "overlap: run R1 is still active"},
		{overlapQueue, "", two, "", true, "queued behind run R2"}, {overlapReplace, "", two, "", true,
			"in place of run R1, R2"}, {overlapAllow, "", two, "", true, ""},
		{overlapQueue, "", nil, "", true, ""}, {overlapReplace, "", nil, "", true, ""},
		{overlapAllow, "me", two, "", false, "paused by me"}, {"", "me", nil, "", false, "paused by me"},
		{"", "", nil, "it lives", false, "overlap: it lives"}, {overlapSkip, "", two, "it lives", false,
			"overlap: run R1 is still active"}, {overlapQueue, "", nil, "it lives", true, "queued: it lives"},
		{overlapReplace, "", nil, "it lives", true, "queued: it lives"}, {overlapAllow, "", nil, "it lives", true, ""},
		{"", "me", nil, "it lives", false, "paused by me"},
	} {
		v := schedDecide(&Workflow{Overlap: c.overlap}, schedEpoch, c.paused, c.active, c.left)
		if v.fire != c.fire || v.reason != c.reason || !v.tick.Equal(schedEpoch) {
			t.Errorf("%+v: %+v", c, v)
		}
	}
	if one, two := schedSignature(&Workflow{Schedule: []string{"a", "b"}}),
		schedSignature(&Workflow{Schedule: []string{"a"}, Timezone: "b"}); one == two {
		t.Errorf("two schedules are both %q", one)
	}
}

// TestSchedShares: schedules that say the same share what is parsed of it, and forget it with the last of them.
func TestSchedShares(t *testing.T) {
	s := schedNew(time.UTC)
	put := func(id, zone string, texts ...string) *schedEntry {
		return schedSet(t, s, &Workflow{ID: id, Timezone: zone, Schedule: texts}, schedEpoch)
	}
	a, b := put("a", "Europe/Paris", "0 9 * * *", "H 9 * * *"), put("b", "Europe/Paris", "0 9 * * *", "H 9 * * *")
	if a.exprs[0] != b.exprs[0] || a.clock != b.clock {
		t.Error("equal schedules share nothing")
	}
	if a.exprs[1] == b.exprs[1] || a.exprs[1].min == b.exprs[1].min {
		t.Error("H is the same for two ids")
	}
	before := a.exprs[0]
	if again := put("a", "", "0 9 * * *"); again.exprs[0] != before || again.clock == b.clock {
		t.Error("a new version of a workflow shares another expression, or the zone that it does not have")
	}
	c := &Workflow{ID: "c", Timezone: "Asia/Tokyo", Schedule: []string{"5 5 * * *", "61 * * * *"}}
	if _, err := s.set(c, nil, schedEpoch); err == nil {
		t.Error("61 is a minute")
	}
	if len(s.exprs) != 1 || s.exprs["0 9 * * *"].uses != 2 || len(s.clocks) != 2 || s.clocks["Europe/Paris"].uses != 1 {
		t.Errorf("%d expressions are shared, %d zones", len(s.exprs), len(s.clocks))
	}
	s.remove("a")
	put("b", "")
	if len(s.exprs) != 0 || len(s.entries) != 0 {
		t.Errorf("%d expressions of %d schedules are left", len(s.exprs), len(s.entries))
	}
	if zone := s.clocks[""]; len(s.clocks) != 1 || zone.uses != 1 || zone.clock == nil {
		t.Errorf("%d zones are left; the principal's: %+v", len(s.clocks), zone)
	}
}

// TestSchedMemory holds what a schedule takes beside its workflow.
func TestSchedMemory(t *testing.T) {
	const n, most = 20_000, 200 // bytes each
	workflows := make([]*Workflow, n)
	for i := range workflows {
		workflows[i] = &Workflow{ID: fmt.Sprintf("w%05d", i), Schedule: []string{fmt.Sprintf("%d %d * * *", i%60,
			i/60%24)}}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, s := heap(), schedNew(time.UTC)
	for _, w := range workflows {
		schedSet(t, s, w, schedEpoch)
	}
	if each := (int64(heap()) - int64(before)) / n; each > most {
		t.Errorf("a schedule takes %d bytes", each)
	}
	e := s.entries["w00007"]
	if n := allocsOf(100, func() { s.advance(e, e.tick()) }); n != 0 {
		t.Errorf("a decision allocates %v times", n)
	}
	runtime.KeepAlive(workflows)
}

// BenchmarkSched fires the first of 100,000 schedules and finds its next tick; B/schedule is what each takes beside its
// workflow.
func BenchmarkSched(b *testing.B) {
	const n = 100_000
	workflows := make([]*Workflow, n)
	for i := range workflows {
		workflows[i] = &Workflow{ID: fmt.Sprintf("w%06d", i), Schedule: []string{fmt.Sprintf("%d %d * * *", i%60,
			i/60%24)}}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := schedNew(cronZone(b, "Europe/London"))
	for _, w := range workflows {
		schedSet(b, s, w, schedEpoch)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	for b.Loop() {
		e := s.heap[0]
		s.advance(e, e.tick())
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/schedule")
}

// Ten thousand workflows, changed and fired at random: the heap gives what a search through all of them does.
func TestSchedMany(t *testing.T) {
	t.Parallel()
	const n = 10_000
	rnd := rand.New(rand.NewPCG(3, 3))
	s, now := schedNew(time.UTC), schedEpoch
	random := func(i int) *Workflow {
		return &Workflow{ID: fmt.Sprintf("w%05d", i), Schedule: []string{fmt.Sprintf("%d %d * * *", rnd.IntN(60),
			rnd.IntN(24))}, Jitter: Duration(rnd.IntN(2)) * Duration(time.Minute)}
	}
	for i := range n {
		schedSet(t, s, random(i), now)
	}
	fired := map[string]int{}
	for end := now.Add(24 * time.Hour); ; {
		at, ok := s.firstDue()
		if !ok || at.After(end) {
			break
		}
		if at.Before(now) {
			t.Fatalf("%v comes after %v", at, now)
		}
		now = at
		for _, tick := range s.due(now) {
			fired[tick.spec.ID]++
		}
	}
	for id, count := range fired {
		if count != 1 {
			t.Errorf("%s fired %d times in a day", id, count)
		}
	}
	if len(fired) < n-20 { // jitter moves a few over the end of the day
		t.Errorf("%d of %d fired", len(fired), n)
	}
	for range 3000 {
		i := rnd.IntN(n)
		switch rnd.IntN(3) {
		case 0:
			s.remove(fmt.Sprintf("w%05d", i))
		default:
			schedSet(t, s, random(i), now)
		}
	}
	first := time.Time{}
	for id, e := range s.entries {
		if s.heap[e.index] != e {
			t.Fatalf("%s is not where it says", id)
		}
		if first.IsZero() || e.at().Before(first) {
			first = e.at()
		}
	}
	if at, _ := s.firstDue(); !at.Equal(first) || len(s.heap) != len(s.entries) {
		t.Errorf("the heap says %v, a search %v; %d, %d", at, first, len(s.heap), len(s.entries))
	}
}

// The fires of all workflows together are those of each, merged.
func TestSchedComingOfAll(t *testing.T) {
	s := schedNew(time.UTC)
	var all []Fire
	for i, text := range []string{"*/7 * * * *", "0 * * * *", "5 12 1 * *", "0 0 31 2 *"} {
		w := &Workflow{ID: fmt.Sprint("w", i), Schedule: []string{text}, Jitter: Duration(time.Minute)}
		schedSet(t, s, w, schedEpoch)
		for _, at := range s.coming(w.ID, schedEpoch, 50) {
			all = append(all, Fire{w.ID, stampOf(at)})
		}
	}
	slices.SortStableFunc(all, func(a, b Fire) int { return a.At.Compare(b.At.Time) })
	if got, _ := s.comingOfAll(schedEpoch, 50, "", authOwner.sees); !reflect.DeepEqual(got, all[:50]) {
		t.Errorf("got %v, want %v", got, all[:50])
	}
	var paged []Fire
	cursor := ""
	for len(paged) < 50 {
		page, next := s.comingOfAll(schedEpoch, 3, cursor, authOwner.sees)
		paged, cursor = append(paged, page...), next
	}
	if !reflect.DeepEqual(paged[:50], all[:50]) {
		t.Errorf("page by page %v, want %v", paged[:50], all[:50])
	}
	before := s.heap[0].at()
	s.comingOfAll(schedEpoch, 10, "", authOwner.sees)
	if !s.heap[0].at().Equal(before) {
		t.Error("looking ahead moved the schedule")
	}
}

// A schedule that missed more ticks than are counted still gives its newest ones.
func TestSchedMissedVeryMany(t *testing.T) {
	s := schedNew(time.UTC)
	e, err := s.set(&Workflow{ID: "w", Schedule: []string{"* * * * *"}}, nil, schedEpoch)
	if err != nil {
		t.Fatal(err)
	}
	to := schedEpoch.AddDate(1, 0, 0)
	ticks, total := e.missed(schedEpoch, to)
	if last := ticks[len(ticks)-1]; !last.Equal(to.Truncate(time.Minute)) || len(ticks) != schedMaxMissed ||
		total < schedMaxCount {
		t.Errorf("%d of %d ticks, the last %v, want %v", len(ticks), total, last, to)
	}
}
