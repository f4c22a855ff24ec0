// view.go: what all screens of the terminal UI have in common: areas, the looks of states, times, tables. The files of
// this room draw, each from a struct that says all it shows, into a grid: no clock, no connection, no keys.

package main

import (
	"fmt"
	"time"
)

// viewArea is a part of the screen, in cells.
type viewArea struct{ x, y, w, h int }

// viewLooks gives the glyph, the word and the style of a state of a run, a task or an agent. Glyph and word say it all:
// colour comes second, and the attributes stand in for it where there is none.
func viewLooks(state string) (glyph, word string, style termStyle) {
	switch state {
	case runQueued:
		return ".", "queue", styleDim
	case taskWaiting:
		return "o", "wait", 0
	case runRunning:
		return "*", "run", styleCyan | styleBold
	case taskRetrying:
		return "~", "retry", styleYellow | styleBold
	case runSucceeded:
		return "+", "ok", styleGreen
	case runFailed:
		return "!", "fail", styleRed | styleBold
	case runCrashed:
		return "!", "crash", styleRed | styleBold
	case runCancelled:
		return "x", "canc", styleMagenta
	case taskSkipped:
		return "-", "skip", styleDim
	case agentUp:
		return "+", "up", styleGreen
	case agentDrain:
		return "=", "drain", styleYellow
	case agentLost:
		return "?", "lost", styleRed | styleReverse
	}
	return "?", state, styleRed
}

// viewTook gives a duration in the fewest letters: 0:02, 2:14, 1:02:14, 3d04h.
func viewTook(d time.Duration) string {
	s := int(max(d, 0) / time.Second)
	switch {
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	case s < 100*3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// viewSince gives how long something took or, while it goes on, has taken at now; "-" before it began.
func viewSince(started, finished Stamp, now time.Time) string {
	switch {
	case started.IsZero():
		return "-"
	case finished.IsZero():
		return viewTook(now.Sub(started.Time))
	}
	return viewTook(finished.Sub(started.Time))
}

// viewWhen gives a time as people read it, in at most 12 columns and in the zone of now: the time of day, before it the
// weekday where it is within six days, else the date.
func viewWhen(t Stamp, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	at := t.In(now.Location())
	switch day := now.AddDate(0, 0, -6); {
	case at.YearDay() == now.YearDay() && at.Year() == now.Year():
		return at.Format("15:04:05")
	case at.After(day) && at.Before(now.AddDate(0, 0, 6)):
		return at.Format("Mon 15:04:05")
	case at.Year() == now.Year():
		return at.Format("Jan 02 15:04")
	}
	return at.Format("2006-01-02")
}
