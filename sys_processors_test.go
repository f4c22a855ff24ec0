package main

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// TestProcessorsByNeed: a process works on one processor until that is nearly full, and again once one would do.
func TestProcessorsByNeed(t *testing.T) {
	t.Parallel()
	var now, used time.Duration
	var said []bool
	p := processors{clock: func() time.Duration { return now }, used: func() time.Duration { return used },
		set: func(one bool) { said = append(said, one) }}
	for _, step := range []struct {
		name       string
		took, used time.Duration
		want       []bool
	}{
		{"the first turn", time.Hour, time.Minute, []bool{true}},
		{"too soon to say", processorsLook / 2, processorsLook / 2, nil},
		{"some use of one", processorsLook, processorsLook / 2, nil},
		{"one is full", processorsLook, processorsLook * 9 / 10, []bool{false}},
		{"a moment of rest", processorsLook, 0, nil},
		{"two are used", processorsHold, 2 * processorsHold, nil},
		{"one would be nearly full", processorsLook, processorsLook * 8 / 10, nil},
		{"one would do", processorsLook, processorsLook / 2, []bool{true}},
		{"idle", time.Hour, time.Millisecond, nil},
		{"full at once after that", processorsLook, processorsLook, []bool{false}},
		{"idle", time.Hour, time.Millisecond, []bool{true}},
	} {
		now, used, said = now+step.took, used+step.used, nil
		if p.turn(); !slices.Equal(said, step.want) {
			t.Errorf("%s: one: %v, want %v", step.name, said, step.want)
		}
	}
}

// TestProcessorsSet: the loop's first turn has the process work on one processor. Later it has as many as there are by
// then, not as there were at its start, unless the environment says how many.
func TestProcessorsSet(t *testing.T) {
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.SetDefaultGOMAXPROCS()
	found := runtime.GOMAXPROCS(0)
	for given, want := range map[string]int{"": found, "nonsense": found, "3": 3} {
		runtime.GOMAXPROCS(found + 1) // as if there had been one more at the start
		set := processorsSet(func(string) string { return given })
		set(true)
		if n := runtime.GOMAXPROCS(0); n != 1 {
			t.Errorf("on one: %d", n)
		}
		set(false)
		if n := runtime.GOMAXPROCS(0); n != want {
			t.Errorf("GOMAXPROCS=%s: %d, want %d", given, n, want)
		}
	}
	if processorsUsed() == 0 {
		t.Error("the system does not say what this process has used")
	}
}

// TestProcessorsTurnCosts: a turn that comes soon after another allocates nothing, and does not ask the system.
func TestProcessorsTurnCosts(t *testing.T) {
	asked := 0
	p := processors{clock: func() time.Duration { return time.Second }, set: func(bool) {},
		used: func() time.Duration { asked++; return 0 }}
	if n := allocsOf(100, p.turn); n > 0 || asked != 1 {
		t.Errorf("%v allocations, asked %d times", n, asked)
	}
}
