// store_index.go: the index of the history. It says where the lines of a finished run lie, so that one run among a
// million is found in two blocks of the disk. The file index/2026-11-29 has a record of 16 bytes for each line of the
// runs that were queued on that day (UTC), which their ids say.
//
// A record only points: what it says is held against the line there. A line that is not where it was, because its file
// was cut or edited since, is looked for in the whole file, and a run that the index does not know in all the history.
// So a record too many does no harm.
//
// A record too few would: of a run with two lines the older one might pass for the newest. The index has all lines
// while the file index/whole is there. What is added to it is on the disk before a snapshot takes the journal's place,
// and a start adds again what the journal tells since. When a record cannot be written, index/whole goes, and the index
// is made anew from the history. The same happens when index/whole is missing, when the snapshot does not say that who
// saved it keeps the index, as an older cdktr does not, when a run shows that the index does not know it or cannot be
// read, and when the index has more than 1 MiB and more than an eighth of the history's bytes: then many records point
// to runs that retention has removed.

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

const (
	indexFolder = "index"
	indexWhole  = indexFolder + "/whole"
	indexForm   = "1\n" // content of index/whole: of another form of the records, the index is made anew

	indexRecord = 16       // bytes of a record
	indexShare  = 8        // an index with more than an eighth of the history's bytes is made anew
	indexSpare  = 1 << 20  // but one with no more bytes than that is let be
	indexBatch  = 1 << 20  // bytes of records that are written in one go while the index is made
	indexBlock  = 64 << 10 // bytes of a day's records that are read at once: many records
)

// historyIndex is the index. The writer adds to it, one other goroutine makes it anew, and any may look.
type historyIndex struct {
	files *storeFiles
	whole atomic.Bool // it has all lines
	stale atomic.Bool // it has shown that it has not: it is to be made anew

	syncing  sync.Mutex      // held while files are synced or all are removed; taken before mu
	mu       sync.Mutex      // protects the next fields, and the files while they are written
	building bool            // it is being made: what is added meanwhile counts
	spoiled  bool            // index/whole must go before the next snapshot
	day      string          // the file that was written last, kept open
	file     *os.File        // nil: none
	unsynced map[string]bool // files and folders that have changed since they were synced

	folderMu sync.Mutex          // protects folders
	folders  map[uint32][]string // folders of the history by the hashes of their names, as they were listed last
}

// indexPlaces is records that are to be written, by day.
type indexPlaces map[string][]byte

// add makes a record: a line of the run lies at an offset of a file.
func (m indexPlaces) add(p *historyPlace, at int64, run string) {
	queued, month := runTime(run), 0
	if t, err := time.Parse("2006-01", p.month); err == nil {
		month = t.Year()*12 + int(t.Month())
	}
	if queued.IsZero() {
		return // no run ever had such an id
	}
	day := queued.UTC().Format(time.DateOnly)
	b := binary.BigEndian.AppendUint32(m[day], indexHash(run))
	b = binary.BigEndian.AppendUint32(b, indexHash(path.Base(p.folder)))
	m[day] = binary.BigEndian.AppendUint64(b, uint64(month)<<48|uint64(at))
}

// indexHash makes a number of an id or of a folder's name.
func indexHash(text string) uint32 { return crc32.Checksum([]byte(text), storeCastagnoli()) }

// indexRunOf reads the id of the run in a line of the history, which begins with it; "" when it does not.
func indexRunOf(line []byte) string {
	const field = `"run":"`
	if len(line) < storeLineBody {
		return ""
	}
	rest, ok := bytes.CutPrefix(line[storeLineBody:], []byte(field))
	if !ok {
		return ""
	}
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}

// open finds out whether the index has all lines of the process before. lacks: it has not those that the snapshot took
// from the journal. For the start.
func (x *historyIndex) open(lacks bool) {
	if lacks {
		x.spoil()
		return
	}
	f, err := x.files.open(indexWhole, os.O_RDONLY)
	if err != nil {
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 100))
	x.whole.Store(err == nil && string(text) == indexForm)
}

