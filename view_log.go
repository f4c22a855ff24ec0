//go:build !noui

// view_log.go: a log as the terminal UI holds it: its newest lines within a bound, which of them are shown, where the
// reader is, and the search. view_log_draw.go draws it. One goroutine uses it.

package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

const (
	viewLogLines = 5000    // lines held
	viewLogBytes = 2 << 20 // bytes that they may take, each viewLogCost beside its text
	viewLogCost  = 144     // bytes that a line takes beside its text
	viewLogName  = 16      // columns of a task's name, at the most
)

// viewLogRow is a line of the log. Its text is harmless.
type viewLogRow struct {
	time   Stamp
	n      int64 // its number in the run, 0: none
	task   string
	open   bool   // it has not ended: it stands below all others, and what it becomes replaces it
	stream string // as in LogLine; c is a gap or a remark
	text   string
	paints []viewPaint
	cols   int // the width of text
	hits   int // of the search in it, once it is shown
}

// viewPaint says how text looks from a byte on, as the task asked with an escape sequence for colour.
type viewPaint struct {
	start int
	style termStyle
}

// viewLogPlace is a row of the log as it is drawn: a line by its sequence number, and a row of it where it is wrapped.
type viewLogPlace struct{ seq, sub int }

// viewLog is a log and one reader of it. Lines have sequence numbers, which stay when other lines come and go.
type viewLog struct {
	// How it is shown: the lines of one task only (see setTask), of one stream only ("o" or "e"), and only those that
	// pass a filter; wrapped or with pan columns left of the screen; with times; in the task's colours.
	task    string
	streams string
	only    viewFilter
	wrap    bool
	pan     int
	times   bool
	colour  bool

	// Where the reader is: at the end, where new lines move the screen, or at top. behind counts newer lines that were
	// let go so that what is read may stay: then G must load the newest anew.
	follow bool
	top    viewLogPlace
	behind int
	w, h   int // of the last drawing: what a page is

	// The lines, and the sequence number of the first; the bytes that they take, and of that their text; the sequence
	// numbers of those that are shown; how many lines each task has, and the columns of the longest of those names.
	lines  []viewLogRow
	first  int
	bytes  int
	size   int
	shown  []int
	names  map[string]int
	column int

	// The search: what is wrong with its text, the hits in all shown lines, the current hit, where the reader was
	// before (nil when no search is being typed), and memory that is used again.
	search viewMatch
	fault  string
	hits   int
	hit    viewLogHit
	typing *viewLogOrigin
	spans  []viewSpan
}

// viewLogHit is one hit: the nth of a line. It is no hit when the line has fewer.
type viewLogHit struct{ seq, nth int }

// viewLogOrigin is where the reader was when a search began.
type viewLogOrigin struct {
	top    viewLogPlace
	follow bool
	pan    int
	search string
	hit    viewLogHit
}

// viewLogNew makes an empty log, which follows and shows times.
func viewLogNew() *viewLog {
	return &viewLog{follow: true, times: true, w: 80, h: 20, names: map[string]int{}, hit: viewLogHit{nth: -1}}
}

// reset forgets all lines, and follows. Filters, search and looks stay.
func (v *viewLog) reset() {
	v.lines, v.shown, v.names = nil, nil, map[string]int{}
	v.first, v.bytes, v.size, v.column, v.hits, v.behind, v.pan = 0, 0, 0, 0, 0, 0, 0
	v.follow, v.hit = true, viewLogHit{nth: -1}
}

// add takes newer lines in. At a bound the oldest go. But a reader who does not follow and sees the oldest keeps them:
// then the new lines go, and behind counts them.
func (v *viewLog) add(lines ...LogLine) {
	open := v.takeOpen()
	for i := range lines {
		row := viewLogRowOf(&lines[i])
		open = slices.DeleteFunc(open, row.alike)
		v.push(row)
	}
	v.pushOpen(open)
}

// begun takes a line that has not ended, in place of what it was before. It stands below all lines that have ended.
// Without text it is gone.
func (v *viewLog) begun(line LogLine) {
	row := viewLogRowOf(&line)
	row.open = true
	open := slices.DeleteFunc(v.takeOpen(), row.alike)
	if line.Text != "" {
		open = append(open, row)
	}
	v.pushOpen(open)
}

