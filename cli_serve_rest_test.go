package main

import (
	"runtime"
	"testing"
)

// TestRestProcessors: an agent that has been idle gets as many processors as there are by then, not as there were at
// its start, unless the environment says how many.
func TestRestProcessors(t *testing.T) {
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.SetDefaultGOMAXPROCS()
	found := runtime.GOMAXPROCS(0)
	for given, want := range map[string]int{"": found, "nonsense": found, "3": 3} {
		runtime.GOMAXPROCS(found + 1) // as if there had been one more at the start
		rest := restProcessors(func(string) string { return given })
		rest(true)
		if n := runtime.GOMAXPROCS(0); n != 1 {
			t.Errorf("idle: %d", n)
		}
		rest(false)
		if n := runtime.GOMAXPROCS(0); n != want {
			t.Errorf("GOMAXPROCS=%s: %d, want %d", given, n, want)
		}
	}
}
