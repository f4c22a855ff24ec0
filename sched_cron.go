// sched_cron.go: what a cron expression means, and reading one. sched_next.go searches the wall clock of a zone for the
// next time that matches. Both are pure: no clock, no goroutine, no other room.
//
// # The dialect
//
// Five fields: minute, hour, day, month, weekday. Six: seconds first. Seven: seconds first and a year (1970-2100) last.
// A field is a list of items with commas between them:
//
//	*          every value; in minute or hour it makes the job a wildcard job (see below)
//	7  MON     a value; names of three letters or more, any case; weekday 0 and 7 are Sunday
//	1-5        a range; one that runs backwards goes round the end: fri-mon, 22-2
//	*/15 5/15 0-29/10    steps; 5/15 is 5 to the end; a step wider than the range leaves its first value
//	?          in the day and weekday fields: the same as *
//	L L-3 LW 15W         day: the last, the third before it, the last workday, the workday nearest to the 15th
//	5L 1#2     weekday: the last Friday, the second Monday of the month
//	H H(0-29) H/15       a fixed value made from the id, so that jobs spread; H in day is 1-28
//	~ 0~30 0~59/15       a random value (or start of the steps), drawn again each day (day: each month, weekday:
//	                     each week from Monday, month: each year); the draw hashes the id, the field and the local
//	                     date, so it is the same after a restart
//
// Where neither day field starts with * or ?, a day that matches either of them counts, as in Vixie's cron. Otherwise a
// day has to match both (so */2 in the day field narrows the weekday field).
//
// @yearly @annually @monthly @weekly @daily @midnight @hourly stand for their five fields. @reboot fires when the
// scheduler starts for the first time since the machine booted, @start each time that it starts. @every 90s fires at
// the multiples of its period since the Unix epoch, so that a restart does not shift it. The period is written as Go
// writes durations, with d for 24 hours, in whole seconds.
//
// # Daylight saving
//
// The rules are those of Debian's cron(8). A wildcard job (minute or hour starts with *, or @every) follows real time:
// it runs in both passes of a repeated hour and not in a skipped one. Any other job is a fixed-time job. What it has in
// a skipped hour runs once, at the first instant after the gap: several skipped times, or a time that is due then
// anyway, are one fire. What it has in a repeated hour runs in the first pass only. A gap of more than three hours is a
// change of calendar, and its fires are dropped.

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	cronDaySeconds = 24 * 60 * 60
	cronMaxLen     = 1000                   // bytes of an expression; the longest sensible one has a tenth of that
	cronMaxEvery   = 36500 * cronDaySeconds // seconds
	cronReboot     = "@reboot"
	cronStart      = "@start"
	cronMinYear    = 1970 // of the year field, as CDKTR's library has it
	cronMaxYear    = 2100 // the last one
)

// cronSpec says what one field may hold.
type cronSpec struct {
	name     string
	min, max int      // the values, and what * stands for
	top      int      // the largest number that may be written: 7 for weekdays
	names    []string // whole names in capitals, the first one for min
	allowed  string   // for error messages
}

// Places of the fields in cronSpecs, in the order of the seven-field form.
const (
	cronSecond = iota
	cronMinute
	cronHour
	cronDay
	cronMonth
	cronWeekday
	cronYear
)

var cronMonthNames = []string{"JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY",
	"AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER"}

var cronWeekdayNames = []string{"SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"}

var cronSpecs = [...]cronSpec{
	cronSecond:  {"second", 0, 59, 59, nil, "0-59"},
	cronMinute:  {"minute", 0, 59, 59, nil, "0-59"},
	cronHour:    {"hour", 0, 23, 23, nil, "0-23"},
	cronDay:     {"day", 1, 31, 31, nil, "1-31, L, L-n, LW, nW"},
	cronMonth:   {"month", 1, 12, 12, cronMonthNames, "1-12 or JAN-DEC"},
	cronWeekday: {"weekday", 0, 6, 7, cronWeekdayNames, "0-7 (0 and 7 are Sunday) or SUN-SAT, nL, n#k"},
	cronYear:    {"year", cronMinYear, cronMaxYear, cronMaxYear, nil, "1970-2100"},
}

