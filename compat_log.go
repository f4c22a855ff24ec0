// compat_log.go: output in CDKTR's form: records of eight fields, joined by the byte 1, in one frame. Agents PUSH them
// to us, SUB peers get them whose subscription is the beginning of a workflow id, and QUERYLOGS searches what is
// stored.
//
//	workflow id, workflow name, instance, task name, task instance, milliseconds, INFO or ERROR,
//	STDOUT or STDERR and the line

package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	compatFields     = 8               // fields of a record
	compatMaxMillis  = 253402300799999 // the end of the year 9999: what a Stamp can write
	compatQueryRange = 24 * time.Hour  // how far QUERYLOGS looks back without a start
	compatMaxQueries = 4               // searches at once
	compatLook       = 1000            // lines between two looks whether the peer still waits
	compatFront      = `{"t":"`        // what comes before the time in a stored line
)

// errCompatGone ends a search that nobody waits for any more.
var errCompatGone = errors.New("the peer has gone")

// compatRecord is one log record.
type compatRecord struct {
	workflow, name, instance string
	task, taskInstance       string
	at                       time.Time
	level, payload           string
}

// compatRecordRead reads a record. Only the payload may hold the byte 1.
func compatRecordRead(body []byte) (compatRecord, error) {
	f := strings.SplitN(string(body), compatSplit, compatFields)
	if len(f) != compatFields {
		return compatRecord{}, fmt.Errorf("read log record: %d fields, want %d", len(f), compatFields)
	}
	millis, err := compatMillis(f[5])
	if err != nil || millis > compatMaxMillis {
		return compatRecord{}, fmt.Errorf("read log record: %q is no time in milliseconds", compatEcho(f[5]))
	}
	return compatRecord{workflow: f[0], name: f[1], instance: f[2], task: f[3], taskInstance: f[4],
		at: time.UnixMilli(int64(millis)), level: f[6], payload: f[7]}, nil
}

// text writes a record as it is sent. It replaces a byte 1 in a field, which would make two of it.
func (r *compatRecord) text() []byte {
	fields := []string{r.workflow, r.name, r.instance, r.task, r.taskInstance, strconv.FormatInt(r.at.UnixMilli(), 10),
		r.level, r.payload}
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(f, compatSplit, "\uFFFD")
	}
	return []byte(strings.Join(fields, compatSplit))
}

// line writes a record as QUERYLOGS answers it.
func (r *compatRecord) line(verbose bool) string {
	if verbose {
		return fmt.Sprintf("[%s %s] [%s=%s / %s=%s] %s", compatTime(r.at), r.level, r.name, r.instance, r.task,
			r.taskInstance, r.payload)
	}
	return fmt.Sprintf("[%s %s] [%s/%s] %s", compatTime(r.at), r.level, r.instance, r.taskInstance, r.payload)
}

// compatTime writes a time as CDKTR does: with milliseconds only if there are any.
func compatTime(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond()/1e6 == 0 {
		return t.Format("2006-01-02T15:04:05-07:00")
	}
	return t.Format("2006-01-02T15:04:05.000-07:00")
}

// compatRecordOf makes a record of a line of output. spec is its workflow, for the names; it may be nil.
func compatRecordOf(workflow string, spec *Workflow, l *LogLine) compatRecord {
	r := compatRecord{workflow: workflow, name: workflow, instance: l.Run, task: l.Task, taskInstance: l.Task + "." +
		strconv.Itoa(l.Attempt),
		at: l.Time.Time, level: "INFO", payload: strings.ToValidUTF8(string(l.raw()), "\uFFFD")}
	if spec != nil {
		r.name = orDefault(spec.Name, workflow)
		if t := spec.task(l.Task); t != nil {
			r.task = orDefault(t.Name, t.ID)
		}
	}
	switch l.Stream {
	case "o":
		r.payload = "STDOUT " + r.payload
	case "e":
		r.level, r.payload = "ERROR", "STDERR "+r.payload
	}
	return r
}

// topic says whether a subscription is CDKTR's.
func (d *compat) topic(topic string) bool { return compatTopic(topic) }

