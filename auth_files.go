// auth_files.go: files that hold keys. Only their owner reads them, and a crash leaves none half written.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// authMaxSecret is the most bytes of a file that holds a key; a larger one is refused.
const authMaxSecret = 64 << 10

// authDir is an open keys folder; all its files are opened relative to it. It never follows a link, and reads no file
// that belongs to somebody else than the folder's owner or root: tasks run as that owner, and can put anything there.
type authDir struct {
	root *os.Root
	name string // STATE/keys, for messages
	uid  int    // whose the folder is
}

// authDirOpen opens a keys folder. With create it makes one, mode 0700, where the state folder has none. Errors wrap
// those of package os. The caller closes the folder.
func authDirOpen(dir string, create bool) (*authDir, error) {
	state, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	defer state.Close()
	name := filepath.Base(dir)
	if create {
		if err := state.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make keys folder: %w", err)
		}
	}
	info, err := state.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("open keys folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open keys folder: %s is no folder: a link is not followed there", dir)
	}
	root, err := state.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open keys folder: %w", err)
	}
	now, err := root.Stat(".")
	above, aboveErr := state.Stat(".")
	err = errors.Join(err, aboveErr)
	if err == nil {
		uid, _ := ownerIDs(now)
		switch of, _ := ownerIDs(above); {
		case !os.SameFile(info, now):
			err = fmt.Errorf("%s was exchanged meanwhile", dir)
		case uid != of && uid != 0:
			err = fmt.Errorf("%s belongs to %s, and the state folder to %s", dir, ownerName(uid), ownerName(of))
		default:
			return &authDir{root: root, name: dir, uid: uid}, nil
		}
	}
	root.Close()
	return nil, fmt.Errorf("open keys folder: %w", err)
}

// close closes the folder.
func (d *authDir) close() { d.root.Close() }

// path names a file of the folder in messages.
func (d *authDir) path(name string) string { return filepath.Join(d.name, name) }

// plain looks at a file of the folder, which must be a regular one.
func (d *authDir) plain(name string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a link, and none is followed there: put the file itself in its place",
			d.path(name))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is %w", d.path(name), errFileKind)
	}
	return info, nil
}

