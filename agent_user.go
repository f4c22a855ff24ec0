// agent_user.go: who the user of this process is, by /etc/passwd: what cron and login set for those whom they start,
// and an init system often does not.

package main

import (
	"os"
	"strconv"
	"strings"
)

const (
	userFile    = "/etc/passwd"
	userFileMax = 4 << 20 // bytes; of a larger one nothing is taken
)

// userVars is what userEnviron sets.
var userVars = []string{"HOME", "USER", "LOGNAME", "SHELL"}

// userEnviron gives environ with HOME, USER, LOGNAME and SHELL where these are missing, as the passwd file has them for the user
// with this number. A user who is not in it, as one of a directory service, or a file that cannot be read, sets nothing. It reads
// the file only where something is missing; no loop may call it.
func userEnviron(environ []string, file string, uid int) []string {
	has := map[string]bool{}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		has[name] = true
	}
	if has["HOME"] && has["USER"] && has["LOGNAME"] && has["SHELL"] {
		return environ
	}
	f := userLine(file, uid)
	if f == nil {
		return environ
	}
	values := map[string]string{"HOME": f[5], "USER": f[0], "LOGNAME": f[0], "SHELL": f[6]}
	if values["SHELL"] == "" {
		values["SHELL"] = "/bin/sh"
	}
	added := append([]string{}, environ...)
	for _, name := range userVars {
		if !has[name] && values[name] != "" {
			added = append(added, name+"="+values[name])
		}
	}
	return added
}

// userLine finds the line of a user in the passwd file: its seven fields, nil when there is none. No loop may call it.
func userLine(file string, uid int) []string {
	text, _, err := fileRead(file, userFileMax)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":") // passwd(5): name, password, uid, gid, comment, home, shell
		if len(f) == 7 && f[2] == strconv.Itoa(uid) && f[0] != "" {
			return f
		}
	}
	return nil
}

// userName gives the name of a user, its number where the passwd file has none. No loop may call it.
func userName(file string, uid int) string {
	if f := userLine(file, uid); f != nil {
		return f[0]
	}
	return strconv.Itoa(uid)
}

// userID gives the number of the user as whom this process acts.
func userID() int { return os.Geteuid() }
