// auth_files.go: files that hold keys: only their owner reads them, and each is whole or not there. Uses curve.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// authMakeFolder makes the keys folder, 0700, and the folders above it.
func authMakeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	switch err := os.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("make keys folder: %w", err)
	}
	return authGiveAway(dir, filepath.Dir(dir))
}

// authGiveAway gives a file to the owner of a folder, so that what root does for a service, that service can read.
func authGiveAway(file, dir string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return os.Chown(file, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// authWriteFile writes a file, 0600, in place of one that is there: beside it first, to the disk, then under its name.
func authWriteFile(file, text string) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, "."+filepath.Base(file)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = authGiveAway(f.Name(), dir)
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return authSyncFolder(dir)
}

// authSyncFolder makes the names in a folder safe.
func authSyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// authReadSecret reads a file that holds a secret key. One that others can read is refused: it is no secret any more.
func authReadSecret(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read key: %w", err)
	case !info.Mode().IsRegular() || info.Size() > 64<<10:
		return nil, fmt.Errorf("read key: %s is not a file of keys", file)
	case info.Mode()&0o077 != 0:
		return nil, fmt.Errorf("read key: others can read %s: chmod 600 %s", file, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return text, nil
}

// credential is all that a client or an agent needs to get in. As a file it is a ZeroMQ certificate, so that other
// ZeroMQ programs find their pair in it too.
type credential struct {
	Endpoint, Name, Role, Workflows string
	Server                          curveKey
	Pair                            curvePair
}

// text is the credential as its file has it.
func (c *credential) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# A credential of cdktr: whoever has it is %q, %s, to the principal below. Keep it secret (chmod 600).\n", c.Name, c.Role)
	if c.Role == roleAgent {
		b.WriteString("# Use it on the box of that name: cdktr start agent --credential FILE\n")
	} else {
		b.WriteString("# Use it: cdktr ping --credential FILE, or set CDKTR_CREDENTIAL\n")
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

// credentialRead reads a credential file. The name may be missing, and the endpoint: --principal can give it.
func credentialRead(file string) (*credential, error) {
	text, err := authReadSecret(file)
	if err != nil {
		return nil, err
	}
	c, err := credentialParse(file, string(text))
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	return c, nil
}

// credentialParse reads the text of a credential file. Errors name a line and never what stands in it.
func credentialParse(file, text string) (*credential, error) {
	values := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if line == "" || line[0] == '#' || !ok && (line == "metadata" || line == "curve") {
			continue
		}
		value = strings.TrimSpace(value)
		if !ok || len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
			return nil, fmt.Errorf("%s:%d: want NAME = \"VALUE\"", file, i+1)
		}
		values[strings.TrimSpace(name)] = value[1 : len(value)-1]
	}
	c := &credential{Endpoint: values["endpoint"], Name: values["name"], Role: values["role"], Workflows: values["workflows"]}
	var err error
	if c.Pair, err = curvePairParse(values["secret-key"]); err != nil {
		return nil, fmt.Errorf("%s: secret-key: %w", file, err)
	}
	if public := values["public-key"]; public != "" && public != c.Pair.Public.String() {
		return nil, fmt.Errorf("%s: public-key and secret-key are not of one pair", file)
	}
	if values["server-key"] == "" {
		return nil, fmt.Errorf("%s has no server-key: add the line server-key = \"KEY\", with the KEY that `cdktr keygen --show-server` prints on the principal's box", file)
	}
	if c.Server, err = curveKeyParse(values["server-key"]); err != nil {
		return nil, fmt.Errorf("%s: server-key: %w", file, err)
	}
	return c, nil
}
