// sys_load_linux.go: how busy this machine is.

package main

import (
	"math"
	"syscall"
)

// loadAverage gives how many processes ran or waited to run, on average over the last minute and to a hundredth; nil when the
// system does not say. It reads no file. Any goroutine may call it.
func loadAverage() *float64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return nil
	}
	load := math.Round(float64(info.Loads[0])/(1<<16)*100) / 100 // sysinfo(2) has 16 bits behind the point
	return &load
}
