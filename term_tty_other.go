//go:build !linux

// term_tty_other.go: the part of term_tty.go that is the BSDs' own.

package main

import "golang.org/x/sys/unix"

// termDropInput drops what was typed and has not been read.
func termDropInput(fd int) error {
	const read = 1 // FREAD, sys/fcntl.h
	return unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, read)
}
