package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestCollectByNeed goes through a busy time: the collector is set once for each change of need, and no timer is left.
func TestCollectByNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var did []string
		held := collectHeld{live: 3 << 20, other: 2 << 20}
		c := &collector{held: func() collectHeld { return held }, release: func() { did = append(did, "release") },
			set: func(percent int, limit uint64) { did = append(did, fmt.Sprint(percent, " ", limit>>20)) }}
		step := func(what string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if what != "" {
				c.collected()
			}
			if !slices.Equal(did, want) {
				t.Fatalf("%s: did %q, want %q", what, did, want)
			}
			did = nil
		}
		none := fmt.Sprint(uint64(math.MaxInt64) >> 20)
		c.calm()
		step("one collection", time.Hour, "50 "+none, "release")
		step("one long after that", collectSoon)
		step("one soon after that", collectSoon-1, "400 20")
		held.live = 100 << 20
		step("with a large heap", collectLull-1, "400 202")
		step("", collectLull-1)
		step("", 1, "50 "+none, "release")
		step("one in the lull", 0)
		step("", 24*time.Hour) // a timer would end this test late or never
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
