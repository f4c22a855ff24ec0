// proto_wrap.go: a run that a client has done itself, as it tells the principal of it.

package main

const (
	wrapMaxLines = 1000     // lines of output in a record; more are refused
	wrapMaxBytes = 64 << 10 // bytes of these lines
	wrapMaxWord  = 256      // bytes of a source, a command and a host
	wrapMaxNames = 1000     // names that runs are recorded for; more are refused as busy
)

// WrapRecord is a run that has ended. Source and N name it among all that one spool tells: a record whose number is not
// above the last one of its source and name was told before, and is passed over.
type WrapRecord struct {
	Source string `json:"source,omitempty"`
	N      uint64 `json:"n,omitempty"`

	Host    string    `json:"host"`
	Command string    `json:"command"` // the program, without its arguments: there may be passwords among them
	State   string    `json:"state"`   // succeeded, failed, cancelled or skipped
	Reason  string    `json:"reason,omitempty"`
	Exit    *int      `json:"exit,omitempty"` // nil: there was no process
	Ended   Stamp     `json:"ended"`          // by the client's clock
	Seconds float64   `json:"seconds"`
	Used    TaskUse   `json:"used,omitzero"`
	Due     Stamp     `json:"due,omitzero"` // by when the next run is to have ended; zero: whenever
	Lines   []LogLine `json:"lines,omitempty"`
}

// fault says what is wrong with a record, nil when nothing is.
func (w *WrapRecord) fault() *protoError {
	size := 0
	for i := range w.Lines {
		l := &w.Lines[i]
		size += len(l.Text) + len(l.Bytes)
		if l.Stream != "o" && l.Stream != "e" && l.Stream != "c" {
			return refuse(codeInvalid, "record: stream %q of a line is neither o, e nor c", l.Stream)
		}
	}
	known := w.State == runSucceeded || w.State == runFailed || w.State == runCancelled || w.State == runSkipped
	switch {
	case !known:
		return refuse(codeInvalid, "record: state %q: want succeeded, failed, cancelled or skipped", w.State)
	case len(w.Source) > wrapMaxWord || len(w.Host) > wrapMaxWord || len(w.Command) > wrapMaxWord || w.Command == "":
		return refuse(codeInvalid, "record: source, host and command have at most %d bytes, and command has one",
			wrapMaxWord)
	case len(w.Reason) > protoMaxReason:
		return refuse(codeInvalid, "record: a reason has at most %d bytes", protoMaxReason)
	case len(w.Lines) > wrapMaxLines || size > wrapMaxBytes:
		return refuse(codeInvalid, "record: at most %d lines of output, %d bytes", wrapMaxLines, wrapMaxBytes)
	case w.Ended.IsZero() || !(w.Seconds >= 0 && w.Seconds < 1e9):
		return refuse(codeInvalid, "record: it has no end, or took %v seconds", w.Seconds)
	}
	return nil
}
