// Tests of the metrics: what is counted, what the text looks like and how long it may become, and the file: when it is
// written, and what happens while its file system hangs. e2e/metrics_test.go looks at it from outside.

package main

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// metricsTestAsk asks a principal for its metrics, and gives each number by its name and the values of its labels.
func metricsTestAsk(g *principalRig) map[string]float64 {
	g.t.Helper()
	r := g.ask(Request{Op: "metrics"})
	if !r.OK || r.Metrics == "" {
		g.t.Fatalf("metrics: %+v", r.Error)
	}
	return metricsTestRead(g.t, r.Metrics)
}

func metricsTestRead(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	if err := metricsEach(text, func(s metricsSample) error {
		key := s.Metric
		for _, label := range sortedKeys(s.Labels) {
			key += " " + s.Labels[label]
		}
		if _, twice := all[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		all[key] = s.Value
		return nil
	}); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return all
}

// metricsTestWant holds numbers to what they should be.
func metricsTestWant(t *testing.T, got map[string]float64, want string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		var value float64
		at := strings.LastIndex(line, " ")
		key := strings.TrimSpace(line[:at])
		if line[at+1:] == "-" {
			if v, ok := got[key]; ok {
				t.Errorf("%s is %v, and should not be there", key, v)
			}
			continue
		}
		fmt.Sscan(line[at+1:], &value)
		if v, ok := got[key]; !ok || math.Abs(v-value) > 1e-6 {
			t.Errorf("%s is %v (%v), want %v", key, v, ok, value)
		}
	}
}

// TestMetricsCounts: runs, fires, agents and attention are counted as they come; a restart begins the counters anew,
// and keeps when a workflow has succeeded.
func TestMetricsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: time.Minute}, principalTask(Workflow{ID: "w"}),
			principalTask(Workflow{ID: "v", Schedule: []string{"0 * * * *"}, Overlap: overlapSkip}))
		metricsTestWant(t, metricsTestAsk(r.principalRig), `
			cdktr_workflow_runs_finished_total failed w 0
			cdktr_workflow_last_run_good w -
			cdktr_workflow_last_success_timestamp_seconds w -
			cdktr_workflow_next_fire_timestamp_seconds w -
			cdktr_workflow_next_fire_timestamp_seconds v 946688400
			cdktr_agents up 0
			cdktr_workflows loaded 2`)
		r.x = fleetAgentJoin(r.principalRig, "x", 3)
		r.outcome("w", 0)
		r.outcome("w", 3)
		good := float64(r.show(r.outcome("w", 0)).Finished.UnixMilli()) / 1000
		r.x.beat(3*time.Hour + time.Minute) // three ticks of v: one runs, two are skipped behind it
		metricsTestWant(t, metricsTestAsk(r.principalRig), fmt.Sprintf(`
			cdktr_workflow_runs_finished_total succeeded w 2
			cdktr_workflow_runs_finished_total failed w 1
			cdktr_runs_finished_total succeeded 2
			cdktr_runs_finished_total failed 1
			cdktr_tasks_finished_total succeeded 2
			cdktr_runs_queued_total manual 3
			cdktr_runs_queued_total cron 1
			cdktr_run_queue_wait_seconds_count 3
			cdktr_fires_total run 1
			cdktr_fires_total skipped 2
			cdktr_fires_total missed 0
			cdktr_fire_lateness_seconds_bucket 0.05 1
			cdktr_runs running 1
			cdktr_workflow_runs running v 1
			cdktr_workflow_last_run_good w 1
			cdktr_workflow_last_success_timestamp_seconds w %.3f
			cdktr_agents up 1
			cdktr_agent_up x 1
			cdktr_agent_capacity x 3
			cdktr_agent_runs x 1
			cdktr_attention_items failed 0
			cdktr_requests_total run 3
			cdktr_connections ipc 2`, good))
		r.outcome("w", 9)
		r.x.gone()
		time.Sleep(2 * agentLostAfter)
		synctest.Wait()
		metricsTestWant(t, metricsTestAsk(r.principalRig), `
			cdktr_attention_items failed 2
			cdktr_attention_items agent 1
			cdktr_runs_finished_total crashed 1
			cdktr_workflow_last_run_good w 0
			cdktr_agents up 0
			cdktr_agents lost 1
			cdktr_agents_lost_total 1
			cdktr_agent_up x 0`)
		r.stop()
		time.Sleep(5 * time.Hour)
		r.start(principalTask(Workflow{ID: "w"}),
			principalTask(Workflow{ID: "v", Schedule: []string{"0 * * * *"}, Overlap: overlapSkip}))
		metricsTestWant(t, metricsTestAsk(r.principalRig), fmt.Sprintf(`
			cdktr_workflow_runs_finished_total succeeded w 0
			cdktr_fires_total missed 5
			cdktr_workflow_last_success_timestamp_seconds w %.3f
			cdktr_workflow_last_run_good w 0`, good))
		r.do(func() { r.p.setFiles(nil, []string{"w"}) })
		if got := metricsTestAsk(r.principalRig); got["cdktr_workflows loaded"] != 1 {
			t.Errorf("%v workflows are loaded", got["cdktr_workflows loaded"])
		}
		r.stop()
	})
}

