// term_tty_linux.go: what term_tty.go says in the words of Linux.

package main

import "golang.org/x/sys/unix"

// termDropInput drops what was typed and not read.
func termDropInput(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }
