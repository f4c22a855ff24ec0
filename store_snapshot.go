// store_snapshot.go: the snapshot: what the journal folds to, up to an event, as one checked line (store_line.go) in
// snapshot.json. The snapshot before it stays as snapshot.json.1.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// storeSchema is the version of the form of a state folder: a folder of another one is refused. storeNeeds is the first
// version of the program that reads it.
const (
	storeSchema   = 3
	storeNeeds    = "0.1.0"
	storeSnapshot = "snapshot.json"
)

// storeSaved is what snapshot.json holds, after its crc field.
type storeSaved struct {
	Schema int    `json:"schema"`
	Seq    uint64 `json:"seq"`   // the newest event in State
	Needs  string `json:"needs"` // the oldest cdktr that can read it
	Saved  Stamp  `json:"saved"`
	Index  bool   `json:"index"` // whoever saved it keeps the index of the history: an older cdktr does not
	State  *State `json:"state"`
}

// storeForeign is the error of a snapshot in a form that this version of the program does not read.
type storeForeign struct{ error }

// storeEncodeSnapshot gives the content of snapshot.json.
func storeEncodeSnapshot(state *State, now time.Time) ([]byte, error) {
	var c storeEncoder
	err := c.add(&storeSaved{Schema: storeSchema, Seq: state.Seq, Needs: storeNeeds, Saved: stampOf(now), Index: true,
		State: state})
	return c.buf.Bytes(), err
}

// save writes a snapshot. Before that it brings all that the snapshot folds to the disk, in the journal and, for
// finished runs, in the history: else a crash in between could take back what the snapshot builds on.
func (w *storeWriter) save(op storeOp) error {
	if err := w.flush(w.journalFault.err == nil); err != nil {
		return err
	}
	if err := w.flushHistory(false); err != nil {
		return err
	}
	if err := w.syncHistory(); err != nil {
		return err
	}
	if err := w.roll(); err != nil {
		w.close()
		w.journalFault.set(fmt.Errorf("write journal: %w", err), time.Now())
		return w.journalFault.err
	}
	if err := w.files.replace(storeSnapshot, op.data); err != nil {
		return err
	}
	w.s.did.snapshot.Add(int64(len(op.data)))
	before := w.saved
	w.saved = op.last
	w.reserve()
	return w.prune(before)
}

// prune removes the oldest segments that the snapshot before the newest one covers, beyond the bytes that are kept as
// an audit trail. So a start can still go on from that snapshot, should the newest one be damaged.
func (w *storeWriter) prune(covered uint64) error {
	segments, err := w.files.segments()
	if err != nil {
		return err
	}
	var kept int64
	for i := len(segments) - 2; i >= 0; i-- {
		if segments[i+1].first > covered+1 {
			continue
		}
		if info, err := w.files.root.Stat(segments[i].name); err == nil {
			kept += info.Size()
		}
		if kept <= w.s.opt.Keep {
			continue
		}
		// Oldest first: so there is never a gap in what is left, whenever this ends.
		for _, seg := range segments[:i+1] {
			if err := w.files.remove(seg.name); err != nil {
				return fmt.Errorf("remove old segment: %w", err)
			}
		}
		return nil
	}
	return nil
}

// snapshot reads the newest snapshot, or the one before it when that is damaged. A damaged one is set aside, so that it
// can never replace the good one.
func (p *storeReplay) snapshot() error {
	p.state = stateNew()
	var faults []string
	for _, name := range []string{storeSnapshot, storeSnapshot + ".1"} {
		state, err := p.load(name)
		var foreign storeForeign
		switch {
		case err == nil:
			p.state = state
			if len(faults) > 0 {
				p.notes = append(p.notes, faults...)
				p.notes = append(p.notes, fmt.Sprintf("went on from the snapshot before it, %s, and the journal",
					p.path(name)))
			}
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.As(err, &foreign), !errors.Is(err, errStoreDamaged):
			return fmt.Errorf("read snapshot %s: %w", p.path(name), err)
		}
		aside := name + ".damaged-" + p.now.Format("20060102T150405.000")
		if err := p.files.rename(name, aside); err != nil {
			return fmt.Errorf("set damaged snapshot aside: %w", err)
		}
		faults = append(faults, fmt.Sprintf("read snapshot %s: %v (kept as %s)", p.path(name), err, path.Base(aside)))
	}
	p.notes = append(p.notes, faults...)
	return nil // the state comes from the journal alone, if the journal is there from its beginning
}

// errStoreDamaged marks a file whose content is not what was written.
var errStoreDamaged = errors.New("the file is damaged")

// load reads one snapshot file.
func (p *storeReplay) load(name string) (*State, error) {
	f, err := p.files.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	line, whole := bytes.CutSuffix(text, []byte("\n"))
	if !whole || !storeSound(line) {
		return nil, fmt.Errorf("%w (its checksum does not match)", errStoreDamaged)
	}
	var head struct {
		Schema int    `json:"schema"`
		Needs  string `json:"needs"`
	}
	if err := storeDecode(line, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", errStoreDamaged, err)
	}
	switch {
	case head.Schema > storeSchema:
		return nil, storeForeign{fmt.Errorf("it has schema %d and needs cdktr %s or newer; this version reads "+
			"schema %d",
			head.Schema, head.Needs, storeSchema)}
	case head.Schema < storeSchema:
		return nil, storeForeign{fmt.Errorf("it has schema %d, from an earlier build; this version reads schema %d: "+
			"give it another folder with --state, or move this one away", head.Schema, storeSchema)}
	}
	saved := storeSaved{State: stateNew()}
	if err := storeDecode(line, &saved); err != nil || saved.State == nil {
		return nil, fmt.Errorf("%w: %w", errStoreDamaged, err)
	}
	saved.State.Seq, p.saved, p.indexed = saved.Seq, true, saved.Index
	return saved.State, nil
}
