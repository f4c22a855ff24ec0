// model_script.go: the script of a task and the shell that runs it.

package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	defaultShell = "/bin/sh -c"
	// bytes of a script that is an argument of its shell; a longer one is in a file. (Linux allows an argument 128
	// KiB.)
	scriptMax = 100 << 10
)

// scriptShells are shells that take a script behind -c, and the command with which each reads one from a file.
var scriptShells = []struct{ names, reads string }{
	{"sh bash dash ash ksh mksh zsh busybox", "."},
	{"fish csh tcsh", "source"},
}

// scriptReads gives the command with which a shell reads a script from a file, "" for a program that is none of the
// shells that are known.
func scriptReads(program string) string {
	for _, shell := range scriptShells {
		if slices.Contains(strings.Fields(shell.names), path.Base(program)) {
			return shell.reads
		}
	}
	return ""
}

// shellOf gives the shell that runs the scripts of a task, with its options: the task's own, or the workflow's.
func (w *Workflow) shellOf(t *Task) []string {
	return strings.Fields(orDefault(t.Shell, orDefault(w.Shell, defaultShell)))
}

// scriptArgv gives the arguments with which a shell runs the script in a file, an absolute path. A shell as we know
// them reads the file, under all its options. Of another program the last option is taken to be the one before a
// script, as the -c of Python and the -e of Perl: without it they run a file. An error says that there is no such
// option.
func scriptArgv(shell []string, file string) ([]string, error) {
	last := len(shell) - 1
	switch reads := scriptReads(shell[0]); {
	case reads != "":
		return append(slices.Clone(shell), reads+" '"+strings.ReplaceAll(file, "'", `'\''`)+"'"), nil
	case last > 0 && strings.HasPrefix(shell[last], "-"):
		return append(slices.Clone(shell[:last]), file), nil
	}
	return nil, fmt.Errorf("a script of more than %d bytes cannot be an argument, and %s is not known to run one "+
		"from a "+
		"file: have it run a file of yours", scriptMax, strings.Join(shell, " "))
}
