//go:build linux && (amd64 || arm64)

// exec_fork_shared.go: a fork that shares our memory with the child, where we have the instructions for it.

package main

import "unsafe"

// procForkShares says whether procForkShared works here.
const procForkShares = true

// procForkShared has the system make a child by clone(2) with these flags, of which one is CLONE_VM. The child does
// procBeBorn on a stack of its own, in b. The caller has all signals blocked.
//
//go:nosplit
//go:norace
//go:nocheckptr
func procForkShared(flags uintptr, b *procBirth) (pid, errno uintptr) {
	top := uintptr(unsafe.Pointer(&b.stack)) + procForkStack
	return procCloneShared(flags, top&^15-64, b)
}

// procCloneShared is procForkShared; stack is the upper end of the child's, a multiple of 16, with room above it.
func procCloneShared(flags, stack uintptr, b *procBirth) (pid, errno uintptr)
