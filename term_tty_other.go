//go:build !linux

// term_tty_other.go: what term_tty.go says in the words of the BSDs.

package main

import "golang.org/x/sys/unix"

// termDropInput drops what was typed and not read.
func termDropInput(fd int) error {
	const read = 1 // FREAD, sys/fcntl.h
	return unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, read)
}
