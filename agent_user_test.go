package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUserEnviron(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passwd")
	if err := os.WriteFile(file, []byte("# x\nroot:x:0:0:root:/root:/bin/bash\nbroken:x:7\nplain:x:7:7::/home/p:\nnobody:x:65534:65534:::/bin/false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	all := "HOME=/h USER=u LOGNAME=l SHELL=/s"
	for _, c := range []struct {
		environ string
		file    string
		uid     int
		want    string
	}{
		{"PATH=/bin", file, 0, "PATH=/bin HOME=/root USER=root LOGNAME=root SHELL=/bin/bash"},
		{"HOME=/h USER=u", file, 0, "HOME=/h USER=u LOGNAME=root SHELL=/bin/bash"},
		{"HOME=", file, 0, "HOME= USER=root LOGNAME=root SHELL=/bin/bash"},
		{all, file, 0, all}, {all, dir + "/none", 0, all},
		{"A=1", file, 7, "A=1 HOME=/home/p USER=plain LOGNAME=plain SHELL=/bin/sh"},
		{"A=1", file, 65534, "A=1 USER=nobody LOGNAME=nobody SHELL=/bin/false"},
		{"A=1", file, 1000, "A=1"}, {"A=1", dir + "/none", 0, "A=1"}, {"A=1", dir + "/fifo", 0, "A=1"}, {"A=1", dir, 0, "A=1"}, {"A=1", "/dev/zero", 0, "A=1"},
	} {
		environ := strings.Fields(c.environ)
		if got := strings.Join(userEnviron(environ, c.file, c.uid), " "); got != c.want || fmt.Sprint(environ) != "["+c.environ+"]" {
			t.Errorf("%s for %d in %s: %s, want %s", c.environ, c.uid, c.file, got, c.want)
		}
	}
}
