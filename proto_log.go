// proto_log.go: a line of output as `logs --json` prints it, and a SUB peer gets it.

package main

import (
	"encoding/base64"
	"strings"
)

// logJSON is a line of output as `logs --json` prints it and a SUB peer gets it.
type logJSON struct {
	Time    Stamp  `json:"t"`
	Run     string `json:"run"`
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
	Stream  string `json:"stream"` // out, err, or cdktr for its own remarks
	Line    string `json:"line"`
	Bytes   string `json:"bytes,omitempty"` // the line as base64, where it is not UTF-8
}

// logJSONOf makes what logs --json prints of a line. Bytes that are no text are in it twice: made readable, and exact.
func logJSONOf(l *LogLine) logJSON {
	stream := map[string]string{"o": "out", "e": "err", "c": "cdktr"}[l.Stream]
	j := logJSON{Time: l.Time, Run: l.Run, Task: l.Task, Attempt: l.Attempt, Stream: stream,
		Line: strings.ToValidUTF8(string(l.raw()), "\uFFFD")}
	if l.Bytes != nil {
		j.Bytes = base64.StdEncoding.EncodeToString(l.Bytes)
	}
	return j
}
