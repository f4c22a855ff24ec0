// model.go: the nouns of the whole program. A Workflow is what a file says; a Run is one go through it; a TaskRun is
// one task of that run. They are plain data: the wire, the journal and --json have them under the same field names.

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// States of a run. The first two are active, the others final.
const (
	runQueued    = "queued"
	runRunning   = "running"
	runSucceeded = "succeeded"
	runFailed    = "failed"
	runCancelled = "cancelled"
	runCrashed   = "crashed"
)

// States of a task within a run. The first three are active, the others final.
const (
	taskWaiting   = "waiting"
	taskRunning   = "running"
	taskRetrying  = "retrying"
	taskSucceeded = "succeeded"
	taskFailed    = "failed"
	taskSkipped   = "skipped"
	taskCancelled = "cancelled"
	taskCrashed   = "crashed"
)

// What made a run.
const (
	triggerCron    = "cron"
	triggerCatchup = "catch-up"
	triggerReboot  = "reboot"
	triggerStart   = "start"
	triggerManual  = "manual" // a person or a program, through the request API
)

// Policies of a workflow file.
const (
	overlapSkip    = "skip"
	overlapQueue   = "queue"
	overlapReplace = "replace"
	overlapAllow   = "allow"

	catchupSkip = "skip"
	catchupOnce = "once"
	catchupAll  = "all"

	whenSuccess = "success"
	whenFailure = "failure"
	whenAlways  = "always"

	failoverRerun = "rerun"
	failoverFail  = "fail"
)

// stampLayout is RFC 3339 with exactly three decimals, always UTC: it sorts as text.
const stampLayout = "2006-01-02T15:04:05.000Z"

// Stamp is a time on the wire, in the journal and in --json output: RFC 3339, UTC, milliseconds. The zero Stamp is
// left out of JSON by the tag omitzero.
type Stamp struct{ time.Time }

// stampOf cuts t to what a Stamp carries, so that a value is the same before and after a trip through JSON.
func stampOf(t time.Time) Stamp {
	if t.IsZero() {
		return Stamp{}
	}
	return Stamp{t.UTC().Truncate(time.Millisecond)}
}

// stampable says whether RFC 3339 can write t in UTC: with a year of four digits. A time that reads well in its own
// zone may lie outside of that in UTC.
func stampable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

func (s Stamp) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(stampLayout)+2)
	b = append(b, '"')
	b = s.UTC().AppendFormat(b, stampLayout)
	return append(b, '"'), nil
}

func (s *Stamp) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" {
		*s = Stamp{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !stampable(t) {
		return fmt.Errorf("parse time %q: want RFC 3339, as 2026-01-31T02:30:00Z", text)
	}
	*s = stampOf(t)
	return nil
}

// Duration is a time.Duration that files and JSON write as text: "90s", "2h30m", "1d", "2w". A bare number is seconds.
type Duration time.Duration

// String writes the shortest exact form: "1d", "2h30m", "1.5s".
func (d Duration) String() string {
	v := time.Duration(d)
	if v > 0 && v%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(v/(24*time.Hour)), 10) + "d"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d *Duration) UnmarshalJSON(b []byte) error {
	v, err := parseDuration(strings.Trim(string(b), `"`))
	if err == nil {
		*d = Duration(v)
	}
	return err
}

// durationMax is the longest time.Duration, 292 years.
const durationMax = time.Duration(1<<63 - 1)

