// workflow_log_test.go: tests of the key log.

package main

import (
	"strings"
	"testing"
)

func TestWorkflowLog(t *testing.T) {
	for text, want := range map[string]int64{"": 10 << 20, "log: {max_size: 10M}": 10 << 20,
		"log: {max_size: 2048}": 2048, "log: {max_size: 1.5g}": 3 << 29, "log: {keep: 30d}": 10 << 20} {
		w, faults := workflowParse("w.yml", "w", []byte(text+"\ntasks: {a: {run: echo}}\n"))
		if w == nil || len(faults) > 0 {
			t.Errorf("%q: %v", text, faults)
		} else if w.logMaxSize() != want {
			t.Errorf("%q: %d bytes, want %d", text, w.logMaxSize(), want)
		}
	}
	for text, want := range map[string]string{
		"log: {max_size: many}":             `w.yml:1:17: log: max_size: "many" is not a size`,
		"log: {max_size: 1}":                `is less than 1K`,
		"log: {max_size: -5M}":              `is not a size`,
		"log: {max_size: 99999999T}":        `is not a size`,
		"log: 5M":                           `a map such as {max_size: 10M, keep: 30d}`,
		"log: {keep: soon}":                 `"soon" is not a duration`,
		"log: {maxsize: 5M}":                `did you mean "max_size"?`,
		"log: {max_size: 5M, max_size: 6M}": `max_size`,
	} {
		w, faults := workflowParse("w.yml", "w", []byte(text+"\ntasks: {a: {run: echo}}\n"))
		if w != nil || len(faults) != 1 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%q: %v, want %s", text, faults, want)
		}
	}
}