// cronTheirWeekday is the weekday field as CDKTR's library counts it.
var cronTheirWeekday = cronSpec{"weekday", 1, 7, 7, cronWeekdayNames, "1-7"}

var cronMacros = []struct{ name, fields string }{
	{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"}, {cronReboot, ""}, {cronStart, ""},
	{"@every", ""},
}

// cronExpr is one parsed expression. It is immutable and safe for concurrent use.
type cronExpr struct {
	cronTimes
	text        string
	own         bool     // it has H or ~: with another id it means something else
	theirs      bool     // CDKTR's own library has this form too
	weekdayText string   // for upstreamDifference; "" unless theirs
	odd         []string // what is allowed, but mostly not meant: a sentence for each
}

// cronTimes is when an expression fires. It is immutable and safe for concurrent use: schedules that say the same share
// one.
type cronTimes struct {
	sec, min, hour, day, month, weekday uint64 // the values of the fields, a bit for each

	dayFromEnd     uint32     // bit n: L-n
	dayWork        uint32     // bit n: nW
	dayWorkFromEnd uint32     // bit n: L-nW
	kinds          uint16     // bit n: years of the kind n (cronYearKind) may have a day that matches
	stars          uint8      // bit n: the field n begins with * or ?
	drawn          uint8      // bit n: the field n has picks
	weekdayNth     uint64     // bit 8k+n: the k-th weekday n of the month, the last one where k is 0
	picks          []cronPick // what is drawn anew for each day, beside the values
	years          *cronYears // nil: any year

	every    int64  // seconds between the fires of @every; 0 in all other expressions
	occasion string // cronReboot or cronStart: it fires then, and never by the clock; "" for all others
	wild     bool   // it follows real time through a change of the clock
}

// cronYears is a set of years: bit y-cronMinYear.
type cronYears [(cronMaxYear-cronMinYear)/64 + 1]uint64

// star says whether a field begins with * or ?.
func (c *cronTimes) star(place int) bool { return c.stars&(1<<place) != 0 }

// cronPick is a random item of a field: one value of lo..hi, or every step-th value from a random one of the first
// step.
type cronPick struct {
	place int
	cronRange
	seed uint64
}

// cronRange is an item as read. Where hi is above the field's max, it stands for the field's first values again.
type cronRange struct {
	kind   byte // '-' for what is known now, 'H' for a value from the id, '~' for a random one
	lo, hi int
	step   int // 0: none was written
}

// String returns the expression as it was given.
func (c *cronExpr) String() string { return c.text }

// firesAt gives the occasion at which the expression fires, cronReboot or cronStart: next has no time for such. It
// gives "" for expressions that fire by the clock.
func (c *cronTimes) firesAt() string { return c.occasion }

// cronParse reads an expression; id seeds H and ~, so that two jobs with the same expression differ. An error
// names the field, the bad text, what is allowed there, and the expression.
func cronParse(expr, id string) (*cronExpr, error) {
	c := &cronExpr{text: expr}
	if len(expr) > cronMaxLen {
		return nil, fmt.Errorf("schedule is %d bytes long; at most %d are read", len(expr), cronMaxLen)
	}
	text := strings.TrimSpace(expr)
	if strings.HasPrefix(text, "@") {
		fields, err := c.macro(text)
		if err != nil {
			return nil, err
		}
		if fields == "" {
			return c, nil
		}
		text = fields
	}
	capitals := strings.ToUpper(text)
	if strings.HasPrefix(capitals, "TZ=") || strings.HasPrefix(capitals, "CRON_TZ=") {
		return nil, fmt.Errorf("%q: a zone does not belong in the expression; give it in the workflow's timezone", expr)
	}
	fields := cronSplit(text)
	if len(fields) < 5 || len(fields) > 7 {
		return nil, fmt.Errorf("want 5 fields (minute hour day month weekday), 6 with seconds first, or 7 with a "+
			"year last; got %d in %q", len(fields), expr)
	}
	if len(fields) > 5 {
		c.theirs = true
	} else {
		fields = append([]string{"0"}, fields...)
	}
	for i, f := range fields {
		if err := c.field(i, f, id); err != nil {
			return nil, fmt.Errorf("%s: %w in %q", cronSpecs[i].name, err, expr)
		}
	}
	c.wild = strings.HasPrefix(fields[cronMinute], "*") || strings.HasPrefix(fields[cronHour], "*")
	if c.theirs {
		c.weekdayText = fields[cronWeekday]
	}
	c.kinds = c.yearKinds()
	return c, nil
}

// macro reads an expression that begins with @. It returns the five fields that the expression stands for, or "" if
// there are none and c has all that it says.
func (c *cronExpr) macro(text string) (string, error) {
	words := strings.Fields(text)
	name, rest := strings.ToLower(words[0]), strings.Join(words[1:], " ")
	hint := ""
	for _, m := range cronMacros {
		switch {
		case name != m.name:
			if len(name) > 2 && hint == "" && strings.HasPrefix(m.name, name[:3]) {
				hint = fmt.Sprintf(" (did you mean %s?)", m.name)
			}
		case name == "@every":
			return "", c.readEvery(rest)
		case rest != "":
			return "", fmt.Errorf("%s takes nothing after it, not %q", name, rest)
		default:
			if m.fields == "" {
				c.occasion = name
			}
			return m.fields, nil
		}
	}
	return "", fmt.Errorf("%q is not a schedule%s; there are @yearly @annually @monthly @weekly @daily @midnight "+
		"@hourly @reboot @start and @every 90s", text, hint)
}

// readEvery reads the period of @every: days, then a duration as Go writes it. One of the two may be missing.
func (c *cronExpr) readEvery(text string) error {
	bad := func(why string) error {
		return fmt.Errorf("@every: %q %s; give a period such as 90s, 15m, 1h30m or 2d", text, why)
	}
	if text == "" {
		return bad("is no period")
	}
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return bad("is no period")
	}
	var d time.Duration
	if rest != "" {
		d, err = time.ParseDuration(rest)
		if err != nil || d < 0 {
			return bad("is no period")
		}
	}
	if d%time.Second != 0 {
		return bad("is not a whole number of seconds")
	}
	every := int64(n)*cronDaySeconds + int64(d/time.Second)
	if every < 1 || every > cronMaxEvery {
		return bad("is out of range 1s-36500d")
	}
	c.every = every
	return nil
}

