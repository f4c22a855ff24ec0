// sched_next.go: the search for the next fire of a cron expression (sched_cron.go). Pure.
//
// Times here are int64 seconds. An instant is Unix time; a local time is what the wall clock shows, counted as if its
// zone were UTC. A zone is a row of stretches of constant offset, and local = instant + offset in each. The search
// finds the next local time that matches, with calendar arithmetic alone, and sees whether the stretch that it is in
// shows that time; if not, it goes on to the next stretch. Nothing steps minute by minute.

package main

import (
	"math"
	"math/bits"
	"time"
)

const (
	cronFirst = -62135596800 // Unix time of 0001-01-01; earlier starts are taken for it
	cronLast  = 253402300799 // Unix time of 9999-12-31T23:59:59; no fire is looked for after it

	cronLongestGap = 3 * 60 * 60         // seconds; a longer one is a change of calendar, as in Debian's cron
	cronLookBack   = 26 * 60 * 60        // seconds; no zone ever repeated more of its wall clock
	cronJumpMargin = 15 * cronDaySeconds // more than the offsets of one zone can differ, in any notation
	cronCycleYears = 400                 // after so many years the Gregorian calendar repeats, weekdays too
)

// next returns the first fire strictly after `after`, as a whole second in loc (nil is UTC). It returns false when
// there is none: for @reboot and @start, an impossible date, a year field that is over, or when nothing comes before
// the end of year 9999. It allocates nothing. The head of sched_cron.go says what it does about daylight saving.
func (c *cronExpr) next(after time.Time, loc *time.Location) (time.Time, bool) {
	if loc == nil {
		loc = time.UTC
	}
	if c.occasion != "" || after.Unix() >= cronLast {
		return time.Time{}, false
	}
	u, ok := max(after.Unix(), cronFirst)+1, true // Unix rounds down, so this is strictly after
	if c.every > 0 {
		u = (cronFloorDiv(u-1, c.every) + 1) * c.every
	} else {
		u, ok = c.nextInstant(u, loc)
	}
	if !ok || u > cronLast {
		return time.Time{}, false
	}
	return time.Unix(u, 0).In(loc), true
}