// metricsTestSeen makes numbers with a value for everything.
func metricsTestSeen() *metricsSeen {
	h := histogramNew(1, 2.5)
	h.add(time.Second)
	h.add(3 * time.Second)
	h.add(-time.Second)
	s := &metricsSeen{began: time.Unix(1, 0), count: metricsCounts{durations: h, waits: h, late: h}, syncs: h,
		resident: 1, virtual: 1, open: 1, disk: metricsDisk{1, 1}, requests: make([]float64, len(protoOps)),
		workflows: []metricsOf{{name: "w"}}, ofAgents: []metricsOf{{name: "a \"b\"\\\nc"}},
		ofPools: []metricsOf{{name: "p"}}}
	return s
}

// TestMetricsText: the text has every metric of the table once, in its order, in the form of Prometheus; promtool finds
// nothing in it.
func TestMetricsText(t *testing.T) {
	t.Parallel()
	text := string(metricsTestSeen().text())
	var heads []string
	for _, m := range regexp.MustCompile(`(?m)^# HELP (\S+) \S.*\.\n# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		if m[1] != m[2] {
			t.Errorf("%s has the type of %s", m[1], m[2])
		}
		heads = append(heads, m[1]+" "+m[3])
	}
	for i, row := range metricsTable {
		if i >= len(heads) || heads[i] != row.name+" "+row.kind {
			t.Fatalf("metric %d is %q, want %s %s", i, heads[min(i, len(heads)-1)], row.name, row.kind)
		}
		if strings.HasSuffix(row.name, "_total") != (row.kind == metricsCounter) {
			t.Errorf("%s is a %s", row.name, row.kind)
		}
		for _, label := range strings.Split(row.labels, ", ") {
			if label != "" && !strings.Contains(text, "\n"+row.name+"{"+label+"=") &&
				!strings.Contains(text, ","+label+"=") {
				t.Errorf("%s has no label %s", row.name, label)
			}
		}
	}
	got := metricsTestRead(t, text)
	metricsTestWant(t, got, `
		cdktr_run_duration_seconds_bucket 1 2
		cdktr_run_duration_seconds_bucket 2.5 2
		cdktr_run_duration_seconds_bucket +Inf 3
		cdktr_run_duration_seconds_sum 4
		cdktr_run_duration_seconds_count 3`)
	if _, ok := got["cdktr_agent_up a \"b\"\\\nc"]; !ok {
		t.Error("the name of an agent does not come back")
	}
	s := metricsTestSeen() // what is not known has no line, and no head
	s.resident, s.disk, s.ofPools = 0, metricsDisk{}, nil
	if text := string(s.text()); strings.Contains(text, "resident") || strings.Contains(text, "state_free") ||
		strings.Contains(text, "pool_places") {
		t.Errorf("it tells what is not known:\n%s", text)
	}
	cmd := exec.Command(docsPromtool(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, said)
	}
}

// TestMetricsBounds: however many workflows there are and whatever they are called, the text fits into a message.
func TestMetricsBounds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"w", strings.Repeat("long", 60), strings.Repeat("\u00e9\\", 80)} {
		s := metricsTestSeen()
		fit := func(most, lines int) (rows []metricsOf) {
			var names []string
			for i := range 3000 {
				names = append(names, fmt.Sprint(name, i))
			}
			names, left := metricsFit(names, most, lines)
			if len(names) == 0 || len(names) > metricsMost || left != float64(3000-len(names)) {
				t.Errorf("%d of 3000 have metrics of their own, and %v are left", len(names), left)
			}
			for _, name := range names {
				row := metricsOf{name: name}
				for i := range row.numbers {
					row.numbers[i] = 1796009420.888
				}
				for i := range row.ended {
					row.ended[i] = 1796009420
				}
				rows = append(rows, row)
			}
			return rows
		}
		s.workflows, s.ofAgents, s.ofPools = fit(metricsBytes, 13), fit(metricsBytes/2, 6), fit(metricsBytes/4, 3)
		if size := protoSize(Reply{Metrics: string(s.text())}); size > wireMaxFrame-1024 {
			t.Errorf("%d bytes do not fit into a message", size)
		}
	}
}

// TestMetricsFile: the file is there from the start, is written when something changes but not more often than each 15
// seconds, and not while nothing does; it goes with the principal.
func TestMetricsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := t.TempDir() + "/cdktr.prom"
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: time.Minute}, principalTask(Workflow{ID: "w"}))
		r.stop()
		r.cfg.MetricsFile = file
		r.start(principalTask(Workflow{ID: "w"}))
		var last fs.FileInfo
		writes := func(after time.Duration) bool { // whether it is another file after that time
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			before := last
			last = info
			if info.Mode() != 0o644 {
				t.Errorf("its mode is %v", info.Mode())
			}
			return before == nil || !os.SameFile(before, info) || !before.ModTime().Equal(info.ModTime())
		}
		writes(metricsFileGap + time.Second)
		if writes(50 * time.Minute) {
			t.Error("it is written while nothing changes and nobody is connected")
		}
		if !writes(15 * time.Minute) {
			t.Error("it is not written in more than an hour")
		}
		for i := range 3 {
			r.principalRig.run("w")
			if wrote := writes(time.Second); wrote != (i == 0) {
				t.Errorf("change %d: it is written at once: %v", i, wrote)
			}
			if i == 0 {
				continue
			}
			if !writes(metricsFileGap - time.Second) {
				t.Errorf("change %d: it is not written after the gap", i)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := metricsTestRead(t, string(text))["cdktr_runs_queued_total manual"]; n != float64(i+1) {
				t.Errorf("the file says that %v runs were queued, not %d", n, i+1)
			}
		}
		r.stop()
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("it stays behind a principal that has stopped: %v", err)
		}
		if left, _ := os.ReadDir(file[:strings.LastIndexByte(file, '/')]); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	})
}

// TestMetricsFileHangs: while its file system does not answer, the principal goes on, says so once, and the file is
// there when it answers again.
func TestMetricsFileHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := t.TempDir() + "/cdktr.prom"
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: time.Minute}, principalTask(Workflow{ID: "w"}))
		r.stop()
		r.cfg.MetricsFile = file
		hang := make(chan bool)
		r.start(principalTask(Workflow{ID: "w"}))
		r.do(func() {
			r.p.metrics.file.waits.begin = func(place string) {
				if place == file {
					<-hang
				}
			}
		})
		for range 5 {
			r.principalRig.run("w")
			time.Sleep(3 * time.Minute)
			synctest.Wait()
		}
		if n := metricsTestAsk(r.principalRig)["cdktr_metrics_file_failures_total"]; n < 2 {
			t.Errorf("%v writes failed", n)
		}
		if n := strings.Count(r.log.String(), "cannot write the metrics file"); n != 1 {
			t.Errorf("the log says so %d times:\n%s", n, r.log)
		}
		close(hang)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		text, err := os.ReadFile(file)
		if err != nil || metricsTestRead(t, string(text))["cdktr_runs_queued_total manual"] != 5 {
			t.Errorf("the file is not what it should be: %v", err)
		}
		if !strings.Contains(r.log.String(), "can be written again") {
			t.Errorf("the log does not say that it can be written again:\n%s", r.log)
		}
		r.stop()
	})
}

// TestMetricsAttention: each kind of attention but that of tests has a metric.
func TestMetricsAttention(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("proto_attention.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`(?m)^\tattention[A-Z]\w* += "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	for _, m := range kinds {
		if m[1] != attentionTest && !slices.Contains(metricsAttention[:], m[1]) {
			t.Errorf("metricsAttention has no kind %s", m[1])
		}
	}
	if len(kinds) != len(metricsAttention)+1 {
		t.Errorf("%d kinds are in proto_attention.go, %d have a metric", len(kinds), len(metricsAttention))
	}
}

// TestMetricsTriggers: each trigger of a run is counted.
func TestMetricsTriggers(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("model.go")
	if err != nil {
		t.Fatal(err)
	}
	triggers := regexp.MustCompile(`(?m)^\ttrigger[A-Z]\w* += "([\w-]+)"`).FindAllStringSubmatch(string(source), -1)
	for _, m := range triggers {
		if !slices.Contains(metricsTriggers[:], m[1]) {
			t.Errorf("metricsTriggers has no %s", m[1])
		}
	}
	if len(triggers) != len(metricsTriggers) {
		t.Errorf("%d triggers are in model.go, %d are counted", len(triggers), len(metricsTriggers))
	}
}
