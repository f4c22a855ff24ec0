// crontab_convert.go: from a line of a crontab to a workflow that means the same. What cron's users write around a
// command, because cron has no word for it, becomes the key that cdktr has: a guard is an if, a random sleep a jitter,
// a lock that is not waited for the overlap.

package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// convert makes the workflow of a line, or says why there is none. With unlock a flock becomes the overlap.
func (j *crontabJob) convert(unlock bool) {
	w := &Workflow{Description: j.about, User: j.user, Tasks: []Task{{}}}
	j.Spec, j.Notes, j.Fault, j.lock = nil, nil, "", ""
	if err := textFault(j.Text); err != nil {
		j.Fault = "the line " + err.Error()
		return
	}
	rest, err := j.when(w)
	if err != nil {
		j.Fault = err.Error()
		return
	}
	if j.kind == crontabOfSystem {
		w.User, rest = crontabWord(rest)
		if end := strings.IndexAny(w.User, ":/"); end >= 0 { // a group, or a class of FreeBSD's
			j.note("of %s only the user is carried over", w.User)
			w.User = w.User[:end]
		}
	}
	for strings.HasPrefix(rest, "-") { // options of OpenBSD's and FreeBSD's cron
		option, after := crontabWord(rest)
		if strings.Trim(option, "-nqs") != "" {
			break
		}
		if strings.Contains(option, "n") {
			j.note("-n of the line is not carried over: on_exit of defaults.yml also mails what a success has written")
		}
		if strings.Contains(option, "s") {
			w.Overlap = "skip"
		}
		rest = after
	}
	command, stdin := crontabInput(strings.TrimRight(rest, crontabBlanks))
	command = strings.TrimSpace(command)
	if command == "" {
		j.Fault = "it has no command"
		return
	}
	j.environment(w)
	task := &w.Tasks[0]
	task.Stdin = stdin
	task.Run = j.command(w, task, command, unlock)
	if w.Schedule[0] == cronReboot && !strings.HasSuffix(command, "&") {
		j.note("if it starts a daemon that puts itself into the background: a task's processes end with the task, so " +
			"start it by systemctl or systemd-run")
	}
	j.Spec = w
}

// note remarks what is different.
func (j *crontabJob) note(format string, args ...any) {
	j.Notes = append(j.Notes, fmt.Sprintf(format, args...))
}

// when reads the schedule of a line, and gives what is behind it.
func (j *crontabJob) when(w *Workflow) (rest string, err error) {
	if j.kind == crontabOfDays {
		return j.days(w)
	}
	schedule, rest, notes, err := crontabSchedule(j.Text)
	w.Schedule, j.Notes = []string{schedule}, notes
	return rest, err
}

// crontabEarliest is when anacron begins where nothing says so, in minutes of the day: Debian starts it then.
const crontabEarliest = 7*60 + 30

// days reads a line of anacron: how many days lie between two runs, how many minutes it waits, and its name.
func (j *crontabJob) days(w *Workflow) (rest string, err error) {
	m := crontabMatch(`^@?(\w+)\s+(\d{1,4})\s+(\S+)\s+(.+)$`, j.Text)
	if m == nil {
		return "", errors.New("a line of anacron has days, minutes, a name and a command")
	}
	j.label = m[3]
	begin := crontabEarliest
	if from, _, ok := strings.Cut(j.env["START_HOURS_RANGE"], "-"); ok {
		if hour, err := strconv.Atoi(from); err == nil && hour >= 0 && hour < 24 {
			begin = hour * 60
		}
	}
	delay, _ := strconv.Atoi(m[2]) // they are digits
	begin = (begin + delay) % (24 * 60)
	at := fmt.Sprintf("%d %d ", begin%60, begin/60)
	switch m[1] {
	case "daily", "1":
		at += "* * *"
	case "weekly", "7":
		at += "* * 0"
	case "monthly":
		at += "1 * *"
	case "yearly", "annually":
		at += "1 1 *"
	default:
		at = "@every " + m[1] + "d"
		if _, err := cronParse(at, ""); err != nil {
			return "", err
		}
	}
	w.Schedule, w.Catchup, w.Overlap, w.Pool = []string{at}, "once", "skip", map[string]int{"anacron": 1}
	w.User = orDefault(w.User, "root")
	j.note("anacron looks at each start whether the days have passed: this fires at %s, and what was missed while the "+
		"machine was off is made up for at the next start", at)
	return m[4], nil
}

