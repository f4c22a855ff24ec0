package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// Sample is a number of metrics --json.
type Sample struct {
	Metric string            `json:"metric"`
	Type   string            `json:"type"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// TestMetrics: what the program prints about a principal that has done something, as text and as JSON, and into the
// file of node_exporter's collector, where it is as long as the principal is.
func TestMetrics(t *testing.T) {
	x := newSite(t)
	x.File("good.yml", "tasks:\n  a: {run: 'echo hi'}\n")
	x.File("bad.yml", "tasks:\n  a: {run: 'exit 3'}\n")
	x.File("wrong.yml", "tasks:\n  a: {rum: x}\n")
	file := x.Dir + "/cdktr.prom"
	x.Refused(3, []string{"start principal"}, "metrics")
	p := x.Principal("--with-agent", "--metrics-file", file)
	x.OK("run", "good", "--wait")
	x.Code(1, "run", "bad", "--wait")

	text := x.OK("metrics")
	for _, line := range []string{"# TYPE cdktr_runs_finished_total counter\n",
		`cdktr_workflow_runs_finished_total{workflow="good",state="succeeded"} 1`,
		`cdktr_workflow_runs_finished_total{workflow="bad",state="failed"} 1`,
		`cdktr_workflows{state="broken"} 1`, `cdktr_agent_up{agent="one"} 1`, `cdktr_agent_capacity{agent="one"} 4`,
		`cdktr_attention_items{kind="failed"} 1`, "cdktr_journal_fsync_seconds_count ", "cdktr_state_free_bytes ",
		"process_resident_memory_bytes ", "cdktr_run_duration_seconds_count 2\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
	found := false
	for _, s := range harness.Lines[Sample](t, x.OK("metrics", "--json")) {
		found = found || s.Metric == "cdktr_workflow_runs_finished_total" && s.Type == "counter" && s.Value == 1 &&
			s.Labels["workflow"] == "bad" && s.Labels["state"] == "failed"
	}
	if !found {
		t.Errorf("the run that failed is not in %s", x.OK("metrics", "--json"))
	}
	x.Until("the file has it", func() bool {
		had, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(had), `runs_finished_total{workflow="bad",state="failed"} 1`)
	})
	if promtool, err := exec.LookPath("promtool"); err != nil {
		harness.Lacks(t, "promtool: %v", err)
	} else {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, said)
		}
	}
	x.Refused(2, []string{"no arguments"}, "metrics", "good")
	x.Refused(2, []string{"--json"}, "metrics", "--http", "--json")
	p.Stop()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file outlives its principal: %v", err)
	}
}

// TestMetricsHTTP: the program answers a connection that somebody else has accepted, as a socket unit of systemd does.
func TestMetricsHTTP(t *testing.T) {
	x := newSite(t)
	x.File("good.yml", "tasks:\n  a: {run: 'echo hi'}\n")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	serve := func() {
		conn, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		socket, err := conn.(*net.TCPConn).File()
		conn.Close()
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.Close()
		cmd := exec.Command(x.Bin, "metrics", "--http")
		cmd.Env, cmd.Stdin, cmd.Stdout = x.Env, socket, socket
		if err := cmd.Run(); err != nil {
			t.Errorf("metrics --http: %v", err)
		}
	}
	ask := func(request string) string {
		served := make(chan bool)
		go func() { serve(); close(served) }()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(harness.Patience))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("%.40q: %v", request, err)
		}
		conn.Close()
		<-served
		return string(answer)
	}
	const get = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n"
	if answer := ask(get); !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, "no principal") {
		t.Errorf("without a principal the answer is %q", answer)
	}
	x.Principal("--with-agent")
	if answer := ask(get); !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") ||
		!strings.Contains(answer, "\ncdktr_build_info{") {
		t.Errorf("the answer is %q", answer)
	}
	// What is read no more must not cost the peer the answer.
	answer := ask("POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 40<<10))
	if !strings.HasPrefix(answer, "HTTP/1.1 405 ") {
		t.Errorf("the answer to POST is %q", answer)
	}
	if answer := ask("GET /\n\n"); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
		t.Errorf("the answer to nonsense is %q", answer)
	}
}