// parseDuration reads what time.ParseDuration reads, and also weeks (w) and days (d) in front of it. A bare number is
// seconds. A negative duration is an error.
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w", text)
	rest := strings.TrimSpace(text)
	if seconds, err := strconv.ParseFloat(rest, 64); err == nil {
		if !(seconds >= 0 && seconds < 9.2e9) { // also NaN; 9.2e9 is below durationMax
			return 0, bad
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	var sum time.Duration
	units := false // days or weeks were given
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		if head, tail, ok := strings.Cut(rest, unit.letter); ok {
			n, err := strconv.ParseUint(head, 10, 16)
			if err != nil || time.Duration(n) > (durationMax-sum)/unit.length {
				return 0, bad
			}
			sum += time.Duration(n) * unit.length
			rest, units = tail, true
		}
	}
	if rest == "" && units {
		return sum, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || more > durationMax-sum {
		return 0, bad
	}
	return sum + more, nil
}

// sizeUnits are the letters behind a number of bytes, the largest first.
var sizeUnits = []struct {
	letter string
	bytes  int64
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// parseSize reads a number of bytes: "10M", "512K", "1.5G", "2T" (of 1024 each), or a bare number.
func parseSize(text string) (int64, error) {
	digits, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if head, ok := strings.CutSuffix(strings.ToUpper(digits), u.letter); ok {
			digits, unit = head, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.Trim(digits, "0123456789.") != "" || n*float64(unit) >= 1<<62 {
		return 0, fmt.Errorf("%q is not a size: write it as 512K, 10M or 2G", text)
	}
	return int64(n * float64(unit)), nil
}

// sizeText writes a number of bytes as parseSize reads it.
func sizeText(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.letter
		}
	}
	return strconv.FormatInt(n, 10)
}

// Workflow is what one workflow file says, checked and with defaults filled in. It is immutable: a changed file makes
// a new one, and a run keeps the version that it was queued with (see Hash).
type Workflow struct {
	ID          string `json:"id"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`

	// When it fires.
	Schedule      []string `json:"schedule,omitempty"` // cron expressions
	Timezone      string   `json:"timezone,omitempty"` // IANA name; "" is the principal's
	StartTime     Stamp    `json:"start_time,omitzero"`
	EndTime       Stamp    `json:"end_time,omitzero"`
	Catchup       string   `json:"catchup,omitempty"` // "" is skip
	CatchupWindow Duration `json:"catchup_window,omitempty"`
	Overlap       string   `json:"overlap,omitempty"` // "" is skip
	Jitter        Duration `json:"jitter,omitempty"`

	// How the run as a whole goes.
	Priority int               `json:"priority,omitempty"`
	Timeout  Duration          `json:"timeout,omitempty"` // 0: none
	Retries  int               `json:"retries,omitempty"`
	Failover string            `json:"failover,omitempty"` // "": see failover
	Agent    map[string]string `json:"agent,omitempty"`    // labels that the agent must have

	// What its tasks get.
	Params           map[string]Param  `json:"params,omitempty"`
	Env              map[string]string `json:"env,omitempty"`
	EnvFile          []string          `json:"env_file,omitempty"`
	WorkingDirectory string            `json:"working_directory,omitempty"`
	MaxActiveTasks   int               `json:"max_active_tasks,omitempty"` // 0: no limit
	// bytes of output of a run; 0: see logMaxSize
	LogMaxSize int64 `json:"log_max_size,omitempty"`
	// how long output is kept; 0: as the principal says
	LogKeep Duration `json:"log_keep,omitempty"`

	Tasks []Task `json:"tasks"` // in the order of the file
}

// logMaxSize gives how many bytes of output a run may write: 10 MiB unless the file says otherwise.
func (w *Workflow) logMaxSize() int64 {
	if w.LogMaxSize > 0 {
		return w.LogMaxSize
	}
	return 10 << 20
}

// Param is one parameter that a run may be given.
type Param struct {
	Default     string `json:"default,omitempty"`
	Pattern     string `json:"pattern,omitempty"` // RE2, matched against the whole value
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"` // no default was written
}

// textFault says why a text cannot be a value, nil when it can: a process cannot be given a NUL, and text that is not
// UTF-8 does not survive JSON. The error reads on after the name of the value.
func textFault(text string) error {
	for i, c := range text {
		switch {
		case c == 0:
			return fmt.Errorf("has a NUL byte in it, at byte %d", i+1)
		case c == utf8.RuneError && strings.HasPrefix(text[i:], "\ufffd"):
		case c == utf8.RuneError:
			return fmt.Errorf("is not UTF-8: byte %d is 0x%02x", i+1, text[i])
		}
	}
	return nil
}

// paramPattern compiles the pattern of a parameter (RE2) so that it matches only a whole value.
func paramPattern(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // by itself first: "a)(b" would pass between brackets
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// paramsMax bounds the parameters of a run: bytes of all of them together, as a process gets them. A process can get no
// longer value. A run, or a file, that would have more is refused.
const paramsMax = 128 << 10

// paramsSize gives the bytes of parameters as a process gets them: PARAM_NAME=VALUE and a zero byte, for each.
func paramsSize(params map[string]string) (size int) {
	for name, value := range params {
		size += len("PARAM_") + len(name) + len("=") + len(value) + 1
	}
	return size
}

// paramsFault says that parameters are too large, and what to do; nil when they are not.
func paramsFault(params map[string]string) error {
	if size := paramsSize(params); size > paramsMax {
		return fmt.Errorf("the parameters have %d bytes and may have %d, all together: write large data to a file, "+
			"and give its name", size, paramsMax)
	}
	return nil
}

// Task is one node of a workflow's graph. Exactly one of Run, Cmd and Python says what it does.
type Task struct {
	ID          string   `json:"id"`
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"`
	Depends     []string `json:"depends,omitempty"` // ids of tasks
	When        string   `json:"when,omitempty"`    // "" is success

	Run    string   `json:"run,omitempty"`   // a shell line
	Shell  string   `json:"shell,omitempty"` // "" is /bin/sh -c
	Cmd    string   `json:"cmd,omitempty"`   // a program
	Args   []string `json:"args,omitempty"`
	Python *Python  `json:"python,omitempty"`

	Retries          int               `json:"retries,omitempty"`
	RetryDelay       Duration          `json:"retry_delay,omitempty"`
	RetryMaxDelay    Duration          `json:"retry_max_delay,omitempty"`
	Timeout          Duration          `json:"timeout,omitempty"` // of one attempt; 0: none
	Env              map[string]string `json:"env,omitempty"`
	WorkingDirectory string            `json:"working_directory,omitempty"`
}

// Python is a script run by uv, with its packages.
type Python struct {
	Script           string   `json:"script"`
	Packages         []string `json:"packages,omitempty"`
	Project          bool     `json:"project,omitempty"` // a uv project brings its own packages
	UV               string   `json:"uv,omitempty"`      // "" is uv in PATH
	WorkingDirectory string   `json:"working_directory,omitempty"`
}

// hash names a version of a workflow by its content, 16 hexadecimal digits, and gives its size in bytes as JSON.
func (w *Workflow) hash() (name string, size int) {
	named, err := json.Marshal(w) // with escapes for HTML: the names in journals were made so
	if err != nil {
		panic("cdktr: internal error: encode workflow: " + err.Error()) // no field of it can fail
	}
	text, err := jsonText(w)
	if err != nil {
		panic("cdktr: internal error: encode workflow: " + err.Error())
	}
	sum := sha256.Sum256(named)
	return hex.EncodeToString(sum[:8]), len(text)
}

// task gives the task with that id, or nil.
func (w *Workflow) task(id string) *Task {
	for i := range w.Tasks {
		if w.Tasks[i].ID == id {
			return &w.Tasks[i]
		}
	}
	return nil
}

// cleansUp says whether the task cleans up or raises the alarm: it runs though the work before it was stopped.
func (t *Task) cleansUp() bool { return t.When == whenAlways || t.When == whenFailure }

// failover gives the policy in force: without one in the file, a workflow with retries is rerun when its agent is lost.
func (w *Workflow) failover() string {
	switch {
	case w.Failover != "":
		return w.Failover
	case w.Retries > 0:
		return failoverRerun
	}
	return failoverFail
}

// Run is one go through a workflow. The field names are those of `ps --json`, and are never renamed.
type Run struct {
	ID       string            `json:"run"`
	Workflow string            `json:"workflow"`
	State    string            `json:"state"`
	Reason   string            `json:"reason"`  // why it is in that state, for people
	Trigger  string            `json:"trigger"` // what made it
	By       string            `json:"by"`      // who asked for it
	Agent    string            `json:"agent"`   // that it was given to
	Attempt  int               `json:"attempt"` // 1, and one more each time it is queued again
	Params   map[string]string `json:"params"`

	Scheduled Stamp     `json:"scheduled,omitzero"` // the tick that fired it
	Queued    Stamp     `json:"queued,omitzero"`
	Started   Stamp     `json:"started,omitzero"` // this attempt of it
	Finished  Stamp     `json:"finished,omitzero"`
	Seconds   float64   `json:"seconds"` // from Started to Finished
	Tasks     []TaskRun `json:"tasks"`

	Version  string `json:"version"` // hash of the workflow it runs
	Priority int    `json:"priority,omitempty"`
	Lease    int    `json:"lease,omitempty"` // counts its assignments: reports on an earlier one are void
	// its agent has it before it has a place for it: it has not begun, and is shown as queued
	Ahead bool `json:"ahead,omitempty"`

	// Why and how it is being stopped.
	Cancelling string `json:"cancelling,omitempty"` // why; "" when it is not
	Force      bool   `json:"force,omitempty"`      // at once, with KILL; only while it is active

	Lost bool `json:"lost,omitempty"` // it crashed only because its agent went away, which may still bring its results

	// Where its output begins.
	LogDay string `json:"log_day,omitempty"` // the file, yyyy-mm-dd
	LogAt  int64  `json:"log_at,omitempty"`  // the offset in it

	// Started and Finished by the agent's own clock, where that is more than 5 s off ours.
	OwnStarted  Stamp `json:"own_started,omitzero"`
	OwnFinished Stamp `json:"own_finished,omitzero"`

	Left []LeftProcess `json:"left,omitempty"` // processes that could not be ended; the list is replaced, never changed
}

// TaskRun is one task of a run.
type TaskRun struct {
	Task     string            `json:"task"`
	State    string            `json:"state"`
	Reason   string            `json:"reason"`            // why it is in that state, for people
	Exit     *int              `json:"exit,omitempty"`    // exit code of its process; nil: there is none
	Attempts int               `json:"attempts"`          // how many were begun, however few Earlier has
	Earlier  []TaskAttempt     `json:"earlier,omitempty"` // those that failed before the newest
	Started  Stamp             `json:"started,omitzero"`  // when the first attempt began
	Began    Stamp             `json:"began,omitzero"`    // when the newest began, if it is not the first; see began
	Finished Stamp             `json:"finished,omitzero"`
	Seconds  float64           `json:"seconds"` // from the first attempt's start to the end, with the waits
	Outputs  map[string]string `json:"outputs,omitempty"`

	// How somebody had it stopped.
	Cancelling string `json:"cancelling,omitempty"` // why; "" when nobody had, or when it succeeded all the same
	Force      bool   `json:"force,omitempty"`      // at once, with KILL; only while it is active
}

// taskRunSame says whether two are alike. A follower asks for each task of its run at each change, and the history for
// each task.
func taskRunSame(a, b *TaskRun) bool {
	return a.State == b.State && a.Attempts == b.Attempts && a.Seconds == b.Seconds && a.Started == b.Started &&
		a.Began == b.Began && a.Finished == b.Finished && a.Force == b.Force && a.Task == b.Task &&
		a.Reason == b.Reason && a.Cancelling == b.Cancelling && exitSame(a.Exit, b.Exit) &&
		maps.Equal(a.Outputs, b.Outputs) && slices.EqualFunc(a.Earlier, b.Earlier, taskAttemptSame)
}

// taskAttemptSame says whether two attempts are alike.
func taskAttemptSame(a, b TaskAttempt) bool {
	return a.Attempt == b.Attempt && a.Reason == b.Reason && a.Started == b.Started && a.Seconds == b.Seconds &&
		exitSame(a.Exit, b.Exit)
}

// exitSame says whether two exit codes are alike, of which either may be missing.
func exitSame(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }

// TaskAttempt is one attempt of a task that failed and was to be followed by another. The newest stateMaxEarlier of a
// task are kept, fewer in a run of many tasks (see noteAttempt).
type TaskAttempt struct {
	Attempt int     `json:"attempt"` // from 1
	Reason  string  `json:"reason"`  // why it failed: "exit 3"
	Exit    *int    `json:"exit,omitempty"`
	Started Stamp   `json:"started,omitzero"` // zero: not known
	Seconds float64 `json:"seconds"`
}

// Fire is a coming tick of a workflow's schedule.
type Fire struct {
	Workflow string `json:"workflow"`
	At       Stamp  `json:"at"`
}

// runActive says whether a run in that state is yet to end.
func runActive(state string) bool { return state == runQueued || state == runRunning }

// taskActive says whether a task in that state is yet to end.
func taskActive(state string) bool {
	return state == taskWaiting || state == taskRunning || state == taskRetrying
}

// task gives the run's record of the task with that id, or nil.
func (r *Run) task(id string) *TaskRun {
	for i := range r.Tasks {
		if r.Tasks[i].Task == id {
			return &r.Tasks[i]
		}
	}
	return nil
}

// began gives when the newest attempt of a task began; zero before the first one has, and if it is not known.
func (t *TaskRun) began() Stamp {
	if t.Attempts > 1 {
		return t.Began
	}
	return t.Started
}

// between says whether a task is between two attempts: the newest has failed, so Earlier has it, and the next has not
// begun.
func (t *TaskRun) between() bool {
	n := len(t.Earlier)
	return n > 0 && t.Earlier[n-1].Attempt >= t.Attempts
}

// tries gives the attempts of a task that are known, the oldest first: the earlier ones, and then the newest, if it is
// not among them. The newest has reason, exit and seconds once it is over.
func (t *TaskRun) tries() []TaskAttempt {
	if t.Attempts == 0 || t.between() {
		return t.Earlier
	}
	newest := TaskAttempt{Attempt: t.Attempts, Started: t.began()}
	if !t.Finished.IsZero() {
		newest.Reason, newest.Exit = t.Reason, t.Exit
		if !newest.Started.IsZero() {
			newest.Seconds = t.Finished.Sub(newest.Started.Time).Seconds()
		}
	}
	n := len(t.Earlier)
	return append(t.Earlier[:n:n], newest)
}

// why says why a task is in its state; if it is being stopped, who wants that.
func (t *TaskRun) why() string {
	if t.Cancelling != "" && taskActive(t.State) {
		return "being stopped: " + t.Cancelling
	}
	return t.Reason
}

// taskStopped says whether somebody has stopped a task of the run: such a run is not retried automatically.
func (r *Run) taskStopped() bool {
	for i := range r.Tasks {
		if r.Tasks[i].Cancelling != "" {
			return true
		}
	}
	return false
}

// idMatches says whether a workflow's id contains the pattern, or matches it as a glob if it is one.
func idMatches(pattern, id string) bool {
	if strings.ContainsAny(pattern, "*?[") {
		ok, _ := path.Match(pattern, id)
		return ok
	}
	return strings.Contains(id, pattern)
}

// clone copies r so that the copy may leave the goroutine that owns r.
func (r *Run) clone() *Run {
	c := *r
	c.Tasks = append([]TaskRun(nil), r.Tasks...)
	return &c
}

// done counts the tasks that are over. In a run that did not succeed the skipped ones do not count: they never ran.
func (r *Run) done() (n int) {
	skippedCount := runActive(r.State) || r.State == runSucceeded
	for i := range r.Tasks {
		state := r.Tasks[i].State
		if !taskActive(state) && (state != taskSkipped || skippedCount) {
			n++
		}
	}
	return n
}

// shownState gives the state that people are shown: a run that was given ahead still waits.
func (r *Run) shownState() string {
	if r.Ahead {
		return runQueued
	}
	return r.State
}

// short copies a run without its tasks.
func (r *Run) short() *Run {
	c := *r
	c.Tasks = []TaskRun{}
	return &c
}

// LogLine is one line of a task's output. N numbers the lines of a run from 1, over all its tasks and attempts: so a
// line that was sent twice is recognised. A line that is not valid UTF-8 is in Bytes instead of Text.
type LogLine struct {
	Time    Stamp  `json:"t"`
	Run     string `json:"r"`
	N       int64  `json:"i"`
	Task    string `json:"k"`
	Attempt int    `json:"n"`
	Stream  string `json:"s"` // o: standard output, e: standard error, c: cdktr's own remark
	Text    string `json:"m,omitempty"`
	Bytes   []byte `json:"b,omitempty"`
}

// raw gives the line as the task wrote it.
func (l *LogLine) raw() []byte {
	if l.Bytes != nil {
		return l.Bytes
	}
	return []byte(l.Text)
}

// set puts raw text in the field that can hold it.
func (l *LogLine) set(raw []byte) {
	if utf8.Valid(raw) {
		l.Text = string(raw)
		return
	}
	l.Bytes = bytes.Clone(raw)
}

// ulidDigits is Crockford's base 32: it sorts as it counts, and has no letters that look alike.
const ulidDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// runID makes a ULID (https://github.com/ulid/spec): 48 bits of milliseconds and 80 random bits, as 26 characters that
// sort by time. last is the newest id that was made before: the new one is above it even if the clock was set back.
func runID(now time.Time, last string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:])
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = ulidDigits[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	if string(id[:]) > last {
		return string(id[:])
	}
	next := []byte(last)
	for i := len(next) - 1; i >= 0; i-- {
		if at := strings.IndexByte(ulidDigits, next[i]); at < len(ulidDigits)-1 {
			next[i] = ulidDigits[at+1]
			break
		}
		next[i] = ulidDigits[0]
	}
	return string(next)
}

// runTime gives when a run was queued: its id begins with that time, in milliseconds. It is zero for text that is no
// id.
func runTime(id string) time.Time {
	ms := int64(0)
	for i := range 10 {
		if len(id) != 26 || strings.IndexByte(ulidDigits, id[i]) < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(strings.IndexByte(ulidDigits, id[i]))
	}
	return time.UnixMilli(ms)
}

// idFolderMax is the longest name of a folder made from an id, in bytes.
const idFolderMax = 150

// idFolder names the folder that a workflow has below history and below logs. It is the id, with each byte of certain
// characters written as %XX: those that mean something to a file system, a shell's glob or a terminal, and a dot in
// front. The empty id is "%". A name longer than idFolderMax bytes is cut, and ends in "%-" and 8 bytes of the id's
// SHA-256. So no id leaves the parent folder, and no two ids share a folder.
func idFolder(id string) string {
	var name strings.Builder
	for i, c := range id {
		_, size := utf8.DecodeRuneInString(id[i:])
		noText := c == utf8.RuneError && size == 1 || !unicode.IsPrint(c)
		special := strings.ContainsRune(`/\%:*?"<>|`, c) || c == '.' && i == 0
		if !noText && !special {
			name.WriteRune(c)
			continue
		}
		for _, b := range []byte(id[i : i+size]) {
			fmt.Fprintf(&name, "%%%02X", b)
		}
	}
	switch text := name.String(); {
	case text == "":
		return "%"
	case len(text) > idFolderMax:
		sum := sha256.Sum256([]byte(id))
		return strings.ToValidUTF8(text[:idFolderMax], "") + "%-" + hex.EncodeToString(sum[:8])
	default:
		return text
	}
}

// sortedKeys gives the keys of m in order, for output that is the same each time.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// jsonText writes v as JSON for the wire, the spool and for people: without the escapes for HTML, which make six bytes
// of each <, > and &.
func jsonText(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// textHead gives a text of at most so many bytes as it is. Of a longer one it gives that many bytes, in whole
// characters, and says how long all of it is.
func textHead(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes in all)", strings.ToValidUTF8(text[:most], ""), len(text))
}

// orDefault gives text, or fallback where text is empty.
func orDefault(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// conflict is the error that something else, mostly another process, holds what is wanted. The program then exits with
// 5.
type conflict string

func (c conflict) Error() string { return string(c) }
