// zone.go: time zones by name. The machine's own files go first, since they are newer than any program; for a machine that
// has none there is a copy of them in the binary, compressed to a quarter of what package time/tzdata takes. Uses nothing
// of the package.

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// zoneArchive is the zone files (public domain, https://www.iana.org/time-zones), a .tar.gz in which a name is a zone. Go
// brings them, and TestZoneArchive packs them.
//
//go:embed zones.tar.gz
var zoneArchive []byte

// zoneFiles unpacks the copy when it is first asked for: 0.4 MB that a machine with files of its own never spends.
var zoneFiles = sync.OnceValues(func() (map[string][]byte, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(zoneArchive))
	if err != nil {
		return nil, fmt.Errorf("unpack time zones: %w", err)
	}
	files, archive := map[string][]byte{}, tar.NewReader(unzip)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err == nil {
			files[head.Name], err = io.ReadAll(archive)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack time zones: %w", err)
		}
	}
})

// zoneLoad is time.LoadLocation, for machines without zone files too. Any goroutine may call it.
func zoneLoad(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err == nil {
		return zone, nil
	}
	return zoneCopy(name, err)
}

// zoneCopy gives the zone as the binary has it, or else the error that the machine's files gave.
func zoneCopy(name string, missing error) (*time.Location, error) {
	files, err := zoneFiles()
	if err != nil {
		return nil, err
	}
	if files[name] == nil {
		return nil, missing
	}
	return time.LoadLocationFromTZData(name, files[name])
}

// zoneLocal settles the local zone: where TZ names one that the machine has no file of, package time has taken UTC for it.
func zoneLocal(tz string) {
	tz = strings.TrimPrefix(tz, ":")
	if _, err := time.LoadLocation(tz); tz == "" || err == nil {
		return
	}
	if zone, err := zoneCopy(tz, nil); err == nil && zone != nil {
		time.Local = zone
	}
}

// zoneWrong says whether TZ names a zone that nobody knows, after zoneLocal: then the local zone is UTC, though none asked for it.
func zoneWrong(tz string) bool {
	tz = strings.TrimPrefix(tz, ":")
	return tz != "" && tz != "UTC" && time.Local.String() == "UTC"
}

// zoneName names a zone for people; the machine's own by the file that /etc/localtime is a link to, where it is one.
func zoneName(zone *time.Location) string {
	if zone.String() == "Local" {
		if file, err := os.Readlink("/etc/localtime"); err == nil {
			if _, name, ok := strings.Cut(file, "/zoneinfo/"); ok {
				return name
			}
		}
	}
	return zone.String()
}
