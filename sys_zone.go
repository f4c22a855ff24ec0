// sys_zone.go: time zones by name. The machine's own files come first, since they are newer than the program. For a
// machine without them the binary has a copy, compressed to a seventh of what package time/tzdata takes.

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

// zoneArchive is the zone files (public domain, https://www.iana.org/time-zones) in one compressed block. Most files
// have several names, and each file is there once: its names with blanks between them, a newline, its length in two
// bytes, the higher one first, and the file. The files come with Go, and TestZoneArchive packs them.
//
//go:embed zones.gz
var zoneArchive []byte

// zoneFiles unpacks the copy when it is first needed: a machine with files of its own never spends the 0.4 MB.
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

// zoneNames gives the names of the zones in the binary's copy, in no order.
func zoneNames() ([]string, error) {
	files, err := zoneFiles()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	return names, nil
}

// zoneLoad is time.LoadLocation, for machines without zone files too. Any goroutine may call it.
func zoneLoad(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err == nil {
		return zone, nil
	}
	return zoneCopy(name, err)
}

// zoneCopy gives the zone of the binary's copy; where it has none, missing, the error that the machine's files gave.
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

// zoneLocal sets the local zone where TZ names one that the machine has no file of: package time takes UTC for that.
func zoneLocal(tz string) {
	tz = strings.TrimPrefix(tz, ":")
	if _, err := time.LoadLocation(tz); tz == "" || err == nil {
		return
	}
	if zone, err := zoneCopy(tz, nil); err == nil && zone != nil {
		time.Local = zone
	}
}

// zoneWrong says, after zoneLocal, whether TZ names a zone that is not known: the local zone is UTC then, though nobody
// asked for it.
func zoneWrong(tz string) bool {
	tz = strings.TrimPrefix(tz, ":")
	return tz != "" && tz != "UTC" && time.Local.String() == "UTC"
}

// zoneName names a zone for people. It names the machine's own zone by the file that /etc/localtime links to, if that
// is a link.
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
