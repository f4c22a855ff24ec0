// sys_collect.go: how much memory a daemon trades for speed. Its heap is small. A fixed percentage would collect that
// every 2 MB while output streams through, or would keep for good what one busy minute needed. So the collector works
// by need: when one collection soon follows another, the soft limit of memory rises. When none has come for a while, it
// falls, and the memory goes back to the system, once.

package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// bytes of the runtime while much is allocated, unless the heap holds so much that twice that is more
	collectBusy = 18 << 20
	// bytes that the heap may grow by while little is allocated, or half of what it holds
	collectLeast = 3 << 20
	collectSoon  = time.Second      // a collection so soon after the last means that much is allocated
	collectLull  = 10 * time.Second // so long without one means that little is
)

// collector sets the soft limit of memory that alone says when the next collection comes: a percentage would also have
// the runtime collect every two minutes, and wake an idle process for that. The collector is called after each
// collection, and has a timer only while much is allocated.
type collector struct {
	limit   func(bytes uint64)
	held    func() collectHeld
	release func() // collects twice, and gives what is free back to the system

	mu   sync.Mutex
	last time.Time   // the last collection
	lull *time.Timer // nil while little is allocated
	ours int         // collections of a release that are not told yet: they are no sign of need
}

// collectHeld is the memory of the runtime in bytes: what the last collection left of the heap, and all besides the
// heap.
type collectHeld struct{ live, other uint64 }

// collectByNeed has the collector work by need, to the end of the process. It is called once, when a daemon is up and
// what its start needed is garbage.
func collectByNeed() {
	c := &collector{held: collectMetrics, limit: func(bytes uint64) {
		debug.SetMemoryLimit(int64(min(bytes, math.MaxInt64)))
	}}
	code := collectCode("/proc/self/exe")
	c.release = func() {
		runtime.GC() // what pools keep, and what has a finalizer, goes with the second one
		debug.FreeOSMemory()
		code()
	}
	c.begin(func() { collectEach(c.collected) })
	debug.SetGCPercent(-1)
}

// begin has each collection tell, by hear, and sets the first limit. It does not leave that to what the collection of
// the release tells: that may be told after the next one only, and without a limit there is no next one.
func (c *collector) begin(hear func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ours = 2
	hear()
	c.release()
	c.set()
}

// collectCode gives what lets go of the code of this program, whose file is exe. Where another machine has that file it
// is nothing: a loop that needs the code again would wait for that machine. The call itself may wait for it.
func collectCode(exe string) func() (bytes uintptr) {
	if !diskLocal(exe) {
		return func() uintptr { return 0 }
	}
	return collectProgram
}

// collectEach has fn called after each collection, by a goroutine of the runtime.
func collectEach(fn func()) {
	type mark struct{ _ *byte } // the runtime packs small objects without a pointer: those die together
	runtime.AddCleanup(&mark{}, func(fn func()) {
		collectEach(fn)
		fn()
	}, fn)
}

// collectMetrics asks the runtime what it holds.
func collectMetrics() collectHeld {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	total, heap := s[1].Value.Uint64(), uint64(0)
	for _, part := range s[2:] {
		heap += part.Value.Uint64()
	}
	return collectHeld{live: s[0].Value.Uint64(), other: total - min(heap, total)} // they are not of one moment
}

// collected is called after each collection.
func (c *collector) collected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ours > 0 {
		c.ours--
	} else {
		now := time.Now()
		if soon := now.Sub(c.last) < collectSoon; c.lull == nil && soon {
			c.lull = time.AfterFunc(collectLull, c.lulled)
		}
		c.last = now
	}
	c.set()
}

// set sets the limit for what the runtime holds now. The caller holds mu.
func (c *collector) set() {
	held := c.held()
	if c.lull != nil {
		c.limit(max(collectBusy, held.other+2*held.live))
	} else {
		c.limit(held.other + held.live + max(collectLeast, held.live/2))
	}
}

// lulled is called by the timer: it looks whether the lull has come. Then it releases what the busy time needed.
func (c *collector) lulled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := collectLull - time.Since(c.last); left > 0 {
		c.lull.Reset(left)
		return
	}
	c.lull, c.last, c.ours = nil, time.Time{}, 2
	c.release()
}