// add notes lines that were written to a file from an offset on. Only the writer calls it.
func (x *historyIndex) add(p *historyPlace, at int64, lines []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.whole.Load() && !x.building {
		return
	}
	places := indexPlaces{}
	for line := range bytes.Lines(lines) {
		places.add(p, at, indexRunOf(line))
		at += int64(len(line))
	}
	x.write(places)
}

// addAgain notes lines that are in the history already, unless it has them. For the start.
func (x *historyIndex) addAgain(places indexPlaces) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.whole.Load() {
		return
	}
	x.unsynced[indexFolder] = true // what the process before has written, it need not have synced
	for _, day := range sortedKeys(places) {
		x.unsynced[path.Join(indexFolder, day)] = true
		missing := map[[indexRecord]byte]bool{}
		for record := range slices.Chunk(places[day], indexRecord) {
			missing[[indexRecord]byte(record)] = true
		}
		if err := x.read(day, func(record []byte) { delete(missing, [indexRecord]byte(record)) }); err != nil {
			x.spoil()
			return
		}
		var left []byte
		for record := range missing {
			left = append(left, record[:]...)
		}
		places[day] = left
	}
	x.write(places)
}

// write appends records to the files of their days. When that fails, the index is no more. Under mu.
func (x *historyIndex) write(places indexPlaces) {
	for _, day := range sortedKeys(places) {
		if len(places[day]) == 0 {
			continue
		}
		err := x.openDay(day)
		if err == nil {
			x.unsynced[path.Join(indexFolder, day)] = true
			_, err = x.files.write(x.file, places[day])
		}
		if err != nil {
			x.spoil()
			return
		}
	}
}

// openDay opens the file of a day, and cuts off a part of a record that a power cut has left. Under mu.
func (x *historyIndex) openDay(day string) error {
	if x.file != nil && x.day == day {
		return nil
	}
	x.close()
	f, err := x.files.open(path.Join(indexFolder, day), os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	x.file, x.day = f, day
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		x.unsynced[indexFolder] = true
	}
	if part := info.Size() % indexRecord; part != 0 {
		return x.files.truncate(f, info.Size()-part)
	}
	return nil
}

// close closes the file that was written last. Under mu.
func (x *historyIndex) close() {
	if x.file != nil {
		x.file.Close()
		x.file = nil
	}
}

// end closes what is open, for the end of the store.
func (x *historyIndex) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close()
	if x.spoiled {
		// the next process cannot know; should this fail, it adds what the journal tells since the last snapshot
		x.unmark()
	}
}

// spoil notes that the index lacks lines. Under mu.
func (x *historyIndex) spoil() {
	x.close()
	x.whole.Store(false)
	x.building, x.spoiled = false, true
}

// unmark removes index/whole, durably: also if it is gone already, for the last try may have failed in between. Under
// mu.
func (x *historyIndex) unmark() error {
	err := x.files.remove(indexWhole)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = x.files.syncFolder(indexFolder)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	x.spoiled = x.spoiled && err != nil
	return err
}

