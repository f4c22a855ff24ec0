// agent_user.go: tasks of other users. An agent that is root starts a task as the user that the file names, with that
// user's groups, HOME, USER, LOGNAME and SHELL. Who there is stands in /etc/passwd and /etc/group. Such a task cannot
// reach into the agent's folder, so it writes its outputs in a folder of its own, among the temporary ones.

package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	groupFile    = "/etc/group"
	userOutName  = "cdktr-out-" // what the folder of outputs of a task of another user begins with
	userMaxGroup = 1 << 16      // groups of a user, as the kernel has it; with more the task fails
)

// userEntry gives the seven fields of the first line of a passwd file that is accepts, nil when there is none. No loop
// may call it.
func userEntry(file string, is func(f []string) bool) ([]string, error) {
	text, _, err := fileRead(file, userFileMax)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		// passwd(5): name, password, uid, gid, comment, home, shell
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) == 7 && f[0] != "" && is(f) {
			return f, nil
		}
	}
	return nil, nil
}

// userGroups gives the groups of which a user is a member, by a group file, with the user's own group in front.
func userGroups(file, name string, gid uint32) ([]uint32, error) {
	text, _, err := fileRead(file, userFileMax)
	if err != nil {
		return nil, err
	}
	groups := []uint32{gid}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":") // group(5): name, password, gid, members
		if len(f) != 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 32)
		if err == nil && !slices.Contains(groups, uint32(n)) {
			groups = append(groups, uint32(n))
		}
	}
	if len(groups) > userMaxGroup {
		return nil, fmt.Errorf("%s is in %d groups, more than %d", name, len(groups), userMaxGroup)
	}
	return groups, nil
}

// userFor looks up the user whom a task is to run as. own is the number of the agent's own user: only root may become
// another. user is nil where nobody else is meant. entry has the fields of the user's line in the passwd file. No loop
// may call it.
func userFor(name, passwd, group string, own int) (user *procUser, entry []string, err error) {
	entry, err = userEntry(passwd, func(f []string) bool { return f[0] == name })
	if err != nil {
		return nil, nil, fmt.Errorf("user %s: read %s: %w", name, passwd, pathCause(err))
	}
	if entry == nil {
		return nil, nil, fmt.Errorf("user %s: there is no such user in %s on this agent: make it (useradd), or "+
			"correct "+
			"the name", name, passwd)
	}
	uid, errUID := strconv.ParseUint(entry[2], 10, 32)
	gid, errGID := strconv.ParseUint(entry[3], 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, nil, fmt.Errorf("user %s: its line in %s has no numbers of user and group", name, passwd)
	}
	switch {
	case int64(uid) == int64(own):
		return nil, entry, nil
	case own != 0:
		return nil, nil, fmt.Errorf("user %s: this agent runs as %s, and only root may start a task as another user: "+
			"run an agent as root, or leave user out", name, userName(passwd, own))
	}
	groups, err := userGroups(group, name, uint32(gid))
	if err != nil {
		return nil, nil, fmt.Errorf("user %s: read %s: %w", name, group, pathCause(err))
	}
	return &procUser{Name: name, UID: uint32(uid), GID: uint32(gid), Groups: groups}, entry, nil
}

// become has an environment say who the user of a task is, by the fields of a line in the passwd file.
func (e *environ) become(entry []string) {
	e.set("HOME", entry[5])
	e.set("USER", entry[0])
	e.set("LOGNAME", entry[0])
	e.set("SHELL", orDefault(entry[6], "/bin/sh"))
}

// outputsFile gives the file $CDKTR_OUTPUT of an attempt, which need not be there.
func (t *taskTry) outputsFile(cfg *agentConfig) string {
	name := t.run.as.Run + "." + t.run.handler + strconv.Itoa(t.key()) + "." + strconv.Itoa(t.attempt)
	if t.run.as.Spec.userOf(t.task()) != "" && userID() == 0 {
		return filepath.Join(userOutFolder(cfg.StateDir)+name, "output")
	}
	return filepath.Join(cfg.folder("out"), name)
}

// userOutFolder gives what the folders of outputs of other users' tasks begin with, for the agent with that state.
func userOutFolder(state string) string {
	sum := fnv.New32a()
	sum.Write([]byte(state))
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s%08x-", userOutName, sum.Sum32()))
}

// userOutMake makes the folder of the outputs of a task of another user, whose it will be. The name has the run's id in
// it, so that nobody can have made it before; what an attempt of an earlier life of this agent has left there goes.
func userOutMake(file string, user *procUser) error {
	dir := filepath.Dir(file)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if user == nil { // root's own task
		return nil
	}
	return os.Lchown(dir, int(user.UID), int(user.GID))
}

// userOutFile says whether a file of outputs is in a folder of its own.
func userOutFile(file string) bool {
	return strings.HasPrefix(filepath.Base(filepath.Dir(file)), userOutName)
}

// userOutRead reads the file of outputs of a task of another user. That user may have put anything in its place: it
// must be a file of the same user as its folder.
func userOutRead(file string) ([]byte, error) {
	text, err := fileReadOwn(filepath.Dir(file), filepath.Base(file), outputsMax)
	if errors.Is(err, errFileOwner) {
		return nil, &fs.PathError{Op: "read", Path: file, Err: err}
	}
	return text, err
}

// outputsDrop removes the file of outputs of an attempt, with the folder if it has one of its own. What cannot be
// removed goes with the next start. No loop may call it.
func outputsDrop(file string) {
	if userOutFile(file) {
		os.RemoveAll(filepath.Dir(file))
	} else {
		os.Remove(file)
	}
}

// userOutClear removes the folders of outputs that an earlier life of this agent has left.
func userOutClear(state string) {
	left, _ := filepath.Glob(userOutFolder(state) + "*") // the pattern is sound
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}
