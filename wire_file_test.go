// Tests of the socket's file in a folder where somebody else can exchange it at any moment.

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// wireTestSecret makes a file that is to stay as it is, and gives a look whether it has.
func wireTestSecret(t *testing.T, path string) (look func()) {
	t.Helper()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		now, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		was, is := before.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
		if before.Mode() != now.Mode() || was.Uid != is.Uid || was.Gid != is.Gid {
			t.Fatalf("the file that a link was planted to: mode %v, group %d; it was %v, %d", now.Mode(), is.Gid,
				before.Mode(), was.Gid)
		}
	}
}

// wireTestGroup is a group that this process may give a file to, another than it has where it is root.
func wireTestGroup() int {
	if os.Geteuid() == 0 {
		return 65534
	}
	return os.Getegid()
}

// What is in the socket's place when it is to get its mode and group is looked at, and left alone when it is not the
// socket.
func TestWireSocketPlanted(t *testing.T) {
	t.Parallel()
	group := wireTestGroup()
	for name, plant := range map[string]func(path, secret string) error{
		"a link to a file":           func(path, secret string) error { return os.Symlink(secret, path) },
		"a link to a link":           func(path, secret string) error { return os.Symlink(secret+".link", path) },
		"a hard link to a file":      func(path, secret string) error { return os.Link(secret, path) },
		"a folder":                   func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"another name of the socket": func(path, _ string) error { return os.Link(path+".moved", path) },
		"nothing":                    func(string, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			path := wireTestPath(t)
			secret := filepath.Join(filepath.Dir(path), "secret")
			look := wireTestSecret(t, secret)
			l, err := wireListen("ipc://"+path, wireOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for _, err := range []error{os.Symlink(secret, secret+".link"), os.Rename(path, path+".moved"),
				plant(path, secret)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, group := range []*int{nil, &group} {
				_, err := wireSocketGive(path, 0o660, group)
				if err == nil || name != "nothing" && !strings.Contains(err.Error(),
					"was put in the place of the socket") {
					t.Errorf("%v", err)
				}
			}
			look()
			if err := wireUnlink(path, l.file); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); name != "nothing" && name != "another name of the socket" && err != nil {
				t.Errorf("what is not the socket was removed: %v", err)
			}
		})
	}
}

// What is held is changed, whatever its name has become meanwhile.
func TestWireSocketHeld(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" { // others have nothing to hold it by
		return
	}
	path, group := wireTestPath(t), wireTestGroup()
	wireTestStale(t, path)
	secret := filepath.Join(filepath.Dir(path), "secret")
	look := wireTestSecret(t, secret)
	f, err := wireSocketOpen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for _, err := range []error{os.Rename(path, path+".moved"), os.Symlink(secret, path), f.chgrp(group),
		f.chmod(0o660)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	look()
	if info, err := os.Lstat(path + ".moved"); err != nil || info.Mode().Perm() != 0o660 ||
		int(info.Sys().(*syscall.Stat_t).Gid) != group {
		t.Errorf("the socket: %v, %v", info, err)
	}
}

// A folder that is not the one just made is not opened to the group.
func TestServeSocketFolderPlanted(t *testing.T) {
	t.Parallel()
	s := serveSocket{group: "some", gid: wireTestGroup()}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, err := range []error{os.Mkdir(dir+"/secret", 0o700), os.Mkdir(dir+"/made", 0o700),
		os.Symlink("secret", dir+"/link"), os.WriteFile(dir+"/file", nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"link": false, "file": false, "made": true} {
		if err := s.openFolder(root, name); (err == nil) != want || !want &&
			!strings.Contains(err.Error(), "was put in its place") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]fs.FileMode{"secret": 0o700, "file": 0o600, "made": 0o750} {
		if info, err := os.Lstat(dir + "/" + name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, want)
		}
	}
}

// The socket itself gets its mode, whatever the umask takes, and its group.
func TestWireSocketGroup(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path, group := wireTestPath(t), wireTestGroup()
	l, err := wireListen("ipc://"+path, wireOptions{SocketMode: 0o660, SocketGroup: &group})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o660 || int(info.Sys().(*syscall.Stat_t).Gid) != group {
			t.Errorf("the socket: %v, %v, want mode 0660 and group %d", info, err, group)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := l.renew(); err != nil {
			t.Fatal(err)
		}
	}
}

// wireTestExchange puts a link in the place of whatever appears under a name, as soon as it does, until stop is called.
func wireTestExchange(t *testing.T, path, to string) (stop func()) {
	var over atomic.Bool
	done := make(chan struct{})
	link := path + ".link"
	go func() {
		defer close(done)
		for n := 0; !over.Load(); n++ {
			info, err := os.Lstat(path)
			if err != nil || info.Mode()&fs.ModeSymlink != 0 {
				continue
			}
			if os.Symlink(to, link) == nil && os.Rename(path, path+".moved") == nil {
				os.Rename(link, path)
			}
			os.RemoveAll(path + ".moved")
			os.Remove(link)
		}
	}()
	return func() {
		over.Store(true)
		<-done
	}
}

// Somebody who exchanges names all the time gets nothing of ours, neither by the socket nor by its folder.
func TestWireSocketRace(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	dir, group := filepath.Dir(wireTestPath(t)), wireTestGroup()
	for name, c := range map[string]struct {
		place string
		make  func()
	}{
		"socket": {dir + "/s", func() {
			if ln, file, err := wireBind(dir+"/s", 0o660, &group); err == nil {
				wireUnlink(dir+"/s", file)
				ln.Close()
			}
		}},
		"folder": {dir + "/run", func() { serveSocket{path: dir + "/run/s", group: "some", gid: group}.makeFolder() }},
	} {
		t.Run(name, func(t *testing.T) {
			secret := dir + "/secret." + name
			look := wireTestSecret(t, secret)
			if name == "folder" {
				if err := os.Remove(secret); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(secret, 0o600); err != nil {
					t.Fatal(err)
				}
				look = func() {
					if info, err := os.Lstat(secret); err != nil || info.Mode().Perm() != 0o600 {
						t.Fatalf("the folder that a link was planted to: %v, %v", info, err)
					}
				}
			}
			stop := wireTestExchange(t, c.place, secret)
			defer stop()
			for until := time.Now().Add(200 * time.Millisecond); time.Now().Before(until); {
				os.RemoveAll(c.place)
				c.make()
				look()
			}
		})
	}
}
