// cli_next_fires.go: next --load, which counts the fires of the coming days by their time of day, and next --ical,
// which writes them as a calendar.

package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

const (
	nextMaxFires  = 200_000 // fires that --load counts, at most; what is behind them is said to be left out
	nextMaxEvents = 10_000  // events in a calendar, at most
	nextPage      = 1000    // fires of one request
	nextMaxDays   = 366     // days of --days, at most; more are refused

	loadShown  = 5                  // instants that many fires share, which are listed
	loadNames  = 3                  // workflows of each that are named
	loadDay    = 24 * 60            // minutes
	loadLevels = " .:-=+*#%@"       // the cells of the table, from no fire to the most
	loadNear   = 2                  // minutes before and after one that count as its neighbours
	icalStats  = 100                // workflows whose usual length is asked for
	icalFold   = 75                 // bytes of a line
	icalTime   = "20060102T150405Z" // of an instant, in UTC
)

// nextWindow is which fires are wanted.
type nextWindow struct {
	from, until time.Time
	pattern     string // of the ids of workflows
	most        int    // fires
}

// each hands fn the coming fires in their order. It says whether there are more than the window takes.
func (w *nextWindow) each(ctx context.Context, c *cli, zone *time.Location, fn func(Fire)) (more bool, err error) {
	n := 0
	take := func(f Fire) (over bool) {
		switch {
		case f.At.After(w.until):
			return true
		case !idMatches(w.pattern, f.Workflow):
		case n == w.most:
			more = true
			return true
		default:
			n++
			fn(f)
		}
		return false
	}
	if c.flags.given("cron") {
		expr, err := cronParse(c.flags.cron, "")
		if err != nil {
			return false, usageError("%w", err)
		}
		w.pattern = ""
		clock := cronClockOf(zone)
		for u, ok := expr.nextUnix(w.from.Unix(), clock); ok; u, ok = expr.nextUnix(u, clock) {
			if take(Fire{At: stampOf(time.Unix(u, 0))}) {
				break
			}
		}
		return more, nil
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.close()
	noted := false
	err = conn.askAll(ctx, Request{Op: "next", N: nextPage, At: stampOf(w.from)}, func(r *Reply) error {
		if !noted {
			c.note(r)
			noted = true
		}
		for _, f := range r.Fires {
			if take(f) {
				return errNextOver
			}
		}
		if len(r.Fires) == nextPage && r.Next == "" {
			return &exitError{code: exitRefused, err: errors.New("the principal is too old to list so many fires"),
				hint: "update the principal, or ask for fewer --days"}
		}
		return nil
	})
	if errors.Is(err, errNextOver) {
		err = nil
	}
	return more, err
}

// errNextOver ends the list of fires: the window is over.
var errNextOver = errors.New("the window is over")

// nextFires is next --load and next --ical.
func nextFires(ctx context.Context, c *cli, args []string, from time.Time, zone *time.Location) error {
	cron := c.flags.given("cron")
	switch {
	case c.flags.load && c.flags.ical:
		return usageError("next takes --load or --ical, not both")
	case c.flags.ical && c.flags.json:
		return usageError("next --ical writes a calendar, and no JSON")
	case c.flags.given("n"):
		return usageError("next --load and --ical take --days, and no -n")
	case cron && len(args) > 0, len(args) > 1:
		return usageError("next takes one ID or PATTERN, or --cron")
	case c.flags.days < 1 || c.flags.days > nextMaxDays:
		return usageError("--days: want a number from 1 to %d", nextMaxDays)
	}
	w := &nextWindow{from: from, until: from.AddDate(0, 0, c.flags.days), pattern: strings.Join(args, ""),
		most: nextMaxFires}
	if c.flags.ical {
		return nextCalendar(ctx, c, w, zone)
	}
	l := loadNew(zone)
	more, err := w.each(ctx, c, zone, l.count)
	if err != nil {
		return err
	}
	l.end()
	if more {
		c.say(fmt.Sprintf("only the first %d fires are counted, up to %s", w.most,
			l.last.In(zone).Format("2006-01-02 15:04:05 MST")))
		w.until = l.last.Time
	}
	if c.flags.json {
		return printJSON(c.out, l.json(w, more))
	}
	return l.print(c, w)
}

// load counts fires by the minute of the day.
type load struct {
	zone      *time.Location
	minutes   [loadDay]int
	fires     int
	workflows map[string]bool
	last      Stamp // the newest fire

	crowd  map[string]*loadCrowd // by the time of day
	at     []string              // workflows that fire at last
	second int64
}

// loadCrowd is a time of day at which several workflows fire in the same second.
type loadCrowd struct {
	At        string   `json:"at"`    // a time of day
	Fires     int      `json:"fires"` // on the day on which there are most
	Workflows []string `json:"workflows"`
	Days      int      `json:"days"` // on which several fire then
}

func loadNew(zone *time.Location) *load {
	return &load{zone: zone, workflows: map[string]bool{}, crowd: map[string]*loadCrowd{}}
}

// count takes the next fire, in their order.
func (l *load) count(f Fire) {
	at := f.At.In(l.zone)
	l.minutes[at.Hour()*60+at.Minute()]++
	l.fires++
	l.workflows[f.Workflow] = true
	if f.At.Unix() != l.second {
		l.end()
	}
	l.last, l.second, l.at = f.At, f.At.Unix(), append(l.at, f.Workflow)
}

// end notes how many have fired in the second that is over.
func (l *load) end() {
	if n := len(l.at); n > 1 {
		at := l.last.In(l.zone).Format("15:04:05")
		crowd := l.crowd[at]
		if crowd == nil {
			crowd = &loadCrowd{At: at}
			l.crowd[at] = crowd
		}
		crowd.Days++
		if n > crowd.Fires {
			crowd.Fires, crowd.Workflows = n, append([]string(nil), l.at[:min(n, loadNames)]...)
		}
	}
	l.at = l.at[:0]
}

// crowds gives the times of day at which most fire together.
func (l *load) crowds() []*loadCrowd {
	list := make([]*loadCrowd, 0, len(l.crowd))
	for _, at := range sortedKeys(l.crowd) {
		list = append(list, l.crowd[at])
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Fires > list[j].Fires })
	return list[:min(len(list), loadShown)]
}

