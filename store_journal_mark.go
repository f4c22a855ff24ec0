// store_mark.go: the mark, a file that says up to which event the journal is known to be on the disk:
//
//	{"crc":"1a2b3c4d","seq":1234}
//
// A start reads it: a journal that ends before that event has lost what somebody was told is safe, and no torn write
// leaves it so. The mark is written behind an fsync of the journal, at once behind the first of a process, then
// storeMarkDelay later, and at the end. It is never synced itself: it may be older than the truth, never ahead of it,
// and a run costs no fsync more. It is written in place, always with the same length; one that a crash tore is no mark,
// which a start and check say, and write anew. A new folder has none, and a backup takes none along.

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
	storeMark     = "synced"
	storeMarkBody = 28 // bytes of a mark behind its checksum: room for any number
	// after an fsync of the journal that is not the first, before the mark of what is safe is written
	storeMarkDelay = time.Minute
)

// storeMarkOf gives the content of the file for event seq.
func storeMarkOf(seq uint64) []byte {
	body := fmt.Appendf(nil, "%-*s", storeMarkBody, fmt.Sprintf(`"seq":%d}`, seq))
	sum := storeSum(body)
	return append(append(append([]byte(storeLineHead), sum[:]...), `",`...), append(body, '\n')...)
}

// marked gives the event that the mark names, 0 when there is no mark. fault is what is wrong with one that is there
// and names none, and what becomes of it, "" when nothing is.
func (l *storeFiles) marked() (seq uint64, fault string) {
	const unknown = "whether the end of the journal is missing is not known; "
	f, err := l.open(storeMark, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ""
	}
	text := make([]byte, storeLineBody+storeMarkBody+1)
	if err == nil {
		defer f.Close()
		_, err = io.ReadFull(f, text)
	}
	switch sound := err == nil && storeSound(text[:len(text)-1]); {
	case sound:
		return storeLineSeq(text), ""
	case err == nil, err == io.EOF, err == io.ErrUnexpectedEOF:
		return 0, "it is damaged, as power that failed may leave it: " + unknown + "a start writes it anew"
	}
	return 0, fmt.Sprintf("it cannot be read (%v): %sremove it, and a start writes it anew", pathCause(err), unknown)
}

// markLater notes that the journal is on the disk up to an event, and sees to it that the mark says so.
func (w *storeWriter) markLater(seq uint64) {
	if w.s.opt.NoSync || seq <= w.durable {
		return
	}
	if w.durable = seq; w.markBy.IsZero() {
		w.markBy = time.Now().Add(w.markDelay)
	}
}

// mark writes the mark, when it is due or now says so. Nothing rests on it: when it fails it is older for a while.
func (w *storeWriter) mark(now bool) {
	if w.markBy.IsZero() || !now && time.Now().Before(w.markBy) {
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
