// Tests of reading files that somebody else named, and of the room on a disk.

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFileRead reads what is a file, and refuses at once what has no end or makes its reader wait.
func TestFileRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"empty": "", "small": "abc", "full": strings.Repeat("x", 4096), "over": strings.Repeat("x", 4097)} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("small", at("link")), os.Symlink("nothing", at("dangling")), unix.Mkfifo(at("pipe"), 0o600), os.Symlink("pipe", at("pipelink"))); err != nil {
		t.Fatal(err)
	}
	var large *fileSizeError
	for _, c := range []struct {
		name string
		n    int
		want func(error) bool
	}{
		{at("empty"), 0, nil}, {at("small"), 3, nil}, {at("full"), 4096, nil}, {at("link"), 3, nil},
		{at("over"), 0, func(err error) bool { return errors.As(err, &large) && large.size == 4097 }},
		{at("pipe"), 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{at("pipelink"), 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{dir, 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{"/dev/zero", 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{"/dev/tty", 0, func(err error) bool { return err != nil }},
		{at("dangling"), 0, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
	} {
		data, info, err := fileRead(c.name, 4096)
		switch {
		case c.want == nil && (err != nil || len(data) != c.n || info.Size() != int64(c.n)):
			t.Errorf("%s: %d bytes, %v", c.name, len(data), err)
		case c.want != nil && !c.want(err):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestDiskDoors: files are opened in few places, which see to it that nothing waits for a pipe; what is elsewhere is a folder of the
// kernel's, the terminal, or a file that is made where none may be.
func TestDiskDoors(t *testing.T) {
	t.Parallel()
	opens := regexp.MustCompile(`\b(os|root)\.(Open|OpenFile|Create|ReadFile)\(|\.FS\(\)`)
	allowed := map[string]int{"sys_disk.go": 3, "exec.go": 1, "sys_linux.go": 1, "cli_serve_listen.go": 1, "wire_linux.go": 1, "term_tty.go": 2, "auth_files.go": 3,
		"cli_backup.go": 1, "cli_keys.go": 1, "cli_setup.go": 1, "tui_prompt.go": 1, "agent_spool_tail.go": 1, "cli_check.go": 1, "cli_serve.go": 1}
	for file, text := range layersTexts(t) {
		if found := opens.FindAllString(text, -1); len(found) != allowed[file] {
			t.Errorf("%s opens files in %d places, and is known to in %d: call diskOpen, diskOpenIn, or fileRead; say here what cannot: %q", file, len(found), allowed[file], found)
		}
	}
}
