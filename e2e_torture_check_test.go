// What must hold after the storm of e2e_torture_test.go: the principal's record, what clients were told, and the oracle
// that the tasks wrote must tell the same story.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tortureTry is one process of a task, as the oracle saw it.
type tortureTry struct {
	run, task, attempt string
	token              string // its life and pid; begins every line that it printed
	life               string
	first, last        int     // its first and last line in the oracle
	from, to           float64 // when it wrote them
	ended              bool    // it came to its end
}

// tortureStory is all that is known when the storm is over.
type tortureStory struct {
	*torture
	runs   map[string]*Run
	events map[string][]*Event // by run
	oracle []string
	tries  map[string][]*tortureTry // by run, in the order in which they began
}

// check waits until nothing is active, reads the story, and holds it to what was promised.
func (x *torture) check() {
	x.settle()
	s := &tortureStory{torture: x, runs: map[string]*Run{}, events: map[string][]*Event{},
		tries: map[string][]*tortureTry{}}
	s.readRuns()
	s.readOracle()
	s.replay()
	for run, workflow := range x.acked {
		if r := s.runs[run]; r == nil || r.Workflow != workflow {
			s.blame(run, "a request for workflow %s was acknowledged with this run, and it is not there", workflow)
		}
	}
	for run := range s.tries {
		if s.runs[run] == nil {
			s.blame(run, "tasks of it ran, and it is not there")
		}
	}
	for _, id := range sortedKeys(s.runs) {
		s.checkOutcome(s.runs[id])
		s.checkTries(s.runs[id])
		s.checkOutput(s.runs[id])
	}
	s.checkQueue()
	x.leftovers()
	s.tell()
}

// settle lets every run come to its end.
func (x *torture) settle() {
	deadline := time.Now().Add(torturePatience)
	for {
		r, err := x.ask(Request{Op: "ps", N: 500})
		if err == nil && len(r.Runs) == 0 {
			return
		}
		x.raise()
		if !time.Now().Before(deadline) {
			for name, p := range x.up {
				x.T.Logf("%s (%s) said:\n%s", name, p.What, p.Err.String())
			}
			x.T.Fatalf("seed %d: runs are active still, or there is no principal (%v):\n%s%s", x.seed, err,
				x.Cdktr("ps").Out, x.Cdktr("agents").Out)
		}
		x.waits(100 * time.Millisecond)
	}
}

// raise starts anew what a task has killed since the hands are gone.
func (x *torture) raise() {
	for name := range x.lives {
		select {
		case <-x.up[name].Exited:
			x.begin(name)
		default:
		}
	}
}

// readRuns reads all runs from the principal, page by page.
func (s *tortureStory) readRuns() {
	for after := ""; ; {
		r, err := s.ask(Request{Op: "ps", All: true, N: 100, After: after})
		if err != nil {
			s.T.Fatal(err)
		}
		for _, run := range r.Runs {
			if s.runs[run.ID] != nil {
				s.fault("run %s is there twice in ps --all", run.ID)
			}
			s.runs[run.ID] = run
		}
		after = r.Next
		if after == "" {
			return
		}
	}
}

// readOracle reads what the tasks wrote.
func (s *tortureStory) readOracle() {
	text, err := os.ReadFile(s.Dir + "/oracle")
	if err != nil {
		s.T.Fatal(err)
	}
	s.oracle = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	open := map[string]*tortureTry{}
	for i, line := range s.oracle {
		f := strings.Fields(line)
		if len(f) < 6 {
			s.fault("the oracle has a line %q", line)
			continue
		}
		up, _ := strconv.ParseFloat(f[5], 64)
		key := strings.Join(f[1:5], " ")
		t := open[key]
		if f[0] == "start" || t == nil {
			t = &tortureTry{run: f[1], task: f[2], attempt: f[3], token: f[4],
				life: f[4][:strings.LastIndex(f[4], ".")+1], first: i, from: up}
			open[key] = t
			s.tries[t.run] = append(s.tries[t.run], t)
		}
		t.last, t.to, t.ended = i, up, t.ended || f[0] == "end"
	}
}