// environment takes over what the lines above have set.
func (j *crontabJob) environment(w *Workflow) {
	w.Env = map[string]string{}
	for _, name := range sortedKeys(j.env) {
		value := j.env[name]
		if strings.ContainsAny(value, "$`") {
			j.note("cron replaces nothing in variables: %s is %s as it stands, here too", name, value)
		}
		switch {
		case name == "CRON_TZ":
			w.Timezone = value
		case name == "RANDOM_DELAY":
			minutes, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				j.note("RANDOM_DELAY=%s is not a number of minutes", value)
			}
			j.jitter(w, minutes*60)
		case name == "LOGNAME", name == "USER", j.kind == crontabOfDays && name == "START_HOURS_RANGE",
			name == "SHELL" && value == crontabShell, name == "PATH" && value == crontabPath:
		case strings.HasPrefix(name, "CONTENT_"), name == "MAILFROM":
			j.note("%s is not carried over: on_exit of defaults.yml writes the mail", name)
		default:
			if name == "TZ" {
				j.note("TZ is for the command alone: the schedule goes by the time zone of the principal, as with cron")
			}
			if name == "SHELL" {
				w.Shell = value + " -c"
			}
			w.Env[name] = strings.ReplaceAll(value, "${", "$${")
		}
	}
}

// jitter adds to how much later a run may come.
func (j *crontabJob) jitter(w *Workflow, seconds uint64) {
	if w.Jitter == 0 && seconds > 0 {
		j.note("the random delay is a jitter: it is drawn from the workflow's id, and the same each time")
	}
	w.Jitter += Duration(time.Duration(min(seconds, cronDaySeconds)) * time.Second)
}

// command gives what is to run, once all that has a key of its own is taken off. Each turn of the loop takes one thing
// off, and makes the line shorter.
func (j *crontabJob) command(w *Workflow, task *Task, line string, unlock bool) string {
	var guards []string
	for {
		parts, comment, ok := shellSplit(line)
		if !ok || len(parts) == 0 {
			break
		}
		last := len(parts) - 1
		rest := strings.TrimSpace(line[parts[0].end:])
		guard, after, found := crontabGuard(parts, rest)
		seconds, sleeps := crontabSleep(parts[0].text)
		inside, group := shellGroup(line)
		folder, in := crontabFolder(parts, guards)
		background := slices.ContainsFunc(parts[:last], func(p shellPart) bool { return p.op == "&" })
		switch {
		case comment != "":
			w.Description = orDefault(w.Description, textHead(comment, crontabMaxText))
			line = strings.TrimSpace(line[:parts[last].end])
		case parts[last].op == ";", parts[last].op == "&" && !background: // a task ends with its command
			line = strings.TrimSpace(line[:parts[last].end-1])
		case found:
			guards, line = append(guards, guard), after
		case sleeps && rest != "" && (parts[0].op == "&&" || parts[0].op == ";"):
			j.jitter(w, seconds)
			line = rest
		case group:
			line = inside
		case in:
			w.WorkingDirectory, line = folder, rest
		case background && parts[last].op == "&":
			line += " wait"
		case background && parts[last].text != "wait":
			line += "; wait"
		default:
			inner := ""
			if last == 0 {
				inner = j.wrapper(w, task, line, unlock)
			}
			if inner == "" {
				w.If = strings.Join(guards, " && ")
				return line
			}
			line = inner
		}
	}
	w.If = strings.Join(guards, " && ")
	return line
}