// cronSplit cuts an expression into its fields. Blanks beside a comma belong to the list, and an expression with no
// blank at all is cut around its stars: CDKTR reads "MON, WED" and "******" that way.
func cronSplit(text string) []string {
	if !strings.ContainsAny(text, " \t\r\n") {
		if cut := cronSplitStars(text); len(cut) > 5 { // CDKTR does not read five fields without blanks
			return cut
		}
	}
	var fields []string
	for _, f := range strings.Fields(text) {
		last := len(fields) - 1
		if last >= 0 && (strings.HasPrefix(f, ",") || strings.HasSuffix(fields[last], ",")) {
			fields[last] += f
		} else {
			fields = append(fields, f)
		}
	}
	return fields
}

// cronSplitStars cuts an expression without blanks before and after each star that is a field by itself, or begins one.
func cronSplitStars(text string) []string {
	var b strings.Builder
	for i, r := range text {
		if r == '*' && i > 0 && text[i-1] != ',' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		if r == '*' && i+1 < len(text) && !strings.ContainsRune("/,", rune(text[i+1])) {
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

// field reads one field into c.
func (c *cronExpr) field(place int, text, id string) error {
	spec := &cronSpecs[place]
	if place == cronYear {
		if text == "*" {
			return nil
		}
		c.years = &cronYears{}
	} else if text[0] == '*' || text[0] == '?' {
		c.stars |= 1 << place
	}
	for n, item := range strings.Split(strings.ToUpper(text), ",") {
		if known, err := c.dayItem(place, item); err != nil {
			return err
		} else if known {
			c.theirs = false
			continue
		}
		if strings.Contains(item, "?") && place != cronDay && place != cronWeekday {
			return errors.New("? is for the day and weekday fields; write *")
		}
		r, err := spec.item(item)
		if err != nil {
			return err
		}
		if r.kind != '-' || r.hi > spec.top {
			c.theirs = false
		}
		if err := c.add(place, r, id, n); err != nil {
			return err
		}
		if odd := spec.oddStep(item, r); odd != "" && place != cronYear {
			c.odd = append(c.odd, odd)
		}
	}
	if place == cronSecond && text == "*" {
		c.odd = append(c.odd, "the seconds are *, so it fires 60 times in each minute that matches: write 0 for "+
			"them, or leave them out")
	}
	return nil
}

// oddStep says what is odd about an item with a step, "" when nothing is. The step may be wider than the range, so that
// one value is left. Or the field is no multiple of it, so that the last fire of a round and the first of the next are
// closer than the others.
func (s *cronSpec) oddStep(item string, r cronRange) string {
	all := s.max - s.min + 1
	every := map[string]string{"second": "s", "minute": "m", "hour": "h"}[s.name]
	switch {
	case r.kind != '-' || r.step < 2:
		return ""
	case r.step > r.hi-r.lo:
		text := fmt.Sprintf("%s in the %s field is the value %d alone: the step is wider than the range", item, s.name,
			r.lo)
		if every != "" && r.hi-r.lo == all-1 {
			text += fmt.Sprintf(" (@every %d%s is every %d %ss)", r.step, every, r.step, s.name)
		}
		return text
	case r.hi == s.max && r.lo < s.min+r.step && all%r.step != 0:
		last := r.lo + (r.hi-r.lo)/r.step*r.step
		return fmt.Sprintf("%s in the %s field does not come out even: %d is followed by %d, not after %d %ss", item,
			s.name, last, r.lo, r.step, s.name)
	}
	return ""
}

// add puts one item into a field.
func (c *cronExpr) add(place int, r cronRange, id string, n int) error {
	spec := &cronSpecs[place]
	values := [...]*uint64{&c.sec, &c.min, &c.hour, &c.day, &c.month, &c.weekday, nil}[place]
	switch {
	case place == cronYear && (r.kind != '-' || r.hi > spec.max):
		return fmt.Errorf("no H, ~ or backward range in years; allowed: %s", spec.allowed)
	case place == cronYear:
		for y := r.lo; y <= r.hi; y += max(r.step, 1) {
			c.years[(y-cronMinYear)/64] |= 1 << ((y - cronMinYear) % 64)
		}
	case place == cronDay && r.kind == '~' && r.hi > spec.max:
		return fmt.Errorf("a random range cannot go round the end of the month; write two, as 25~31,1~5")
	case r.kind == '~':
		seed := cronHash(id, spec.name, "~", strconv.Itoa(n))
		c.picks, c.drawn, c.own = append(c.picks, cronPick{place, r, seed}), c.drawn|1<<place, true
	case r.kind == 'H':
		c.own = true
		*values |= spec.draw(r, cronHash(id, spec.name))
	default:
		*values |= spec.spread(r.lo, r.hi, max(r.step, 1))
	}
	return nil
}

// dayItem reads the items that only the day field has (L, L-3, LW, 15W) or only the weekday field (5L, 1#2). It reports
// false for every other item.
func (c *cronExpr) dayItem(place int, item string) (bool, error) {
	switch {
	case place == cronDay && item != "" && (item[0] == 'L' || item[len(item)-1] == 'W'):
		return true, c.monthDay(item)
	case place == cronWeekday && item == "L":
		return true, errors.New("no day before L: 5L is the last Friday (and L in the day field the last day)")
	case place == cronWeekday && strings.Contains(item, "#"):
		day, nth, _ := strings.Cut(item, "#")
		if len(nth) != 1 || nth < "1" || nth > "5" {
			return true, fmt.Errorf("%q: the number after # is the week of the month, 1-5", item)
		}
		wd, err := cronSpecs[place].value(day)
		c.weekdayNth |= 1 << (8*int(nth[0]-'0') + wd%7)
		return true, err
	case place == cronWeekday && strings.HasSuffix(item, "L"):
		wd, err := cronSpecs[place].value(item[:len(item)-1])
		c.weekdayNth |= 1 << (wd % 7)
		return true, err
	}
	return false, nil
}

// monthDay reads L, L-3, LW, L-3W and 15W.
func (c *cronExpr) monthDay(item string) error {
	num, work := strings.CutSuffix(item, "W")
	num, fromEnd := strings.CutPrefix(num, "L")
	bad := fmt.Errorf("%q is not a day of the month; allowed: %s", item, cronSpecs[cronDay].allowed)
	n := 0
	if fromEnd && num != "" || !fromEnd {
		if fromEnd && num[0] != '-' {
			return bad
		}
		v, err := strconv.ParseUint(strings.TrimPrefix(num, "-"), 10, 8)
		if err != nil || !fromEnd && num[0] == '-' {
			return bad
		}
		n = int(v)
	}
	switch {
	case fromEnd && n > 30, !fromEnd && (n < 1 || n > 31):
		return bad
	case fromEnd && work:
		c.dayWorkFromEnd |= 1 << n
	case fromEnd:
		c.dayFromEnd |= 1 << n
	default:
		c.dayWork |= 1 << n
	}
	return nil
}

// item reads one item in capitals: *, 5, 1-5, H, H(0-29), ~, 0~30, each with a step or not.
func (s *cronSpec) item(text string) (cronRange, error) {
	r := cronRange{kind: '-', lo: s.min, hi: s.max}
	base, step, stepped := strings.Cut(text, "/")
	if stepped {
		n, err := strconv.ParseUint(step, 10, 16)
		if err != nil || n < 1 {
			return r, fmt.Errorf("step %q is not a whole number of at least 1", step)
		}
		r.step = int(n)
	}
	lo, hi, ranged := "", "", false
	switch {
	case text == "":
		return r, errors.New("an item of the list is empty")
	case base == "*" || base == "?":
		return r, nil
	case base == "H":
		r.kind = 'H'
		if s.max == 31 {
			r.hi = 28 // so that it fires every month
		}
		return r, nil
	case strings.HasPrefix(base, "H("):
		inner, closed := strings.CutSuffix(base[2:], ")")
		lo, hi, ranged = strings.Cut(inner, "-")
		if !closed || !ranged {
			return r, fmt.Errorf("%q is not a spread; write it as H(%d-%d)", base, s.min, s.max)
		}
		r.kind = 'H'
	case strings.Contains(base, "~"):
		r.kind = '~'
		lo, hi, ranged = strings.Cut(base, "~")
	default:
		lo, hi, ranged = strings.Cut(base, "-")
	}
	return r.between(s, lo, hi, ranged)
}

// between sets the ends of the range. If none was written, lo is the only value, or with a step the first.
func (r cronRange) between(s *cronSpec, lo, hi string, ranged bool) (cronRange, error) {
	var err error
	random := r.kind == '~' // ~ alone and ~30 begin at the lowest value, 5~ ends at the highest
	if lo != "" || !random {
		r.lo, err = s.value(lo)
		if err != nil {
			return r, err
		}
	}
	switch {
	case ranged && (hi != "" || !random):
		r.hi, err = s.value(hi)
		if err != nil {
			return r, err
		}
	case !ranged && r.step == 0:
		r.hi = r.lo
	}
	if s.top > s.max && r.lo == s.top { // Sunday as 7, as the first of a range or alone
		r.lo = s.min
		if r.hi == s.top {
			r.hi = s.min
		}
	}
	if r.hi < r.lo {
		r.hi += s.max - s.min + 1
	}
	return r, nil
}

// value reads a number or a name.
func (s *cronSpec) value(text string) (int, error) {
	if text != "" && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || int(n) < s.min || int(n) > s.top {
			return 0, fmt.Errorf("%s is out of range %d-%d%s", text, s.min, s.top, s.rangeHint(text))
		}
		return int(n), nil
	}
	if n := cronName(s.names, text); n >= 0 {
		return s.min + n, nil
	}
	hint := ""
	switch {
	case s.name != "weekday" && cronName(cronWeekdayNames, text) >= 0:
		hint = " (weekdays are the field after the month)"
	case s.name != "month" && cronName(cronMonthNames, text) >= 0:
		hint = " (months are the field after the day)"
	}
	return 0, fmt.Errorf("%q is not a value; allowed: %s%s", text, s.allowed, hint+nearHint(text, s.names))
}

// rangeHint says what was probably meant by the numbers people get wrong.
func (s *cronSpec) rangeHint(text string) string {
	switch {
	case s.name == "hour" && text == "24":
		return " (midnight is 0)"
	case text == "60" && s.max == 59:
		return " (the last is 59, the first 0)"
	}
	return ""
}

// cronName finds a name by its first three letters or more, in capitals; -1 if there is none.
func cronName(names []string, text string) int {
	for i, name := range names {
		if len(text) >= 3 && strings.HasPrefix(name, text) {
			return i
		}
	}
	return -1
}

// spread is the set of lo, lo+step, and so on to hi. What is above the field's max starts again at its beginning.
func (s *cronSpec) spread(lo, hi, step int) uint64 {
	var set uint64
	for v := lo; v <= hi; v += step {
		if v > s.max {
			set |= 1 << (v - (s.max - s.min + 1))
		} else {
			set |= 1 << v
		}
	}
	return set
}

// draw takes from r what the hash h selects: one value, or all steps from one of the first values on.
func (s *cronSpec) draw(r cronRange, h uint64) uint64 {
	n := r.hi - r.lo + 1
	if n < 1 {
		return 0
	}
	if r.step == 0 {
		v := r.lo + int(h%uint64(n))
		return s.spread(v, v, 1)
	}
	return s.spread(r.lo+int(h%uint64(min(r.step, n))), r.hi, r.step)
}

// cronHash makes a number of some texts, the same on every machine: FNV-1a, with a zero byte after each.
func cronHash(texts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, t := range texts {
		for i := range len(t) {
			h = (h ^ uint64(t[i])) * 1099511628211
		}
		h *= 1099511628211
	}
	return cronMix(h)
}

// cronMix spreads the bits of x over the whole number: the finisher of SplitMix64.
func cronMix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// upstreamDifference says in a sentence how CDKTR's own library reads the expression differently, "" if it does not:
// that library counts weekdays from Sunday=1 and fires only on days that match both day fields. It gives "" too for an
// expression that the library refuses, as it does all of five fields.
func (c *cronExpr) upstreamDifference() string {
	if !c.theirs {
		return ""
	}
	var theirs uint64
	for item := range strings.SplitSeq(strings.ToUpper(c.weekdayText), ",") {
		r, err := cronTheirWeekday.item(item)
		if err != nil || r.hi > cronTheirWeekday.max {
			return ""
		}
		theirs |= cronTheirWeekday.spread(r.lo, r.hi, max(r.step, 1)) >> 1
	}
	var parts []string
	if theirs != c.weekday {
		parts = append(parts, fmt.Sprintf("CDKTR's own library counts weekdays from Sunday=1 and reads %q as %s, "+
			"not %s", c.weekdayText, cronDayList(theirs), cronDayList(c.weekday)))
	}
	if !c.star(cronDay) && !c.star(cronWeekday) {
		parts = append(parts, "CDKTR's own library fires only on days that match both the day and the weekday "+
			"field, not either")
	}
	return strings.Join(parts, "; ")
}

// cronDayList names the weekdays of a set.
func cronDayList(set uint64) string {
	var names []string
	for i, name := range cronWeekdayNames {
		if set&(1<<i) != 0 {
			names = append(names, name[:1]+strings.ToLower(name[1:3]))
		}
	}
	return strings.Join(names, ",")
}