// sync makes durable what was added, or that the index lacks lines. Unless it fails, a snapshot may follow.
func (x *historyIndex) sync() error {
	x.syncing.Lock()
	defer x.syncing.Unlock()
	x.mu.Lock()
	names := sortedKeys(x.unsynced)
	x.unsynced = map[string]bool{}
	x.mu.Unlock()
	var err error
	for _, name := range slices.Backward(names) { // files before the folder that names them
		if err = x.files.syncFolder(name); err != nil {
			break
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil { // it may be that somebody has removed a file
		x.spoil()
	}
	if x.spoiled {
		return x.unmark()
	}
	return nil
}

// read hands the records of a day to fn, which must not keep them.
func (x *historyIndex) read(day string, fn func(record []byte)) error {
	f, err := x.files.open(path.Join(indexFolder, day), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, indexBlock)
	for at := int64(0); ; at += indexBlock {
		n, err := f.ReadAt(block, at)
		for i := 0; i+indexRecord <= n; i += indexRecord {
			fn(block[i : i+indexRecord])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// places gives the records of a run, that of the newest line first.
func (x *historyIndex) places(id string) (found [][indexRecord]byte, err error) {
	hash := binary.BigEndian.AppendUint32(nil, indexHash(id))
	err = x.read(runTime(id).UTC().Format(time.DateOnly), func(record []byte) {
		if bytes.Equal(record[:4], hash) {
			found = append(found, [indexRecord]byte(record))
		}
	})
	sort.Slice(found, func(i, j int) bool { return bytes.Compare(found[i][8:], found[j][8:]) > 0 })
	return found, err
}

// foldersOf gives the folders whose names have a hash: one, mostly.
func (x *historyIndex) foldersOf(hash uint32) ([]string, error) {
	x.folderMu.Lock()
	defer x.folderMu.Unlock()
	if len(x.folders[hash]) == 0 {
		entries, err := x.files.list(historyFolder)
		if err != nil {
			return nil, err
		}
		x.folders = map[uint32][]string{}
		for _, entry := range entries {
			key := indexHash(entry.Name())
			x.folders[key] = append(x.folders[key], entry.Name())
		}
	}
	return x.folders[hash], nil
}

// indexFind gives the newest line of a finished run, nil when the index, which must be whole, does not know the run.
// Any goroutine may call it. over is that of historyFilter.
func (s *store) indexFind(id string, over func() bool) (*Run, error) {
	found, err := s.index.places(id)
	if err != nil {
		return nil, err
	}
	for _, record := range found {
		folders, err := s.index.foldersOf(binary.BigEndian.Uint32(record[4:]))
		if err != nil {
			return nil, err
		}
		month, at := int(binary.BigEndian.Uint16(record[8:]))-1, binary.BigEndian.Uint64(record[8:])&(1<<48-1)
		for _, folder := range folders {
			p := historyPlace{path.Join(historyFolder, folder), fmt.Sprintf("%04d-%02d", month/12, month%12+1)}
			run, err := s.historyAt(p.file(), int64(at), id)
			if run == nil && err == nil {
				run, err = s.historyIn(p.file(), id, over)
			}
			if run != nil || err != nil {
				return run, err
			}
		}
	}
	return nil, nil
}

// indexStale has the index made anew soon. Any goroutine may call it.
func (s *store) indexStale() {
	s.index.stale.Store(true)
	if s.opt.onStale != nil {
		s.opt.onStale()
	}
}

// historyAt reads the line at an offset of a file; nil when it is not that of the run.
func (s *store) historyAt(name string, at int64, id string) (*Run, error) {
	f, err := s.files.open(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for size := historyBlock; ; size *= 4 {
		block := make([]byte, size)
		n, err := f.ReadAt(block, at)
		if err != nil && err != io.EOF {
			return nil, err
		}
		line, _, whole := bytes.Cut(block[:n], []byte("\n"))
		switch {
		case indexRunOf(line) != id, !whole && (n < size || size > storeLineMax):
			return nil, nil
		case whole && !storeSound(line):
			return nil, nil
		case whole:
			run, err := historyDecode(line)
			if err != nil || run.ID != id {
				return nil, nil
			}
			return run, nil
		}
	}
}

// historyIn looks for the newest line of a run in one file, from its end; nil when there is none.
func (s *store) historyIn(name, id string, over func() bool) (*Run, error) {
	back, err := s.historyOpen(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	back.over, back.only = over, []byte(`"run":"`+id+`"`)
	for {
		run, err := back.run()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil || run.ID == id {
			return run, err
		}
	}
}

// indexKeep makes the index anew where that is due. One goroutine at a time may call it. It gives up when over says so.
func (s *store) indexKeep(over func() bool) error {
	x := &s.index
	if x.whole.Load() && !x.stale.Load() {
		_, err := s.files.root.Stat(indexWhole)
		size := s.sizeOf(indexFolder)
		if err == nil && (size <= indexSpare || size <= s.sizeOf(historyFolder)/indexShare) {
			return nil
		}
	}
	if err := x.begin(); err != nil {
		return fmt.Errorf("make the index of the history: %w", err)
	}
	err := s.indexHistory(over)
	if err == nil {
		err = x.finish()
	}
	if err != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.spoil()
		return fmt.Errorf("make the index of the history: %w", err)
	}
	return nil
}

// sizeOf gives the bytes of the files in a folder of the state and in its folders.
func (s *store) sizeOf(folder string) (size int64) {
	entries, _ := s.files.list(folder) // what cannot be read is not counted
	for _, entry := range entries {
		if entry.IsDir() {
			size += s.sizeOf(path.Join(folder, entry.Name()))
		} else if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
	}
	return size
}

// begin empties the index. From then on what is added counts.
func (x *historyIndex) begin() error {
	x.syncing.Lock()
	defer x.syncing.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.spoil() // until index/whole has gone, durably, no snapshot may come: what is added now is not noted
	if err := x.unmark(); err != nil {
		return err
	}
	x.folderMu.Lock()
	x.folders = nil // there may be more of them
	x.folderMu.Unlock()
	if made, err := x.files.mkdir(indexFolder); err != nil {
		return err
	} else if made {
		if err := x.files.syncFolder("."); err != nil {
			return err
		}
	}
	days, err := x.files.list(indexFolder)
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := x.files.remove(path.Join(indexFolder, day.Name())); err != nil {
			return err
		}
	}
	x.building, x.unsynced = true, map[string]bool{indexFolder: true}
	x.stale.Store(false)
	return nil
}

// finish says that the index has all lines.
func (x *historyIndex) finish() error {
	if err := x.sync(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.building {
		return errors.New("a record was not written")
	}
	if err := x.files.put(indexWhole, []byte(indexForm)); err != nil {
		return err
	}
	if err := x.files.syncFolder(indexFolder); err != nil {
		return err
	}
	x.building = false
	x.whole.Store(true)
	return nil
}

// indexHistory notes all lines of the history. Lines that come meanwhile are noted by the writer, and may be noted
// twice.
func (s *store) indexHistory(over func() bool) error {
	folders, err := s.files.list(historyFolder)
	if err != nil {
		return err
	}
	places, size := indexPlaces{}, 0
	flush := func() error {
		s.index.mu.Lock()
		defer s.index.mu.Unlock()
		if !s.index.building {
			return errors.New("a record was not written")
		}
		s.index.write(places)
		places, size = indexPlaces{}, 0
		return nil
	}
	for _, entry := range folders {
		folder := path.Join(historyFolder, entry.Name())
		months, err := s.historyMonths(folder)
		if err != nil {
			return err
		}
		for _, month := range months {
			p := historyPlace{folder, month}
			err := s.indexMonth(&p, over, func(at int64, run string) error {
				places.add(&p, at, run)
				size += indexRecord
				if size < indexBatch {
					return nil
				}
				return flush()
			})
			if err != nil {
				return err
			}
		}
		// else a power cut could bring back a file as it was before it was cut, and its lines to other offsets, where
		// a record of a newer line of a run could find an older one
		if err := s.files.syncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return flush()
}

// indexMonth hands fn where each line of a file begins, and the run that it is of.
func (s *store) indexMonth(p *historyPlace, over func() bool, fn func(at int64, run string) error) error {
	f, err := s.files.open(p.file(), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) { // retention has removed it
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for r := storeReaderOf(f, 0); ; {
		line, err := r.line()
		if err == io.EOF || err == io.ErrUnexpectedEOF { // that line is on its way, and is noted by the writer
			return nil
		}
		if err != nil {
			return err
		}
		if r.n%1000 == 1 {
			runtime.Gosched()
			if over() {
				return errHistoryOver
			}
		}
		if run := indexRunOf(line); run != "" {
			if err := fn(r.at, run); err != nil {
				return err
			}
		}
	}
}
