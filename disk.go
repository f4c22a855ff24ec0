// disk.go: how much room there is on the file system of a file. Output leaves the last of it alone: what is left then is
// for events, so that runs can still be made, ended, and recorded. Uses golang.org/x/sys/unix (fstatfs) and nothing else.

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// diskLeave is what output leaves free, in bytes. The store's reserve comes on top of it.
const diskLeave = 1 << 20

// diskFree gives how many bytes may still be written where an open file or folder lies, by a user who is not root. Any
// goroutine may call it.
func diskFree(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// diskRoom says no, with ENOSPC, to n bytes of output that would leave less than diskLeave. A file system that does not say
// how much is free has room until a write says otherwise.
func diskRoom(f *os.File, n int) error {
	free, err := diskFree(f)
	if err != nil || free >= int64(n)+diskLeave {
		return nil
	}
	return fmt.Errorf("%w: %d kB are left, for events", unix.ENOSPC, free>>10)
}
