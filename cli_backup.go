// cli_backup.go: the verb backup, which writes one file with all that a principal needs to begin again, even while it
// runs. The principal saves a snapshot and makes everything before it durable. Then this process, on the same box,
// reads the files in such an order that each may be newer than those before it, as a start expects after a crash.

package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/term"
)

// backupVerb is the entry of `backup`.
func backupVerb() cliVerb {
	return cliVerb{name: "backup", args: "FILE|-",
		help: "write a principal's snapshot, journal, history and output to a .tar.gz, while it runs or not",
		run:  doBackup,
		more: `
Run it on the principal's box, as the principal's user. The file holds all that was acknowledged before the backup
began; cdktr restore brings it back. It never holds the secrets of agents, what they have not delivered yet, the units
of systemd, or the program.`,
		flags: func(f *cliFlags) {
			f.setting("state", "the state folder `DIR` of a principal that does not run")
			f.BoolVar(&f.keys, "keys", false, "the keys as well: the file is as secret as they are then")
			f.BoolVar(&f.all, "all", false, "all that another box needs: keys, workflows folder, configuration file")
			f.setting("workflows", "the workflows folder `DIR`, for --all")
		},
		examples: []string{"cdktr backup /backup/cdktr-$(date +%F).tar.gz",
			"cdktr backup --all --workflows /etc/cdktr/workflows /root/cdktr.tar.gz",
			"ssh hub cdktr backup - > hub.tar.gz"}}
}

// doBackup writes the archive as the caller, and reads everything as the owner of the state.
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
	f, err := backupMake(c, name)
	if err != nil {
		return err
	}
	b := &backup{owner: o, folders: map[string]bool{}}
	err = o.do(func() error { return b.read(f, found, c) })
	if name == "-" {
		f = nil
	} else if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(name) // half a backup is none
	}
	if err != nil {
		return err
	}
	if c.flags.json && f != nil {
		return printJSON(c.out, backupJSON{name, b.count, b.bytes, b.left(c)})
	}
	_, err = fmt.Fprintf(c.err, "wrote %s: %d files, %d bytes unpacked; not in it: %s\nto bring it back: cdktr "+
		"restore %s --state DIR\n", name, b.count, b.bytes, strings.Join(b.left(c), ", "), name)
	return err
}

// backupMake makes the file, which only its owner can read; "-" is standard output.
func backupMake(c *cli, name string) (*os.File, error) {
	if name == "-" {
		f, ok := termRaw(c.out).(*os.File)
		if !ok || term.IsTerminal(int(f.Fd())) {
			return nil, usageError("standard output is a terminal: cdktr backup - > FILE")
		}
		return f, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, &exitError{code: exitRefused, err: fmt.Errorf("%s is there already: nothing was written", name)}
	}
	if err != nil {
		return nil, fmt.Errorf("make backup: %w", err)
	}
	return f, nil
}

// backupJSON says what was written.
type backupJSON struct {
	File  string `json:"file"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// what is not in it
	Left []string `json:"left_out"`
}

// left says what a box needs that is not in the archive.
func (b *backup) left(c *cli) []string {
	left := []string{"secrets of agents", "reports that agents have not delivered"}
	if !c.flags.keys && !c.flags.all {
		left = append(left, "keys (--keys)")
	}
	if !c.flags.all {
		return append(left, "workflow files and configuration (--all)")
	}
	return append(left, b.passed...)
}

// backup is one archive that is being written.
type backup struct {
	owner   *owner // who owns the files when root unpacks them
	files   storeFiles
	tar     *tarWriter
	folders map[string]bool // folders that have an entry already
	count   int
	bytes   int64
	passed  []string // what of --all it has not taken, and why
}

// read opens the state folder and writes the archive to f. Where no principal has answered, no process may hold the
// folder.
func (b *backup) read(f io.Writer, found stateFound, c *cli) error {
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
	var extra func() error
	if c.flags.all {
		extra = func() error { return b.extra(c.cfg.file, c.cfg.get("workflows")) }
	}
	if err := b.write(f, c.flags.keys || c.flags.all, extra); err != nil {
		return fmt.Errorf("make backup: %w", err)
	}
	return nil
}

// write writes the archive. The order matters. A run that has finished by the snapshot is in the history, which comes
// after it. A run that finishes later is in the journal, from which a start puts it into the history. The journal
// points to places in the output, which comes last. extra adds what is not of the state; nil: nothing.
func (b *backup) write(w io.Writer, keys bool, extra func() error) error {
	zip := gzip.NewWriter(w)
	b.tar = &tarWriter{w: zip}
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
	if extra != nil {
		if err := extra(); err != nil {
			return err
		}
	}
	return errors.Join(b.tar.end(), zip.Close())
}

// journal adds the segments of the journal. It fails if one is removed meanwhile: a start would refuse the gap.
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

// tree adds the .jsonl files in the subfolders of a folder.
func (b *backup) tree(name string) error {
	entries, err := b.files.list(name)
	if err != nil {
		return err
	}
	lines := func(name string) bool { return strings.HasSuffix(name, ".jsonl") }
	for _, e := range entries {
		if err := b.folder(path.Join(name, e.Name()), lines); err != nil {
			return err
		}
	}
	return nil
}

// folder adds the files of a folder that are wanted, except for those that retention removes meanwhile.
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

// add adds a file as it is now. A file of lines ends with its last whole line.
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
	if err := b.head(&tarHead{name: name, kind: tarFile, mode: 0o600, size: size, at: info.ModTime()}); err != nil {
		return err
	}
	if _, err := io.Copy(b.tar, io.NewSectionReader(f, 0, size)); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	b.count, b.bytes = b.count+1, b.bytes+size
	return nil
}

// enter adds an entry for a folder and for those above it, once each, so that tar makes them with mode 0700.
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
	return b.head(&tarHead{name: folder + "/", kind: tarFolder, mode: 0o700, at: info.ModTime()})
}

// head adds the header of an entry. It names the owner of the state, by number and, where there is one, by name.
func (b *backup) head(h *tarHead) error {
	h.uid, h.gid = b.owner.uid, b.owner.gid
	if name := b.owner.user(); name[0] != '\'' {
		h.user = name
	}
	return b.tar.head(h)
}
