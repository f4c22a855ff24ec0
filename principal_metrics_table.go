// principal_metrics_table.go: what each number is called, of what kind it is, what it means, and how it is written: the
// text of Prometheus, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats). docs/metrics.md has
// the same table; a test holds it to this one.

package main

import (
	"math"
	"runtime"
	"strconv"
	"time"
)

// metricsRow is one metric. Its help is for people; labels names its labels, for the document.
type metricsRow struct{ name, kind, labels, help string }

// The kinds of metrics.
const (
	metricsCounter   = "counter"
	metricsGauge     = "gauge"
	metricsHistogram = "histogram"
)

// metricsAttention are the kinds of attention, each of which has its metric also while there is no such item.
var metricsAttention = [...]string{attentionAgent, attentionAlarm, attentionApprove, attentionClock, attentionDisk,
	attentionExpect, attentionFailed, attentionFile, attentionFolder, attentionLeft, attentionListener, attentionOld,
	attentionOutput, attentionOverdue, attentionPaused, attentionPools}

// metricsTable is every metric, in the order of the text.
var metricsTable = [...]metricsRow{
	{"cdktr_build_info", metricsGauge, "version, go_version, os, arch", "Which program this is; always 1"},
	{"process_start_time_seconds", metricsGauge, "", "When the principal started, in seconds since 1970"},
	{"process_cpu_seconds_total", metricsCounter, "",
		"Processor time of the principal, and of an agent inside it; not of tasks"},
	{"process_resident_memory_bytes", metricsGauge, "", "Memory that the process has"},
	{"process_virtual_memory_bytes", metricsGauge, "", "Addresses that the process has"},
	{"process_open_fds", metricsGauge, "", "Descriptors that the process has open"},
	{"process_max_fds", metricsGauge, "", "Descriptors that it may have open"},

	{"cdktr_runs", metricsGauge, "state", "Runs that are queued and running now"},
	{"cdktr_runs_queued_total", metricsCounter, "trigger", "Runs that were made, by what fired them"},
	{"cdktr_runs_finished_total", metricsCounter, "state",
		"Runs that ended, by how; one that is tried again ends again"},
	{"cdktr_runs_requeued_total", metricsCounter, "",
		"How often a run was queued again: retries, and agents that were lost"},
	{"cdktr_run_duration_seconds", metricsHistogram, "", "How long runs took that ended, all workflows together"},
	{"cdktr_run_queue_wait_seconds", metricsHistogram, "",
		"How long runs were queued before their first attempt began"},
	{"cdktr_tasks_finished_total", metricsCounter, "state", "Tasks that ended, by how"},
	{"cdktr_task_retries_total", metricsCounter, "", "Attempts of tasks that failed and had another one behind them"},
	{"cdktr_task_cpu_seconds_total", metricsCounter, "", "Processor time of tasks on all agents"},

	{"cdktr_fires_total", metricsCounter, "outcome",
		"Ticks of schedules: run, skipped (paused, overlap, a day off), missed (nothing decided them in time)"},
	{"cdktr_fire_lateness_seconds", metricsHistogram, "",
		"From a tick to its run in the queue; jitter counts as late"},
	{"cdktr_events_skipped_total", metricsCounter, "", "Events of listeners that became no run"},

	{"cdktr_workflows", metricsGauge, "state", "Workflow files that load and that do not"},
	{"cdktr_workflows_paused", metricsGauge, "", "Workflows whose schedule is paused"},
	{"cdktr_workflows_left_out", metricsGauge, "",
		"Workflows that are in the sums, and have no metrics of their own"},
	{"cdktr_workflow_runs", metricsGauge, "workflow, state", "Runs of the workflow that are queued and running now"},
	{"cdktr_workflow_runs_finished_total", metricsCounter, "workflow, state",
		"Runs of the workflow that ended, by how"},
	{"cdktr_workflow_run_seconds_total", metricsCounter, "workflow", "How long those of its runs took that ended"},
	{"cdktr_workflow_last_run_good", metricsGauge, "workflow",
		"1 if its newest run that ended succeeded or was skipped, 0 if not; absent before the first"},
	{"cdktr_workflow_last_success_timestamp_seconds", metricsGauge, "workflow",
		"When its newest run ended that succeeded; absent before the first"},
	{"cdktr_workflow_next_fire_timestamp_seconds", metricsGauge, "workflow",
		"When its schedule fires next; absent without one"},
	{"cdktr_workflow_paused", metricsGauge, "workflow", "1 while its schedule is paused"},

	{"cdktr_attention_items", metricsGauge, "kind",
		"What needs a person, as cdktr attention lists it, but for what has recovered"},

	{"cdktr_agents", metricsGauge, "state", "Agents that are up, drained or lost"},
	{"cdktr_agents_lost_total", metricsCounter, "", "How often an agent was lost"},
	{"cdktr_agents_left_out", metricsGauge, "", "Agents that have no metrics of their own"},
	{"cdktr_agent_up", metricsGauge, "agent", "1 while the agent is there, 0 while it is lost"},
	{"cdktr_agent_draining", metricsGauge, "agent", "1 while it gets no more runs"},
	{"cdktr_agent_capacity", metricsGauge, "agent", "How many runs it takes at once"},
	{"cdktr_agent_runs", metricsGauge, "agent", "How many runs it has"},
	{"cdktr_agent_load", metricsGauge, "agent",
		"The load of its machine, averaged over a minute; absent where it is not known"},
	{"cdktr_agent_clock_skew_seconds", metricsGauge, "agent",
		"How far its clock is ahead of the principal's; 0 within 5 s"},

	{"cdktr_pool_places", metricsGauge, "pool", "Places of the pool"},
	{"cdktr_pool_taken", metricsGauge, "pool", "Places of it that are taken"},
	{"cdktr_pool_waiting", metricsGauge, "pool", "Runs and tasks that wait for places of it"},
	{"cdktr_pools_left_out", metricsGauge, "", "Pools that have no metrics of their own"},

	{"cdktr_journal_events_total", metricsCounter, "", "Events in the journal since the state folder was made"},
	{"cdktr_journal_fsync_seconds", metricsHistogram, "", "How long the syncs of the journal took"},
	{"cdktr_journal_backlog_bytes", metricsGauge, "", "Bytes that wait in memory to be on the disk"},
	{"cdktr_journal_failing", metricsGauge, "", "1 while the journal cannot be written: new runs are refused"},
	{"cdktr_written_bytes_total", metricsCounter, "kind", "Bytes written to the state folder"},
	{"cdktr_output_lines_dropped_total", metricsCounter, "", "Lines of output that the disk did not take"},
	{"cdktr_state_free_bytes", metricsGauge, "", "What is free where the state folder is"},
	{"cdktr_state_size_bytes", metricsGauge, "", "How large the file system is that it is in"},

	{"cdktr_connections", metricsGauge, "transport",
		"Agents and clients that are connected; memory is within the process"},
	{"cdktr_connections_opened_total", metricsCounter, "transport", "Connections that came in"},
	{"cdktr_connections_refused_total", metricsCounter, "", "Connections that were refused, or cut to make room"},
	{"cdktr_messages_total", metricsCounter, "direction", "Messages that came in and went out"},
	{"cdktr_message_bytes_total", metricsCounter, "direction", "Bytes of these, without what carries them"},
	{"cdktr_requests_total", metricsCounter, "op", "Requests, by what they ask for"},

	{"cdktr_clock_steps_total", metricsCounter, "", "How often the clock of the machine was set by a minute or more"},
	{"cdktr_metrics_file_failures_total", metricsCounter, "",
		"How often the file of metrics_file could not be written"},
}

