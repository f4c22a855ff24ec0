//go:build linux && !(amd64 || arm64)

// exec_fork_copied.go: where each child has a copy of our memory.

package main

import "golang.org/x/sys/unix"

// procForkShares says whether procForkShared works here.
const procForkShares = false

func procForkShared(uintptr, *procBirth) (pid, errno uintptr) { return 0, uintptr(unix.EINVAL) }
