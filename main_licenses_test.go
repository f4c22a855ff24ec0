// TestLicenses: whoever is given the program is given the licences of all that is in it.

package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// licensesModule is a module whose packages are linked.
type licensesModule struct {
	Path, Version, Dir string
}

// licensesLinked lists the modules of which a package is linked on any of the systems, with Go itself first.
func licensesLinked(t *testing.T) []licensesModule {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]licensesModule{}
	for _, target := range []string{"linux/amd64", "linux/mipsle", "darwin/arm64"} {
		system, arch, _ := strings.Cut(target, "/")
		list := exec.Command("go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", ".")
		list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+system, "GOARCH="+arch)
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Split(strings.TrimSpace(line), "\t")
			if len(fields) == 3 && !licensesStandIn(fields[2]) {
				found[fields[0]] = licensesModule{fields[0], fields[1], fields[2]}
			}
		}
	}
	all := []licensesModule{{Path: "Go's runtime and standard library", Dir: strings.TrimSpace(string(goroot))}}
	for _, name := range sortedKeys(found) {
		all = append(all, found[name])
	}
	return all
}

// licensesStandIn says whether a module is one that we wrote in place of another: see third_party.
func licensesStandIn(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "LICENSE"))
	return filepath.Base(filepath.Dir(dir)) == "third_party" && err != nil
}

// licensesText writes LICENSES.txt: which modules there are, and each text once, with whose it is.
func licensesText(t *testing.T, modules []licensesModule) []byte {
	t.Helper()
	own, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("cdktr is under this licence:\n\n")
	b.Write(own)
	b.WriteString("\nIn a compiled cdktr there are also these, under the licences that follow, and the time zone " +
		"database\n(https://www.iana.org/time-zones), which is in the public domain:\n\n")
	var texts []string
	whose := map[string][]string{}
	for _, m := range modules {
		fmt.Fprintln(&b, strings.TrimSpace("  "+m.Path+" "+m.Version))
		n := len(texts)
		for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*", "PATENTS*"} {
			files, _ := filepath.Glob(filepath.Join(m.Dir, pattern))
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				key := filepath.Base(file) + "\x00" + string(text)
				if whose[key] == nil {
					texts = append(texts, key)
				}
				whose[key] = append(whose[key], m.Path)
				n = -1
			}
		}
		if n >= 0 {
			t.Errorf("%s has no file that says under which licence it is", m.Path)
		}
	}
	for _, key := range texts {
		file, text, _ := strings.Cut(key, "\x00")
		fmt.Fprintf(&b, "\n%s\n%s of %s\n\n%s\n", strings.Repeat("-", 78), file, strings.Join(whose[key], ", "),
			strings.Trim(text, "\n"))
	}
	return b.Bytes()
}

// TestLicenses: LICENSES.txt and the copy in the program hold the licences of just what is linked. With -update they
// are written anew.
func TestLicenses(t *testing.T) {
	t.Parallel()
	modules := licensesLinked(t)
	want := licensesText(t, modules)
	if *protocolUpdate {
		var zip bytes.Buffer
		w, err := gzip.NewWriterLevel(&zip, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(want)
		err = errors.Join(err, w.Close(), os.WriteFile("LICENSES.txt", want, 0o644),
			os.WriteFile("licenses.gz", zip.Bytes(), 0o644))
		if err != nil {
			t.Fatal(err)
		}
		return // what is in this binary is from before
	}
	text, err := os.ReadFile("LICENSES.txt")
	if err != nil {
		t.Fatal(err)
	}
	printed, err := setupLicenses()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) || !bytes.Equal(printed, want) {
		t.Errorf("LICENSES.txt has %d bytes, the program's copy %d; of what is linked there are %d: write them anew "+
			"with go test -run TestLicenses -update .", len(text), len(printed), len(want))
	}
	for _, part := range []string{"MIT License", "Copyright (c) 2026 the cdktr authors",
		"Copyright 2009 The Go Authors", "The go-zeromq Authors", "Apache License",
		"Copyright 2006-2010 Kirill Simonov", "NOTICE of go.yaml.in/yaml/v4"} {
		if !bytes.Contains(printed, []byte(part)) {
			t.Errorf("nothing of %q", part)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	table := licensesTable(string(readme))
	for _, m := range modules[1:] {
		if !slices.Contains(table, m.Path) {
			t.Errorf("README.md does not name %s under Dependencies", m.Path)
		}
		table = slices.DeleteFunc(table, func(name string) bool { return name == m.Path })
	}
	if len(table) > 0 {
		t.Errorf("README.md names %q under Dependencies, which are not linked", table)
	}
	if out := e2eAlone(t).OK("version", "--licenses"); out != string(want) {
		t.Errorf("cdktr version --licenses prints %d bytes, not %d", len(out), len(want))
	}
}

// licensesTable gives the modules in the table of dependencies of the README.
func licensesTable(readme string) (names []string) {
	_, section, _ := strings.Cut(readme, "\n## Dependencies\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for i, word := range strings.Split(cells[1], "`") {
				if i%2 == 1 {
					names = append(names, word)
				}
			}
		}
	}
	return names
}
