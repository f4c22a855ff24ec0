//go:build noui

// main_noui.go: the verb ui of a build without the terminal UI. The smallest machines get that one (-tags noui, see
// .ci/targets): the UI is a twentieth of the program, and one on another machine shows theirs over ssh.

package main

import (
	"context"
	"errors"
)

// uiVerb says where the UI is.
func uiVerb() cliVerb {
	return cliVerb{name: "ui", help: "say where the terminal UI is: this build has none", run: noUI,
		more: `
This build is for machines with little room, and has no terminal UI. On a machine with a full build cdktr ui -H
NAME-OF-THIS-MACHINE shows all that happens here, over ssh. Exit code: 5.`,
		examples: []string{"cdktr ps --watch", "cdktr attention"}}
}

func noUI(context.Context, *cli, []string) error {
	return &exitError{code: exitRefused, err: errors.New("this build has no terminal UI"),
		hint: "on another machine: cdktr ui -H THIS-MACHINE; here: cdktr ps --watch, cdktr attention"}
}
