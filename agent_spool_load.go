// agent_spool_load.go: what a spool takes over when it is opened: the messages that an earlier life has left.

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// spoolLife is what the folder holds of one epoch.
type spoolLife struct {
	name     string
	segments []*spoolSegment
	acked    uint64
	last     uint64 // its newest number
	changed  int64  // when its last segment was written to, by the file system's clock
}

// load takes over what an earlier life left unacknowledged, or else begins a new epoch. There is one epoch in a folder,
// unless a power cut has brought deleted files back. Then the newest epoch goes on, and files of others that hold
// anything unacknowledged get names that end in .aside.
func (s *spool) load() error {
	lives, err := s.lives()
	if err != nil {
		return err
	}
	sort.Slice(lives, func(i, j int) bool { return lives[i].changed > lives[j].changed })
	for _, life := range lives {
		left := life.last > life.acked
		for _, seg := range life.segments {
			path := filepath.Join(s.dir, seg.name)
			switch {
			case !left:
				err = os.Remove(path)
			case s.name != "":
				s.spoiled(seg, 0, fmt.Errorf("it is not of epoch %s; it is now called %s.aside", s.name, seg.name))
				err = os.Rename(path, path+".aside")
			}
			if err != nil {
				return err
			}
		}
		if left && s.name == "" {
			s.name, s.segments, s.acked, s.last = life.name, life.segments, life.acked, life.last
		}
	}
	s.ackAt = spoolCursor{at: spoolHeaderSize}
	if s.name == "" {
		var b [8]byte
		rand.Read(b[:])
		s.name, s.sendAt = hex.EncodeToString(b[:]), s.ackAt
		return nil
	}
	s.walk()
	s.sent, s.sendAt = s.acked, s.ackAt
	s.free()
	s.last += spoolLeap
	return nil
}

// lives reads all segments in the folder.
func (s *spool) lives() ([]*spoolLife, error) {
	entries, err := os.ReadDir(s.dir) // sorted by name: by epoch, and within it by first number
	if err != nil {
		return nil, err
	}
	var lives []*spoolLife
	for _, entry := range entries {
		epoch, first, ok := spoolParseName(entry.Name())
		if !ok {
			continue
		}
		if n := len(lives); n == 0 || lives[n-1].name != epoch {
			lives = append(lives, &spoolLife{name: epoch, acked: first - 1})
		}
		life := lives[len(lives)-1]
		if info, err := entry.Info(); err == nil {
			life.changed = info.ModTime().UnixNano()
		}
		if n := len(life.segments); n > 0 && life.segments[n-1].torn {
			before := life.segments[n-1]
			before.torn = false // no more is written to it
			s.spoiled(before, before.size, io.ErrUnexpectedEOF)
		}
		s.read(life, entry.Name())
	}
	return lives, nil
}

// read reads a segment, and adds it to a life.
func (s *spool) read(life *spoolLife, name string) {
	seg := &spoolSegment{name: name, size: spoolHeaderSize}
	life.segments = append(life.segments, seg)
	text, _, err := fileRead(filepath.Join(s.dir, name), math.MaxInt32)
	if err != nil {
		s.spoiled(seg, 0, err)
		return
	}
	acked, ok := spoolAcked(text)
	if ok {
		life.acked = max(life.acked, acked)
	} else if int64(len(text)) >= spoolHeaderSize {
		s.spoiled(seg, 0, fmt.Errorf("not a first line: %q", text[:spoolHeaderSize]))
	}
	seg.bare = int64(len(text)) < spoolHeaderSize
	whole := max(int64(bytes.LastIndexByte(text, '\n')+1), spoolHeaderSize)
	seg.torn = int64(len(text)) != whole
	for seg.size < whole {
		rest := text[seg.size:whole]
		line := rest[:bytes.IndexByte(rest, '\n')+1]
		m, err := spoolDecode(line)
		switch {
		case err != nil:
			s.spoiled(seg, seg.size, err)
		case m.n <= life.last:
			s.spoiled(seg, seg.size, fmt.Errorf("message %d comes after %d", m.n, life.last))
		default:
			life.last = m.last()
			seg.left++
		}
		seg.size += int64(len(line))
	}
}

// spoolParseName reads a segment's name, EPOCH-FIRST.jsonl.
func spoolParseName(name string) (epoch string, first uint64, ok bool) {
	stem, ok := strings.CutSuffix(name, spoolEnding)
	epoch, number, cut := strings.Cut(stem, "-")
	if !ok || !cut || len(epoch) != 16 || len(number) != 16 {
		return "", 0, false
	}
	if _, err := strconv.ParseUint(epoch, 16, 64); err != nil {
		return "", 0, false
	}
	first, err := strconv.ParseUint(number, 16, 64)
	return epoch, first, err == nil && first > 0
}
