package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// SmallDisk puts a folder of the site on a file system of its own with so many bytes, which needs root.
func (x *Site) SmallDisk(folder string, size int) {
	x.T.Helper()
	path := filepath.Join(x.Dir, folder)
	err := errors.Join(os.Mkdir(path, 0o700), syscall.Mount("tmpfs", path, "tmpfs", 0,
		fmt.Sprintf("size=%d,mode=700", size)))
	if err != nil {
		Lacks(x.T, "no file system can be mounted here: %v", err)
	}
	x.T.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			x.T.Error(err)
		}
	})
}

// FillDisk writes a file of that name in the site for as long as there is room.
func (x *Site) FillDisk(name string) {
	x.T.Helper()
	f, err := os.Create(filepath.Join(x.Dir, name))
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		x.T.Fatalf("fill the disk: %v", err)
	}
}