// replay opens a copy of the state folder: it must fold to what the principal says, and its journal is the history of
// every run.
func (s *tortureStory) replay() {
	dir := s.Dir + "/copy"
	if err := os.CopyFS(dir, os.DirFS(s.Dir+"/state")); err != nil {
		s.T.Fatal(err)
	}
	store, state, report, err := storeOpen(storeOptions{Dir: dir, NoSync: true})
	if err != nil {
		s.T.Fatalf("seed %d: replay: %v", s.seed, err)
	}
	defer store.close()
	if report.Misfits > 0 {
		s.fault("replay found %d reports that do not fit", report.Misfits)
	}
	segments, err := store.files.segments()
	if err != nil {
		s.T.Fatal(err)
	}
	s.counts["segment of the journal"] = len(segments)
	keyed, uses, folded := map[string]string{}, map[string]string{}, map[string]bool{}
	if _, err := store.readEvents(1, 0, func(e *Event) bool {
		if e.Run != "" {
			s.events[e.Run] = append(s.events[e.Run], e)
		}
		if report := e.Epoch + " " + strconv.FormatUint(e.N, 10); e.N > 0 {
			if folded[report] {
				s.blame(e.Run, "event %d repeats report %s of %s", e.Seq, report, e.Agent)
			}
			folded[report] = true
		}
		if e.Kind == evQueued && e.Key != "" {
			if keyed[e.Key] != "" {
				s.blame(e.Run, "key %s made run %s before", e.Key, keyed[e.Key])
			}
			keyed[e.Key], uses[e.Key] = e.Run, stateUse(e.Workflow, e.Scope, e.Key)
		}
		return true
	}); err != nil {
		s.T.Fatalf("seed %d: read journal: %v", s.seed, err)
	}
	for key, run := range s.keys {
		if keyed[key] != run || state.Keys[uses[key]].Run != run {
			s.blame(run, "key %s was answered with it; the journal says %q, its replay %q", key, keyed[key],
				state.Keys[uses[key]].Run)
		}
	}
	for id, r := range s.runs {
		replayed := state.Runs[id]
		if replayed == nil {
			replayed, err = store.historyFind(id, nil)
		}
		if says, has := string(protoEncode(r)), string(protoEncode(replayed)); err != nil || says != has {
			s.blame(id, "the principal says\n%s\nand replay gives (%v)\n%s", says, err, has)
		}
	}
	for id := range state.Runs {
		if s.runs[id] == nil {
			s.blame(id, "replay knows it, and the principal does not")
		}
	}
}

// blame notes a violation by one run, with all that is known of it.
func (s *tortureStory) blame(run, format string, args ...any) {
	text := fmt.Sprintf("run %s: ", run) + fmt.Sprintf(format, args...)
	if r := s.runs[run]; r != nil {
		text += "\n  record: " + string(protoEncode(r))
	}
	for _, e := range s.events[run] {
		if e.Kind != evQueued {
			e.Labels = nil
		}
		b, _ := json.Marshal(e)
		text += "\n  journal: " + string(b)
	}
	for i, line := range s.oracle {
		if strings.Contains(line, run) {
			text += fmt.Sprintf("\n  oracle %d: %s", i, line)
		}
	}
	s.fault("%s", text)
}

// workflowOf gives the workflow of a run as this program wrote it.
func (s *tortureStory) workflowOf(r *Run) (rerun bool, lines map[string]int) {
	for _, w := range tortureWorkflows {
		if w.id == r.Workflow {
			return w.rerun, w.lines
		}
	}
	return false, nil
}

// checkOutcome wants one end of every run, that its tasks agree with.
func (s *tortureStory) checkOutcome(r *Run) {
	if runActive(r.State) {
		s.blame(r.ID, "it is active still")
	}
	over, adopted := false, false
	succeeded := map[string]int{}
	for _, e := range s.events[r.ID] {
		switch e.Kind {
		case evRunFinished, evRunEnded:
			if over {
				s.blame(r.ID, "it ended twice (event %d)", e.Seq)
			}
			over = true
		case evRequeued:
			over = false
		case evAdopted:
			over, adopted = false, true
		case evTaskFinished:
			if e.State == taskSucceeded {
				succeeded[e.Task]++
			}
		}
	}
	if told := s.told[r.ID]; told != "" && told != r.State && !(told == runCrashed && adopted) {
		s.blame(r.ID, "a client was told that it %s", told)
	}
	for task, n := range succeeded {
		if n > 1 {
			s.blame(r.ID, "task %s succeeded %d times", task, n)
		}
	}
	for _, t := range r.Tasks {
		if taskActive(t.State) || r.State == runSucceeded && t.State != taskSucceeded {
			s.blame(r.ID, "it is %s, its task %s is %s", r.State, t.Task, t.State)
		}
	}
	// What was lost counts as a retry, and there is none for a run that a cancel has come to too late.
	if r.State == runFailed && !(r.Workflow == "again" && (r.Attempt > 2 || r.Cancelling != "")) {
		s.blame(r.ID, "it failed, and no task of it fails for good")
	}
}

