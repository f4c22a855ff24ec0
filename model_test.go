package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestModelDuration(t *testing.T) {
	const day = 24 * time.Hour
	good := map[string]time.Duration{
		"0": 0, "0s": 0, "0d": 0, "90": 90 * time.Second, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second,
		"30m": 30 * time.Minute, "2h30m": 150 * time.Minute, "1d": day, "2w": 14 * day, "1w2d3h4m5s": 9*day +
			3*time.Hour + 4*time.Minute + 5*time.Second,
		" 1d ": day, "1d0s": day, "5ms": 5 * time.Millisecond, "1e3": 1000 * time.Second, "15250w": 15250 * 7 * day,
	}
	for text, want := range good {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	bad := []string{"", " ", "-1", "-1s", "1d-25h", "-1d", "d", "w", "1x", "1d1w", "1w1w", "NaN", "Inf", "1e10",
		"1d 2h", "1,5s",
		"65536d", "65535w", "15251w", "15250w9223372036s", "9999999h", "nine"}
	for _, text := range bad {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		} else if !strings.Contains(err.Error(), "is not a duration: write it as") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[time.Duration]string{day: "1d", 36 * time.Hour: "36h", 150 * time.Minute: "2h30m",
		90 * time.Second: "1m30s",
		time.Hour:        "1h", 10 * time.Minute: "10m", 0: "0s", 1500 * time.Millisecond: "1.5s", 14 * day: "14d",
		time.Hour +
			time.Second: "1h0m1s"} {
		if got := Duration(text).String(); got != want {
			t.Errorf("%d is written %q, want %q", text, got, want)
		}
	}
}

// Every duration comes back as it was.
func TestModelDurationRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		d := Duration(rnd.Int64N(math.MaxInt64) >> rnd.IntN(60))
		text, err := json.Marshal(d)
		var back Duration
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || back != d {
			t.Fatalf("%d: %s: %d, %v", d, text, back, err)
		}
	}
}

func TestModelStamp(t *testing.T) {
	zone := time.FixedZone("", 3600)
	s := stampOf(time.Date(2026, 1, 31, 1, 2, 3, 999_999_999, zone))
	if text, _ := json.Marshal(s); string(text) != `"2026-01-31T00:02:03.999Z"` {
		t.Errorf("written as %s", text)
	}
	var back Stamp
	for text, want := range map[string]string{`"2026-01-31T00:02:03Z"`: "2026-01-31T00:02:03.000Z",
		`"2026-01-31T01:02:03.1239+01:00"`: "2026-01-31T00:02:03.123Z"} {
		if err := json.Unmarshal([]byte(text), &back); err != nil || back.Format(stampLayout) != want {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	for _, text := range []string{"null", `""`} {
		back = s
		if err := json.Unmarshal([]byte(text), &back); err != nil || !back.IsZero() {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	if text, _ := json.Marshal(Run{}); strings.Contains(string(text), "started") {
		t.Errorf("a run that has not begun says when: %s", text)
	}
	if text, _ := json.Marshal(Stamp{}); string(text) != "null" {
		t.Errorf("no time is written as %s", text)
	}
	// What is taken in must be fit to be written: a year of five digits in the journal could not be read again.
	for _, text := range []string{`"9999-12-31T23:59:59-10:00"`, `"0000-01-01T00:00:00+10:00"`, `"tomorrow"`, `5`,
		`"2026-01-31"`} {
		if err := json.Unmarshal([]byte(text), &back); err == nil {
			t.Errorf("%s is taken for %v", text, back)
		}
	}
	w, faults := workflowParse("w.yml", "w", []byte("end_time: 9999-12-31T23:59:59-10:00\ntasks:\n  a: {run: x}\n"))
	if w != nil || len(faults) != 1 || !strings.Contains(faults[0].String(), "w.yml:1:11: end_time") {
		t.Errorf("a workflow that ends in the year 10000: %v", faults)
	}
}

func TestModelRunID(t *testing.T) {
	form := regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)
	now := time.UnixMilli(1469918176385) // the example of the ULID specification
	first := runID(now, "")
	if !form.MatchString(first) || first[:10] != "01ARYZ6S41" {
		t.Errorf("%q is no ULID of that time", first)
	}
	if at := runTime(first); !at.Equal(now) {
		t.Errorf("%s is of %v, want %v", first, at, now)
	}
	for _, id := range []string{"", "x", first[:25], "U" + first[1:]} {
		if at := runTime(id); !at.IsZero() {
			t.Errorf("%q is of %v", id, at)
		}
	}
	last := first
	for i, step := range []time.Duration{0, 0, time.Millisecond, time.Hour, -48 * time.Hour, 0, -time.Hour,
		time.Millisecond, 300 * 24 * time.Hour} {
		now = now.Add(step)
		id := runID(now, last)
		if id <= last || !form.MatchString(id) {
			t.Errorf("step %d: %s after %s", i, id, last)
		}
		last = id
	}
	behind := runID(now.Add(-time.Hour), "01ARYZ6S41ZZZZZZZZZZZZZZZZ")
	if behind <= "01ARYZ6S41ZZZZZZZZZZZZZZZZ" {
		t.Errorf("%s is not above the last id", behind)
	}
	if got := runID(time.UnixMilli(1), "01ARYZ6S41AAAAAAAAAAAAAAZZ"); got != "01ARYZ6S41AAAAAAAAAAAAAB00" {
		t.Errorf("one more is %s", got)
	}
	seen := map[string]bool{}
	for range 1000 {
		id := runID(now, "")
		if seen[id] {
			t.Fatalf("%s was made twice", id)
		}
		seen[id] = true
	}
}

func TestModelEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1},
		{"same", "same", 0},
		{"größe", "grösse", 2}, {"größe", "grüße", 1}, {"größe", "gröeß", 1}, {"日本語", "日語本", 1}, {"日本", "にほん", 3},
		{"a", "é", 1}} {
		for range 2 {
			if got, _ := editDistance([]rune(c.a), []rune(c.b), 100); got != c.want {
				t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
			}
			c.a, c.b = c.b, c.a
		}
	}
	if got, _ := editDistance([]rune("abcdef"), []rune("x"), 3); got != 3 {
		t.Errorf("past the limit it is %d", got)
	}
}

