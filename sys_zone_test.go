// Tests of the time zones in the binary. With -update the archive is packed anew from the files that Go brings.

package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestZoneArchive(t *testing.T) {
	if *protocolUpdate {
		zonePack(t)
		return
	}
	files, err := zoneFiles()
	if err != nil || len(files) < 500 {
		t.Fatalf("%d zones: %v", len(files), err)
	}
	if len(zoneArchive) > 60_000 {
		t.Errorf("the archive has %d bytes", len(zoneArchive))
	}
	missing := errors.New("no such zone")
	for name := range files {
		if zone, err := zoneCopy(name, missing); err != nil || zone.String() != name {
			t.Errorf("%s: %v, %v", name, zone, err)
		}
	}
	for _, c := range []struct{ zone, at, want string }{
		{"Europe/London", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00+01:00"},
		{"Australia/Lord_Howe", "2026-10-04T00:00:00Z", "2026-10-04T11:00:00+11:00"},
		{"Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T23:59:59-10:00"},
		{"Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00:00+14:00"},
		{"UTC", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		zone, err := zoneCopy(c.zone, missing)
		if err != nil {
			t.Fatal(err)
		}
		if got := at.In(zone).Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s is %s, want %s", c.at, c.zone, got, c.want)
		}
	}
	for _, name := range []string{"", "Europe/Atlantis", "../etc/passwd"} {
		if zone, err := zoneCopy(name, missing); !errors.Is(err, missing) {
			t.Errorf("%q: %v, %v", name, zone, err)
		}
	}
}

// zonePack writes zones.gz, the same bytes from the same files.
func zonePack(t *testing.T) {
	names, bodies := zoneSource(t)
	var out bytes.Buffer
	compress, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		if len(body) > 1<<16-1 {
			t.Fatalf("%q has %d bytes", names[body], len(body))
		}
		text := strings.Join(names[body], " ") + "\n" + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) +
			body
		if _, err := io.WriteString(compress, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(compress.Close(), os.WriteFile("zones.gz", out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// zoneSource gives the files that Go brings: the names of each, and each once, in order.
func zoneSource(t *testing.T) (names map[string][]string, bodies []string) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	from, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	names = map[string][]string{}
	for _, file := range from.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if names[string(body)] == nil {
			bodies = append(bodies, string(body))
		}
		names[string(body)] = append(names[string(body)], file.Name)
	}
	return names, bodies
}
