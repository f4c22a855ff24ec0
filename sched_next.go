// sched_next.go: the search for the next fire of a cron expression (sched_cron.go). Pure.
//
// Times here are int64 seconds. An instant is Unix time; a local time is what the wall clock shows, counted as if its
// zone were UTC. A zone is a row of stretches of constant offset, and local = instant + offset in each. The search
// finds the next local time that matches, with calendar arithmetic on bit sets alone, and sees whether the stretch that
// it is in shows that time; if not, it goes on to the next stretch. Nothing steps minute by minute.

package main

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	cronFirst = -62135596800 // Unix time of 0001-01-01; earlier starts are taken for it
	cronLast  = 253402300799 // Unix time of 9999-12-31T23:59:59; no fire is looked for after it

	cronLongestGap = 3 * 60 * 60         // seconds; a longer one is a change of calendar, as in Debian's cron
	cronLookBack   = 26 * 60 * 60        // seconds; no zone ever repeated more of its wall clock
	cronJumpMargin = 15 * cronDaySeconds // more than the offsets of one zone can differ, in any notation
	cronCycleYears = 400                 // after so many years the Gregorian calendar repeats, weekdays too

	cronListFirst = 0          // Unix time of 1970, from which on a cronClock lists stretches
	cronListLast  = 4102444800 // Unix time of 2100: later stretches are asked of the zone each time
)

// cronClock is the wall clock of a zone, with a list of its stretches: looking one up there takes a tenth of asking the
// zone. It is immutable and safe for concurrent use: the schedules of a zone share one, of 8 KB at most.
type cronClock struct {
	zone *time.Location
	// without gaps, the last one ends at cronListLast or later; nil: the zone is asked each time
	stretches []cronStretch
}

// cronStretch is a time, from inclusive and end exclusive, in which a zone has one offset.
type cronStretch struct{ from, end, offset int64 }

// cronClockOf lists the stretches of a zone; nil is UTC.
func cronClockOf(zone *time.Location) *cronClock {
	k := &cronClock{zone: zone}
	if zone == nil {
		k.zone = time.UTC
	}
	for u := int64(cronListFirst); u < cronListLast; {
		next, last := cronStretchAt(k.zone, u), len(k.stretches)-1
		if last >= 0 && k.stretches[last].offset == next.offset {
			k.stretches[last].end = next.end
		} else {
			k.stretches = append(k.stretches, next)
		}
		u = next.end
	}
	k.stretches = slices.Clip(k.stretches)
	return k
}

// at gives the stretch at instant u, as far as it is known.
func (k *cronClock) at(u int64) cronStretch {
	n := len(k.stretches)
	if n == 0 || u < cronListFirst || u >= k.stretches[n-1].end {
		return cronStretchAt(k.zone, u)
	}
	first := 0 // the stretch at u is one of n from here on
	for n > 1 {
		half := n / 2
		if k.stretches[first+half].from <= u {
			first += half
		}
		n -= half
	}
	return k.stretches[first]
}

// next returns the first fire strictly after `after`, as a whole second in loc (nil is UTC). It returns false when
// there is none: for @reboot and @start, an impossible date, a year field that is over, or when nothing comes before
// the end of year 9999. It allocates nothing. The head of sched_cron.go says what it does about daylight saving.
func (c *cronTimes) next(after time.Time, loc *time.Location) (time.Time, bool) {
	if loc == nil {
		loc = time.UTC
	}
	u, ok := c.nextUnix(after.Unix(), &cronClock{zone: loc})
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(u, 0).In(loc), true
}

// nextUnix is next in seconds since 1970.
func (c *cronTimes) nextUnix(after int64, clock *cronClock) (u int64, ok bool) {
	if c.occasion != "" || after >= cronLast {
		return 0, false
	}
	u, ok = max(after, cronFirst)+1, true
	if c.every > 0 {
		u = (cronFloorDiv(u-1, c.every) + 1) * c.every
	} else {
		u, ok = c.nextInstant(u, clock)
	}
	return u, ok && u <= cronLast
}