// compatTopic says whether a subscription is CDKTR's. Ours begin with "event." or "log.", or these begin with ours. So
// the dialect cannot subscribe to a workflow whose id is "e" or "log", or to all workflows at once.
func compatTopic(topic string) bool {
	for _, ours := range []string{"event.", "log."} {
		if strings.HasPrefix(topic, ours) || strings.HasPrefix(ours, topic) {
			return false
		}
	}
	return true
}

// compatWants says whether a workflow's id begins with one of a subscriber's topics that are CDKTR's.
func compatWants(s *subscriber, workflow string) bool {
	return compatTrusts(s.conn.Peer()) && slices.ContainsFunc(s.topics, func(t string) bool {
		return s.theirs(t) && strings.HasPrefix(workflow, t)
	})
}

// compatPull serves a connection to the port where CDKTR's agents push their output. It ends with the connection.
func compatPull(p *principal, conn wireConn) {
	defer conn.Close()
	if conn.Peer().Socket != "PUSH" {
		conn.Cut(errors.New("this port takes the output of CDKTR's agents, from PUSH sockets alone"))
		return
	}
	p.runPusher(conn, authOwner)
}

// compatPub serves a connection to the port where CDKTR's clients listen for output: all that they subscribe to is
// CDKTR's. It ends with the connection.
func compatPub(p *principal, conn wireConn) {
	defer conn.Close()
	if conn.Peer().Socket != "SUB" && conn.Peer().Socket != "XSUB" {
		conn.Cut(errors.New("this port gives output to CDKTR's clients, on SUB sockets alone"))
		return
	}
	p.runSubscriber(conn, authOwner, func(string) bool { return true })
}

// publish sends output as records to the subscribers that want it. A record that one of them does not take is dropped
// for it.
func (d *compat) publish(workflow string, lines []LogLine) {
	var records [][]byte
	for s := range d.p.followers.subscribers {
		if !compatWants(s, workflow) {
			continue
		}
		if records == nil {
			for i := range lines {
				record := compatRecordOf(workflow, d.spec(lines[i].Run), &lines[i])
				records = append(records, record.text())
			}
		}
		for _, record := range records {
			if !s.conn.TrySend(record) {
				s.dropped++
			}
		}
	}
}

// spec gives the workflow that a run was queued with, nil when the run is not in memory.
func (d *compat) spec(run string) *Workflow {
	if r := d.p.state.Runs[run]; r != nil {
		return d.p.state.Versions[r.Version]
	}
	return nil
}

// pushed takes what a PUSH peer has sent if it is a log record, good or bad: it is not JSON and has the byte 1 in it.
func (d *compat) pushed(body []byte, peer wirePeer) bool {
	if len(body) == 0 || body[0] == '{' || !bytes.Contains(body, []byte(compatSplit)) {
		return false
	}
	record, err := compatRecordRead(body)
	if !compatTrusts(peer) {
		err = errors.New("output is for peers on the principal's own socket to send in this dialect")
	}
	if err != nil {
		d.p.note("log record refused", peer, "cause", err)
		return true
	}
	d.p.call(func() { d.take(peer, &record) })
	return true
}

// take stores a line of a run that an agent of CDKTR's has or had: its last lines come together with the word that the
// run has ended, or later. Lines are numbered as they come.
func (d *compat) take(peer wirePeer, record *compatRecord) {
	in := d.flow(record)
	var r *Run
	if in != nil {
		r = d.p.state.Runs[in.run]
	}
	if r == nil || r.Lease != in.lease || r.State == runQueued {
		d.p.note("output of a run that is not known", peer, "workflow", record.workflow, "instance", record.instance)
		return
	}
	task := compatTaskOf(in, d.spec(r.ID), record)
	if r.State == runRunning {
		d.begin(in)
		t := r.task(task)
		if r.LogDay == "" && t != nil { // readers find output from the start of the first task on
			d.taskReport(in, task, compatRunning)
		}
		in.lines = d.p.output.lines[r.ID]
	}
	in.lines++
	line := LogLine{Time: stampOf(record.at), Run: r.ID, N: in.lines, Task: task, Attempt: 1, Stream: "o"}
	if record.level == "ERROR" {
		line.Stream = "e"
	}
	text := record.payload
	if rest, ok := strings.CutPrefix(text, "STDOUT "); ok {
		line.Stream, text = "o", rest
	} else if rest, ok := strings.CutPrefix(text, "STDERR "); ok {
		line.Stream, text = "e", rest
	}
	line.set([]byte(text))
	if r.State == runRunning {
		d.p.output.lines[r.ID] = in.lines
	}
	if err := d.p.logs.append(r.Workflow, []LogLine{line}); err != nil {
		d.p.cfg.Log.Error("store output", "run", r.ID, "lost_lines", 1, "cause", err)
	}
	d.p.followers.publishLines(r.Workflow, []LogLine{line})
	d.p.followers.touched[r.ID] = true
}

