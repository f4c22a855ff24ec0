package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInstallVersion(t *testing.T) {
	for _, test := range []struct {
		text, word string
		want       int
	}{
		{"systemd 252 (252.39-1~deb12u2)\n+PAM", "systemd ", 252},
		{"systemd 258.1", "systemd ", 258},
		{"/x/usr/lib/systemd/libsystemd-shared-257.so", "-shared-", 257},
		{"/usr/lib/systemd/libsystemd-shared-256.4-1.fc41.so", "-shared-", 256},
		{"systemd", "systemd ", 0},
		{"systemd v", "systemd ", 0},
	} {
		if got := installVersion(test.text, test.word); got != test.want {
			t.Errorf("%q: %d, want %d", test.text, got, test.want)
		}
	}
}

// TestInstallAt: below --root no link leads out of it.
func TestInstallAt(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := &installer{root: dir + "/root"}
	for _, d := range []string{"/root/usr/lib", "/root/etc", "/out"} {
		if err := os.MkdirAll(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"lib": "usr/lib", "abs": dir + "/root/etc", "out": "../out",
		"gone": "nowhere", "top": "/etc"} {
		if err := os.Symlink(to, in.root+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for path, good := range map[string]bool{"/etc/cdktr/x": true, "/new/x": true, "/lib/x": true, "/abs/x": true,
		"/out/x": false, "/out/new/x": false, "/gone/x": false, "/top/x": false, "/../out/x": false} {
		at, err := in.at(path)
		if (err == nil) != good {
			t.Errorf("%s: %q, %v", path, at, err)
		}
		if rel, _ := filepath.Rel(in.root, at); good && !filepath.IsLocal(rel) {
			t.Errorf("%s: %q is outside", path, at)
		}
	}
}

func TestInstallMachine(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	if installMachine(text) == 0 && string(text[:4]) == "\x7fELF" {
		t.Error("this program's machine is not known")
	}
	big := append([]byte("\x7fELF\x01\x02"), make([]byte, 14)...)
	big[19] = 8
	if got := installMachine(big); got != 1<<16|8 {
		t.Errorf("mips: %x", got)
	}
	for _, text := range []string{"", "#!/bin/sh\n", "\x7fELF"} {
		if installMachine([]byte(text)) != 0 {
			t.Errorf("%q has a machine", text)
		}
	}
}

func TestServeBoot(t *testing.T) {
	for env, want := range map[string]string{
		"88607629c5204cc6af4265d7e49d2eb2":  "88607629-c520-4cc6-af42-65d7e49d2eb2",
		"":                                  clockBoot(),
		"88607629c5204cc6af4265d7e49d2eb/":  clockBoot(),
		"88607629c5204cc6af4265d7e49d2eb22": clockBoot(),
	} {
		if got := serveBoot(func(string) string { return env }); got != want {
			t.Errorf("%q: %q, want %q", env, got, want)
		}
	}
}