// neverFires reports whether the expression has no fire in loc from 1970 on, as "0 0 30 2 *" has none. One whose years
// are over had fires: next says that it has none any more. @reboot and @start do fire.
func (c *cronTimes) neverFires(loc *time.Location) bool {
	_, ok := c.next(time.Unix(-2*cronDaySeconds, 0), loc)
	return !ok && c.occasion == ""
}

// cronShift is a change of a zone's clock that matters to an expression.
type cronShift struct {
	at       time.Time // when the clock changes, in the zone as it is from then on
	from, to string    // the local times that are left out, or shown twice, as 15:04
	twice    bool      // they are shown twice
	// what lies in them fires: once right after the times left out, or again in the times shown twice
	fires bool
}

// shifted finds the first change of the clock in loc, from after to end, that moves a fire, drops it or doubles it. To
// an expression whose hour begins with * no change matters: it means the hours as they pass.
func (c *cronTimes) shifted(after, end time.Time, loc *time.Location) (cronShift, bool) {
	if c.every > 0 || c.occasion != "" || c.star(cronHour) {
		return cronShift{}, false
	}
	for u := after.Unix(); u < end.Unix(); {
		before := cronStretchAt(loc, u)
		next := before.end
		if next >= end.Unix() {
			break
		}
		was, is := next+before.offset, next+cronStretchAt(loc, next).offset // what the clock shows before and after
		low, high, twice := min(was, is), max(was, is), is < was
		l, ok := c.nextLocal(low)
		if ok && l < high && (c.wild || !twice) {
			clock := func(l int64) string { return time.Unix(l, 0).UTC().Format("15:04") }
			return cronShift{at: time.Unix(next, 0).In(loc), from: clock(low), to: clock(high), twice: twice,
				fires: c.wild == twice}, true
		}
		u = next
	}
	return cronShift{}, false
}

// nextInstant returns the first fire at or after instant u. The loop takes one stretch of the zone after the other. It
// ends with a fire, when no local time matches any more, or after the last year.
func (c *cronTimes) nextInstant(u int64, clock *cronClock) (int64, bool) {
	if c.kinds == 0 { // no year has a day that matches
		return 0, false
	}
	// seen is the end of the local times that earlier stretches have shown. A stretch that begins before seen repeats
	// some of them, and one that begins after it leaves a gap. To know seen, the walk begins a little before u, if the
	// stretch at u began but lately.
	stretch := clock.at(u)
	pos, fresh, seen := u, true, int64(0)
	found := cronFound{from: math.MaxInt64}
	if !c.wild && stretch.from > u-cronLookBack {
		pos = u - cronLookBack
		stretch = clock.at(pos)
	}
	for {
		offset, end := stretch.offset, stretch.end
		start := pos + offset
		if fresh || c.wild { // real time knows neither gaps nor repeats
			seen, fresh = start, false
		}
		gap := start - seen
		if pos >= u && gap > 0 && gap <= cronLongestGap {
			if l, ok := found.next(c, seen); ok && l < start {
				return pos, true
			}
		}
		next := end
		if end > u {
			l, ok := found.next(c, max(u+offset, start, seen))
			if ok && l-offset < end {
				return l - offset, true
			}
			if c.wild && end <= cronLast { // the next stretch may show again what was shown before u
				l, ok = found.next(c, end+offset-cronLookBack)
			}
			if !ok {
				return 0, false
			}
			// Far from l there is nothing to find, whatever the offsets do there.
			if far := l - offset - cronJumpMargin; far > end {
				next, fresh = far, true
			}
		}
		if next > cronLast {
			return 0, false
		}
		pos, seen = next, max(seen, end+offset)
		stretch = clock.at(pos)
	}
}

