package main

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProcUsed: what a process used is told with its end, and what we ourselves have in memory is not taken for its.
func TestProcUsed(t *testing.T) {
	ps := procTestNew(t)
	r, _ := procTestRun(t, ps, "exec true")
	if r.Used.Memory != 0 || r.Used.Written != 0 {
		t.Errorf("true: %+v", r.Used)
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	// more than this process has had, for a child's peak begins with that of its parent
	size := 256<<20 + int64(own.Maxrss)<<10
	// in a child of the main process, which waits for it
	if r, _ := procTestRun(t, ps, fmt.Sprintf("dd if=/dev/zero of=/dev/null bs=%d count=1 2>/dev/null; true",
		size)); r.Exit != 0 ||
		r.Used.Memory < size || r.Used.Memory > size+size/4 || r.Used.CPU <= 0 {
		t.Errorf("%d bytes at once: %+v", size, r)
	}
	if r, _ = procTestRun(t, ps, "true"); r.Used.Memory != 0 {
		t.Errorf("true, after a large one: %+v", r.Used)
	}
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC { // nothing of it goes to a disk
		return
	}
	r, _ = procTestRun(t, ps, "dd if=/dev/zero of="+dir+"/file bs=1M count=3 2>/dev/null")
	if r.Used.Written < 3<<20 || r.Used.Written > 4<<20 {
		t.Errorf("3 MiB written: %+v", r.Used)
	}
}

// TestTaskUseText: what was used reads well.
func TestTaskUseText(t *testing.T) {
	for _, c := range []struct {
		used TaskUse
		want string
	}{
		{TaskUse{}, ""},
		{TaskUse{CPU: 0.004}, "4ms cpu"},
		{TaskUse{CPU: 1.24, Memory: 50_331_648, Read: 812, Written: 12_697},
			"1.24s cpu, 48M memory, 812 read, 12.4K written"},
		{TaskUse{CPU: 200, Written: 3 << 30}, "3m20s cpu, 3G written"},
		{TaskUse{Memory: 1023 << 10}, "1023K memory"},
		{TaskUse{Memory: 100 << 20}, "100M memory"},
	} {
		if got := c.used.text(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.used, got, c.want)
		}
	}
	sum := TaskUse{CPU: 0.1, Memory: 5, Read: 1}
	sum.add(TaskUse{CPU: 0.2, Memory: 3, Read: 2, Written: 4})
	if sum != (TaskUse{CPU: 0.3, Memory: 5, Read: 3, Written: 4}) {
		t.Errorf("sum: %+v", sum)
	}
}
