// store_mark.go: the mark, a file that says up to which event the journal is known to be on the disk:
//
//	{"crc":"1a2b3c4d","seq":1234}
//
// A start reads it: a journal that ends before that event has lost what somebody was told is safe, and no torn write leaves it so.
// The mark is written behind an fsync of the journal, storeMarkDelay later and at the end, and is never synced itself: it may
// be older than the truth, never ahead of it, and a run costs no fsync more. It is written in place, always with the same length; one
// that a crash tore is no mark. Folders of before have none, and a backup takes none along. Uses store_journal.go, store_files.go.

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
	storeMarkDelay = time.Minute // after an fsync of the journal, before the mark of what is safe is written
)

// storeMarkOf gives the content of the file for event seq.
func storeMarkOf(seq uint64) []byte {
	body := fmt.Appendf(nil, "%-*s", storeMarkBody, fmt.Sprintf(`"seq":%d}`, seq))
	sum := storeSum(body)
	return append(append(append([]byte(storeLineHead), sum[:]...), `",`...), append(body, '\n')...)
}

// marked gives the event that the mark names, 0 when there is no mark or it is damaged.
func (l *storeFiles) marked() (uint64, error) {
	f, err := l.open(storeMark, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", storeMark, err)
	}
	defer f.Close()
	text := make([]byte, storeLineBody+storeMarkBody+1)
	if _, err := io.ReadFull(f, text); err != nil || !storeSound(text[:len(text)-1]) {
		return 0, nil
	}
	return storeLineSeq(text), nil
}

// markLater notes that the journal is on the disk up to an event, and sees to it that the mark says so.
func (w *storeWriter) markLater(seq uint64) {
	if w.s.opt.NoSync || seq <= w.durable {
		return
	}
	if w.durable = seq; w.markBy.IsZero() {
		w.markBy = time.Now().Add(storeMarkDelay)
	}
}

// mark writes the mark, when it is due or now says so. Nothing rests on it: when it fails it is older for a while.
func (w *storeWriter) mark(now bool) {
	if w.markBy.IsZero() || !now && time.Now().Before(w.markBy) {
		return
	}
	w.markBy = time.Time{}
	f, err := w.files.open(storeMark, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return
	}
	w.files.write(f, storeMarkOf(w.durable))
	f.Close()
}