// flow finds the instance that a record is of, nil when there is none. After a restart of the principal its id may be
// new: then it is that of the one run of the workflow that has no instance yet, if there is just one.
func (d *compat) flow(record *compatRecord) *compatInstance {
	in := d.byFlow[compatKey{record.workflow, record.instance}]
	if in != nil || !compatWord(record.instance) {
		return in
	}
	var loose *Run
	for _, id := range d.p.queue.active[record.workflow] {
		r := d.p.state.Runs[id]
		begun := r.State == runRunning && !r.Started.IsZero()
		if !begun || d.bound(r) || !d.speaks(d.p.state.Agents[r.Agent]) {
			continue
		}
		if loose != nil {
			return nil
		}
		loose = r
	}
	if loose == nil {
		return nil
	}
	return d.bind(record.instance, loose)
}

// compatTaskOf gives the id of the task that a record is of: by its instance, or else by its name. If neither is known
// it gives the name.
func compatTaskOf(in *compatInstance, spec *Workflow, record *compatRecord) string {
	if task := in.tasks[record.taskInstance]; task != "" {
		return task
	}
	if spec != nil {
		for i := range spec.Tasks {
			if t := &spec.Tasks[i]; orDefault(t.Name, t.ID) == record.task {
				return t.ID
			}
		}
	}
	return strings.ToValidUTF8(compatEcho(record.task), "\uFFFD")
}

// compatSearch is one QUERYLOGS.
type compatSearch struct {
	from, to time.Time // from on, before to
	run      string    // "" is any
	verbose  bool
	found    []compatFound
	bytes    int // of found
	looked   int // lines
}

// compatFound is a line that was found, as it goes into the reply.
type compatFound struct {
	at   time.Time
	text string
}

// query searches the stored output: the newest lines that fit into a reply, oldest first.
func (d *compat) query(c *compatCall) {
	end, start, workflow, run := c.args[0], c.args[1], c.args[2], c.args[3]
	s := &compatSearch{to: d.p.cfg.now(), run: run, verbose: len(c.args) > 4 && c.args[4] != ""}
	if end != "" {
		s.to = compatMoment(end)
	}
	s.from = s.to.Add(-compatQueryRange)
	if start != "" {
		s.from = compatMoment(start)
	}
	if d.queries >= compatMaxQueries {
		c.refuse(refuse(codeBusy, "Failed to read logs: %d searches are under way", d.queries))
		return
	}
	for _, in := range d.order { // a run may be named by the id that its agent gave it
		if in.id == s.run && (workflow == "" || workflow == in.workflow) {
			s.run = in.run
		}
	}
	specs := map[string]*Workflow{}
	if workflow != "" {
		specs[workflow] = nil
	} else {
		for id := range d.p.state.Workflows {
			specs[id] = nil
		}
		for id := range d.p.queue.active {
			specs[id] = nil
		}
	}
	for id := range specs {
		if f := d.p.catalog.files[id]; f != nil {
			specs[id] = f.Spec
		} else if newest := d.p.copier.newestRun(id); newest != "" {
			specs[id] = d.spec(newest)
		}
	}
	if refused := c.beginLook(); refused != nil {
		c.refuse(refused)
		return
	}
	d.queries++
	d.p.workers.Go(func() {
		defer c.endLook()
		reply, err := d.searched(c, s, specs)
		d.p.call(func() { d.queries-- })
		switch {
		case errors.Is(err, errCompatGone):
		case err != nil:
			c.refuse(refuse(codeInternal, "Failed to read logs: %v", err))
		default:
			c.success(reply)
		}
	})
}

