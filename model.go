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
	"fmt"
	"maps"
	"path"
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
	runSkipped   = "skipped" // its `if` said no
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

// taskAllowed is how a failure is shown that allow_failure allows. The state is failed.
const taskAllowed = "allowed"

// What made a run.
const (
	triggerCron    = "cron"
	triggerCatchup = "catch-up"
	triggerReboot  = "reboot"
	triggerStart   = "start"
	triggerManual  = "manual" // a person or a program, through the request API
	// a task of another run
	triggerWorkflow = "workflow"
	triggerEvent    = "event"    // one of the workflow's listeners
	triggerBackfill = "backfill" // a batch makes up for a fire
	triggerWrap     = "wrap"     // cdktr wrap, which has done it itself
)

// execWorkflow is the workflow of runs of single commands that a person asked for (the op exec). No file can have this
// id: a slash in a path becomes a dot.
const execWorkflow = "/exec"

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

	Event     *RunEvent `json:"event,omitempty"`    // the event that fired it; never changed
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
	// all that is at work in it waits for the principal: it takes no place of its agent, see onlyWaits
	Parked bool `json:"parked,omitempty"`

	// The run and its task that have started this one.
	Parent     string `json:"parent,omitempty"`
	ParentTask string `json:"parent_task,omitempty"`
	// the batch that it was made for; "": none
	Batch string `json:"batch,omitempty"`

	// the state in which it will end: its graph is over, and its handlers run or wait for an agent; else ""
	Ending string `json:"ending,omitempty"`

	// Why and how it is being stopped.
	Cancelling string `json:"cancelling,omitempty"` // why; "" when it is not
	Force      bool   `json:"force,omitempty"`      // at once, with KILL; only while it is active
	Insist     bool   `json:"insist,omitempty"`     // asked for twice: its handlers end too; only while it is active

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
	Of       string            `json:"of,omitempty"` // the task with foreach that it is an instance of
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
	Used     TaskUse           `json:"used,omitzero"`     // by the newest attempt that has ended
	Limited  string            `json:"limited,omitempty"` // how its limits were in force for that; "" where it has none
	Child    string            `json:"child,omitempty"`   // the run that it has started
	Agent    string            `json:"agent,omitempty"`   // that does it, or did last; "": that of the run
	Part     *TaskPart         `json:"part,omitempty"`    // what that agent has of it; replaced, never changed
	Ask      *TaskAsk          `json:"ask,omitempty"`     // what it asks of the principal; replaced, never changed
	Pooled   bool              `json:"pooled,omitempty"`  // it has its places in pools; only while it is active

	// It has failed or was skipped, and counts as a success: allow_failure allows that, or its `if` said no.
	Allowed bool   `json:"allowed,omitempty"`
	Handler string `json:"handler,omitempty"` // that it is of: on_failure, on_success or on_exit

	// How somebody had it stopped.
	Cancelling string `json:"cancelling,omitempty"` // why; "" when nobody had, or when it succeeded all the same
	Force      bool   `json:"force,omitempty"`      // at once, with KILL; only while it is active
}

// taskRunSame says whether two are alike. A follower asks for each task of its run at each change, and the history for
// each task.
func taskRunSame(a, b *TaskRun) bool {
	return a.State == b.State && a.Attempts == b.Attempts && a.Seconds == b.Seconds && a.Started == b.Started &&
		a.Began == b.Began && a.Used == b.Used && a.Limited == b.Limited && a.Finished == b.Finished &&
		a.Force == b.Force && a.Task == b.Task &&
		a.Allowed == b.Allowed && a.Of == b.Of && a.Handler == b.Handler &&
		a.Reason == b.Reason && a.Cancelling == b.Cancelling && a.Child == b.Child && a.Ask == b.Ask &&
		a.Pooled == b.Pooled && a.Agent == b.Agent && a.Part == b.Part &&
		exitSame(a.Exit, b.Exit) &&
		maps.Equal(a.Outputs, b.Outputs) && slices.EqualFunc(a.Earlier, b.Earlier, taskAttemptSame)
}

// taskAttemptSame says whether two attempts are alike.
func taskAttemptSame(a, b TaskAttempt) bool {
	return a.Attempt == b.Attempt && a.Reason == b.Reason && a.Started == b.Started && a.Seconds == b.Seconds &&
		a.Used == b.Used && a.Limited == b.Limited && exitSame(a.Exit, b.Exit)
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
	Used    TaskUse `json:"used,omitzero"`
	Limited string  `json:"limited,omitempty"` // how its limits were in force; "" where it has none
}

