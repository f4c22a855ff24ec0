//go:build linux && (race || !(amd64 || arm64))

// exec_fork_copied.go: where each child has a copy of our memory. So it is under the race detector too.

package main

import "syscall"

// procForkShared does not work here.
func procForkShared(uintptr, *procBirth) (pid uintptr, errno syscall.Errno) { return 0, syscall.EINVAL }
