// term_tty_linux.go: the part of term_tty.go that is Linux's own.

package main

import "golang.org/x/sys/unix"

// termDropInput drops what was typed and has not been read.
func termDropInput(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }
