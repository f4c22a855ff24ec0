// sched_calendar.go: days on which a schedule does not fire (except), and those on which alone it does (only). A day is
// written as 2026-12-25, as 12-25 (of every year), as mon or sat-sun, or as @holidays.txt: a file of such days. Pure.

package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

const (
	calendarMaxDays = 10_000 // lines of a file of days, and items of a key; more are a fault
	calendarMaxSkip = 10_000 // fires of one day that are counted when that day is passed over; more are not counted
	calendarAhead   = 10     // years in which a fire is looked for that no calendar keeps off
)

// calendar is a set of days. It is never changed once it is made, and may be shared.
type calendar struct {
	days     map[calendarDay]string // what was written for it
	weekdays [7]string              // what was written for that weekday, "" where nothing was; 0 is Sunday
}

// calendarDay is a day of one year, or with year 0 of every year.
type calendarDay struct {
	year  int
	month time.Month
	day   int
}

// calendarOf makes the calendar of what a key has. file gives the days of a file by its name without the @.
func calendarOf(items []string, file func(name string) (*calendar, error)) (*calendar, error) {
	c := &calendar{days: map[calendarDay]string{}}
	for _, item := range items {
		name, isFile := strings.CutPrefix(item, "@")
		if !isFile {
			if err := c.add(item); err != nil {
				return nil, err
			}
			continue
		}
		days, err := file(name)
		if err != nil {
			return nil, err
		}
		for day, text := range days.days {
			c.days[day] = text + " of " + name
		}
		for i, text := range days.weekdays {
			if text != "" {
				c.weekdays[i] = text + " of " + name
			}
		}
	}
	return c, nil
}

// calendarRead reads a file of days: one a line, with comments behind #. An error names its line.
func calendarRead(text string) (*calendar, error) {
	c := &calendar{days: map[calendarDay]string{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		item, _, _ := strings.Cut(line, "#")
		item = strings.TrimSpace(item)
		switch {
		case n > calendarMaxDays:
			return nil, fmt.Errorf("more than %d lines", calendarMaxDays)
		case strings.HasPrefix(item, "@"):
			return nil, fmt.Errorf("line %d: a file of days cannot name another one", n)
		case item == "":
			continue
		}
		if err := c.add(item); err != nil {
			if day, more, ok := strings.Cut(item, " "); ok && c.add(day) == nil {
				return nil, fmt.Errorf("line %d: %q behind the day %s: a line has one day, and # begins a comment", n,
					more, day)
			}
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return c, nil
}

// add adds the day, or the weekdays, that an item names.
func (c *calendar) add(item string) error {
	bad := fmt.Errorf("%q is no day: write it as 2026-12-25, 12-25 (of every year), sat-sun, or @FILE", item)
	day, numbers := calendarDay{}, strings.Split(item, "-")
	for _, layout := range []string{"2006-01-02", "2000-01-02"} { // 2000 has a 29 February
		text := item
		if layout[:4] == "2000" {
			layout, text = "2006-01-02", "2000-"+item
		}
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		day = calendarDay{t.Year(), t.Month(), t.Day()}
		if text != item {
			day.year = 0
		}
		c.days[day] = item
		return nil
	}
	if strings.Trim(item, "0123456789-") == "" && len(numbers) > 1 {
		return fmt.Errorf("there is no day %s", item)
	}
	if item == "" || strings.Trim(strings.ToLower(item), "abcdefghijklmnopqrstuvwxyz-") != "" {
		return bad
	}
	expr, err := cronParse("0 0 * * "+item, "")
	if err != nil || expr.weekdayNth != 0 {
		return bad
	}
	for i := range c.weekdays {
		if expr.weekday&(1<<i) != 0 {
			c.weekdays[i] = item
		}
	}
	return nil
}

// has says whether the day of t, in the zone of t, is one of the calendar, and what was written for it.
func (c *calendar) has(t time.Time) (text string, ok bool) {
	year, month, day := t.Date()
	for _, one := range [2]calendarDay{{year, month, day}, {0, month, day}} {
		if text, ok := c.days[one]; ok {
			return text, true
		}
	}
	text = c.weekdays[t.Weekday()]
	return text, text != ""
}

// same says whether two calendars have the same days, written alike.
func (c *calendar) same(other *calendar) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.weekdays == other.weekdays && maps.Equal(c.days, other.days)
}

// schedDays are the days of a workflow's schedule.
type schedDays struct {
	except, only *calendar // nil: the workflow has none
}

// schedDaysOf makes the days of a workflow; nil where it has neither except nor only. file gives the days of a file by
// its name.
func schedDaysOf(w *Workflow, file func(name string) (*calendar, error)) (*schedDays, error) {
	if len(w.Except)+len(w.Only) == 0 {
		return nil, nil
	}
	d := &schedDays{}
	var errs []error
	for _, key := range []struct {
		name  string
		items []string
		to    **calendar
	}{{"except", w.Except, &d.except}, {"only", w.Only, &d.only}} {
		if len(key.items) == 0 {
			continue
		}
		days, err := calendarOf(key.items, file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key.name, err))
		}
		*key.to = days
	}
	return d, errors.Join(errs...)
}

// same says whether two schedules have the same days.
func (d *schedDays) same(other *schedDays) bool {
	if d == nil || other == nil {
		return d == other
	}
	return d.except.same(other.except) && d.only.same(other.only)
}

// against says why nothing fires on the day of t, in the zone of t, "" when it may.
func (d *schedDays) against(t time.Time) string {
	if d == nil {
		return ""
	}
	if d.except != nil {
		if text, ok := d.except.has(t); ok {
			return "except: " + text
		}
	}
	if d.only != nil {
		if _, ok := d.only.has(t); !ok {
			return "only: " + t.Format(time.DateOnly) + " is none of its days"
		}
	}
	return ""
}

// calendarDayEnd gives the last second of the day of t, in the zone of t.
func calendarDayEnd(t time.Time) time.Time {
	year, month, day := t.Date()
	end := time.Date(year, month, day+1, 0, 0, 0, 0, t.Location())
	for end.Day() == day { // the clock is set back over midnight
		end = end.Add(time.Hour)
	}
	return end.Add(-time.Second)
}

// nextFire gives the first tick strictly after t that no calendar keeps off.
func (e *schedEntry) nextFire(t time.Time) (time.Time, bool) {
	last := t.AddDate(calendarAhead, 0, 0)
	for {
		tick, ok := e.next(t)
		if !ok || e.days.against(tick) == "" {
			return tick, ok
		}
		t = calendarDayEnd(tick)
		if t.After(last) {
			return time.Time{}, false
		}
	}
}

// nextFireUnix is nextFire in seconds since 1970.
func (e *schedEntry) nextFireUnix(t int64) (int64, bool) {
	if e.days == nil {
		return e.nextUnix(t)
	}
	tick, ok := e.nextFire(e.timeOf(t))
	return tick.Unix(), ok
}

// passOver moves an entry behind the day of a tick on which nothing fires. It gives how many further ticks that day
// has, counted up to calendarMaxSkip.
func (s *sched) passOver(e *schedEntry, tick time.Time) (more int) {
	end := calendarDayEnd(tick)
	for at := tick; more < calendarMaxSkip; more++ {
		next, ok := e.next(at)
		if !ok || next.After(end) {
			break
		}
		at = next
	}
	s.advance(e, end)
	return more
}
