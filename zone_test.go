// Tests of the time zones in the binary. With -update the archive is packed anew from the files that Go brings.

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
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

// zonePack writes zones.tar.gz, the same bytes from the same files.
func zonePack(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	from, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	var out bytes.Buffer
	compress, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compress)
	for _, file := range from.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		err = errors.Join(err, r.Close(), archive.WriteHeader(&tar.Header{Name: file.Name, Mode: 0o644, Size: int64(len(body))}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), compress.Close(), os.WriteFile("zones.tar.gz", out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}
