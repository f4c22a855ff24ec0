// sched_why.go: what the expressions of a schedule say of one instant: which field says no, the fires before and after,
// and what a change of the clock or another cron makes of it. Pure.

package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

const (
	schedWhyFrom   = 365 * cronDaySeconds // after 1970: no earlier fire is looked for
	schedWhyValues = 12                   // values of a field that an explanation lists
)

// why tells what each expression of the schedule says of an instant.
func (e *schedEntry) why(at time.Time) []WhySchedule {
	list := make([]WhySchedule, 0, len(e.exprs))
	for i, expr := range e.exprs {
		list = append(list, e.whyOne(expr, e.spec.Schedule[i], at.Unix()))
	}
	return list
}

// whyOne is why for one expression, whose text is given.
func (e *schedEntry) whyOne(expr *cronTimes, text string, u int64) WhySchedule {
	one := *e
	one.exprs, one.floor = []*cronTimes{expr}, 0
	next, fires := expr.nextUnix(u-1, e.clock)
	w := WhySchedule{Schedule: text, Zone: e.clock.zone.String(), Fires: fires && next == u,
		Clock: e.timeOf(u).Format("Mon 2006-01-02 15:04:05 MST")}
	if at, ok := one.nextFireUnix(u); ok {
		w.After = stampOf(time.Unix(at, 0))
	}
	if at, ok := one.fireBefore(u); ok {
		w.Before = stampOf(time.Unix(at, 0))
	}
	x := cronInstantOf(expr, text, e.spec.ID, u, e.clock)
	if !w.Fires {
		w.Against = x.against()
	}
	x.clockChange(&w)
	x.otherDays(&w)
	return w
}