// What the search leaves out, because it is too far from the diagonal or costs too much, changes no answer.
func TestModelEditDistanceBand(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() []rune {
		text := make([]rune, random.IntN(12))
		for i := range text {
			text[i] = 'a' + rune(random.IntN(3))
		}
		return text
	}
	for range 20_000 {
		a, b := word(), word()
		whole, _ := editDistance(a, b, 100)
		for _, limit := range []int{1, 2, 3, 5, 8} {
			if got, _ := editDistance(a, b, limit); got != min(whole, limit) {
				t.Fatalf("%q, %q up to %d: %d, and %d without a limit", string(a), string(b), limit, got, whole)
			}
		}
	}
}

// The work of a search is bounded, whatever somebody asks for and however many names there are.
func TestModelNearestWork(t *testing.T) {
	if got := nearest(strings.Repeat("é", nearestMaxText+1), []string{strings.Repeat("é", nearestMaxText)}); got != "" {
		t.Errorf("a text of %d letters is searched for", nearestMaxText+1)
	}
	if got := nearest(strings.Repeat("x", 1<<20), []string{strings.Repeat("x", 1<<20)}); got != "" {
		t.Error("a text of 1 MiB is searched for")
	}
	text := strings.Repeat("ab", nearestMaxText/2)
	names := slices.Repeat([]string{strings.Repeat("ba", nearestMaxText/2-1) + "yyyy"}, nearestMaxWork/nearestMaxText)
	names = append(names, text) // behind more work than is done for a hint
	if got := nearest(text, names); got == text {
		t.Error("the search has no end")
	}
	if got := nearest(text, names[len(names)-10:]); got != text {
		t.Errorf("among ten: %q", got)
	}
	if got := nearest("etl.dayly", append(slices.Repeat([]string{strings.Repeat("long", 60)}, 20_000),
		"etl.daily")); got != "etl.daily" {
		t.Errorf("behind 20,000 that are too long: %q", got)
	}
}