// text writes all numbers, in the order of metricsTable.
func (s *metricsSeen) text() []byte {
	x := &metricsText{}
	s.process(x)
	s.runs(x)
	x.each("cdktr_workflows", "state", s.files[:], "loaded", "broken")
	x.one("cdktr_workflows_paused", s.paused)
	x.one("cdktr_workflows_left_out", s.left[0])
	s.eachWorkflow(x)
	x.each("cdktr_attention_items", "kind", s.attention[:], metricsAttention[:]...)
	x.each("cdktr_agents", "state", s.agents[:], agentUp, agentDrain, agentLost)
	x.one("cdktr_agents_lost_total", s.count.agentsLost)
	x.one("cdktr_agents_left_out", s.left[1])
	x.of("agent", s.ofAgents, "cdktr_agent_up", "cdktr_agent_draining", "cdktr_agent_capacity", "cdktr_agent_runs",
		"cdktr_agent_load", "cdktr_agent_clock_skew_seconds")
	x.of("pool", s.ofPools, "cdktr_pool_places", "cdktr_pool_taken", "cdktr_pool_waiting")
	x.one("cdktr_pools_left_out", s.left[2])
	s.storage(x)
	s.wire(x)
	x.one("cdktr_clock_steps_total", s.steps)
	x.one("cdktr_metrics_file_failures_total", s.unwritten)
	return x.b
}