// read reads a file of the folder that has at most most bytes, and gives its text and its FileInfo.
func (d *authDir) read(name string, most int) ([]byte, fs.FileInfo, error) {
	info, err := d.plain(name)
	if err != nil {
		return nil, nil, err
	}
	f, err := diskOpenIn(d.root, name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	text, now, err := fileReadOpen(f, most)
	switch uid, _ := ownerIDs(info); {
	case err != nil:
		return nil, nil, fmt.Errorf("%s: %w", d.path(name), err)
	case uid != d.uid && uid != 0:
		return nil, nil, fmt.Errorf("%s belongs to %s, and its folder to %s", d.path(name), ownerName(uid),
			ownerName(d.uid))
	case !os.SameFile(info, now):
		return nil, nil, fmt.Errorf("%s was exchanged meanwhile", d.path(name))
	case name == authFile && authNames(now) > 1:
		file := d.path(name)
		return nil, nil, fmt.Errorf("%s is the same file as one elsewhere (a hard link), through which others may "+
			"write it: make it a file of its own: cp -p %s %s.own && mv %s.own %s", file, file, file, file, file)
	}
	return text, now, nil
}

// authNames gives how many names a file has.
func authNames(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// write writes a file, mode 0600, or replaces one: it writes a new file beside it, syncs that, and renames it.
func (d *authDir) write(name, text string) error {
	if _, err := d.plain(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	var some [8]byte
	if err := curveRandom(nil, some[:]); err != nil {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	beside := fmt.Sprintf(".%s.%x", name, some)
	f, err := d.root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = d.root.Rename(beside, name)
	}
	if err != nil {
		d.root.Remove(beside)
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	return d.sync()
}

// sync puts the names in the folder on the disk.
func (d *authDir) sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", d.name, err)
	}
	return nil
}

// edit replaces the text of a file by what change makes of it. It locks the folder meanwhile, against other editors.
func (d *authDir) edit(name string, change func(string) (string, error)) error {
	f, err := d.root.Open(".")
	if err != nil {
		return fmt.Errorf("open keys folder: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock keys folder: %w", err)
	}
	text, _, err := d.read(name, authMaxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read authorized keys: %w", err)
	}
	changed, err := change(string(text))
	if err != nil {
		return err
	}
	return d.write(name, changed)
}

// authSecret refuses a file of keys that others can read: its keys are no secret any more.
func authSecret(file string, info fs.FileInfo) error {
	if info.Mode()&0o077 != 0 {
		return fmt.Errorf("read key: others can read %s: chmod 600 %s", file, file)
	}
	return nil
}

// serverPair reads the principal's own pair. The error is fs.ErrNotExist where there is none.
func (d *authDir) serverPair() (pair curvePair, err error) {
	file := d.path(authServerKey)
	text, info, err := d.read(authServerKey, authMaxSecret)
	if err != nil {
		return pair, fmt.Errorf("read key: %w", err)
	}
	if err := authSecret(file, info); err != nil {
		return pair, err
	}
	pair, err = curvePairParse(strings.TrimSpace(string(text)))
	if err != nil {
		return pair, fmt.Errorf("read %s: %w: put the old file back, or remove it and %s for a new key (every "+
			"client needs the new one then)", file, err, authServerPub)
	}
	return pair, nil
}

// makeServerPair gives the principal's own pair, and makes one when there was never one. It does not replace a pair
// that is gone: a new one would lock out everybody who has a credential.
func (d *authDir) makeServerPair() (pair curvePair, made bool, err error) {
	pair, err = d.serverPair()
	_, pub := d.root.Lstat(authServerPub)
	switch {
	case err == nil && errors.Is(pub, fs.ErrNotExist): // power failed between the two, or somebody removed it
		return pair, false, d.write(authServerPub, pair.Public.String()+"\n")
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return pair, false, err
	case pub == nil:
		return pair, false, fmt.Errorf("%s is gone, and %s beside it says that there was one: with a new key nobody "+
			"who has a credential would get in; put the old file back (cdktr backup --keys has it), or remove %s as "+
			"well for a new key, and give everybody a new credential",
			d.path(authServerKey), authServerPub, d.path(authServerPub))
	}
	pair, err = authNewPair()
	if err != nil {
		return pair, false, err
	}
	// The secret half first: where there is a public one, there was a secret one.
	if err := d.write(authServerKey, pair.Secret.Text()+"\n"); err != nil {
		return pair, false, err
	}
	return pair, true, d.write(authServerPub, pair.Public.String()+"\n")
}

// authReadSecret reads a file that holds a secret key, wherever its owner keeps it.
func authReadSecret(ctx context.Context, w *diskWaits, file string) ([]byte, error) {
	text, info, err := fileReadWithin(ctx, w, file, file, authMaxSecret)
	if err != nil {
		return nil, fmt.Errorf("read key: %s: %w", file, pathCause(err))
	}
	return text, authSecret(file, info)
}

// authDoubt is something that the owner of a state folder should know: who else can change the keys, or which files do
// not belong together.
type authDoubt struct {
	file string // within the state folder, "." for itself
	text string
}

// authDoubts looks for doubts about a state folder and its keys. It changes nothing.
func authDoubts(state string) (doubts []authDoubt) {
	doubt := func(file, format string, args ...any) {
		doubts = append(doubts, authDoubt{file, fmt.Sprintf(format, args...)})
	}
	dir := filepath.Join(state, authFolder)
	for _, folder := range []struct{ file, path string }{{".", state}, {authFolder, dir}} {
		if info, err := os.Stat(folder.path); err == nil && info.Mode()&0o022 != 0 {
			doubt(folder.file, "others can write in this folder (mode %04o), and so let themselves in: chmod 700 %s",
				info.Mode().Perm(), folder.path)
		}
	}
	d, err := authDirOpen(dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return doubts
	}
	if err != nil {
		doubt(authFolder, "%v", err)
		return doubts
	}
	defer d.close()
	if _, _, err := authReadFile(dir); err != nil {
		doubt(filepath.Join(authFolder, authFile), "%v", err)
	}
	pair, err := d.serverPair()
	text, _, pubErr := d.read(authServerPub, authMaxSecret)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		doubt(filepath.Join(authFolder, authServerKey), "%v", err)
	case err != nil && pubErr == nil:
		doubt(filepath.Join(authFolder, authServerKey),
			"it is gone, and %s is there: put it back from a backup (cdktr backup --keys), for every credential "+
				"names it", authServerPub)
	case err == nil && pubErr == nil && strings.TrimSpace(string(text)) != pair.Public.String():
		doubt(filepath.Join(authFolder, authServerPub),
			"it is not the public half of %s: credentials that name it let nobody in; remove it, and the next start "+
				"writes the right one", authServerKey)
	}
	return doubts
}

// credential is all that a client or an agent needs to get in. Its file is a ZeroMQ certificate, so that other ZeroMQ
// programs can read their pair from it too.
type credential struct {
	Endpoint, Name, Role, Workflows string
	Server                          curveKey
	Pair                            curvePair
}

// authHead is the first line of a credential, for its name and role.
const authHead = "# A credential of cdktr: whoever has it is %q, %s, to the principal below. Keep it secret (chmod " +
	"600).\n"

// text is the credential as its file has it. Without a role it is a bare key pair, which lets nobody in yet.
func (c *credential) text() string {
	var b strings.Builder
	switch c.Role {
	case "":
		b.WriteString("# A key pair of cdktr. Keep it secret (chmod 600). On the principal's box the public key " +
			"alone is needed:\n# cdktr authorize NAME 'PUBLIC-KEY' --role ROLE\n")
	case roleAgent:
		fmt.Fprintf(&b, authHead+"# Use it on the box of that name: cdktr start agent --credential FILE\n", c.Name,
			c.Role)
	default:
		fmt.Fprintf(&b, authHead+"# Use it: cdktr ping --credential FILE, or set CDKTR_CREDENTIAL\n", c.Name, c.Role)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "    %s = \"%s\"\n", name, value)
		}
	}
	b.WriteString("metadata\n")
	line("endpoint", c.Endpoint)
	line("name", c.Name)
	line("role", c.Role)
	line("workflows", c.Workflows)
	b.WriteString("curve\n")
	if c.Server != (curveKey{}) {
		line("server-key", c.Server.String())
	}
	line("public-key", c.Pair.Public.String())
	line("secret-key", c.Pair.Secret.Text())
	return b.String()
}

