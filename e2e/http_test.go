// End-to-end tests of tasks that are requests: a curl that is not ours asks a server of the test.

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cdktr/e2e/harness"
)

// httpServer answers by the path of a request.
func httpServer(t *testing.T) *httptest.Server {
	var flaky [2]atomic.Int32 // how often each was asked
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %q\n", r.Method, r.Header.Get("X-Is"), r.Header.Get("Content-Type"), body)
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code := 0
		fmt.Sscan(r.PathValue("code"), &code)
		w.Header().Set("Location", "/echo")
		w.WriteHeader(code)
		if code != http.StatusNoContent {
			fmt.Fprintln(w, "this is", code)
		}
	})
	for i := range flaky {
		mux.HandleFunc(fmt.Sprint("/flaky", i), func(w http.ResponseWriter, r *http.Request) {
			if flaky[i].Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
	}
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { // of no known length
		for line := strings.Repeat("x", 1023) + "\n"; r.Context().Err() == nil; {
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "begun")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/line", func(w http.ResponseWriter, r *http.Request) { // what curl's command line says meanwhile
		seen := 0
		for _, process := range harness.Alive("|" + r.Header.Get("X-Is") + "|") {
			line, _ := os.ReadFile("/proc/" + strings.Fields(process)[0] + "/cmdline")
			seen += len(line)
			fmt.Fprintf(w, "%s\n", strings.ReplaceAll(string(line), "\x00", " "))
		}
		if seen == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) { // that is no HTTP
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			io.WriteString(conn, "220 mail.example ESMTP\r\n")
			conn.Close()
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// TestHTTP: a request of each kind, and what its task says of the answer.
func TestHTTP(t *testing.T) {
	harness.Need(t, "apt install curl", "curl", "--version")
	x := newSite(t)
	server := httpServer(t)
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	dead := httptest.NewServer(nil)
	dead.Close()
	x.File("w.yml", strings.NewReplacer("SERVER", server.URL, "TLS", tls.URL, "DEAD", dead.URL).Replace(`params:
  what: "say \"hi\" \\ to\tall €"
  evil: "a\r\nX-Is: b"
env: {TOKEN: s3cret, U: SERVER}
max_active_tasks: 4
tasks:
  get: {http: {url: "${env.U}/echo"}}
  after: {depends: [get], run: 'echo "status $status"'}
  post:
    http: {url: SERVER/echo, headers: {X-Is: "${env.TOKEN}"}, body: "${params.what}\n"}
  json: {http: {url: SERVER/echo, method: PUT, body: '{"a": [1]}'}}
  at: {http: {url: SERVER/echo, body: "@/etc/passwd"}}
  head: {http: {method: HEAD, url: SERVER/status/200}}
  none: {http: {url: SERVER/status/204, expect: 204}}
  found: {http: {url: SERVER/status/302}}
  absent: {http: {url: SERVER/status/404, expect: [2xx, 404]}}
  broken: {http: {url: SERVER/status/503}}
  flaky: {http: {url: SERVER/flaky0}, retries: 2, retry_delay: 1ms}
  waits: {http: {url: SERVER/flaky1}, repeat: {every: 100ms, until: 'test "$status" = 200'}}
  big: {http: {url: SERVER/big}}
  late: {http: {url: SERVER/slow}, timeout: 3s}
  line: {http: {url: SERVER/line, headers: {X-Is: "${run.id}|line", X-Secret: "${env.TOKEN}"}}}
  tls: {http: {url: TLS}}
  dead: {http: {url: DEAD}}
  other: {http: {url: SERVER/other}}
  evil: {http: {url: SERVER/echo, headers: {X-Is: "${params.evil}"}}}
  nocurl: {http: {url: SERVER/echo}, env: {PATH: /nowhere}}
  each: {foreach: [200, 201], http: {url: "SERVER/status/${item}"}}
  all: {depends: [each], run: 'echo "$status"'}
  guarded: {if: 'false', http: {url: DEAD}}
  allowed: {http: {url: DEAD}, allow_failure: true}
`))
	x.Principal("--with-agent")
	r := x.run("w")
	for id, want := range map[string]string{
		"get": "succeeded 0 1", "after": "succeeded 0 1", "post": "succeeded 0 1", "json": "succeeded 0 1",
		"at": "succeeded 0 1", "head": "succeeded 0 1", "none": "succeeded 0 1", "absent": "succeeded 0 1",
		"line": "succeeded 0 1", "flaky": "succeeded 0 3", "waits": "succeeded 0 3",
		"found":  "failed 0 1 status 302, want 2xx",
		"broken": "failed 0 1 status 503, want 2xx",
		"late":   "failed 143 1 timed out after 3s",
		"tls":    "failed 60 1 the certificate of the host is not trusted (curl: exit 60)",
		"dead":   "failed 7 1 the host does not take the connection (curl: exit 7)",
		"other":  "failed 1 1 the answer is no HTTP, or curl has no TLS (curl: exit 1)",
		"evil":   "failed - 1 http: header X-Is has a line break in it",
		"nocurl": "failed - 1 http needs curl, and there is none in PATH of the agent: install it there",
	} {
		if got := processEnd(r, id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if got := processEnd(r, "big"); !strings.HasPrefix(got, "failed ") ||
		!strings.Contains(got, " 1 the answer is longer than 1 MiB") {
		t.Errorf("big: %s", got)
	}
	if got := r.task("guarded").State; got != "skipped" {
		t.Errorf("guarded: %s", got)
	}
	for id, want := range map[string]string{
		"get": "GET   \"\"\n", "after": "status 200\n", "all": "[\"200\",\"201\"]\n",
		"post": "POST s3cret text/plain; charset=utf-8 \"say \\\"hi\\\" \\\\ to\\tall €\\n\"\n",
		"json": "PUT  application/json \"{\\\"a\\\": [1]}\"\n",
		"at":   "POST  text/plain; charset=utf-8 \"@/etc/passwd\"\n",
		"none": "", "found": "this is 302\n", "broken": "this is 503\n", "line": "curl -q -K - \n", "late": "begun\n",
		"tls": "curl: (60) ", "dead": "curl: (7) "} {
		out := x.OK("logs", r.ID, "--task", id)
		if cut := out[:min(len(out), len(want))]; cut != want || len(out) > len(want) &&
			!strings.HasPrefix(want, "curl: ") {
			t.Errorf("%s wrote %q, want %q", id, out, want)
		}
	}
	if out := x.OK("logs", r.ID, "--task", "head"); !strings.HasPrefix(out, "HTTP/1.1 200 OK") {
		t.Errorf("head wrote %q", out)
	}
	if out := x.OK("logs", r.ID, "--task", "big"); len(out) > 1<<20 {
		t.Errorf("%d bytes of an answer that is too long are kept", len(out))
	}
	if files, err := filepath.Glob(x.Dir + "/state/agent/out/*"); len(files) > 0 || err != nil {
		t.Errorf("left in the agent's folder: %q, %v", files, err)
	}
}

// TestHTTPStopped: a request ends with its run, is begun anew by nobody, and goes on while the principal is away.
func TestHTTPStopped(t *testing.T) {
	harness.Need(t, "apt install curl", "curl", "--version")
	x := newSite(t)
	server := httpServer(t)
	x.File("w.yml", "tasks:\n  a: {http: {url: "+server.URL+"/slow}}\n")
	x.Env = append(x.Env, "CDKTR_GRACE=1h")
	p := x.Principal()
	agent := x.Agent("far")
	begun := func() (run string) {
		run = x.Start("w")
		x.Until("the answer has begun", func() bool { return strings.Contains(x.OK("logs", run), "begun") })
		return run
	}
	ended := func(run, state string) {
		t.Helper()
		if r := x.await(run); r.State != state {
			t.Errorf("the run is %s (%s), want %s", r.State, r.Reason, state)
		}
		x.Until("curl is gone", func() bool { return len(harness.Alive("|"+run+"|a|")) == 0 })
		if files, err := filepath.Glob(x.Dir + "/far/out/*"); len(files) > 0 || err != nil {
			t.Errorf("left in the agent's folder: %q, %v", files, err)
		}
	}
	run := begun()
	x.OK("cancel", run)
	ended(run, "cancelled")
	run = begun()
	x.OK("cancel", run, "--force")
	ended(run, "cancelled")
	run = begun()
	x.OK("cancel", run, "--task", "a")
	ended(run, runFailed)
	run = begun()
	p.Kill()
	x.Principal()
	server.CloseClientConnections()
	ended(run, runFailed)
	if got := processEnd(x.show(run), "a"); got != "failed 18 1 the answer was cut off (curl: exit 18)" {
		t.Errorf("cut off by the server: %s", got)
	}
	run = begun()
	agent.Kill()
	x.Agent("far")
	ended(run, "crashed")
}
