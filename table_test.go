// Tests of what programs read: JSON lines.

package main

import (
	"strings"
	"testing"
)

// TestTableJSON: a line of JSON is one write, and grep finds in it what a task printed.
func TestTableJSON(t *testing.T) {
	var b strings.Builder
	line := logJSONOf(&LogLine{Stream: "o", Text: `<b> & "c" > d`})
	if err := printJSON(&b, line); err != nil {
		t.Fatal(err)
	}
	if want := `"line":"<b> & \"c\" > d"`; !strings.Contains(b.String(), want) || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("printed %q, want %s in one line", b.String(), want)
	}
}