// neverFires reports whether the expression has no fire in loc from 1970 on, as "0 0 30 2 *" has none. One whose years
// are over had fires: next says that it has none any more. @reboot and @start do fire.
func (c *cronExpr) neverFires(loc *time.Location) bool {
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
func (c *cronExpr) shifted(after, end time.Time, loc *time.Location) (cronShift, bool) {
	if c.every > 0 || c.occasion != "" || c.hour.star {
		return cronShift{}, false
	}
	for u := after.Unix(); u < end.Unix(); {
		offset, next := cronStretch(loc, u)
		if next >= end.Unix() {
			break
		}
		fresh, _ := cronStretch(loc, next)
		was, is := next+offset, next+fresh // what the clock shows before and after
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
func (c *cronExpr) nextInstant(u int64, loc *time.Location) (int64, bool) {
	// seen is the end of the local times that earlier stretches have shown. A stretch that begins before seen repeats
	// some of them, and one that begins after it leaves a gap. To know seen, the walk begins a little before u.
	pos, fresh, seen := u-cronLookBack, true, int64(0)
	if c.wild {
		pos = u
	}
	for pos <= cronLast {
		offset, end := cronStretch(loc, pos)
		start := pos + offset
		if fresh || c.wild { // real time knows neither gaps nor repeats
			seen, fresh = start, false
		}
		gap := start - seen
		if pos >= u && gap > 0 && gap <= cronLongestGap {
			if l, ok := c.nextLocal(seen); ok && l < start {
				return pos, true
			}
		}
		if end > u {
			l, ok := c.nextLocal(max(u+offset, start, seen))
			if ok && l-offset < end {
				return l - offset, true
			}
			if c.wild && end <= cronLast { // the next stretch may show again what was shown before u
				l, ok = c.nextLocal(end + offset - cronLookBack)
			}
			if !ok {
				return 0, false
			}
			// Far from l there is nothing to find, whatever the offsets do there.
			if l-offset-cronJumpMargin > end {
				pos, fresh = l-offset-cronJumpMargin, true
				continue
			}
		}
		pos, seen = end, max(seen, end+offset)
	}
	return 0, false
}

// cronStretch returns the offset of loc at instant u, and the time until which that is known to hold. What holds then
// may be another offset or the same.
func cronStretch(loc *time.Location, u int64) (offset, end int64) {
	t := time.Unix(u, 0).In(loc)
	_, seconds := t.Zone()
	_, bound := t.ZoneBounds()
	if bound.IsZero() {
		return int64(seconds), math.MaxInt64 / 2
	}
	// After the last transition that a zone file lists, ZoneBounds cuts at the years of UTC and takes each for 365
	// days: on 31 December of a leap year the end that it gives is in the past.
	end = bound.Unix()
	for end <= u {
		end += cronDaySeconds
	}
	return int64(seconds), end
}

// nextLocal returns the first local time at or after l that matches.
func (c *cronExpr) nextLocal(l int64) (int64, bool) {
	today := cronFloorDiv(l, cronDaySeconds)
	day, ok := c.nextDay(today)
	if ok && day == today {
		if s, ok := c.nextInDay(day, int(l-day*cronDaySeconds)); ok {
			return day*cronDaySeconds + s, true
		}
		day, ok = c.nextDay(today + 1)
	}
	if !ok {
		return 0, false
	}
	s, ok := c.nextInDay(day, 0)
	return day*cronDaySeconds + s, ok
}

// nextInDay returns the first second at or after `from` of the given day (since 1970) that the time fields match.
func (c *cronExpr) nextInDay(day int64, from int) (int64, bool) {
	hours, mins, secs := c.hour.on(day, 0), c.min.on(day, 0), c.sec.on(day, 0)
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

// nextDay returns the first matching day at or after day, both in days since 1970. It looks at each month that matches,
// up to the end of the 400 years after which the calendar repeats.
func (c *cronExpr) nextDay(day int64) (int64, bool) {
	y, m, d := cronCivil(day)
	limit := min(y+cronCycleYears+1, 9999)
	if !c.anyYear {
		limit = min(limit, cronMaxYear)
	}
	for ; y <= limit; y, m, d = y+1, 1, 1 {
		if !c.inYear(y) {
			continue
		}
		months := c.month.on(int64(y), 0)
		for {
			next := cronBitFrom(months, m)
			if next > 12 {
				break
			}
			if next > m {
				m, d = next, 1
			}
			first := cronDays(y, m)
			if found := cronBitFrom(c.daysOf(y, m, first), d); found < 64 {
				return first + int64(found-1), true
			}
			m, d = m+1, 1
		}
	}
	return 0, false
}

// inYear reports whether the year field has y.
func (c *cronExpr) inYear(y int) bool {
	if c.anyYear || y < cronMinYear || y > cronMaxYear {
		return c.anyYear
	}
	n := y - cronMinYear
	return c.years[n/64]&(1<<(n%64)) != 0
}

// daysOf returns the matching days of a month as bits 1 to 31; first is the month's first day since 1970.
func (c *cronExpr) daysOf(y, m int, first int64) uint64 {
	last := cronMonthLen(y, m)
	all := uint64(1)<<(last+1) - 2
	wd := cronWeekdayOf(first)
	days, weekdays := c.monthDays(y, m, wd, last), c.weekDays(first, wd, last)
	if c.day.star || c.weekday.star {
		return days & weekdays & all
	}
	return (days | weekdays) & all
}

// monthDays returns the days that the day field matches in a month of `last` days whose first is weekday wd.
func (c *cronExpr) monthDays(y, m, wd, last int) uint64 {
	set := c.day.on(int64(y)*12+int64(m), last)
	for left := c.dayFromEnd; left != 0; left &= left - 1 {
		if d := last - bits.TrailingZeros64(left); d > 0 {
			set |= 1 << d
		}
	}
	for left := c.dayWork; left != 0; left &= left - 1 {
		if d := bits.TrailingZeros64(left); d <= last {
			set |= 1 << cronWorkday(d, wd, last)
		}
	}
	for left := c.dayWorkFromEnd; left != 0; left &= left - 1 {
		if d := last - bits.TrailingZeros64(left); d > 0 {
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
func (c *cronExpr) weekDays(first int64, wd, last int) uint64 {
	const everyWeek = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
	set := uint64(0)
	for left := c.weekday.bits; left != 0; left &= left - 1 {
		set |= everyWeek << cronFirstWeekday(bits.TrailingZeros64(left), wd)
	}
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
	if len(c.weekday.picks) == 0 {
		return set
	}
	for d := 1; d <= last; d++ {
		day := first + int64(d-1)
		week := cronFloorDiv(day+3, 7) // 1970 began on a Thursday, three days after a Monday
		set |= c.weekday.on(week, 0) >> cronWeekdayOf(day) & 1 << d
	}
	return set
}

// cronFirstWeekday returns the first day that is weekday want, in a month whose first day is weekday wd.
func cronFirstWeekday(want, wd int) int { return 1 + (want-wd+7)%7 }

// on returns the field's values in one period. That is a day for the time fields; for the others see ~ at the head of
// sched_cron.go. last, if it is not 0, is the highest value that the period has.
func (f *cronField) on(period int64, last int) uint64 {
	set := f.bits
	for i := range f.picks {
		p := &f.picks[i]
		r := p.cronRange
		if last > 0 {
			r.hi = min(r.hi, last)
		}
		set |= p.spec.draw(r, cronMix(p.seed+uint64(period)*0x9e3779b97f4a7c15))
	}
	return set
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
	if m != 2 {
		return 30 + (m+m>>3)&1
	}
	if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		return 29
	}
	return 28
}

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