// alike says whether two lines are of the same stream of the same task.
func (r *viewLogRow) alike(other viewLogRow) bool {
	return r.task == other.task && r.stream == other.stream
}

// takeOpen takes the lines that have not ended out of the log.
func (v *viewLog) takeOpen() (open []viewLogRow) {
	for n := len(v.lines) - 1; n >= 0 && v.lines[n].open; n-- {
		r := v.lines[n]
		v.count(&r, -1)
		if last := len(v.shown) - 1; last >= 0 && v.shown[last] == v.first+n {
			v.shown = v.shown[:last]
			v.hits -= r.hits
		}
		v.lines[n] = viewLogRow{}
		v.lines = v.lines[:n]
		open = append([]viewLogRow{r}, open...)
	}
	return open
}

// pushOpen puts them back.
func (v *viewLog) pushOpen(open []viewLogRow) {
	for i := range open {
		if v.behind == 0 {
			v.push(open[i])
		}
	}
}

// gap says in the log that lines are missing here, and why.
func (v *viewLog) gap(text string) {
	open := v.takeOpen()
	v.push(viewLogRowOf(&LogLine{Stream: "c", Text: text}))
	v.pushOpen(open)
}

// viewLogRowOf makes a line harmless. cdktr's own remarks look like gaps, because most of them are about gaps.
func viewLogRowOf(l *LogLine) viewLogRow {
	row := viewLogRow{time: l.Time, n: l.N, task: l.Task, stream: l.Stream}
	if l.Bytes == nil && len(l.Text) <= termLogMax && textIsSafe(l.Text) {
		row.text = l.Text
	} else {
		var text strings.Builder
		for _, span := range termLogText(string(l.raw()), true) {
			if span.style != 0 || len(row.paints) > 0 {
				row.paints = append(row.paints, viewPaint{text.Len(), span.style})
			}
			text.WriteString(span.text)
		}
		row.text = text.String()
	}
	if row.stream == "c" {
		text := strings.TrimSuffix(strings.TrimPrefix(row.text, "[cdktr: "), "]")
		row.text, row.paints = "~~ "+text+" ~~", nil
	}
	row.cols = textWidth(row.text)
	return row
}

func (r *viewLogRow) cost() int { return viewLogCost + len(r.text) + 16*len(r.paints) }

// plain says whether each byte of the text is a column.
func (r *viewLogRow) plain() bool { return r.cols == len(r.text) }

func (v *viewLog) full(more int) bool {
	return len(v.lines) > 0 && (len(v.lines) >= viewLogLines || v.bytes+more > viewLogBytes)
}

func (v *viewLog) push(r viewLogRow) {
	oldestShown := !v.follow && v.top.seq <= v.first
	if v.behind > 0 || oldestShown && v.full(r.cost()) {
		v.behind++
		return
	}
	for v.full(r.cost()) {
		v.dropOldest()
	}
	v.lines = append(v.lines, r)
	v.count(&r, 1)
	if seq := v.first + len(v.lines) - 1; v.pass(&r) {
		v.show(seq)
		v.shown = append(v.shown, seq)
	}
}

// prepend takes older lines, in order, before all others. What is on the screen stays there: at a bound the newest
// lines go, and behind counts them. While following, the oldest go.
func (v *viewLog) prepend(lines ...LogLine) {
	open := v.takeOpen()
	defer func() { v.pushOpen(open) }()
	rows := make([]viewLogRow, 0, len(lines)+len(v.lines))
	for i := range lines {
		rows = append(rows, viewLogRowOf(&lines[i]))
		v.count(&rows[i], 1)
	}
	v.lines, v.first = append(rows, v.lines...), v.first-len(lines)
	for len(v.lines) > 1 && (len(v.lines) > viewLogLines || v.bytes > viewLogBytes) {
		if v.follow {
			v.dropOldest()
			continue
		}
		last := &v.lines[len(v.lines)-1]
		v.count(last, -1)
		*last = viewLogRow{}
		v.lines = v.lines[:len(v.lines)-1]
		v.behind++
	}
	v.sift()
}

func (v *viewLog) dropOldest() {
	r := &v.lines[0]
	v.count(r, -1)
	if len(v.shown) > 0 && v.shown[0] == v.first {
		v.shown = v.shown[1:]
		v.hits -= r.hits
	}
	*r = viewLogRow{}
	v.lines, v.first = v.lines[1:], v.first+1
}