// process writes what is of the process.
func (s *metricsSeen) process(x *metricsText) {
	x.row("cdktr_build_info")
	x.add("", 1, "version", programVersion(), "go_version", runtime.Version(), "os", runtime.GOOS, "arch",
		runtime.GOARCH)
	x.one("process_start_time_seconds", metricsTime(s.began))
	x.one("process_cpu_seconds_total", processorsUsed().Seconds())
	x.one("process_resident_memory_bytes", metricsKnown(s.resident))
	x.one("process_virtual_memory_bytes", metricsKnown(s.virtual))
	x.one("process_open_fds", metricsKnown(int64(s.open)))
	x.one("process_max_fds", float64(wireFiles()))
}

// runs writes what is of all runs together, and of what fires them.
func (s *metricsSeen) runs(x *metricsText) {
	n := &s.count
	x.each("cdktr_runs", "state", s.active[:], runQueued, runRunning)
	x.each("cdktr_runs_queued_total", "trigger", n.queued[:], metricsTriggers[:]...)
	x.each("cdktr_runs_finished_total", "state", n.ended[:], metricsEnds[:]...)
	x.one("cdktr_runs_requeued_total", n.requeued)
	x.histogram("cdktr_run_duration_seconds", n.durations)
	x.histogram("cdktr_run_queue_wait_seconds", n.waits)
	x.each("cdktr_tasks_finished_total", "state", n.tasks[:], metricsEnds[:]...)
	x.one("cdktr_task_retries_total", n.retries)
	x.one("cdktr_task_cpu_seconds_total", n.processor)
	x.each("cdktr_fires_total", "outcome", n.fires[:], "run", "skipped", "missed")
	x.histogram("cdktr_fire_lateness_seconds", n.late)
	x.one("cdktr_events_skipped_total", n.eventsSkipped)
}

// eachWorkflow writes what is of one workflow each.
func (s *metricsSeen) eachWorkflow(x *metricsText) {
	x.row("cdktr_workflow_runs")
	for i := range s.workflows {
		w := &s.workflows[i]
		x.add("", w.numbers[0], "workflow", w.name, "state", runQueued)
		x.add("", w.numbers[1], "workflow", w.name, "state", runRunning)
	}
	x.row("cdktr_workflow_runs_finished_total")
	for i := range s.workflows {
		for k, state := range metricsEnds {
			x.add("", s.workflows[i].ended[k], "workflow", s.workflows[i].name, "state", state)
		}
	}
	for i := range s.workflows { // what stands in front of these is written
		copy(s.workflows[i].numbers[:], s.workflows[i].numbers[2:])
	}
	x.of("workflow", s.workflows, "cdktr_workflow_run_seconds_total", "cdktr_workflow_last_run_good",
		"cdktr_workflow_last_success_timestamp_seconds", "cdktr_workflow_next_fire_timestamp_seconds",
		"cdktr_workflow_paused")
}

// storage writes what is of the state folder.
func (s *metricsSeen) storage(x *metricsText) {
	x.one("cdktr_journal_events_total", float64(s.seq))
	x.histogram("cdktr_journal_fsync_seconds", s.syncs)
	x.one("cdktr_journal_backlog_bytes", float64(s.backlog))
	x.one("cdktr_journal_failing", metricsBool(s.failing))
	x.each("cdktr_written_bytes_total", "kind", s.written[:], "journal", "history", "snapshot", "output")
	x.one("cdktr_output_lines_dropped_total", float64(s.lost))
	if s.disk.size > 0 {
		x.one("cdktr_state_free_bytes", float64(s.disk.free))
		x.one("cdktr_state_size_bytes", float64(s.disk.size))
	}
}

