//go:build linux && (amd64 || arm64) && !race

// exec_fork_shared.go: a fork that shares our memory with the child, where we have the instructions for it.

package main

import (
	"syscall"
	"unsafe"
)

// procForkShared has the system make a child by clone(2) with these flags, of which one is CLONE_VM. The child does
// procBeBorn on a stack of its own, in b. The caller has all signals blocked. EINVAL: the system does not do that.
//
//go:nosplit
//go:norace
//go:nocheckptr
func procForkShared(flags uintptr, b *procBirth) (pid uintptr, errno syscall.Errno) {
	top := uintptr(unsafe.Pointer(&b.stack)) + procForkStack
	pid, code := procCloneShared(flags, top&^15-64, b)
	return pid, syscall.Errno(code)
}

// procCloneShared is procForkShared; stack is the upper end of the child's, a multiple of 16, with room above it.
func procCloneShared(flags, stack uintptr, b *procBirth) (pid, errno uintptr)