// count adds a line to the sums, or with -1 takes it out.
func (v *viewLog) count(r *viewLogRow, sign int) {
	v.bytes += sign * r.cost()
	v.size += sign * len(r.text)
	if r.task == "" {
		return
	}
	v.names[r.task] += sign
	switch n := v.names[r.task]; {
	case n == 0:
		delete(v.names, r.task)
		v.column = 0
		for name := range v.names {
			v.column = max(v.column, textWidth(name))
		}
	case n == 1 && sign > 0:
		v.column = max(v.column, textWidth(r.task))
	}
}

// row gives the line with that sequence number.
func (v *viewLog) row(seq int) *viewLogRow { return &v.lines[seq-v.first] }

// pass says whether a line is shown. Gaps always are.
func (v *viewLog) pass(r *viewLogRow) bool {
	switch {
	case v.task != "" && r.task != "" && r.task != v.task && !foreachIs(r.task, v.task):
		return false
	case r.stream == "c":
		return true
	case v.task != "" && r.task == "", v.streams != "" && r.stream != v.streams:
		return false
	}
	return v.only.pass(r.text)
}

// show counts the hits in a line that has just come into view of the filter.
func (v *viewLog) show(seq int) {
	r := v.row(seq)
	r.hits = 0
	if v.search.text != "" {
		v.spans = v.search.all(r.text, v.spans[:0])
		r.hits = len(v.spans)
		v.hits += r.hits
	}
}

// sift chooses anew which lines are shown, and counts their hits.
func (v *viewLog) sift() {
	v.hits = 0
	v.shown = make([]int, 0, len(v.lines))
	for i := range v.lines {
		if v.pass(&v.lines[i]) {
			v.show(v.first + i)
			v.shown = append(v.shown, v.first+i)
		}
	}
}

// setTask shows the lines of one task, or with "" of all tasks.
func (v *viewLog) setTask(task string) {
	if v.task != task {
		v.task, v.top.sub, v.pan = task, 0, 0
		v.sift()
	}
}

// cycleStreams goes from both streams to standard output alone, to standard error alone, and back.
func (v *viewLog) cycleStreams() {
	v.streams = map[string]string{"": "o", "o": "e", "e": ""}[v.streams]
	v.top.sub = 0
	v.sift()
}

// setOnly shows lines that match alone, see viewFilter; "" shows all. It gives what is wrong with the text, and then
// nothing changes.
func (v *viewLog) setOnly(text string) (fault string) {
	f, err := viewFilterOf(text)
	if err != nil {
		return err.Error()
	}
	v.only, v.top.sub = f, 0
	v.sift()
	return ""
}

// searchBegin notes where the reader is. A prompt calls it before its first setSearch.
func (v *viewLog) searchBegin() {
	v.typing = &viewLogOrigin{v.top, v.follow, v.pan, v.search.text, v.hit}
}

// setSearch looks for a text (see viewMatch), anew with each letter that is typed, and goes to the first hit from where
// the search began, or to the last hit while following. "" looks for nothing. It gives what is wrong with the text.
func (v *viewLog) setSearch(text string) (fault string) {
	v.fault = ""
	m, err := viewMatchOf(text)
	if err != nil {
		v.fault = err.Error()
	}
	v.search = m
	v.sift()
	if v.typing != nil {
		v.top, v.follow, v.pan = v.typing.top, v.typing.follow, v.typing.pan
	}
	v.hit = viewLogHit{nth: -1}
	if v.hits == 0 {
		return v.fault
	}
	if v.follow {
		v.goTo(v.hitFrom(len(v.shown)-1, -1))
	} else {
		from, _ := v.start()
		v.goTo(v.hitFrom(from, 1))
	}
	return v.fault
}

// searchEnd ends the prompt. keep stays at the hit; else the reader is back where the search began, with the old
// search.
func (v *viewLog) searchEnd(keep bool) {
	from := v.typing
	v.typing = nil
	if keep || from == nil {
		return
	}
	v.setSearch(from.search)
	v.top, v.follow, v.pan, v.hit = from.top, from.follow, from.pan, from.hit
}