// cronStretchAt asks a zone for the stretch at instant u. Where it truly begins is not known, and the next one may have
// the same offset.
func cronStretchAt(loc *time.Location, u int64) cronStretch {
	t := time.Unix(u, 0).In(loc)
	_, offset := t.Zone()
	_, bound := t.ZoneBounds()
	if bound.IsZero() {
		return cronStretch{u, math.MaxInt64 / 2, int64(offset)}
	}
	// After the last transition that a zone file lists, ZoneBounds cuts at the years of UTC and takes each for 365
	// days: on 31 December of a leap year the end that it gives is in the past.
	end := bound.Unix()
	for end <= u {
		end += cronDaySeconds
	}
	return cronStretch{u, end, int64(offset)}
}

// cronFound is the local time that a search found last: the first one at or after from that matches.
type cronFound struct {
	from, l int64
	ok      bool
}

// next is nextLocal, and does not search again where the answer is the last one.
func (f *cronFound) next(c *cronTimes, l int64) (int64, bool) {
	if l < f.from || f.ok && l > f.l {
		f.from = l
		f.l, f.ok = c.nextLocal(l)
	}
	return f.l, f.ok
}

// nextLocal returns the first local time at or after l that matches.
func (c *cronTimes) nextLocal(l int64) (int64, bool) {
	today := cronFloorDiv(l, cronDaySeconds)
	y, m, d := cronCivil(today)
	first := today - int64(d-1)
	days := uint64(0)
	if c.inYear(y) && c.on(cronMonth, c.month, int64(y), 0)&(1<<m) != 0 {
		days = c.daysOf(y, m, first)
	}
	if days&(1<<d) != 0 {
		if s, ok := c.nextInDay(today, int(l-today*cronDaySeconds)); ok {
			return today*cronDaySeconds + s, true
		}
	}
	day, ok := first+int64(cronBitFrom(days, d+1)-1), true
	if day-first > 31 {
		day, ok = c.nextMonthDay(y, m+1)
	}
	if !ok {
		return 0, false
	}
	s, ok := c.nextInDay(day, 0)
	return day*cronDaySeconds + s, ok
}

// nextInDay returns the first second at or after `from` of the given day (since 1970) that the time fields match.
func (c *cronTimes) nextInDay(day int64, from int) (int64, bool) {
	hours, mins, secs := c.hour, c.min, c.sec
	if c.drawn != 0 {
		hours, mins, secs = c.on(cronHour, hours, day, 0), c.on(cronMinute, mins, day, 0),
			c.on(cronSecond, secs, day, 0)
	}
	at := func(h, m, s int) (int64, bool) { return int64(h*3600 + m*60 + s), h < 64 && m < 64 && s < 64 }

	h, m, s := from/3600, from/60%60, from%60
	if cronBitFrom(hours, h) == h {
		if cronBitFrom(mins, m) == m {
			s = cronBitFrom(secs, s)
			if s < 64 {
				return at(h, m, s)
			}
			m++
		}
		m = cronBitFrom(mins, m)
		if m < 64 {
			return at(h, m, cronBitFrom(secs, 0))
		}
		h++
	}
	return at(cronBitFrom(hours, h), cronBitFrom(mins, 0), cronBitFrom(secs, 0))
}

// nextMonthDay returns the first matching day in month m of year y or later, in days since 1970; m may be 13. It looks
// at each month that matches in each year of a kind that has a day, up to the end of the 400 years after which the
// calendar repeats.
func (c *cronTimes) nextMonthDay(y, m int) (int64, bool) {
	limit := min(y+cronCycleYears+1, 9999)
	if c.years != nil {
		limit = min(limit, cronMaxYear)
	}
	kind := cronYearKind(y)
	for ; y <= limit; y, m, kind = y+1, 1, cronYearAfter(kind, y+1) {
		if c.kinds&(1<<kind) == 0 || !c.inYear(y) {
			continue
		}
		left := c.on(cronMonth, c.month, int64(y), 0) >> m << m
		for ; left != 0; left &= left - 1 {
			m = bits.TrailingZeros64(left)
			first := cronDays(y, m)
			if days := c.daysOf(y, m, first); days != 0 {
				return first + int64(bits.TrailingZeros64(days)-1), true
			}
		}
	}
	return 0, false
}