// quietest gives the minute of the day with the fewest fires, in it and around it; of several the one that is farthest
// from all fires.
func (l *load) quietest() (minute, alone int) {
	best := [3]int{-1}
	for m := range loadDay {
		near, far := 0, 0
		for d := -loadNear; d <= loadNear; d++ {
			near += l.minutes[(m+d+loadDay)%loadDay]
		}
		for far < loadDay/2 && l.minutes[(m+far)%loadDay]+l.minutes[(m-far+loadDay)%loadDay] == 0 {
			far++
		}
		score := [3]int{l.minutes[m], near, -far}
		if best[0] < 0 || score[0] < best[0] || score[0] == best[0] && (score[1] < best[1] ||
			score[1] == best[1] && score[2] < best[2]) {
			best, minute = score, m
		}
	}
	return minute, -best[2]
}

// loadClock writes a minute of the day.
func loadClock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// loadJSON is what next --load --json prints.
type loadJSON struct {
	From      Stamp          `json:"from"`
	Until     Stamp          `json:"until"`
	Zone      string         `json:"zone"`
	Fires     int            `json:"fires"`
	Workflows int            `json:"workflows"`
	Hours     [24]int        `json:"hours"`
	Minutes   map[string]int `json:"minutes"` // those with fires, as 04:17
	Together  []*loadCrowd   `json:"together"`
	Quietest  string         `json:"quietest"`
	More      bool           `json:"more,omitempty"` // there are more fires than are counted
}

func (l *load) json(w *nextWindow, more bool) *loadJSON {
	quiet, _ := l.quietest()
	j := &loadJSON{From: stampOf(w.from), Until: stampOf(w.until), Zone: l.zone.String(), Fires: l.fires,
		Workflows: len(l.workflows), Minutes: map[string]int{}, Together: l.crowds(), Quietest: loadClock(quiet),
		More: more}
	for m, n := range l.minutes {
		if n > 0 {
			j.Hours[m/60] += n
			j.Minutes[loadClock(m)] = n
		}
	}
	return j
}

