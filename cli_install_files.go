// cli_install_files.go: the files, folders and users that install makes. A file is replaced as a whole, and only where
// it differs.

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// at gives the place of a path in the system that is worked on. Below --root a link must not lead out of it.
func (in *installer) at(path string) (string, error) {
	if in.root == "" {
		return path, nil
	}
	at := filepath.Join(in.root, path)
	for dir := filepath.Dir(at); ; dir = filepath.Dir(dir) {
		real, err := filepath.EvalSymlinks(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != in.root:
			if _, err := os.Lstat(dir); err == nil { // a link to nothing, as seen from here
				return "", &exitError{code: exitRefused, err: fmt.Errorf("%s is a link that leads nowhere", dir)}
			}
			continue
		case err != nil:
			return "", err
		case real != in.root && !strings.HasPrefix(real, in.root+"/"):
			return "", &exitError{code: exitRefused, err: fmt.Errorf("%s leads out of %s, to %s", dir, in.root, real)}
		}
		return at, nil
	}
}

// has says whether there is a unit of that name.
func (in *installer) has(unit string) bool {
	_, err := os.Lstat(in.root + filepath.Join(in.units, unit))
	return err == nil
}

// read reads a file of the system. The error is fs.ErrNotExist where there is none.
func (in *installer) read(path string) ([]byte, fs.FileInfo, error) {
	at, err := in.at(path)
	if err != nil {
		return nil, nil, err
	}
	return fileRead(at, installMost)
}

// put writes a file, where it is not so already, and says so.
func (in *installer) put(path string, data []byte, mode fs.FileMode) (changed bool, err error) {
	done, err := in.replace(path, data, mode)
	if err != nil {
		return false, err
	}
	in.did(done, path, "")
	return done != "same", nil
}

// replace writes a file, where it is not so already: it was wrote, replaced or the same.
func (in *installer) replace(path string, data []byte, mode fs.FileMode) (done string, err error) {
	at, err := in.at(path)
	if err != nil {
		return "", err
	}
	old, info, err := fileRead(at, installMost)
	done = "replaced"
	switch {
	case err == nil && bytes.Equal(old, data) && info.Mode().Perm() == mode:
		return "same", nil
	case errors.Is(err, fs.ErrNotExist):
		done = "wrote"
	case err != nil && !errors.Is(err, errFileKind): // a link to nothing or to a device is replaced
		return "", fmt.Errorf("read %s: %w", path, pathCause(err))
	}
	if err := installWrite(at, data, mode); err != nil {
		return "", fmt.Errorf("write %s: %w", path, pathCause(err))
	}
	return done, nil
}

// installWrite puts a file in the place of another in one step: whoever runs or reads the old one goes on with it.
func installWrite(at string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(at), ".cdktr-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), at)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// folder makes a folder.
func (in *installer) folder(path string) error {
	at, err := in.at(path)
	if err != nil {
		return err
	}
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		in.did("same", path, "")
		return nil
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fmt.Errorf("make folder %s: %w", path, pathCause(err))
	}
	in.did("made", path, "")
	return nil
}

// files writes all files, and says which units, and whether the program or the credential, are other than before.
func (in *installer) files() (changed map[string]bool, err error) {
	changed = map[string]bool{}
	if in.principal {
		if err := in.folder(orDefault(in.filed("workflows"), in.etc+"/workflows")); err != nil {
			return nil, err
		}
	}
	if in.credential != nil {
		changed["credential"], err = in.putCredential()
		if err != nil {
			return nil, err
		}
	}
	if err := in.putProgram(); err != nil {
		return nil, err
	}
	specs, err := in.specs()
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		changed[s.name()], err = in.putUnit(s)
		if err != nil {
			return nil, err
		}
	}
	return changed, in.shared()
}

// shared writes the files that go with the program. It tells of man pages together.
func (in *installer) shared() error {
	files, err := in.c.files()
	if err != nil {
		return err
	}
	pages, told := 0, "same"
	for _, f := range files {
		path := in.filePath(f.kind, f.name)
		if path == "" {
			continue
		}
		done, err := in.replace(path, []byte(f.text), 0o644)
		if err != nil {
			return err
		}
		if f.kind != "man" {
			in.did(done, path, "")
			continue
		}
		pages++
		if done != "same" {
			told = done
		}
	}
	in.did(told, in.filePath("man", ""), countText(pages, "page"))
	return nil
}

// filePath says where a file that goes with the program is read, "" where nothing reads it.
func (in *installer) filePath(kind, name string) string {
	base := "/usr/local/share"
	if in.own {
		base = filepath.Join(in.c.getenv("HOME"), ".local/share")
	}
	switch kind {
	case "bash":
		return base + "/bash-completion/completions/cdktr"
	case "fish":
		return base + "/fish/vendor_completions.d/cdktr.fish"
	case "man":
		return filepath.Join(base, "man", name)
	case "zsh":
		if !in.own { // a user's own zsh looks into no folder of that user by itself
			return base + "/zsh/site-functions/_cdktr"
		}
	}
	return ""
}

// putCredential writes the agent's credential: for root alone where systemd hands it out.
func (in *installer) putCredential() (changed bool, err error) {
	path := filepath.Join(in.etc, unitCredential)
	changed, err = in.put(path, []byte(in.credential.text()), 0o600)
	if err != nil || in.own || in.systemd >= unitCredentials {
		return changed, err
	}
	at, err := in.at(path)
	if err != nil {
		return false, err
	}
	uid, gid, err := in.ids(in.tasks())
	if err == nil {
		err = os.Chown(at, uid, gid)
	}
	if err != nil {
		return false, fmt.Errorf("give %s to %s: %w", path, in.tasks(), pathCause(err))
	}
	return changed, nil
}