// crontabGuard finds a test in front of a line that decides about all the rest of it.
func crontabGuard(parts []shellPart, rest string) (guard, after string, ok bool) {
	if condition, body, is := shellIf(parts[0].text); is && len(parts) == 1 {
		guard, ok = crontabCondition(condition)
		return guard, body, ok && body != ""
	}
	guard, ok = crontabTest(parts[0].text)
	switch {
	case !ok || len(parts) < 2:
	case parts[0].op == "&&" && shellLinked(parts[1:]):
		return guard, rest, true
	case parts[0].op == "||" && parts[1].op == ";" && crontabMatch(`^exit( 0)?$`, parts[1].text) != nil:
		return guard, strings.TrimSpace(rest[strings.IndexByte(rest, ';')+1:]), true
	case parts[0].op == "||" && shellPipe(parts[1:]):
		return crontabNot(guard), rest, true
	}
	return "", "", false
}

// crontabCondition takes over the condition of an if: tests with && between them, or one alone.
func crontabCondition(condition string) (guard string, ok bool) {
	parts, comment, ok := shellSplit(condition)
	if !ok || comment != "" {
		return "", false
	}
	var tests []string
	for i, p := range parts {
		test, ok := crontabTest(p.text)
		if !ok || p.op != "&&" && i < len(parts)-1 {
			return "", false
		}
		tests = append(tests, test)
	}
	return strings.Join(tests, " && "), len(tests) > 0
}

// Commands that only look at something: for a program, and all others.
const (
	crontabLooksFor = `^(?:command -v|(?:/usr/bin/)?which|type|hash) ([\w./+-]+)( |\d|>|&|/dev/null)*$`
	crontabLooks    = `^(\[ [^<>]* \]|\[\[ .* \]\]|test [^<>]+|` +
		`(/usr)?(/bin/)?(mountpoint|p?grep) .*(-q|/dev/null).*)$`
)

// crontabTest says whether a command only looks at something, and gives it as an if needs it: 127, where a program is
// not there, would be no answer.
func crontabTest(command string) (test string, ok bool) {
	if inner, not := strings.CutPrefix(command, "! "); not {
		inner, ok = crontabTest(strings.TrimSpace(inner))
		return crontabNot(inner), ok
	}
	if m := crontabMatch(crontabLooksFor, command); m != nil {
		return `test -n "$(command -v ` + m[1] + `)"`, true
	}
	return command, crontabMatch(crontabLooks, command) != nil
}

// crontabNot gives the opposite of a test.
func crontabNot(test string) string {
	if positive, not := strings.CutPrefix(test, "! "); not {
		return positive
	}
	m := crontabMatch(`^(test|\[) (! )?(-\w \S+( \])?)$`, test)
	switch {
	case m == nil:
		return "! " + test
	case m[2] == "":
		return m[1] + " ! " + m[3]
	}
	return m[1] + " " + m[3]
}

// crontabSleep says whether a command sleeps for a random time, and gives the longest one.
func crontabSleep(command string) (seconds uint64, ok bool) {
	m := crontabMatch(`^(?:/usr)?(?:/bin/)?(sleep|perl|python3?|awk)\s.*(RANDOM|\b(rand|random|shuf)\b)`, command)
	words := shellWords(command)
	if m == nil || !strings.Contains(command, "sleep") || m[1] == "sleep" && len(words) != 2 || len(words) > 3 {
		return 0, false
	}
	if words[1] == "$RANDOM" {
		return 32767, true
	}
	// the largest number in it is the range, but for RANDOM*3600/32768
	for _, number := range regexp.MustCompile(`\d+`).FindAllString(command, -1) {
		if n, err := strconv.ParseUint(number, 10, 32); err == nil && n/2 != 32767/2 && n != 32768 {
			seconds = max(seconds, n)
		}
	}
	if strings.HasSuffix(command, ")m") { // sleep $((RANDOM % 60))m
		seconds *= 60
	}
	return seconds, seconds > 0 && !strings.Contains(command, "{RANDOM:")
}

