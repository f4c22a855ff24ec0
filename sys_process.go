// sys_process.go: what this process takes of the machine, as Linux says it.

package main

import (
	"os"
	"strconv"
	"strings"
)

// processMemory gives how many bytes of this process are in memory, and how many addresses it has. False where the
// system does not say.
func processMemory() (resident, virtual int64, ok bool) {
	text, _, err := fileRead("/proc/self/statm", 4<<10)
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0, 0, false
	}
	virtual, first := strconv.ParseInt(fields[0], 10, 64)
	resident, second := strconv.ParseInt(fields[1], 10, 64)
	page := int64(os.Getpagesize())
	return resident * page, virtual * page, first == nil && second == nil
}

// processFiles gives how many descriptors this process has open; 0 where the system does not say.
func processFiles() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return max(len(names)-1, 0) // one of them is dir
}
