// cli_backup.go: `cdktr backup`: one file with all that a principal needs to begin again, taken while it runs. The
// principal saves a snapshot and makes everything before it durable; then this process, on the same box, reads the
// files in an order in which each may be newer than those before it, as a start expects after a crash.

package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// backupVerb is the entry of `backup`.
func backupVerb() cliVerb {
	return cliVerb{name: "backup", args: "FILE",
		help: "write a principal's snapshot, journal, history and output to a .tar.gz, while it runs or not",
		run:  doBackup,
		more: `
Run it on the principal's box, as the principal's user. The file holds all that was acknowledged before the backup
began. To restore, unpack it into an empty state folder (tar -xzf FILE -C DIR) and start the principal there.`,
		flags: func(f *cliFlags) {
			f.setting("state", "the state folder `DIR` of a principal that does not run")
			f.BoolVar(&f.keys, "keys", false, "the keys as well: the file is as secret as they are then")
		},
		examples: []string{"cdktr backup /backup/cdktr-$(date +%F).tar.gz", "cdktr backup --keys /root/cdktr.tar.gz"}}
}

// doBackup carries out the verb. The archive is the caller's file; all that is read is read as the state's owner.
func doBackup(ctx context.Context, c *cli, args []string) error {
	name, err := oneArg(args, "backup", "FILE")
	if err != nil {
		return err
	}
	found, o, err := checkFind(ctx, c, exitUnreachable)
	if err != nil {
		return err
	}
	if found.answered {
		if _, err := c.askAt(ctx, found.endpoint, Request{Op: "backup"}); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &exitError{code: exitRefused, err: fmt.Errorf("%s is there already: nothing was written", name)}
	}
	if err != nil {
		return fmt.Errorf("make backup: %w", err)
	}
	b := &backup{owner: o, folders: map[string]bool{}}
	err = o.do(func() error { return b.read(f, found, c.flags.keys) })
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(name) // half a backup is none
		return err
	}
	if c.flags.json {
		return printJSON(c.out, backupJSON{name, b.count, b.bytes})
	}
	_, err = fmt.Fprintf(c.err, "wrote %s: %d files, %d bytes unpacked; to restore, unpack it into an empty state "+
		"folder\n", name, b.count, b.bytes)
	return err
}

// backupJSON says what was written.
type backupJSON struct {
	File  string `json:"file"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// backup is one archive on its way.
type backup struct {
	owner   *owner // whose the files are when root unpacks them
	files   storeFiles
	tar     *tar.Writer
	folders map[string]bool // those whose entry was written
	count   int
	bytes   int64
}

// read opens the state folder, which must be nobody's where no principal has answered, and writes the archive to f.
func (b *backup) read(f *os.File, found stateFound, keys bool) error {
	if !found.answered {
		k, err := checkOpen(found.dir)
		if err != nil {
			return err
		}
		defer k.close()
	}
	root, err := os.OpenRoot(found.dir)
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("open state folder: %w", err),
			hint: "run this on the principal's own box, as its user"}
	}
	defer root.Close()
	b.files = storeFilesOf(root, false)
	if err := b.write(f, keys); err != nil {
		return fmt.Errorf("make backup: %w", err)
	}
	return nil
}

// write writes the archive. The order matters: a run that the snapshot holds as finished is in the history then, one
// that finishes later is in the journal, from where the start puts it into the history; and what the journal says of
// output points to places in it.
func (b *backup) write(w io.Writer, keys bool) error {
	zip := gzip.NewWriter(w)
	b.tar = tar.NewWriter(zip)
	if err := b.add(storeSnapshot); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := b.tree(historyFolder); err != nil {
		return err
	}
	if err := b.journal(); err != nil {
		return err
	}
	if err := b.tree("logs"); err != nil {
		return err
	}
	if keys {
		if err := b.folder("keys", func(string) bool { return true }); err != nil {
			return err
		}
	}
	return errors.Join(b.tar.Close(), zip.Close())
}

// journal adds the segments. One that is removed meanwhile, with what is before it, leaves a hole that a start would
// refuse.
func (b *backup) journal() error {
	segments, err := b.files.segments()
	if err != nil {
		return err
	}
	for _, seg := range segments {
		if err := b.add(seg.name); err != nil {
			return fmt.Errorf("%w: try again", err)
		}
	}
	return nil
}

// tree adds the .jsonl files in the folders of a folder.
func (b *backup) tree(name string) error {
	entries, err := b.files.list(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.folder(path.Join(name, e.Name()), func(name string) bool {
			return strings.HasSuffix(name,
				".jsonl")
		}); err != nil {
			return err
		}
	}
	return nil
}

// folder adds the files of a folder that are wanted. What retention removes meanwhile is left out.
func (b *backup) folder(name string, wanted func(string) bool) error {
	entries, err := b.files.list(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !wanted(e.Name()) {
			continue
		}
		if err := b.add(path.Join(name, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// add adds a file as it is now; of lines up to the last whole one.
func (b *backup) add(name string) error {
	f, err := b.files.open(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if strings.HasSuffix(name, ".jsonl") {
		size, err = fileWhole(f)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	if err := b.enter(path.Dir(name)); err != nil {
		return err
	}
	if err := b.head(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: info.ModTime()}); err != nil {
		return err
	}
	if _, err := io.Copy(b.tar, io.NewSectionReader(f, 0, size)); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	b.count, b.bytes = b.count+1, b.bytes+size
	return nil
}

// enter adds a folder and those it lies in, once each, so that a tar which makes them lets nobody else in.
func (b *backup) enter(folder string) error {
	if b.folders[folder] {
		return nil
	}
	if folder != "." {
		if err := b.enter(path.Dir(folder)); err != nil {
			return err
		}
	}
	info, err := b.files.root.Stat(folder)
	if err != nil {
		return err
	}
	b.folders[folder] = true
	return b.head(&tar.Header{Name: folder + "/", Typeflag: tar.TypeDir, Mode: 0o700, ModTime: info.ModTime()})
}

// head adds a header. By name and number it is the owner's, as which root unpacks it: by name where the box knows that.
func (b *backup) head(h *tar.Header) error {
	h.Uid, h.Gid, h.Format = b.owner.uid, b.owner.gid, tar.FormatPAX
	if name := b.owner.user(); name[0] != '\'' {
		h.Uname = name
	}
	return b.tar.WriteHeader(h)
}
