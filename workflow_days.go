// workflow_days.go: the keys except and only, and the files of days that they name (@holidays.txt). A file of days lies
// beside the workflow, or in a folder above it up to the folder of workflows: the nearest counts. It is followed like
// the workflows themselves.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// days reads except or only: days on which the schedule does not fire, or on which alone it does.
func (r *workflowReader) days(p workflowPair, to *[]string) {
	items, ok := r.texts(p, "a day such as 2026-12-25, 12-25, sat-sun or @holidays.txt, or a list of them", true)
	if !ok {
		return
	}
	if len(items) > calendarMaxDays {
		r.errorf(p.value, "%s: there are %d days, more than %d: write them to a file, and name it as @FILE", p.key,
			len(items), calendarMaxDays)
		return
	}
	for _, item := range items {
		_, err := calendarOf([]string{item.text}, func(name string) (*calendar, error) {
			return &calendar{}, workflowDaysName(name)
		})
		if err != nil {
			r.errorf(item.at, "%s: %v", p.key, err)
			continue
		}
		*to = append(*to, item.text)
	}
}

// workflowDaysEnding ends the name of a file of days: so the folder of workflows can be followed without a look at
// every file in it.
const workflowDaysEnding = ".txt"

// workflowDaysName says what is wrong with the name of a file of days.
func workflowDaysName(name string) error {
	if path.Ext(name) != workflowDaysEnding || strings.Contains(name, "/") || strings.HasPrefix(name, ".") {
		return fmt.Errorf("@%s: a file of days lies beside the workflow or in a folder above it, and its name ends "+
			"in %s: write @holidays%[2]s", name, workflowDaysEnding)
	}
	return nil
}

// checkDays warns of days that do nothing, and of days that leave no fire.
func (d *workflowDraft) checkDays(r *workflowReader) {
	for _, key := range []string{"except", "only"} {
		p, ok := d.keys[key]
		if ok && !workflowNull(p.value) && len(d.schedules) == 0 && r.files[p.at] == "" { // defaults are for all
			r.warnf(p.at, "%s does nothing without a schedule", key)
		}
	}
	if r.clock.now.IsZero() || len(d.schedules) == 0 || len(d.spec.Except)+len(d.spec.Only) == 0 {
		return
	}
	zone := d.zone
	if zone == nil {
		zone = r.clock.zone
	}
	days, err := schedDaysOf(d.spec, func(name string) (*calendar, error) {
		return nil, fmt.Errorf("@%s is not read yet", name)
	})
	if err != nil || zone == nil {
		return
	}
	spec := *d.spec
	spec.Timezone = ""
	e, err := schedNew(zone).entryOf(&spec)
	if err != nil {
		return
	}
	if _, fires := e.next(r.clock.now); !fires {
		return // checkClock warns of that
	}
	e.days = days
	if _, fires := e.nextFire(r.clock.now); !fires {
		p, ok := d.keys["only"]
		if !ok {
			p = d.keys["except"]
		}
		r.warnf(p.value, "%s leaves no day on which the schedule fires, in the next %d years", p.key, calendarAhead)
	}
}

// daysMaxFile bounds a file of days, in bytes.
const daysMaxFile = 256 << 10

// folderDays is a file of days as it was last read.
type folderDays struct {
	info  fs.FileInfo
	fresh bool // see folderEntry
	days  *calendar
	err   error // why there are none
}

// daysNamed says whether a file's name is one that a file of days may have.
func daysNamed(name string) bool {
	return path.Ext(name) == workflowDaysEnding && !strings.HasPrefix(path.Base(name), ".")
}

// daysOf gives the days that a workflow's schedule has, by the files of days of a walk. rel is where the workflow is.
func (f *workflowFolder) daysOf(ctx context.Context, w *folderWalk, rel string, spec *Workflow) (*schedDays, error) {
	return schedDaysOf(spec, func(name string) (*calendar, error) {
		for dir := path.Dir(rel); ; dir = path.Dir(dir) {
			at := path.Join(dir, name)
			if found, ok := w.days[at]; ok {
				days := f.readDays(ctx, at, found)
				return days.days, days.err
			}
			if dir == "." {
				return nil, fmt.Errorf("there is no %s beside the workflow, nor in a folder above it", name)
			}
		}
	})
}

// readDays reads the file of days at rel, if it may have changed since it was last read.
func (f *workflowFolder) readDays(ctx context.Context, rel string, found folderFound) *folderDays {
	known := f.days[rel]
	if known != nil && !known.fresh && folderSame(known.info, found.info) {
		return known
	}
	is := &folderDays{info: found.info, fresh: f.now().Sub(found.info.ModTime()) < folderGrain}
	data, _, err := fileReadWithin(ctx, f.waits, found.place, filepath.Join(f.dir, rel), daysMaxFile)
	if err == nil {
		is.days, err = calendarRead(string(data))
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	if err != nil {
		is.err = fmt.Errorf("%s: %w", rel, err)
	}
	f.days[rel] = is
	return is
}

// settleDays gives each workflow that names days its days as they are now.
func (f *workflowFolder) settleDays(ctx context.Context, w *folderWalk) {
	for rel := range f.days {
		if _, ok := w.days[rel]; !ok {
			delete(f.days, rel)
		}
	}
	for rel, entry := range f.entries {
		if entry.spec == nil || len(entry.spec.Schedule) == 0 || len(entry.spec.Except)+len(entry.spec.Only) == 0 {
			continue
		}
		days, err := f.daysOf(ctx, w, rel, entry.spec)
		entry.daysFault = nil
		if err != nil {
			entry.daysFault = []workflowFault{{File: rel, Message: err.Error()}}
		} else if !entry.days.same(days) {
			entry.days = days
		}
	}
}
