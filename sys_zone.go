// sys_zone.go: time zones by name. The machine's own files go first, since they are newer than any program; for a
// machine that has none there is a copy of them in the binary, compressed to a seventh of what package time/tzdata
// takes.

package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// zoneArchive is the zone files (public domain, https://www.iana.org/time-zones), all in one compressed block. A file
// that has several names, as most have, is there once: its names with blanks between them and a newline behind the
// last, two bytes for its length, the higher one first, and the file. Go brings the files, and TestZoneArchive packs
// them.
//
//go:embed zones.gz
var zoneArchive []byte

// zoneFiles unpacks the copy when it is first asked for: 0.4 MB that a machine with files of its own never spends.
var zoneFiles = sync.OnceValues(func() (map[string][]byte, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(zoneArchive))
	if err != nil {
		return nil, fmt.Errorf("unpack time zones: %w", err)
	}
	all, err := io.ReadAll(unzip)
	if err != nil {
		return nil, fmt.Errorf("unpack time zones: %w", err)
	}
	files := map[string][]byte{}
	for len(all) > 0 {
		names, rest, _ := bytes.Cut(all, []byte("\n"))
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("unpack time zones: what is behind %q is cut off", names)
		}
		size := int(binary.BigEndian.Uint16(rest))
		for _, name := range strings.Fields(string(names)) {
			files[name] = rest[2 : 2+size]
		}
		all = rest[2+size:]
	}
	return files, nil
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

// zoneLocal settles the local zone: where TZ names one that the machine has no file of, package time has taken UTC for
// it.
func zoneLocal(tz string) {
	tz = strings.TrimPrefix(tz, ":")
	if _, err := time.LoadLocation(tz); tz == "" || err == nil {
		return
	}
	if zone, err := zoneCopy(tz, nil); err == nil && zone != nil {
		time.Local = zone
	}
}

// zoneWrong says whether TZ names a zone that nobody knows, after zoneLocal: then the local zone is UTC, though none
// asked for it.
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