// compatMoment reads milliseconds that were checked before.
func compatMoment(word string) time.Time {
	millis, _ := compatMillis(word)
	return time.UnixMilli(int64(min(millis, compatMaxMillis)))
}

// searched goes through the output of the workflows and writes the reply.
func (d *compat) searched(c *compatCall, s *compatSearch, specs map[string]*Workflow) (string, error) {
	for _, workflow := range sortedKeys(specs) {
		if err := d.scan(c, s, workflow, specs[workflow]); err != nil {
			return "", err
		}
	}
	s.trim(compatMaxReply - len("[]"))
	var b strings.Builder
	b.WriteByte('[')
	for i, f := range s.found {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.text)
	}
	b.WriteByte(']')
	return b.String(), nil
}

// scan searches the output of one workflow. A line is in the file of the day on which it came. That is not before the
// day that its agent's clock said, unless that clock was ahead.
func (d *compat) scan(c *compatCall, s *compatSearch, workflow string, spec *Workflow) error {
	folder := idFolder(workflow)
	spans, err := d.p.logs.spans(folder, logPlace{Day: s.from.Add(-24 * time.Hour).UTC().Format(logDayLayout)})
	if err != nil {
		return err
	}
	from, to := s.from.UTC().Format(stampLayout), s.to.UTC().Format(stampLayout)
	var lines []LogLine // of one record
	gone := func() bool {
		s.looked++
		return s.looked%compatLook == 0 && d.gone(c)
	}
	for _, span := range spans {
		_, err := d.p.logs.scan(folder, span, func(text []byte) error {
			if gone() {
				return errCompatGone
			}
			if s.run != "" {
				if _, ok := logAfter(text, logNeedle(s.run)); !ok {
					return nil
				}
			}
			if bytes.HasPrefix(text, []byte(compatFront)) && len(text) > len(compatFront)+len(from) {
				at := string(text[len(compatFront):][:len(from)]) // times are as long as each other, and sort as text
				if at < from && !logSeveral(text) || at >= to {   // no line of a record is earlier than its first
					return nil
				}
			}
			var err error
			lines, err = logDecode(lines[:0], text)
			if err != nil {
				return nil
			}
			for i := range lines {
				line := &lines[i]
				if gone() {
					return errCompatGone
				}
				if !s.wants(line) {
					continue
				}
				record := compatRecordOf(workflow, spec, line)
				s.add(line.Time.Time, compatJSON(record.line(s.verbose)))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// gone says whether nobody waits for the answer any more.
func (d *compat) gone(c *compatCall) bool {
	select {
	case <-c.conn.Done():
		return true
	case <-d.p.ended:
		return true
	default:
		return false
	}
}

// wants says whether a line is searched for.
func (s *compatSearch) wants(line *LogLine) bool {
	if s.run != "" && line.Run != s.run {
		return false
	}
	return !line.Time.Before(s.from) && line.Time.Before(s.to)
}

// add keeps a line that was found. It keeps at most twice as much as a reply holds.
func (s *compatSearch) add(at time.Time, text string) {
	s.found = append(s.found, compatFound{at, text})
	s.bytes += len(text) + 1
	if s.bytes > 2*compatMaxReply {
		s.trim(compatMaxReply)
	}
}

// trim sorts what was found and keeps the newest of it.
func (s *compatSearch) trim(limit int) {
	sort.SliceStable(s.found, func(i, j int) bool { return s.found[i].at.Before(s.found[j].at) })
	first, kept := len(s.found), 0
	for first > 0 && kept+len(s.found[first-1].text)+1 <= limit {
		first--
		kept += len(s.found[first].text) + 1
	}
	s.found, s.bytes = slices.Clone(s.found[first:]), kept
}
