// store_journal_mark.go: the mark, a file that says up to which event the journal is known to be on the disk:
//
//	{"crc":"1a2b3c4d","seq":1234}
//
// A start reads it. A journal that ends before that event has lost what somebody was told is safe, and no torn write
// does that. The mark is written after an fsync of the journal: at once after the first fsync of a process, later
// storeMarkDelay after one, and at the end. It is never synced itself, so that a run costs no fsync more: it may be
// older than the truth, never ahead of it. It is written in place, always with the same length. A mark that a crash has
// torn says nothing; a start and check report it, and write it anew. A new folder has no mark, and a backup takes none
// along.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	storeMark      = "synced"
	storeMarkBody  = 28          // bytes of a mark behind its checksum: room for any number
	storeMarkDelay = time.Minute // from an fsync of the journal, other than the first, to the mark
)

// storeMarkOf gives the content of the file for event seq.
func storeMarkOf(seq uint64) []byte {
	body := fmt.Appendf(nil, "%-*s", storeMarkBody, fmt.Sprintf(`"seq":%d}`, seq))
	sum := storeSum(body)
	return append(append(append([]byte(storeLineHead), sum[:]...), `",`...), append(body, '\n')...)
}

// marked gives the event that the mark names, 0 when there is no mark. fault says what is wrong with a mark that names
// none, and what becomes of it; "" when nothing is wrong.
func (l *storeFiles) marked() (seq uint64, fault string) {
	const unknown = "it is not known whether the end of the journal is missing; "
	f, err := l.open(storeMark, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ""
	}
	text := make([]byte, storeLineBody+storeMarkBody+1)
	if err == nil {
		defer f.Close()
		_, err = io.ReadFull(f, text)
	}
	switch {
	case err == nil && storeSound(text[:len(text)-1]):
		return storeLineSeq(text), ""
	case err == nil, err == io.EOF, err == io.ErrUnexpectedEOF:
		return 0, "it is damaged, as a power failure may leave it: " + unknown + "a start writes it anew"
	}
	return 0, fmt.Sprintf("it cannot be read (%v): %sremove it, and a start writes it anew", pathCause(err), unknown)
}

// markLater notes that the journal is on the disk up to event seq, and sets the time at which the mark says so.
func (w *storeWriter) markLater(seq uint64) {
	if w.s.opt.NoSync || seq <= w.durable {
		return
	}
	w.durable = seq
	if w.markBy.IsZero() {
		w.markBy = time.Now().Add(w.markDelay)
	}
}

// mark writes the mark if there is something new to say, when that is due or now says so. Nothing rests on it: when it
// fails, the mark is older for a while.
func (w *storeWriter) mark(now bool) {
	if w.markBy.IsZero() {
		return
	}
	if early := time.Now().Before(w.markBy); early && !now {
		return
	}
	w.markBy, w.markDelay = time.Time{}, storeMarkDelay
	f, err := w.files.open(storeMark, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return
	}
	w.files.write(f, storeMarkOf(w.durable))
	f.Close()
}
