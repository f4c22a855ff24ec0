//go:build linux && (race || !(amd64 || arm64))

// exec_fork_copied.go: where each child has a copy of our memory. So it is under the race detector too.

package main

import "syscall"

// procForkShared does not work here. Its caller has told the runtime that a fork goes on. No stack may grow
// then, so this does not look at its own.
//
//go:nosplit
func procForkShared(uintptr, *procBirth) (pid uintptr, errno syscall.Errno) { return 0, syscall.EINVAL }
