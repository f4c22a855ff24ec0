// cli_restore_read.go: reads the archive of a restore. It may come from anywhere: only plain files and folders with the
// names that backup gives are taken, each once, no more than the disk has room for, and none before the last checksum.

package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	restoreMost  = 1_000_000       // how many files an archive may have; one with more is refused
	restoreSpare = 8 << 20         // bytes of the disk that a restore leaves free; else it is refused
	restoreDeep  = 18              // how deep a name may be
	restorePad   = 1 << 20         // zeros that may stand behind the end of the archive
	restoreTell  = 2 * time.Second // how often it says how far it is
)

// restoreInput is the archive as it comes in. It ends with ctx, and says from time to time how much it was.
type restoreInput struct {
	ctx  context.Context
	r    *restorer
	from io.Reader
	n    int64
	next time.Time // when it says something
}

func (in *restoreInput) Read(b []byte) (int, error) {
	if in.ctx.Err() != nil {
		return 0, &exitError{code: exitInterrupted, err: errors.New("interrupted: nothing was restored")}
	}
	n, err := in.from.Read(b)
	in.n += int64(n)
	if now := time.Now(); now.After(in.next) && !in.r.c.flags.json {
		if !in.next.IsZero() {
			in.r.c.say(fmt.Sprintf("read %s, unpacked %s", doctorBytes(in.n), doctorBytes(in.r.bytes)))
		}
		in.next = now.Add(restoreTell)
	}
	return n, err
}

// unpack reads the whole archive, and writes what is in it below restoreFolder.
func (r *restorer) unpack(ctx context.Context, from io.Reader) error {
	zip, err := gzip.NewReader(bufio.NewReader(&restoreInput{ctx: ctx, r: r, from: from}))
	if err != nil {
		return r.damage(err)
	}
	names := map[string]bool{}
	for files := (&tarReader{r: zip}); ; {
		h, err := files.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return r.damage(err)
		}
		if err := r.entry(h, files, names); err != nil {
			return err
		}
	}
	rest := make([]byte, 4<<10)
	for n := 0; ; { // the checksum is behind the end that tar sees
		m, err := zip.Read(rest)
		n += m
		if err == io.EOF {
			return nil
		}
		if err == nil && (n > restorePad || strings.Trim(string(rest[:m]), "\x00") != "") {
			err = errors.New("there is more behind its end")
		}
		if err != nil {
			return r.damage(err)
		}
	}
}

// damage is the error of an archive that cannot be read on.
func (r *restorer) damage(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	hint := "is it what cdktr backup wrote? copy or take it once more, and compare sha256sum at both ends"
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("it ends too early")
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("read %s: %w; nothing was restored", r.name, err), hint: hint}
}

// refuse is the error of an entry that no backup has.
func (r *restorer) refuse(h *tarHead, why string) error {
	return &exitError{code: exitUsage, err: fmt.Errorf("%s: entry %q %s: nothing was restored", r.name,
		textHead(h.name, cliEchoMost), why), hint: "only what cdktr backup wrote can be restored"}
}

// entry takes one entry of the archive.
func (r *restorer) entry(h *tarHead, from io.Reader, names map[string]bool) error {
	name := strings.TrimSuffix(strings.TrimPrefix(h.name, "./"), "/")
	if why := restoreUnfit(name, h); why != "" {
		return r.refuse(h, why)
	}
	if h.uid != 0 && r.owned == "" {
		r.owned = orDefault(h.user, strconv.Itoa(h.uid))
	}
	if r.owned != "" && r.made != "" && r.owner.uid == 0 && os.Geteuid() == 0 {
		return &exitError{code: exitRefused, err: fmt.Errorf("%s is not there, and the backup is of the state of %s, "+
			"not of root", r.dir, textHead(r.owned, cliEchoMost)), hint: "make it for the user whose principal will " +
			"start there: install -d -m 700 -o USER " + r.dir}
	}
	if name == "" || name == "." {
		return nil
	}
	top, _, _ := strings.Cut(name, "/")
	if top == authFolder && !r.told.keys {
		r.told.keys = true
		if entries, err := fs.ReadDir(r.root.FS(), authFolder); err == nil && len(entries) > 0 {
			return &exitError{code: exitRefused, err: fmt.Errorf("%s/%s has keys, and so has the backup: nothing was "+
				"restored", r.dir, authFolder), hint: "move the folder of those away that are not wanted"}
		}
	}
	r.told.extra = r.told.extra || top == backupExtra
	folder := name
	if h.kind == tarFile {
		folder = path.Dir(name)
	}
	if folder != "." && !names[folder] {
		if err := r.into.MkdirAll(folder, 0o700); err != nil {
			return restoreNoRoom(fmt.Errorf("unpack %s: %w", name, err))
		}
		names[folder] = true
	}
	if h.kind == tarFile {
		return r.file(name, h, from)
	}
	return nil
}

// restoreUnfit says why an entry is none that a backup has; "" if it may be one.
func restoreUnfit(name string, h *tarHead) string {
	file := h.kind == tarFile
	parts := strings.Split(name, "/")
	n := len(parts)
	fits := false
	switch parts[0] {
	case storeSnapshot:
		fits = file && n == 1
	case storeJournal, authFolder:
		fits = file && n == 2 || !file && n == 1
	case historyFolder, "logs":
		fits = file && n == 3 && strings.HasSuffix(name, ".jsonl") || !file && n <= 2
	case backupExtra:
		fits = n <= restoreDeep
	case "", ".":
		fits = !file
	}
	switch {
	case h.kind == '1' || h.kind == '2':
		return "is a link"
	case !file && h.kind != tarFolder:
		return "is neither a file nor a folder"
	case name != "" && !fs.ValidPath(name):
		return "leads out of the folder"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a name with control characters"
	case !fits:
		return "is none that a backup has"
	}
	if h.holes {
		return "has holes"
	}
	return ""
}

// file writes one file of the archive, if there is room for it.
func (r *restorer) file(name string, h *tarHead, from io.Reader) error {
	r.files++
	if r.files > restoreMost {
		return r.refuse(h, fmt.Sprintf("is one more than %d files", restoreMost))
	}
	folder, err := r.into.Open(".")
	if err != nil {
		return fmt.Errorf("unpack into %s: %w", r.dir, err)
	}
	free, err := diskFree(folder)
	folder.Close()
	if err == nil && h.size > free-restoreSpare {
		return restoreNoRoom(fmt.Errorf("no room in %s: %s has %s, and %s are free; nothing was restored", r.dir, name,
			doctorBytes(h.size), doctorBytes(free)))
	}
	f, err := r.into.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return r.refuse(h, "is there twice")
	}
	if err != nil {
		return restoreNoRoom(fmt.Errorf("unpack %s: %w", name, err))
	}
	read := &restoreFrom{from: from}
	n, err := io.Copy(f, read)
	r.bytes += n
	closed := f.Close()
	switch {
	case read.err != nil:
		return r.damage(read.err)
	case err != nil || closed != nil:
		return restoreNoRoom(fmt.Errorf("unpack %s: %w", name, errors.Join(err, closed)))
	}
	return r.into.Chtimes(name, h.at, h.at)
}

// restoreFrom keeps the error of a reader, to tell it from that of the writer.
type restoreFrom struct {
	from io.Reader
	err  error
}

func (r *restoreFrom) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if err != io.EOF {
		r.err = err
	}
	return n, err
}