// inYear reports whether the year field has y.
func (c *cronTimes) inYear(y int) bool {
	if c.years == nil || y < cronMinYear || y > cronMaxYear {
		return c.years == nil
	}
	n := y - cronMinYear
	return c.years[n/64]&(1<<(n%64)) != 0
}

const cronYearKinds = 14 // kinds of years that there are

// cronYearKind gives the kind of a year, below cronYearKinds: the weekday of 1 January, with 7 added in a leap year.
// Years of one kind have the same dates on the same weekdays.
func cronYearKind(y int) int {
	kind := cronWeekdayOf(cronDays(y, 1))
	if cronLeap(y) {
		kind += 7
	}
	return kind
}

// cronYearAfter gives the kind of year y, which follows a year of a kind.
func cronYearAfter(kind, y int) int {
	weekday := kind + 1
	if kind >= 7 {
		weekday = kind - 7 + 2
	}
	if weekday >= 7 {
		weekday -= 7
	}
	if cronLeap(y) {
		return weekday + 7
	}
	return weekday
}

// yearKinds finds the kinds of years that may have a day that matches. Days that are drawn may be any that they can be.
func (c *cronTimes) yearKinds() (kinds uint16) {
	const daysOfEach = 1<<29 - 2 // the days that each month has
	if c.everyDay() && c.weekday != 0 || c.day&daysOfEach != 0 && c.everyWeekday() {
		return 1<<cronYearKinds - 1
	}
	all := *c
	all.drawn = 0
	for i := range c.picks {
		values := cronSpecs[c.picks[i].place].spread(c.picks[i].lo, c.picks[i].hi, 1)
		switch c.picks[i].place {
		case cronDay:
			all.day |= values
		case cronMonth:
			all.month |= values
		case cronWeekday:
			all.weekday |= values
		}
	}
	for y := 2001; y <= 2028; y++ { // they are of all kinds
		bit := uint16(1) << cronYearKind(y)
		for months := all.month; months != 0 && kinds&bit == 0; months &= months - 1 {
			m := bits.TrailingZeros64(months)
			if all.daysOf(y, m, cronDays(y, m)) != 0 {
				kinds |= bit
			}
		}
	}
	return kinds
}

// everyDay says whether the day field has all days.
func (c *cronTimes) everyDay() bool { return c.day == 1<<32-2 }

// everyWeekday says whether the weekday field has all weekdays.
func (c *cronTimes) everyWeekday() bool { return c.weekday == 1<<7-1 }

// daysOf returns the matching days of a month as bits 1 to 31; first is the month's first day since 1970.
func (c *cronTimes) daysOf(y, m int, first int64) uint64 {
	last := cronMonthLen(y, m)
	all := uint64(1)<<(last+1) - 2
	if c.everyDay() && c.everyWeekday() {
		return all
	}
	wd := cronWeekdayOf(first)
	days, weekdays := c.monthDays(y, m, wd, last), c.weekDays(first, wd, last)
	if c.stars&(1<<cronDay|1<<cronWeekday) != 0 {
		return days & weekdays & all
	}
	return (days | weekdays) & all
}

// monthDays returns the days that the day field matches in a month of `last` days whose first is weekday wd.
func (c *cronTimes) monthDays(y, m, wd, last int) uint64 {
	set := c.on(cronDay, c.day, int64(y)*12+int64(m), last)
	for left := c.dayFromEnd; left != 0; left &= left - 1 {
		if d := last - bits.TrailingZeros32(left); d > 0 {
			set |= 1 << d
		}
	}
	for left := c.dayWork; left != 0; left &= left - 1 {
		if d := bits.TrailingZeros32(left); d <= last {
			set |= 1 << cronWorkday(d, wd, last)
		}
	}
	for left := c.dayWorkFromEnd; left != 0; left &= left - 1 {
		if d := last - bits.TrailingZeros32(left); d > 0 {
			set |= 1 << cronWorkday(d, wd, last)
		}
	}
	return set
}