// crontabFolder finds a cd in front of a line that is for all the rest of it. guards are the tests before it, which
// then are asked in that folder: a path in them must not depend on it.
func crontabFolder(parts []shellPart, guards []string) (folder string, ok bool) {
	m := crontabMatch(`^cd (~|\$HOME|\$\{HOME\})?(/[\w./@+-]*)?$`, parts[0].text)
	if m == nil || m[1]+m[2] == "" || len(parts) < 2 || parts[0].op != "&&" || !shellLinked(parts[1:]) ||
		crontabMatch(`(^|\s)[^-/"$!\[\]=&\s]`, strings.ReplaceAll(strings.Join(guards, " "), "test ", "")) != nil {
		return "", false
	}
	if m[1] != "" {
		return crontabHome + m[2], true
	}
	return m[2], true
}

// crontabFlock matches a flock that waits, or does not wait, for a lock alone.
const crontabFlock = `^(?:/usr/bin/)?flock ((?:-(?:[nxe]+|-nb|-nonblock|-exclusive) )*)(/\S+) (-c )?([^-].*)$`

// wrapper takes a program off a simple command that only says how the rest is to run: timeout, sh -c and flock. It
// gives the rest, "" where there is none of them.
func (j *crontabJob) wrapper(w *Workflow, task *Task, command string, unlock bool) string {
	if m := crontabMatch(`^(?:/usr/bin/)?timeout (\d+[smhd]?) ([^-].*)$`, command); m != nil && task.Timeout == 0 {
		if d, err := parseDuration(m[1]); err == nil && d > 0 {
			task.Timeout = Duration(d)
			return m[2]
		}
	}
	if m := crontabMatch(`^(?:/bin/)?sh -c (.*)$`, command); m != nil && w.Shell == "" && len(shellWords(m[1])) == 1 {
		script, _ := shellPlain(m[1]) // "" where it is not plain
		return script
	}
	m := crontabMatch(crontabFlock, command)
	if m == nil || !unlock || w.Overlap != "" {
		return ""
	}
	lock, ok := shellPlain(m[2])
	if m[3] != "" && ok {
		m[4], ok = shellPlain(m[4])
	}
	if !ok {
		return ""
	}
	w.Overlap = "queue"
	if strings.Contains(m[1], "n") {
		w.Overlap = "skip"
	}
	j.lock = lock
	j.note("flock %s is overlap: %s: leave the flock in if something else takes that lock", lock, w.Overlap)
	return m[4]
}

// shift finds the next change of the clock at which cron would start a job more often than cdktr: for each minute that
// is skipped, where cdktr makes up for all of them by one run.
func (j *crontabJob) shift(now time.Time, zone *time.Location) {
	expr, err := cronParse(j.Spec.Schedule[0], "")
	if name := j.Spec.Timezone; name != "" && err == nil {
		zone, err = zoneLoad(name)
	}
	if err != nil || expr.occasion != "" || expr.followsRealTime() {
		return
	}
	end := now.Add(366 * 24 * time.Hour).Unix()
	for u := now.Unix(); u < end; {
		before := cronStretchAt(zone, u)
		u = before.end
		if u >= end {
			return
		}
		was, is := u+before.offset, u+cronStretchAt(zone, u).offset
		n := 0
		for l, ok := expr.nextLocal(was); ok && l <= is && is-was <= cronLongestGap; l, ok = expr.nextLocal(l + 1) {
			n++
		}
		if n > 1 {
			clock := time.Unix(is, 0).UTC()
			j.Shift = fmt.Sprintf("on %s the clock skips %s to %s: cron starts it %d times then, here it runs once",
				clock.Format(time.DateOnly), time.Unix(was, 0).UTC().Format("15:04"), clock.Format("15:04"), n)
			return
		}
	}
}
