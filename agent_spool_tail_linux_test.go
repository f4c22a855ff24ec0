// The end of output on a disk that is full: a file system of a few megabytes, which needs root.

package main

import (
	"os"
	"testing"
	"time"
)

// TestDiskTail: on a full disk the older file of an end of output goes first, for the next one needs its room.
func TestDiskTail(t *testing.T) {
	x := e2eNew(t)
	x.SmallDisk("state", 4<<20)
	tail, older, _, _ := spoolTailTestBoth(t, x.Dir+"/state")
	x.FillDisk("state/other")
	tail.room, tail.text = func(*os.File, int) error { return nil }, spoolTailText // the newer file is full
	tail.add("1 a", 0, time.Now(), []byte("last\n"))
	if _, fault := tail.total(); fault != nil {
		t.Error(fault)
	}
	lines, _ := spoolTailTestLines(t, tail.path, 0, nil)
	if info, err := os.Stat(older); err != nil || info.Size() > 2000 || lines[len(lines)-1] != "o 1 a last" {
		t.Errorf("the third file: %v, %v; the last line: %.20q", info, err, lines[len(lines)-1])
	}
}