func TestModelNearest(t *testing.T) {
	words := []string{"schedule", "description", "tasks", "prüfung", "run"}
	for text, want := range map[string]string{"shedule": "schedule", "Tasks": "tasks", "task": "tasks",
		"prufung": "prüfung", "PRÜFUNK": "prüfung",
		"rnu": "run", "zzzzzzz": "", "descr": "", "скедуле": ""} {
		if got := nearest(text, words); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := nearest("x", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestModelFailover(t *testing.T) {
	for _, c := range []struct {
		w    Workflow
		want string
	}{{Workflow{}, failoverFail}, {Workflow{Retries: 1}, failoverRerun},
		{Workflow{Retries: 1, Failover: failoverFail}, failoverFail}, {Workflow{Failover: failoverRerun},
			failoverRerun}} {
		if got := c.w.failover(); got != c.want {
			t.Errorf("%+v: %s", c.w, got)
		}
	}
}

func TestModelLogLine(t *testing.T) {
	for _, raw := range []string{"", "plain", "ü", "\xff\xfe", "half \xc3"} {
		var l, back LogLine
		l.set([]byte(raw))
		if text, err := json.Marshal(l); err != nil || json.Unmarshal(text, &back) != nil || string(back.raw()) != raw {
			t.Errorf("%q comes back as %q (%v)", raw, back.raw(), err)
		}
	}
	r := &Run{Tasks: []TaskRun{{Task: "a"}}}
	r.clone().Tasks[0].State = taskFailed
	if r.task("a").State != "" || r.task("b") != nil {
		t.Error("a clone shares its tasks")
	}
	a, size := (&Workflow{ID: "a"}).hash()
	if b, _ := (&Workflow{ID: "b"}).hash(); a == b || len(a) != 16 || size != len(`{"id":"a","tasks":null}`) {
		t.Errorf("hashes %s and %s, %d bytes", a, b, size)
	}
}

// A skipped task did not run: a run that failed at the first of three tasks has done one, in every list of runs.
func TestModelRunDone(t *testing.T) {
	for state, want := range map[string]int{runFailed: 1, runCrashed: 1, runCancelled: 1, runSucceeded: 3,
		runRunning: 3} {
		r := &Run{State: state, Tasks: []TaskRun{{Task: "a", State: taskFailed}, {Task: "b", State: taskSkipped},
			{Task: "c", State: taskSkipped}}}
		if got := r.done(); got != want {
			t.Errorf("%s: %d, want %d", state, got, want)
		}
		if row := protoRowOf(r); row.Done != want || row.Total != 3 {
			t.Errorf("%s: %d of %d in a list", state, row.Done, row.Total)
		}
	}
}

// fieldFilled gives a copy of a struct in which one field has another value than none.
func fieldFilled[S any](t *testing.T, of S, field reflect.StructField) S {
	t.Helper()
	exit := 7
	v := reflect.ValueOf(&of).Elem().FieldByIndex(field.Index)
	switch v.Interface().(type) {
	case string:
		v.SetString("other")
	case int, int64:
		v.SetInt(7)
	case float64:
		v.SetFloat(7)
	case bool:
		v.SetBool(true)
	case *int:
		v.Set(reflect.ValueOf(&exit))
	case Stamp:
		v.Set(reflect.ValueOf(stampOf(time.Unix(7, 0))))
	case map[string]string:
		v.Set(reflect.ValueOf(map[string]string{"a": "c"}))
	case TaskUse:
		v.Set(reflect.ValueOf(TaskUse{CPU: 0.25, Memory: 7, Read: 512, Written: 1024}))
	case *TaskAsk:
		v.Set(reflect.ValueOf(&TaskAsk{For: askWorkflow}))
	case *TaskPart:
		v.Set(reflect.ValueOf(&TaskPart{ID: "x"}))
	case *assignedPart:
		v.Set(reflect.ValueOf(&assignedPart{Run: "x"}))
	case *assignedEnd:
		v.Set(reflect.ValueOf(&assignedEnd{State: runFailed}))
	case *RunEvent:
		v.Set(reflect.ValueOf(&RunEvent{Kind: listenOnFile, Path: "/x"}))
	case *Workflow:
		v.Set(reflect.ValueOf(&Workflow{ID: "x"}))
	case []TaskRun, []TaskAttempt, []LeftProcess, []EventSeen:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
	default:
		t.Errorf("%s of type %v: how is that filled?", field.Name, v.Type())
	}
	return of
}

// TestRunTree puts runs behind the run whose task has started them, or whose end has fired them.
func TestRunTree(t *testing.T) {
	t.Parallel()
	runs := []*Run{{ID: "5", Parent: "2"}, {ID: "4", Parent: "3"}, {ID: "3", Parent: "1"}, {ID: "2", Parent: "1"},
		{ID: "1"}, {ID: "0", Parent: "gone"},
		{ID: "7", Event: &RunEvent{Kind: listenOnWorkflow, Run: "6"}}, {ID: "6"},
		{ID: "8", Event: &RunEvent{Kind: listenOnWorkflow, Run: "gone"}},
		{ID: "9", Event: &RunEvent{Kind: listenOnFile}}}
	sorted, depths := runTree(runs)
	text := ""
	for i, r := range sorted {
		text += "  "[:depths[i]] + r.ID + " "
	}
	if want := "1  2   5  3   4 0 6  7 8 9 "; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}