// Fire is a coming fire of a workflow's schedule.
type Fire struct {
	Workflow string `json:"workflow"`
	At       Stamp  `json:"at"`
}

// runActive says whether a run in that state is yet to end.
func runActive(state string) bool { return state == runQueued || state == runRunning }

// runWell says whether a run that has ended so needs nobody: it succeeded, or was not to happen.
func runWell(state string) bool { return state == runSucceeded || state == runSkipped }

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
		newest.Reason, newest.Exit, newest.Used, newest.Limited = t.Reason, t.Exit, t.Used, t.Limited
		if !newest.Started.IsZero() {
			newest.Seconds = t.Finished.Sub(newest.Started.Time).Seconds()
		}
	}
	n := len(t.Earlier)
	return append(t.Earlier[:n:n], newest)
}

// used gives what all attempts of a task used that are known.
func (t *TaskRun) used() (all TaskUse) {
	for _, a := range t.tries() {
		all.add(a.Used)
	}
	return all
}

// kept says whether a retry of the run leaves the task as it is: it succeeded, or was skipped by its `if`.
func (t *TaskRun) kept() bool {
	return t.State == taskSucceeded || t.State == taskSkipped && t.Allowed
}

// shownState gives the state that people are shown: a failure that is allowed looks like no other, and a task that
// waits for an answer is shown as what it asks for.
func (t *TaskRun) shownState() string {
	if t.State == taskFailed && t.Allowed {
		return taskAllowed
	}
	if t.asking() && (t.Ask.For != askAgent || t.Part == nil) {
		return t.Ask.For
	}
	return t.State
}

// why says why a task is in its state; if it is being stopped, who wants that.
func (t *TaskRun) why() string {
	if t.Cancelling != "" && taskActive(t.State) {
		return "being stopped: " + t.Cancelling
	}
	return orDefault(t.Reason, t.waitsFor())
}

// taskStopped says whether somebody has stopped a task of the run's graph: such a run is not retried automatically.
func (r *Run) taskStopped() bool {
	for i := range r.Tasks {
		if r.Tasks[i].Cancelling != "" && r.Tasks[i].Handler == "" {
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

// done counts the tasks of the graph that are over. In a run that did not succeed the skipped ones do not count: they
// never ran.
func (r *Run) done() (n int) {
	skippedCount := runActive(r.State) || r.State == runSucceeded
	for i := range r.Tasks[:r.total()] {
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

// above gives the run that has brought about this one: its task has started it, or its end has fired it; "" for none.
func (r *Run) above() string {
	if r.Parent == "" && r.Event != nil && r.Event.Kind == listenOnWorkflow {
		return r.Event.Run
	}
	return r.Parent
}

// runTree puts each run behind the run that has brought it about, the oldest first, and says how deep each then is.
// What has none of these in the list stays in its order.
func runTree(runs []*Run) (sorted []*Run, depths []int) {
	below, listed := map[string][]*Run{}, make(map[string]bool, len(runs))
	for _, r := range runs {
		listed[r.ID] = true
	}
	for _, r := range runs {
		if up := r.above(); listed[up] {
			below[up] = append(below[up], r)
		}
	}
	sorted, depths = make([]*Run, 0, len(runs)), make([]int, 0, len(runs))
	var add func(r *Run, depth int)
	add = func(r *Run, depth int) { // the run above is older: there is no circle
		sorted, depths = append(sorted, r), append(depths, depth)
		children := below[r.ID]
		sort.Slice(children, func(i, j int) bool { return children[i].ID < children[j].ID })
		for _, child := range children {
			add(child, depth+1)
		}
	}
	for _, r := range runs {
		if !listed[r.above()] {
			add(r, 0)
		}
	}
	return sorted, depths
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

// inserted puts one more into a list. slices.Insert would do, but has five times the code for each type of list.
func inserted[E any](list []E, at int, one E) []E {
	list = append(list, one)
	copy(list[at+1:], list[at:])
	list[at] = one
	return list
}

// textHead gives a text of at most so many bytes as it is. Of a longer one it gives that many bytes, in whole
// characters, and says how long all of it is.
func textHead(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s ... (%d bytes in all)", strings.ToValidUTF8(text[:most], ""), len(text))
}

// countText writes a number of things, as "1 file" or "2 files".
func countText(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
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
