// sys_disk.go: how a file is opened and read so that nothing waits, and how much room there is on the file system of a
// file. Output leaves the last of that alone: what is left then is for events, so that runs can still be made, ended,
// and recorded.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

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

// errFileKind is an error of what is no regular file: a pipe would be waited for, a device has no end.
var errFileKind = errors.New("not a regular file")

// fileSizeError is an error of a file that is larger than its reader takes. Both are bytes; size is what is known of it.
type fileSizeError struct{ size, most int64 }

func (e *fileSizeError) Error() string {
	return fmt.Sprintf("the file has %d bytes, more than %d", e.size, e.most)
}

// pathCause gives the cause of an error of package os without the path, for messages that name it themselves.
func pathCause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// diskOpen opens a file or a folder of our own, made with mode 0600. What else has the name, a pipe say, is refused with errFileKind
// and not waited for: whoever may write there may put one in the place of a file.
func diskOpen(name string, flag int) (*os.File, error) {
	return diskOpened(os.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600))
}

// diskOpenIn is diskOpen within a root.
func diskOpenIn(root *os.Root, name string, flag int) (*os.File, error) {
	return diskOpened(root.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600))
}

// diskOpened passes on what was opened, when it is a regular file or a folder.
func diskOpened(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: f.Name(), Err: errors.Join(err, errFileKind)}
	}
	return f, nil
}

// fileRead reads a regular file of at most most bytes, and says what it was after that. It does not wait for a pipe or a
// device that has the name, and follows links. A file on a network that hangs is waited for: no loop may call it. Errors
// are those of package os, errFileKind, or a fileSizeError.
func fileRead(name string, most int) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	return fileReadOpen(file, most)
}

// fileReadOpen is fileRead of a file that was opened so that nothing waits (O_NONBLOCK). The caller closes it.
func fileReadOpen(file *os.File, most int) ([]byte, fs.FileInfo, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, errFileKind
	case info.Size() > int64(most):
		return nil, nil, &fileSizeError{info.Size(), int64(most)}
	}
	data := make([]byte, 0, info.Size()+512)
	for {
		n, err := file.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if len(data) > most { // it has grown, or is a file of /proc, which has no size
			return nil, nil, &fileSizeError{int64(len(data)), int64(most)}
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
	}
	info, err = file.Stat()
	return data, info, err
}

// fileWhole gives the length of a file up to the end of its last whole line, however long what is behind that is.
func fileWhole(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	block := make([]byte, 4<<10)
	for to := info.Size(); to > 0; {
		if to == info.Size() { // most often the last byte is all there is to see
			if _, err := f.ReadAt(block[:1], to-1); err != nil {
				return 0, err
			}
			if block[0] == '\n' {
				return to, nil
			}
		}
		b := block[:min(to, int64(len(block)))]
		if _, err := f.ReadAt(b, to-int64(len(b))); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(b, '\n'); at >= 0 {
			return to - int64(len(b)) + int64(at) + 1, nil
		}
		to -= int64(len(b))
	}
	return 0, nil
}
