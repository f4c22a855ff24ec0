// cli_backup_extra.go: what backup --all takes along beside the state: the configuration file and the workflows folder.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

const (
	backupExtra = "files" // the folder of the archive that they are in

	backupExtraFile = 1 << 20 // bytes of a file beside the state; a larger one is left out, and named
	backupExtraMost = 20_000  // how many such files are taken; others are left out
	backupExtraDeep = 16      // how many folders deep; deeper ones are left out
	backupExtraSays = 5       // how many are named that were left out
)

// extra adds the configuration file and the files of the workflows folder. It follows no link out of that folder.
func (b *backup) extra(config, workflows string) error {
	text, info, err := fileRead(config, configMaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) || config == os.DevNull: // see configRead
		b.passed = append(b.passed, "configuration ("+config+" is not there)")
	case err != nil:
		return fmt.Errorf("read configuration %s: %w", config, pathCause(err))
	default:
		if err := b.put(path.Join(backupExtra, "config.yml"), text, info.ModTime()); err != nil {
			return err
		}
	}
	full, err := filepath.Abs(workflows)
	if err != nil {
		return fmt.Errorf("find workflows folder: %w", err)
	}
	root, err := os.OpenRoot(full)
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("open workflows folder %s: %w", full, pathCause(err)),
			hint: "name it with --workflows, as the principal has it"}
	}
	defer root.Close()
	taken, left := 0, 0
	leave := func(name, why string) {
		if left++; left <= backupExtraSays {
			b.passed = append(b.passed, path.Join(full, name)+" ("+why+")")
		}
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			leave(name, pathCause(err).Error())
			return nil
		case name == ".":
			return nil
		case strings.ContainsFunc(name, unicode.IsControl):
			leave(name, "control characters in its name")
			return nil // a folder's files have that name too
		case e.IsDir() && (e.Name()[0] == '.' || strings.Count(name, "/") >= backupExtraDeep):
			leave(name, "hidden, or too deep")
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		f, err := diskOpenIn(root, name, os.O_RDONLY) // a link is followed within the folder
		if err != nil {
			leave(name, pathCause(err).Error())
			return nil
		}
		defer f.Close()
		text, info, err := fileReadOpen(f, backupExtraFile)
		if err == nil && taken == backupExtraMost {
			err = fmt.Errorf("one more than %d files", taken)
		}
		if err != nil {
			leave(name, err.Error())
			return nil
		}
		taken++
		return b.put(path.Join(backupExtra, "workflows", name), text, info.ModTime())
	})
	if left > backupExtraSays {
		b.passed = append(b.passed, fmt.Sprintf("%d more of that folder", left-backupExtraSays))
	}
	return err
}

// put adds a file with that content.
func (b *backup) put(name string, text []byte, at time.Time) error {
	for i, c := range name {
		if folder := name[:i]; c == '/' && !b.folders[folder] {
			b.folders[folder] = true
			if err := b.head(&tarHead{name: folder + "/", kind: tarFolder, mode: 0o700, at: at}); err != nil {
				return err
			}
		}
	}
	if err := b.head(&tarHead{name: name, kind: tarFile, mode: 0o600, size: int64(len(text)), at: at}); err != nil {
		return err
	}
	b.count, b.bytes = b.count+1, b.bytes+int64(len(text))
	_, err := b.tar.Write(text)
	return err
}