// checkTries wants that what the oracle saw of a run is what the record says, and that nothing ran that should not.
func (s *tortureStory) checkTries(r *Run) {
	rerun, _ := s.workflowOf(r)
	starts, ends := map[string]int{}, map[string]int{}
	for _, t := range s.tries[r.ID] {
		starts[t.task+" attempt "+t.attempt]++
		if t.ended {
			ends[t.task]++
		}
	}
	most := 1
	if rerun {
		most = r.Lease
	}
	for what, n := range starts {
		if n > most {
			s.blame(r.ID, "task %s began %d times, under %d leases", what, n, r.Lease)
		}
	}
	for _, t := range r.Tasks {
		if !rerun && s.heardAll(r) && t.Attempts == 0 && starts[t.Task+" attempt 1"] > 0 {
			s.blame(r.ID, "task %s began, and the record says that it did not", t.Task)
		}
		if n := ends[t.Task]; t.State == taskSucceeded && (n == 0 || !rerun && n > 1) {
			s.blame(r.ID, "task %s succeeded; it came to its end %d times", t.Task, n)
		}
	}
	for i, p := range s.tries[r.ID] {
		for _, q := range s.tries[r.ID][i+1:] {
			if p.last > q.first && (p.life != q.life || p.task == q.task) && !s.wasFrozen(p, q) {
				s.blame(r.ID, "%s was at task %s when %s began task %s", p.token, p.task, q.token, q.task)
			}
		}
	}
}

// heardAll says whether the agent that had a run told all that it knew of it before the run ended.
func (s *tortureStory) heardAll(r *Run) bool {
	for _, e := range s.events[r.ID] {
		if e.Kind == evRunEnded && !strings.Contains(e.Reason, "was restarted") {
			return false
		}
	}
	return true
}

// wasFrozen says whether p went on beside q only because it was frozen, with its agent, while it was given up: no
// program can tell a machine that sleeps from one that is gone, and what wakes up has a moment before it knows.
func (s *tortureStory) wasFrozen(p, q *tortureTry) bool {
	for _, f := range s.silences {
		if f.life == p.life && q.from > f.from && p.to < f.to+tortureWaking.Seconds() {
			s.count("overlap at a waking")
			return true
		}
	}
	return false
}

// checkQueue wants that no two runs of the workflow with overlap queue were at work at once. One whose agent was lost
// is over as far as the principal can know, though its task may go on.
func (s *tortureStory) checkQueue() {
	var all []*tortureTry
	lost := map[string]bool{}
	for id, r := range s.runs {
		if r.Workflow != "queue" {
			continue
		}
		all = append(all, s.tries[id]...)
		for _, e := range s.events[id] {
			lost[id] = lost[id] || e.Kind == evRunEnded && e.Agent != ""
		}
	}
	slices.SortFunc(all, func(a, b *tortureTry) int { return a.first - b.first })
	for i, p := range all {
		for _, q := range all[i+1:] {
			if p.last > q.first && p.run != q.run && !lost[p.run] {
				s.blame(p.run, "it was at work when run %s of the same workflow began", q.run)
			}
		}
	}
}