// cronWorkday returns the day from Monday to Friday nearest to d in the same month, as Quartz's W has it.
func cronWorkday(d, firstWeekday, last int) int {
	switch (firstWeekday + d - 1) % 7 {
	case 6: // Saturday
		if d == 1 {
			return 3
		}
		return d - 1
	case 0:
		if d == last {
			return d - 2
		}
		return d + 1
	}
	return d
}

// weekDays returns the days that the weekday field matches in a month of `last` days that begins on day first,
// a weekday wd.
func (c *cronTimes) weekDays(first int64, wd, last int) uint64 {
	const everyWeek = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
	week := c.weekday>>wd | c.weekday<<(7-wd)&127 // bit n: the day n+1 of the month, in its first week
	set := week * everyWeek << 1
	for left := c.weekdayNth; left != 0; left &= left - 1 {
		n := bits.TrailingZeros64(left)
		switch d := cronFirstWeekday(n%8, wd); {
		case n >= 8:
			set |= 1 << (d + 7*(n/8-1))
		case d+28 <= last:
			set |= 1 << (d + 28)
		default:
			set |= 1 << (d + 21)
		}
	}
	if c.drawn&(1<<cronWeekday) == 0 {
		return set
	}
	for d := 1; d <= last; d++ {
		day := first + int64(d-1)
		week := cronFloorDiv(day+3, 7) // 1970 began on a Thursday, three days after a Monday
		set |= c.on(cronWeekday, c.weekday, week, 0) >> cronWeekdayOf(day) & 1 << d
	}
	return set
}

// cronFirstWeekday returns the first day that is weekday want, in a month whose first day is weekday wd.
func cronFirstWeekday(want, wd int) int { return 1 + (want-wd+7)%7 }

// on adds to the values of a field those drawn in one period. That is a day for the time fields; for the others see ~
// at the head of sched_cron.go. last, if it is not 0, is the highest value that the period has.
func (c *cronTimes) on(place int, values uint64, period int64, last int) uint64 {
	if c.drawn&(1<<place) == 0 {
		return values
	}
	for i := range c.picks {
		p := &c.picks[i]
		if p.place != place {
			continue
		}
		r := p.cronRange
		if last > 0 {
			r.hi = min(r.hi, last)
		}
		values |= cronSpecs[place].draw(r, cronMix(p.seed+uint64(period)*0x9e3779b97f4a7c15))
	}
	return values
}

// cronBitFrom returns the lowest bit of set that is n or more, and 64 where there is none.
func cronBitFrom(set uint64, n int) int {
	return bits.TrailingZeros64(set &^ (1<<n - 1))
}

// cronFloorDiv divides and rounds towards minus infinity; b is positive.
func cronFloorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// cronWeekdayOf returns the weekday of a day since 1970, Sunday as 0.
func cronWeekdayOf(day int64) int {
	return int((day + 4) - 7*cronFloorDiv(day+4, 7))
}

// cronMonthLen returns the number of days of a month.
func cronMonthLen(y, m int) int {
	switch {
	case m != 2:
		return 30 + (m+m>>3)&1
	case cronLeap(y):
		return 29
	}
	return 28
}

// cronLeap says whether a year has 29 February.
func cronLeap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

// cronDays returns the first day of a month as days since 1970-01-01. It and cronCivil are the algorithms
// days_from_civil and civil_from_days of Howard Hinnant (howardhinnant.github.io/date_algorithms.html),
// which count years from 1 March so that the leap day comes last.
func cronDays(y, m int) int64 {
	if m <= 2 {
		y, m = y-1, m+12
	}
	era := cronFloorDiv(int64(y), 400)
	yearOfEra := int64(y) - era*400
	dayOfYear := int64(153*(m-3)+2) / 5
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// cronCivil returns the date of a day since 1970-01-01.
func cronCivil(day int64) (y, m, d int) {
	day += 719468
	era := cronFloorDiv(day, 146097)
	dayOfEra := day - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	mp := (5*dayOfYear + 2) / 153
	y, m, d = int(yearOfEra+era*400), int(mp+3), int(dayOfYear-(153*mp+2)/5+1)
	if m > 12 {
		y, m = y+1, m-12
	}
	return y, m, d
}
