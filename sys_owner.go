// sys_owner.go: whose a state folder is, and how root works in one that belongs to a service's user. Everything that
// such a user can write may be a trap: a planted link, or a name that is exchanged between a look and a write. So root
// takes on the owner's user and group before it touches anything in the folder. Then a link leads to nothing that the
// owner could not reach alone, and new files are the owner's.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ownerMaxLinks is how many links a path may lead over. A path with more is refused, as by the kernel.
const ownerMaxLinks = 40

// errOwnerPath is an error of a path that others than root and the folder's owner can exchange.
var errOwnerPath = errors.New("others than root and the folder's owner can exchange it")

// owner is the user to whom a folder belongs.
type owner struct {
	dir      string // the folder, absolute
	uid, gid int    // gid is the user's own group, or the folder's where the user is in no list
}

// ownerOf finds the owner of a folder. For root it checks the whole path as well: each folder and link on it must
// belong to root or to that owner, and none above the folder may be open to everybody, or else a stranger could
// exchange it. Errors wrap those of package os, or errOwnerPath.
func ownerOf(dir string) (*owner, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	o := &owner{dir: dir}
	o.uid, o.gid = ownerIDs(info)
	if os.Geteuid() != 0 {
		return o, nil
	}
	// a folder can be given a group that its owner is not in
	if u, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		if gid, err := strconv.Atoi(u.Gid); err == nil {
			o.gid = gid
		}
	}
	return o, ownerWalk(dir, o.uid)
}

// ownerIDs gives user and group of a file.
func ownerIDs(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}

// ownerWalk goes along an absolute path, link by link, and refuses one that others than root and uid can exchange.
func ownerWalk(dir string, uid int) error {
	at, rest, links := "/", strings.Split(dir, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil {
			return err
		}
		if owner, _ := ownerIDs(info); owner != 0 && owner != uid {
			return fmt.Errorf("%s belongs to %s: %w", next, ownerName(owner), errOwnerPath)
		}
		switch mode := info.Mode(); {
		case mode&fs.ModeSymlink != 0:
			links++
			if links > ownerMaxLinks {
				return &fs.PathError{Op: "open", Path: dir, Err: syscall.ELOOP}
			}
			to, err := os.Readlink(next)
			if err != nil {
				return err
			}
			if filepath.IsAbs(to) {
				at = "/"
			}
			rest = append(strings.Split(to, "/"), rest...)
			continue
		case mode&0o002 != 0 && mode&fs.ModeSticky == 0 && len(rest) > 0:
			// who can write in the last folder can exchange what is in it, but not the folder
			return fmt.Errorf("everybody can write in %s: %w: chmod o-w %s", next, errOwnerPath, next)
		}
		at = next
	}
	return nil
}

// ownerName gives a user's name and number, or the number alone where it has no name.
func ownerName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("%s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("uid %d", uid)
}

// user names the owner as sudo -u takes it.
func (o *owner) user() string {
	if u, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("'#%d'", o.uid)
}

// foreign says whether this process is root and the folder another user's: root must act as that user in it.
func (o *owner) foreign() bool { return os.Geteuid() == 0 && o.uid != 0 }

// do calls fn. Where this process is root, all its threads have the user and group of the folder's owner meanwhile.
// What fn starts must end with it. The main goroutine of a verb calls do, never a daemon: all its other goroutines
// would act as the owner too. The real user stays root, so that the owner cannot signal or trace this process.
func (o *owner) do(fn func() error) (err error) {
	if !o.foreign() {
		return fn()
	}
	groups, err := os.Getgroups()
	gid := os.Getegid()
	if err != nil {
		return fmt.Errorf("act as %s: %w", ownerName(o.uid), err)
	}
	defer func() {
		if back := errors.Join(syscall.Seteuid(0), syscall.Setegid(gid), syscall.Setgroups(groups)); back != nil {
			err = errors.Join(err, fmt.Errorf("become root again: %w", back))
		}
	}()
	for _, take := range []func() error{
		func() error { return syscall.Setgroups([]int{o.gid}) },
		func() error { return syscall.Setegid(o.gid) },
		func() error { return syscall.Seteuid(o.uid) }, // last: it takes away what the others need
	} {
		if err := take(); err != nil {
			return fmt.Errorf("act as %s, to whom %s belongs: %w", ownerName(o.uid), o.dir, err)
		}
	}
	return fn()
}
