// store_history_trim.go: cutting the history of a workflow at its front.

package main

import (
	"io"
	"os"
	"path"
)

// historyBackTo reads n lines of a workflow's history, from the newest back. It gives the month of the last line that
// it read, where in that file the line begins, and the months that are older. month is "" when there are fewer lines.
func (s *store) historyBackTo(folder string, n int) (older []string, month string, at int64, err error) {
	months, err := s.historyMonths(folder)
	if err != nil {
		return nil, "", 0, err
	}
	for i := len(months) - 1; i >= 0; i-- {
		back, err := s.historyOpen(path.Join(folder, months[i]+".jsonl"))
		for err == nil {
			var line []byte
			line, err = back.line()
			if err != nil {
				break
			}
			if line[len(line)-1] != '\n' { // the next line to be written takes its place
				continue
			}
			n--
			if n == 0 {
				return months[:i], months[i], back.at + int64(len(back.buf)), nil
			}
		}
		if err != io.EOF {
			return nil, "", 0, err
		}
	}
	return nil, "", 0, nil
}

// historyLonger says whether a workflow's history has more than n lines. Any goroutine may call it.
func (s *store) historyLonger(folder string, n int) bool {
	_, month, _, err := s.historyBackTo(folder, n+1)
	return err == nil && month != ""
}

// historyTrim has the writer cut workflows' histories to their newest keep lines, if the snapshot that was asked for
// last is saved by then. Else the next start would replay runs that finished before it, miss their lines, and add them
// again. Only the owner calls it.
func (s *store) historyTrim(folders []string, keep int) {
	for _, folder := range folders {
		s.put(storeOp{trim: folder, keep: keep, last: s.seq})
	}
}

// trim cuts one workflow's history. It removes older files, and replaces the file with the first line that is kept by
// its end. A list that is just reading that file ends there.
func (w *storeWriter) trim(folder string, keep int) error {
	older, month, at, err := w.s.historyBackTo(folder, keep)
	if err != nil || month == "" {
		return err
	}
	w.month.close()
	for _, m := range older {
		if err := w.files.remove(path.Join(folder, m+".jsonl")); err != nil {
			return err
		}
	}
	if at == 0 {
		return nil
	}
	w.unsyncedHistory[folder] = true
	return w.files.replaceEnd(path.Join(folder, month+".jsonl"), at)
}

// replaceEnd cuts a file's front off: what stays begins at offset at. It is on the disk then, but for the file's name.
func (l *storeFiles) replaceEnd(name string, at int64) error {
	err := l.copyEnd(name, name+".tmp", at)
	if err == nil {
		err = l.rename(name+".tmp", name)
	}
	if err != nil {
		l.remove(name + ".tmp")
	}
	return err
}

// copyEnd writes what a file has from offset at on to another file, and syncs that, but not its name.
func (l *storeFiles) copyEnd(from, to string, at int64) error {
	old, err := l.open(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer old.Close()
	f, err := l.open(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, historyBlockMax)
	for {
		n, err := old.ReadAt(block, at)
		if _, err := l.write(f, block[:n]); err != nil {
			return err
		}
		at += int64(n)
		if err == io.EOF {
			return l.sync(f)
		}
		if err != nil {
			return err
		}
	}
}