// next goes to the next hit, or with -1 to the one before. It starts from the current hit if that is on the screen,
// else from the screen's edge. It says whether it went around the end.
func (v *viewLog) next(dir int) (around bool) {
	if v.hits == 0 {
		return false
	}
	from, sub := v.start()
	to, _ := v.walk(from, sub, v.h-1)
	at, hit := viewLogHit{seq: v.shown[from], nth: -1}, v.hitFrom(from, 1)
	if dir < 0 {
		at, hit = viewLogHit{v.shown[to], viewMatchHits}, v.hitFrom(to, -1)
	}
	if i := v.index(v.hit.seq); v.hitValid() && i >= from && i <= to {
		at, hit = v.hit, viewLogHit{v.hit.seq, v.hit.nth + dir}
		if hit.nth < 0 || hit.nth >= v.row(hit.seq).hits {
			hit = v.hitFrom(i+dir, dir)
		}
	}
	v.goTo(hit)
	if hit.seq == at.seq {
		return dir*(hit.nth-at.nth) <= 0
	}
	return dir*(hit.seq-at.seq) < 0
}

// hitValid says whether there is a current hit.
func (v *viewLog) hitValid() bool {
	i := v.index(v.hit.seq)
	if i == len(v.shown) || v.shown[i] != v.hit.seq {
		return false
	}
	return v.hit.nth >= 0 && v.hit.nth < v.row(v.hit.seq).hits
}

// hitFrom gives the first hit at or behind the shown line i, or with -1 the last one at or before it, around the end if
// need be. There must be one.
func (v *viewLog) hitFrom(i, dir int) viewLogHit {
	n := len(v.shown)
	for range n {
		i = (i + n) % n
		if r := v.row(v.shown[i]); r.hits > 0 {
			if dir < 0 {
				return viewLogHit{v.shown[i], r.hits - 1}
			}
			return viewLogHit{v.shown[i], 0}
		}
		i += dir
	}
	return viewLogHit{nth: -1}
}

// index gives the index in shown of a line by its sequence number, or else of the next line.
func (v *viewLog) index(seq int) int { return sort.SearchInts(v.shown, seq) }

// oldest gives the number in its run of the oldest line held, 0 when there is none. Older lines are asked for before
// it.
func (v *viewLog) oldest() int64 {
	for i := range v.lines {
		if v.lines[i].n > 0 {
			return v.lines[i].n
		}
	}
	return 0
}

// status gives the two parts of the status row: at the left what is searched and found, at the right where the reader
// is.
func (v *viewLog) status() (left, right string) {
	if v.only.text != "" {
		left = "&" + v.only.text + "  "
	}
	if v.search.text != "" || v.fault != "" {
		left += "/" + v.search.text + "  "
		switch {
		case v.fault != "":
			left = v.fault
		case v.hits == 0:
			left += "no match"
			if v.oldest() > 1 {
				left += " in the newest " + fmt.Sprint(len(v.lines)) + " lines"
			}
		case v.hitValid():
			nth := v.hit.nth + 1
			for _, seq := range v.shown[:v.index(v.hit.seq)] {
				nth += v.row(seq).hits
			}
			left += fmt.Sprintf("match %d of %d", nth, v.hits)
		default:
			left += fmt.Sprintf("%d matches", v.hits)
		}
	}
	if v.behind > 0 {
		right = fmt.Sprintf("%d newer: G   ", v.behind)
	}
	return strings.TrimRight(left, " "), right + fmt.Sprintf("line %d of %d   %s   %s", v.bottom(),
		len(v.shown), v.streamsText(), viewSize(v.size))
}

// streamsText names the streams that are shown.
func (v *viewLog) streamsText() string {
	switch v.streams {
	case "o":
		return "stdout"
	case "e":
		return "stderr"
	}
	return "stdout+stderr"
}

// viewSize writes a number of bytes for people: 812 B, 12.4 KB, 1.9 MB.
func viewSize(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
}

// text gives the lines that are shown, for a file: with time and task where those are shown, without colours.
func (v *viewLog) text() []byte {
	var b []byte
	for _, seq := range v.shown {
		r := v.row(seq)
		if v.times && !r.time.IsZero() {
			b = r.time.Local().AppendFormat(b, "15:04:05.000 ")
		}
		if v.named() && r.task != "" {
			b = append(append(b, textSafe(r.task)...), ": "...)
		}
		b = append(append(b, r.text...), '\n')
	}
	return b
}