// checkOutput wants every line of a task that came to its end once and in order, and of one that did not, those up to
// some line.
func (s *tortureStory) checkOutput(r *Run) {
	_, lines := s.workflowOf(r)
	seen := map[string]int{}
	conn, err := clientDial(context.Background(), "ipc://"+s.Dir+"/s", wireOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	defer conn.close()
	if err := conn.stream(context.Background(), Request{Op: "logs", Run: r.ID}, func(reply *Reply) error {
		if reply.Line == nil || reply.Line.Stream != "o" { // a shell says on standard error what was killed
			return nil
		}
		token, number, ok := strings.Cut(reply.Line.Text, " ")
		if n, _ := strconv.Atoi(number); !ok || n != seen[token]+1 {
			s.blame(r.ID, "its output has %q after line %d", reply.Line.Text, seen[token])
		}
		seen[token]++
		return nil
	}); err != nil {
		s.T.Fatal(err)
	}
	s.mu.Lock()
	for _, n := range seen {
		s.counts["line of output"] += n
	}
	s.mu.Unlock()
	for _, record := range r.Tasks {
		var last *tortureTry // that came to its end
		for _, t := range s.tries[r.ID] {
			if t.task == record.Task && t.ended {
				last = t
			}
		}
		if record.State == taskSucceeded && last != nil && seen[last.token] != lines[record.Task] &&
			!s.wasFrozen(last, last) {
			s.blame(r.ID, "task %s printed %d lines as %s, and %d are there", record.Task, lines[record.Task],
				last.token, seen[last.token])
		}
	}
}

// leftovers wants that no process of a task is left, no zombie, and no open file of an agent or the principal beyond
// what it needs when it has nothing to do.
func (x *torture) leftovers() {
	mine := map[int]string{}
	for name, p := range x.up {
		mine[p.Cmd.Process.Pid] = name
	}
	var found []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); x.waits(200 * time.Millisecond) {
		found = nil
		for name, n := range x.lives {
			for life := 1; life <= n; life++ {
				for _, pid := range x.everyone(name + "." + strconv.Itoa(life) + ".") {
					if mine[pid] == "" {
						found = append(found, fmt.Sprintf("process %d of life %d of %s", pid, life, name))
					}
				}
			}
		}
		for pid, name := range mine {
			found = append(found, tortureHeld(pid, name)...)
		}
		if len(found) == 0 {
			return
		}
	}
	x.fault("left behind: %s", strings.Join(found, "; "))
}

// tortureHeld lists the children of a daemon, and what it has open beyond its needs: a socket to the other side each, a
// listener, and its standard streams.
func tortureHeld(pid int, name string) []string {
	var found []string
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range children {
		if list, _ := os.ReadFile(file); len(list) > 0 {
			found = append(found, fmt.Sprintf("children of %s: %s", name, list))
		}
	}
	most := map[string]int{"socket": 1, "pipe": 3, "pidfd": 1} // pidfd: os/exec looks once whether there are such
	if name == "principal" {
		most["socket"] = 1 + tortureAgents
	}
	has := map[string]int{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		to, _ := os.Readlink(fd)
		kind, _, _ := strings.Cut(to, ":")
		if strings.Contains(to, "[pidfd]") {
			kind = "pidfd"
		}
		has[kind]++
	}
	for kind, n := range most {
		if has[kind] > n {
			found = append(found, fmt.Sprintf("%s has %d of %s open", name, has[kind], kind))
		}
	}
	if len(fds) > 64 {
		found = append(found, fmt.Sprintf("%s has %d files open", name, len(fds)))
	}
	return found
}

// tell reports what the storm was, and what it broke.
func (s *tortureStory) tell() {
	states := map[string]int{}
	for _, r := range s.runs {
		states["runs "+r.State]++
		if r.Lease > 1 {
			states["runs given out more than once"]++
		}
		for _, e := range s.events[r.ID] {
			if e.Kind == evAdopted {
				states["runs that came back with their agent"]++
			}
		}
	}
	text := fmt.Sprintf("%d runs, %d of them acknowledged, %d processes of tasks", len(s.runs), len(s.acked), s.tried())
	for _, m := range []map[string]int{states, s.counts, {"cut connection": s.proxy.cuts,
		"torn connection": s.proxy.tears, "hold": s.proxy.holds}} {
		for _, k := range sortedKeys(m) {
			text += fmt.Sprintf("\n%6d  %s", m[k], k)
		}
	}
	s.T.Log(text)
	for i, fault := range s.faults {
		if i == 10 {
			s.T.Errorf("seed %d: and %d more violations", s.seed, len(s.faults)-i)
			break
		}
		s.T.Errorf("seed %d: %s", s.seed, fault)
	}
}

func (s *tortureStory) tried() int {
	n := 0
	for _, tries := range s.tries {
		n += len(tries)
	}
	return n
}