// credentialRead reads a credential file, as a look of w. Its name and its endpoint may be missing; --principal can
// give the endpoint.
func credentialRead(ctx context.Context, w *diskWaits, file string) (*credential, error) {
	text, err := authReadSecret(ctx, w, file)
	if err != nil {
		return nil, err
	}
	c, err := credentialParse(file, string(text))
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	return c, nil
}

// credentialReadHanded is credentialRead of a file that systemd hands to this service: systemd says who may read it, by
// a list beside the file's mode, which looks as if a group could read it (acl(5)).
func credentialReadHanded(ctx context.Context, w *diskWaits, file string) (*credential, error) {
	text, _, err := fileReadWithin(ctx, w, file, file, authMaxSecret)
	if err != nil {
		return nil, fmt.Errorf("read key: %s: %w", file, pathCause(err))
	}
	c, err := credentialParse(file, string(text))
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	return c, nil
}

// credentialParse reads the text of a credential file. Its errors name a line, but never repeat its text: that may be
// secret.
func credentialParse(file, text string) (*credential, error) {
	values := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line == "metadata" || line == "curve" {
			continue
		}
		name, quoted, _ := strings.Cut(line, "=")
		value, opened := strings.CutPrefix(strings.TrimSpace(quoted), `"`)
		value, closed := strings.CutSuffix(value, `"`)
		if !opened || !closed {
			return nil, fmt.Errorf("%s:%d: want NAME = \"VALUE\"", file, i+1)
		}
		values[strings.TrimSpace(name)] = value
	}
	c := &credential{Endpoint: values["endpoint"], Name: values["name"], Role: values["role"],
		Workflows: values["workflows"]}
	var err error
	c.Pair, err = curvePairParse(values["secret-key"])
	if err != nil {
		return nil, fmt.Errorf("%s: secret-key: %w", file, err)
	}
	if public := values["public-key"]; public != "" && public != c.Pair.Public.String() {
		return nil, fmt.Errorf("%s: public-key and secret-key are not of one pair", file)
	}
	if values["server-key"] == "" {
		return nil, fmt.Errorf("%s has no server-key: add the line server-key = \"KEY\", with the KEY that `cdktr "+
			"keygen --show-server` prints on the principal's box", file)
	}
	c.Server, err = curveKeyParse(values["server-key"])
	if err != nil {
		return nil, fmt.Errorf("%s: server-key: %w", file, err)
	}
	return c, nil
}
