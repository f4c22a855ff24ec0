// Tests of ssh:// endpoints: what one may say. The whole way through a real sshd is in e2e/ssh_test.go.

package main

import (
	"slices"
	"strings"
	"testing"
)

func TestWireSSHParse(t *testing.T) {
	cases := []struct{ endpoint, want string }{ // want: the arguments from -oBatchMode on, or ! and what the error says
		{"ssh://hub", "-- hub cdktr connect --stdio"},
		{"ssh://hub/", "-- hub cdktr connect --stdio"},
		{"ssh://me@hub:2222", "-p 2222 -l me -- hub cdktr connect --stdio"},
		{"ssh://hub/run/it's/cdktr.sock", `-- hub cdktr connect --stdio --socket '/run/it'\''s/cdktr.sock'`},
		{"ssh://[::1]:22", "-p 22 -- ::1 cdktr connect --stdio"},
		{"ssh://", "!write ssh://"},
		{"ssh://hub?x=1", "!write ssh://"},
		{"ssh://-oProxyCommand=x", "!neither a user nor a host"},
		{"ssh://-x@hub", "!neither a user nor a host"},
		{"ssh://me:secret@hub", "!a password does not belong here"},
		{"ssh://hub:port", "!write ssh://"},
	}
	for _, c := range cases {
		target, err := wireSSHParse(c.endpoint)
		got := ""
		if err != nil {
			got = "!" + err.Error()
		} else {
			args := target.args(false)
			got = strings.Join(args[slices.Index(args, "-oBatchMode=yes")+1:], " ")
		}
		if got != c.want && !(strings.HasPrefix(c.want, "!") && strings.Contains(got, c.want[1:])) ||
			strings.Contains(got, "secret") {
			t.Errorf("%s: %s, want %s", c.endpoint, got, c.want)
		}
		if err == nil && slices.Contains(target.args(true), "-oBatchMode=yes") {
			t.Errorf("%s: nothing can be asked", c.endpoint)
		}
	}
}

func TestWireSSHListen(t *testing.T) {
	if _, err := wireListen("ssh://hub", wireOptions{}); err == nil ||
		!strings.Contains(err.Error(), "not for listening") {
		t.Errorf("listen: %v", err)
	}
}
