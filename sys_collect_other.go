//go:build !linux

// sys_collect_other.go: where the program's own pages are left to the system.

package main

// collectProgram does nothing.
func collectProgram() (bytes uintptr) { return 0 }