// putProgram copies this program to its place. Below --root it must be for that kind of machine.
func (in *installer) putProgram() error {
	if in.program == in.bin && in.root == "" {
		in.did("same", in.bin, "")
		return nil
	}
	data, _, err := fileRead(in.program, installMost)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	if in.root != "" {
		shell, _, err := in.read("/bin/sh")
		if err == nil && installMachine(shell) != installMachine(data) {
			if _, _, err := in.read(in.bin); err == nil {
				in.did("kept", in.bin, "this program is for another kind of machine than "+in.root)
				return nil
			}
			return &exitError{code: exitRefused,
				err:  fmt.Errorf("this program is for another kind of machine than %s", in.root),
				hint: "put the one for that machine at " + in.root + in.bin + " first"}
		}
	}
	_, err = in.put(in.bin, data, 0o755)
	return err
}

// installMachine gives the kind of machine that a program is for (elf(5): e_machine, and the class); 0: not known.
func installMachine(elf []byte) int {
	if len(elf) < 20 || string(elf[:4]) != "\x7fELF" {
		return 0
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if elf[5] == 2 {
		order = binary.BigEndian
	}
	return int(elf[4])<<16 | int(order.Uint16(elf[18:]))
}

// putUnit writes a unit. One that was changed by hand stays, and is shown against what would be written.
func (in *installer) putUnit(s *unitSpec) (changed bool, err error) {
	path, text := filepath.Join(in.units, s.name()), s.text()
	old, _, err := in.read(path)
	switch {
	case errors.Is(err, errFileKind):
		in.did("kept", path, "it is masked, or no file: systemctl unmask "+s.name())
	case err == nil && string(old) != text && unitEdited(string(old)):
		in.tell(installDone{Done: "kept", What: path, Note: "it was changed by hand (-), and this would be in it " +
			"now (+); to have ours, keep changes in a drop-in (systemctl edit), remove the file, and " +
			"cdktr install " + s.role(),
			Diff: diffChanged(string(old), text)})
	default:
		changed, err = in.put(path, []byte(text), 0o644)
		if err != nil {
			return false, err
		}
	}
	drops, _ := filepath.Glob(in.root + path + ".d/*.conf") // the pattern is sound
	for _, drop := range drops {
		in.did("kept", strings.TrimPrefix(drop, in.root), "its settings go before those of the unit")
	}
	return changed, nil
}

// people makes the users that the units name.
func (in *installer) people(ctx context.Context) error {
	if in.own {
		return nil
	}
	name := in.tasks()
	other := in.agent && name != "root" && name != installTasks
	if other && !in.knows(ctx, "passwd", name) {
		return &exitError{code: exitRefused, err: fmt.Errorf("there is no user %q, whom --user names", name),
			hint: "useradd --create-home " + name}
	}
	if in.principal {
		if err := in.person(ctx, installUser, installState); err != nil {
			return err
		}
	}
	if in.agent && name == installTasks {
		return in.person(ctx, name, installSpool)
	}
	return nil
}

// knows says whether the system has a user ("passwd") or a group ("group") of a name.
func (in *installer) knows(ctx context.Context, table, name string) bool {
	text, _, err := in.read("/etc/" + table)
	for line := range strings.Lines(string(text)) {
		if first, _, _ := strings.Cut(line, ":"); first == name {
			return true
		}
	}
	if err != nil || in.root != "" {
		return false
	}
	return exec.CommandContext(ctx, "getent", table, name).Run() == nil // of LDAP and the like
}

// ids gives the numbers of a user and its group.
func (in *installer) ids(name string) (uid, gid int, err error) {
	at, err := in.at("/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	f, err := userEntry(at, func(f []string) bool { return f[0] == name })
	if err != nil || f == nil {
		return 0, 0, errors.Join(err, fs.ErrNotExist)
	}
	uid, err = strconv.Atoi(f[2])
	if err == nil {
		gid, err = strconv.Atoi(f[3])
	}
	return uid, gid, err
}

// person makes a user of the system, with a group of its name.
func (in *installer) person(ctx context.Context, name, home string) error {
	if in.knows(ctx, "passwd", name) {
		in.did("same", "user "+name, "")
		return nil
	}
	args := []string{"--system", "--home-dir", home, "--no-create-home", "--shell", "/usr/sbin/nologin", "--comment",
		"cdktr"}
	sysusers := []string{"-"}
	if in.root != "" {
		args, sysusers = append(args, "--prefix", in.root), append(sysusers, "--root="+in.root)
	}
	if in.knows(ctx, "group", name) {
		args = append(args, "--gid", name)
	} else {
		args = append(args, "--user-group")
	}
	_, err := installRun(ctx, "", "useradd", append(args, name)...)
	if errors.Is(err, exec.ErrNotFound) {
		_, err = installRun(ctx, fmt.Sprintf("u %s - cdktr %s\n", name, home), "systemd-sysusers", sysusers...)
	}
	if err != nil {
		return fmt.Errorf("make user %s: %w", name, err)
	}
	in.did("made", "user "+name, "home "+home)
	return nil
}

// installRun runs a command of the system, and gives its output. An error has the last line that it wrote.
func installRun(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C at the terminal ends us, and then it
	out, errs := &commandOutput{}, &commandOutput{}
	cmd.Stdout, cmd.Stderr = out, errs
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(orDefault(errs.text(), out.text()))
		if i := strings.LastIndexByte(said, '\n'); i >= 0 && strings.HasPrefix(said[i+1:], "See ") {
			said = said[:i] // systemctl's first line is the fault, its last says where to look
		}
		return out.text(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return out.text(), nil
}