// wire writes what is of connections.
func (s *metricsSeen) wire(x *metricsText) {
	x.each("cdktr_connections", "transport", s.conns[:], metricsTransports[:]...)
	x.each("cdktr_connections_opened_total", "transport", s.opened[:], metricsTransports[:]...)
	x.one("cdktr_connections_refused_total", float64(s.refused))
	x.each("cdktr_messages_total", "direction", s.traffic[:2], "in", "out")
	x.each("cdktr_message_bytes_total", "direction", s.traffic[2:], "in", "out")
	x.row("cdktr_requests_total")
	for i := range protoOps {
		if op := protoOps[i].Op; op != "stop" && op != msgHello { // these are of the connection
			x.add("", s.requests[i], "op", op)
		}
	}
}

// metricsText is the text of Prometheus, growing.
type metricsText struct {
	b    []byte
	next *metricsRow // what add writes
	head bool        // its head is written
}

// row begins a metric. It stays away if add writes no number.
func (x *metricsText) row(name string) {
	for i := range metricsTable {
		if metricsTable[i].name == name {
			x.next, x.head = &metricsTable[i], false
		}
	}
}

// one writes a metric that is one number.
func (x *metricsText) one(name string, value float64) {
	x.row(name)
	x.add("", value)
}

// each writes the numbers of a label's values.
func (x *metricsText) each(name, label string, values []float64, labels ...string) {
	x.row(name)
	for i := range labels {
		x.add("", values[i], label, labels[i])
	}
}

// of writes metrics that each of the rows has, in the order of its numbers.
func (x *metricsText) of(label string, rows []metricsOf, names ...string) {
	for k, name := range names {
		x.row(name)
		for i := range rows {
			x.add("", rows[i].numbers[k], label, rows[i].name)
		}
	}
}

// histogram writes the buckets, the sum and the count of a histogram.
func (x *metricsText) histogram(name string, h *histogram) {
	x.row(name)
	upto, sum := h.read()
	for i, n := range upto {
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = strconv.FormatFloat(h.bounds[i], 'f', -1, 64)
		}
		x.add("_bucket", float64(n), "le", bound)
	}
	x.add("_sum", sum)
	x.add("_count", float64(upto[len(upto)-1]))
}

// add writes a number of the metric that row has begun, with names and values of labels. ending stands behind the name.
// One that is not known (NaN) it leaves out.
func (x *metricsText) add(ending string, value float64, labels ...string) {
	if math.IsNaN(value) {
		return
	}
	r := x.next
	if !x.head {
		x.head = true
		x.b = append(x.b, "# HELP "+r.name+" "+r.help+".\n# TYPE "+r.name+" "+r.kind+"\n"...)
	}
	x.b = append(x.b, r.name+ending...)
	for i, text := range labels {
		switch {
		case i == 0:
			x.b = append(x.b, '{')
		case i%2 == 0:
			x.b = append(x.b, ',')
		default:
			x.b = metricsQuote(append(x.b, '='), text)
			continue
		}
		x.b = append(x.b, text...)
	}
	if len(labels) > 0 {
		x.b = append(x.b, '}')
	}
	x.b = append(strconv.AppendFloat(append(x.b, ' '), value, 'f', -1, 64), '\n')
}

// metricsQuote writes the value of a label.
func metricsQuote(b []byte, text string) []byte {
	b = append(b, '"')
	for i := range len(text) {
		c := text[i]
		switch c {
		case '\\', '"':
			b = append(b, '\\')
		case '\n':
			b, c = append(b, '\\'), 'n'
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// metricsKnown gives a number that is 0 where it is not known.
func metricsKnown(value int64) float64 {
	if value <= 0 {
		return math.NaN()
	}
	return float64(value)
}

// metricsTime gives a time in seconds since 1970.
func metricsTime(at time.Time) float64 {
	if at.IsZero() {
		return math.NaN()
	}
	return float64(at.UnixMilli()) / 1000
}

// metricsBool gives 1 for yes.
func metricsBool(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