// fireBefore finds the last fire before u: the least t that has no fire between itself and u.
func (e *schedEntry) fireBefore(u int64) (int64, bool) {
	empty := func(t int64) bool {
		at, ok := e.nextFireUnix(t)
		return !ok || at >= u
	}
	step := int64(60)
	for ; empty(u - step - 1); step *= 2 {
		if u-step < schedWhyFrom {
			return 0, false
		}
	}
	low, high := u-step-1, u-1 // low is not empty, high is
	for high-low > 1 {
		if mid := low + (high-low)/2; empty(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high, true
}

// cronInstant is an instant as an expression sees it.
type cronInstant struct {
	*cronTimes
	clock   *cronClock
	u, l    int64     // the instant, and what the clock shows then
	fields  [7]string // as they are written
	has     [7]string // what the clock shows
	match   [7]bool   // whether each field has it
	values  [7]uint64 // of the fields, with what is drawn or made of the id
	madeOf  [7]bool   // it has such values
	instant cronStretch
}

// cronInstantOf looks at an instant as an expression sees it; id is that of its workflow.
func cronInstantOf(c *cronTimes, text, id string, u int64, clock *cronClock) *cronInstant {
	x := &cronInstant{cronTimes: c, clock: clock, u: u, instant: clock.at(u)}
	x.l = u + x.instant.offset
	if c.every > 0 || c.occasion != "" {
		return x
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "@") {
		text, _ = (&cronExpr{}).macro(text)
	}
	fields := cronSplit(text)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	copy(x.fields[:], append(fields, "*"))
	day := cronFloorDiv(x.l, cronDaySeconds)
	y, m, d := cronCivil(day)
	first, s := day-int64(d-1), int(x.l-day*cronDaySeconds)
	last, wd := cronMonthLen(y, m), cronWeekdayOf(day)
	x.values = [7]uint64{cronSecond: c.on(cronSecond, c.sec, day, 0), cronMinute: c.on(cronMinute, c.min, day, 0),
		cronHour: c.on(cronHour, c.hour, day, 0), cronMonth: c.on(cronMonth, c.month, int64(y), 0),
		cronDay: c.monthDays(y, m, cronWeekdayOf(first), last), cronWeekday: c.weekday}
	numbers := [7]int{cronSecond: s % 60, cronMinute: s / 60 % 60, cronHour: s / 3600, cronDay: d, cronMonth: m,
		cronWeekday: wd, cronYear: y}
	for place, n := range numbers {
		x.has[place] = strconv.Itoa(n)
		x.match[place] = place < cronYear && x.values[place]&(1<<n) != 0
		x.madeOf[place] = strings.ContainsAny(strings.ToUpper(x.fields[place]), "~") ||
			strings.HasPrefix(strings.ToUpper(x.fields[place]), "H")
	}
	x.match[cronWeekday] = c.weekDays(first, cronWeekdayOf(first), last)&(1<<d) != 0
	x.match[cronYear] = c.inYear(y)
	x.has[cronWeekday], x.has[cronMonth] = cronWeekdayNames[wd][:3], cronMonthNames[m-1][:3]
	for _, place := range []int{cronWeekday, cronMonth} {
		x.has[place] = x.has[place][:1] + strings.ToLower(x.has[place][1:])
	}
	return x
}

// timeMatches says whether all fields match but those of the day.
func (x *cronInstant) timeMatches() bool {
	for place, match := range x.match {
		if !match && place != cronDay && place != cronWeekday {
			return false
		}
	}
	return x.every == 0 && x.occasion == ""
}

// eitherDay says whether one of day and weekday is enough.
func (x *cronInstant) eitherDay() bool { return !x.star(cronDay) && !x.star(cronWeekday) }

// dayMatches says whether the day matches, as the two fields say it together.
func (x *cronInstant) dayMatches() bool {
	if x.eitherDay() {
		return x.match[cronDay] || x.match[cronWeekday]
	}
	return x.match[cronDay] && x.match[cronWeekday]
}

// against lists the fields that do not match, the largest first: nobody asks for the second of another day.
func (x *cronInstant) against() (list []WhyField) {
	switch {
	case x.occasion == cronReboot:
		return []WhyField{{Field: "occasion", Has: "a time", Wants: "a boot of the principal's machine"}}
	case x.occasion != "":
		return []WhyField{{Field: "occasion", Has: "a time", Wants: "a start of the principal"}}
	case x.every > 0:
		second := Duration(time.Second)
		return []WhyField{{Field: "period", Has: (Duration(x.u%x.every) * second).String() + " after a multiple",
			Wants: "one of " + (Duration(x.every) * second).String() + " since 1970"}}
	}
	for _, place := range []int{cronYear, cronMonth, cronDay, cronWeekday, cronHour, cronMinute, cronSecond} {
		isDay := place == cronDay || place == cronWeekday
		if x.match[place] || isDay && x.dayMatches() {
			continue
		}
		f := WhyField{Field: cronSpecs[place].name, Has: x.has[place], Wants: x.fields[place]}
		if x.madeOf[place] && place != cronWeekday {
			f.Here = cronValuesText(x.values[place])
		}
		if isDay && x.eitherDay() {
			f.Or = cronSpecs[cronDay+cronWeekday-place].name
		}
		list = append(list, f)
	}
	return list
}

// cronValuesText lists the values of a field.
func cronValuesText(set uint64) string {
	var values []string
	for ; set != 0; set &= set - 1 {
		if len(values) == schedWhyValues {
			return strings.Join(values, ",") + ",..."
		}
		values = append(values, strconv.Itoa(bits.TrailingZeros64(set)))
	}
	return strings.Join(values, ",")
}

// clockChange tells of a change of the clock at the instant or shortly before it, and of local times that come twice.
func (x *cronInstant) clockChange(w *WhySchedule) {
	if len(x.clock.stretches) == 0 || x.u < cronListFirst || x.u >= cronListLast {
		return
	}
	clock := func(l int64) string { return time.Unix(l, 0).UTC().Format("15:04") }
	now := x.instant
	before, after := x.clock.at(now.from-1), x.clock.at(now.end)
	fixed := x.every == 0 && x.occasion == "" && !x.wild
	would := x.timeMatches() && x.dayMatches()
	gapFrom, gapEnd := now.from+before.offset, now.from+now.offset
	switch {
	case now.from > cronListFirst && gapEnd > gapFrom && x.u-now.from < 60*60:
		w.Notes = append(w.Notes, fmt.Sprintf("the clock went from %s to %s", clock(gapFrom), clock(gapEnd)))
		left, ok := x.nextLocal(gapFrom)
		if x.every > 0 || x.occasion != "" || !ok || left >= gapEnd || x.u != now.from {
			return
		}
		if !fixed {
			w.Notes = append(w.Notes, "it follows real time, so "+clock(left)+", which was left out, does not fire")
			return
		}
		w.Notes = append(w.Notes, clock(left)+" was left out, and fires at once after that")
		w.Others = append(w.Others, "robfig's cron and systemd timers leave "+clock(left)+" out, and do not fire")
	case now.from > cronListFirst && gapEnd < gapFrom && x.l < gapFrom:
		w.Notes = append(w.Notes, fmt.Sprintf("the clock shows %s to %s twice, and this is the second time",
			clock(gapEnd), clock(gapFrom)))
		if fixed && would {
			w.Notes = append(w.Notes, "a schedule at fixed times fires in the first pass only")
			w.Others = append(w.Others, "robfig's cron fires in both passes")
		}
	case after.offset < now.offset && x.l >= now.end+after.offset:
		w.Notes = append(w.Notes, fmt.Sprintf("the clock shows %s to %s twice, and this is the first time",
			clock(now.end+after.offset), clock(now.end+now.offset)))
		if fixed && would {
			w.Others = append(w.Others, "robfig's cron fires again in the second pass")
		}
	}
}

// otherDays tells where other programs have another rule for day and weekday, and that makes a difference.
func (x *cronInstant) otherDays(w *WhySchedule) {
	if !x.timeMatches() || x.match[cronDay] == x.match[cronWeekday] {
		return
	}
	one := "the weekday"
	if x.match[cronDay] {
		one = "the day"
	}
	stepped := strings.HasPrefix(x.fields[cronDay], "*/") || strings.HasPrefix(x.fields[cronWeekday], "*/")
	whole := x.fields[cronDay] == "*" || x.fields[cronWeekday] == "*" || x.fields[cronDay] == "?" ||
		x.fields[cronWeekday] == "?"
	switch {
	case x.eitherDay():
		w.Others = append(w.Others, "only "+one+" matches: cron fires then, systemd timers and CDKTR's own library "+
			"want both")
	case stepped && !whole:
		w.Others = append(w.Others, "only "+one+" matches: robfig's cron fires then, for it takes no */n for a star")
	}
}