// print writes a row for each hour, with a cell for each minute.
func (l *load) print(c *cli, w *nextWindow) error {
	p := c.painter()
	if l.fires == 0 {
		_, err := fmt.Fprintln(c.err, "cdktr: no fire is to come")
		return err
	}
	most := 0
	for _, n := range l.minutes {
		most = max(most, n)
	}
	var b strings.Builder
	b.WriteString(p.paint(colorDim, "    0         10        20        30        40        50            fires") + "\n")
	for hour := range 24 {
		total, row := 0, make([]byte, 60)
		for m := range row {
			n := l.minutes[hour*60+m]
			total += n
			level := 0
			if n > 0 {
				level = 1 + (n-1)*(len(loadLevels)-2)/max(most-1, 1)
			}
			row[m] = loadLevels[level]
		}
		color := ""
		if total == 0 {
			color = colorDim
		}
		b.WriteString(p.paint(color, fmt.Sprintf("%02d |%s| %9d", hour, row, total)) + "\n")
	}
	if _, err := fmt.Fprint(p.w, b.String()); err != nil {
		return err
	}
	quiet, alone := l.quietest()
	where := fmt.Sprintf("%s: no fire within %s of it", loadClock(quiet), countText(alone-1, "minute"))
	if alone < 2 {
		where = fmt.Sprintf("%s: %s in that minute", loadClock(quiet), countText(l.minutes[quiet], "fire"))
	}
	p.facts("fires", fmt.Sprintf("%d of %s, until %s; times are in %s", l.fires,
		countText(len(l.workflows), "workflow"), w.until.In(l.zone).Format("2006-01-02 15:04"), l.zone),
		"most", fmt.Sprintf("%s in one minute of the day: %c", countText(most, "fire"), loadLevels[len(loadLevels)-1]))
	for _, crowd := range l.crowds() {
		names := strings.Join(crowd.Workflows, ", ")
		if more := crowd.Fires - len(crowd.Workflows); more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		p.facts("together", fmt.Sprintf("%s: %d at once: %s", crowd.At, crowd.Fires, names))
	}
	p.facts("quietest", where)
	return nil
}

// nextCalendar writes the coming fires as a calendar of RFC 5545.
func nextCalendar(ctx context.Context, c *cli, w *nextWindow, zone *time.Location) error {
	w.most = nextMaxEvents
	var fires []Fire
	more, err := w.each(ctx, c, zone, func(f Fire) { fires = append(fires, f) })
	if err != nil {
		return err
	}
	if more {
		c.say(fmt.Sprintf("only the first %d fires are written, up to %s", w.most,
			fires[len(fires)-1].At.In(zone).Format("2006-01-02 15:04:05 MST")))
	}
	usual := map[string]float64{}
	if !c.flags.given("cron") {
		if usual, err = icalLengths(ctx, c, fires); err != nil {
			return err
		}
	}
	cal := &icalText{stamp: time.Now().UTC().Format(icalTime)}
	cal.line("BEGIN:VCALENDAR")
	cal.line("VERSION:2.0")
	cal.line("PRODID:-//cdktr//next//EN")
	cal.line("CALSCALE:GREGORIAN")
	for _, f := range fires {
		cal.event(f, c.flags.cron, usual[f.Workflow])
	}
	cal.line("END:VCALENDAR")
	_, err = fmt.Fprint(termRaw(c.out), cal.b.String()) // its lines end in CR and LF; icalEscape left no others
	return err
}

// icalLengths asks how long the runs of the workflows that fire take, in seconds: the median.
func icalLengths(ctx context.Context, c *cli, fires []Fire) (map[string]float64, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	usual := map[string]float64{}
	for _, f := range fires {
		if _, known := usual[f.Workflow]; known || len(usual) == icalStats {
			continue
		}
		usual[f.Workflow] = 0
		r, err := conn.ask(ctx, Request{Op: "stats", Workflow: f.Workflow})
		var refused *protoError
		switch {
		case errors.As(err, &refused): // its file has gone meanwhile: nothing is known
		case err != nil:
			return nil, err
		case r.Stats != nil:
			usual[f.Workflow] = r.Stats.P50
		}
	}
	return usual, nil
}

// icalText is a calendar while it is written.
type icalText struct {
	b     strings.Builder
	stamp string // when it is made
}

// event writes a fire. Its UID is the same each time.
func (x *icalText) event(f Fire, cron string, seconds float64) {
	at := f.At.UTC().Format(icalTime)
	id := f.Workflow
	if id == "" {
		id = cron
	}
	x.line("BEGIN:VEVENT")
	x.line("UID:" + icalEscape(strings.ReplaceAll(id, " ", "_")) + "-" + at + "@cdktr")
	x.line("DTSTAMP:" + x.stamp)
	x.line("DTSTART:" + at)
	if seconds >= 1 {
		x.line(fmt.Sprintf("DURATION:PT%dS", int64(seconds+0.5)))
	}
	x.line("SUMMARY:" + icalEscape(id))
	x.line("TRANSP:TRANSPARENT")
	x.line("END:VEVENT")
}

// icalEscape writes a text as a value, without control characters.
func icalEscape(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", `\n`).Replace(termSafeText(text))
}

// line writes a line of content, folded where it is long, between characters.
func (x *icalText) line(text string) {
	room := icalFold
	for len(text) > room {
		cut := room
		for cut > 0 && text[cut]&0xc0 == 0x80 {
			cut--
		}
		x.b.WriteString(text[:cut] + "\r\n ")
		text, room = text[cut:], icalFold-1
	}
	x.b.WriteString(text + "\r\n")
}
