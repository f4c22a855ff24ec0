// model_use.go: what a task's processes used of their machine, as the record of a task has it.

package main

import (
	"strconv"
	"strings"
	"time"
)

// TaskUse is what the main process of an attempt used, together with the children that it waited for. What is not known
// is 0 and left out, and so is what is less than can be told.
type TaskUse struct {
	CPU     float64 `json:"cpu,omitempty"`     // seconds of a processor, for itself and in the system
	Memory  int64   `json:"memory,omitempty"`  // bytes in memory, at most, of the largest process
	Read    int64   `json:"read,omitempty"`    // bytes that came from a disk
	Written int64   `json:"written,omitempty"` // bytes that went to a disk
}

// add counts what another one used: processor and disk add up, and of memory the most counts.
func (u *TaskUse) add(o TaskUse) {
	u.CPU = float64(time.Duration((u.CPU+o.CPU)*float64(time.Second)).Round(time.Millisecond).Milliseconds()) / 1000
	u.Memory = max(u.Memory, o.Memory)
	u.Read += o.Read
	u.Written += o.Written
}

// text writes what was used for people, as "1.24s cpu, 48M memory, 3M read", "" when nothing is known.
func (u *TaskUse) text() string {
	var parts []string
	if u.CPU > 0 {
		parts = append(parts, Duration(time.Duration(u.CPU*1000+0.5)*time.Millisecond).String()+" cpu")
	}
	for _, size := range []struct {
		n    int64
		what string
	}{{u.Memory, " memory"}, {u.Read, " read"}, {u.Written, " written"}} {
		if size.n > 0 {
			parts = append(parts, sizeAbout(size.n)+size.what)
		}
	}
	return strings.Join(parts, ", ")
}

// sizeAbout writes a number of bytes for people, to three digits: "812", "12.4K", "1.95M".
func sizeAbout(n int64) string {
	for _, u := range sizeUnits {
		if n < u.bytes {
			continue
		}
		value, decimals := float64(n)/float64(u.bytes), 0
		switch {
		case value < 9.995:
			decimals = 2
		case value < 99.95:
			decimals = 1
		}
		text := strconv.FormatFloat(value, 'f', decimals, 64)
		if strings.Contains(text, ".") {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		return text + u.letter
	}
	return strconv.FormatInt(n, 10)
}
