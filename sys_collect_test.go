package main

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestCollectByNeed goes through a busy time: the limit rises and falls again, and no timer is left.
func TestCollectByNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var did []string
		held := collectHeld{live: 3 << 20, other: 2 << 20}
		c := &collector{held: func() collectHeld { return held }, release: func() { did = append(did, "release") },
			limit: func(bytes uint64) { did = append(did, fmt.Sprint(bytes>>20, " MiB")) }}
		step := func(what string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if what != "" {
				c.collected()
			}
			c.mu.Lock() // the timer's next call comes without a word of this goroutine
			defer c.mu.Unlock()
			if !slices.Equal(did, want) {
				t.Fatalf("%s: did %q, want %q", what, did, want)
			}
			did = nil
		}
		c.begin(func() { did = append(did, "hear") })
		step("", 0, "hear", "release", "8 MiB")
		step("the first of the release", 0, "8 MiB")
		step("its second", 0, "8 MiB")
		step("one collection", time.Hour, "8 MiB")
		step("one long after that", collectSoon, "8 MiB")
		step("one soon after that", collectSoon-1, "18 MiB")
		held.live = 100 << 20
		step("with a large heap", collectLull-1, "202 MiB")
		step("", collectLull-1)
		step("", 1, "release")
		step("the first of the release", 0, "152 MiB")
		step("its second", 0, "152 MiB")
		step("one after that", 0, "152 MiB")
		step("one soon after that", collectSoon-1, "202 MiB")
		step("", collectLull, "release")
		step("", 24*time.Hour)
		if c.lull != nil {
			t.Fatal("the timer is still there")
		}
	})
}

// TestCollectEach counts calls: one after each collection, also after the first.
func TestCollectEach(t *testing.T) {
	calls := make(chan struct{}, 100)
	collectEach(func() {
		select {
		case calls <- struct{}{}:
		default:
		}
	})
	for range 3 {
		runtime.GC()
		<-calls
	}
	if h := collectMetrics(); h.live == 0 || h.other == 0 || h.other > 1<<30 {
		t.Fatalf("%+v", h)
	}
}

// TestCollectProgram: the code is found, and still there. It is left where its file may lie on another machine.
func TestCollectProgram(t *testing.T) {
	if n := collectCode("/proc/self/stat")(); n != 0 {
		t.Errorf("lets go of %d bytes of code that no local disk has", n)
	}
	if diskLocal("/proc/self/exe") && collectCode("/proc/self/exe")() == 0 {
		t.Error("keeps code that a local disk has")
	}
	for range 10 {
		if n := collectProgram(); runtime.GOOS == "linux" && n < 1<<20 {
			t.Fatalf("the code has %d bytes", n)
		}
	}
}
