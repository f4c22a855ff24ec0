// sys_collect_linux.go: the program's own pages.

package main

import (
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// collectProgram lets go of the pages of the program's code, 4 MB of it, most of which a start or a busy time needed.
// The system has them from the file, as long as it likes; what is needed comes back by itself. It gives how many bytes
// the code has.
func collectProgram() (bytes uintptr) {
	maps, _, err := fileRead("/proc/self/maps", 1<<20)
	if err != nil {
		return 0
	}
	here := reflect.ValueOf(collectProgram).Pointer()
	for line := range strings.Lines(string(maps)) {
		span, rest, _ := strings.Cut(line, " ")
		first, end, _ := strings.Cut(span, "-")
		from, err := strconv.ParseUint(first, 16, 64)
		to, err2 := strconv.ParseUint(end, 16, 64)
		inside := err == nil && err2 == nil && from <= uint64(here) && uint64(here) < to
		if inside && strings.HasPrefix(rest, "r-xp") { // code is never written to: nothing is lost
			unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
			return uintptr(to - from)
		}
	}
	return 0
}
