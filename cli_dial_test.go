package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// clientOn gives a client whose principal answers each request with what answer says: raw bodies.
func clientOn(answer func(req Request) []string) (*client, wireConn) {
	ours, theirs := wirePipe()
	go func() { // ends with the connection
		for {
			frames, err := theirs.Recv()
			if err != nil {
				return
			}
			envelope, body, err := protoSplit(frames)
			var req Request
			if err != nil || json.Unmarshal(body, &req) != nil {
				theirs.Cut(nil)
				return
			}
			for _, text := range answer(req) {
				theirs.Send(append(envelope[:len(envelope):len(envelope)],
					[]byte(strings.ReplaceAll(text, "ID", req.ID)))...)
			}
		}
	}()
	return &client{conn: ours, endpoint: "here"}, theirs
}

func TestClientAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clientOn(func(req Request) []string {
			switch req.Op {
			case "ping":
				return []string{`{"id":"old","ok":true,"version":"no"}`,
					`{"id":"ID","ok":true,"version":"7","later_field":{}}`}
			case "show":
				return []string{`{"id":"ID","error":{"code":"not_found","message":"no run","retry":false}}`}
			}
			return []string{"{"}
		})
		if r, err := c.ask(t.Context(), Request{Op: "ping"}); err != nil || r.Version != "7" {
			t.Errorf("%+v, %v", r, err)
		}
		var refused *protoError
		if _, err := c.ask(t.Context(), Request{Op: "show"}); !errors.As(err, &refused) ||
			refused.Code != codeNotFound || err.Error() != "no run" {
			t.Error(err)
		}
		if r, err := c.ask(t.Context(), Request{Op: "ping"}); err != nil || r.ID != "3" {
			t.Errorf("after a refusal: %+v, %v", r, err)
		}
		if _, err := c.ask(t.Context(), Request{Op: "garbage"}); err == nil ||
			!strings.Contains(err.Error(), "read reply") {
			t.Error(err)
		}
		var exit *exitError
		c.close()
		if _, err := c.ask(t.Context(), Request{Op: "ping"}); !errors.As(err, &exit) || exit.code != exitUnreachable ||
			!strings.Contains(err.Error(), "ask the principal at here") {
			t.Error(err)
		}
	})
}

// A principal that says nothing and one that goes away are both unreachable, which has an exit code of its own. The
// client sends nothing that would arrive as something else, be it a request, one beside a stream, or one without a
// reply.
func TestClientUnsound(t *testing.T) {
	ours, theirs := wirePipe()
	defer ours.Close()
	c := &client{conn: ours, endpoint: "here"}
	for want, req := range map[string]Request{
		"workflow is not UTF-8":       {Op: "run", Workflow: "w\xff"},
		"has a NUL byte in it":        {Op: "run", Params: map[string]string{"day": "a\x00"}},
		"the request has":             {Op: "run", Params: map[string]string{"day": strings.Repeat("d", wireMaxFrame)}},
		"has 1025 bytes: it may have": {Op: "ls", Pattern: strings.Repeat("p", 1025)},
	} {
		_, err := c.ask(t.Context(), req)
		beside := c.streamBeside(t.Context(), Request{Op: "ping"}, &clientBeside{req: req}, nil)
		for _, err := range []error{err, beside, c.send(req)} {
			var refused *protoError
			if !errors.As(err, &refused) || refused.Code != codeInvalid || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
	ours.Close()
	if frames, err := theirs.Recv(); err == nil {
		t.Errorf("%q was sent", frames)
	}
}

func TestClientUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clientOn(func(Request) []string { return nil })
		began := time.Now()
		_, err := c.ask(t.Context(), Request{Op: "ping"})
		var exit *exitError
		if took := time.Since(began); !errors.As(err, &exit) || exit.code != exitUnreachable ||
			!strings.Contains(err.Error(), "does not answer (waited 10s)") || took != clientTimeout {
			t.Errorf("%v after %v", err, took)
		}
		c, theirs := clientOn(func(Request) []string { return nil })
		time.AfterFunc(time.Hour, func() { theirs.Close() })
		began = time.Now()
		_, err = c.ask(t.Context(), Request{Op: "wait", Wait: true}) // as long as it takes
		if took := time.Since(began); !errors.As(err, &exit) || exit.code != exitUnreachable ||
			!strings.Contains(err.Error(), "the principal at here went away") || took != time.Hour {
			t.Errorf("%v after %v", err, took)
		}
		c, _ = clientOn(func(Request) []string { return nil })
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errNoReply) })
		if err := c.stream(ctx, Request{Op: "wait"}, func(*Reply) error { return nil }); err != errNoReply {
			t.Error(err)
		}
	})
}

// A client that is interrupted while the principal does not accept its connection says that it was interrupted, not
// that there is no principal.
func TestClientDialInterrupted(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { // ends with the listener
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			cancel(errors.New("got signal interrupt"))
			<-t.Context().Done()
		}
	}()
	f := newCLIFlags("ping")
	cfg, err := configLoad(t.Context(), map[string]string{"principal": "ipc://" + l.Addr().String()}, "",
		func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&cli{flags: f, cfg: cfg, getenv: func(string) string { return "" }}).dial(ctx)
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitInterrupted {
		t.Errorf("%v", err)
	}
}

const clientRunID = "01JD3V5K8Q2M4N6P8R0S2T4V6W"

// clientCLI is a command line with nobody to connect to, and what it says on standard output and standard error.
func clientCLI(t *testing.T) (c *cli, out, stderr *bytes.Buffer) {
	cfg, err := configLoad(t.Context(), map[string]string{"principal": "ipc://" + t.TempDir() + "/s"}, "",
		func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	out, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &cli{flags: newCLIFlags("run"), cfg: cfg, getenv: func(string) string { return "" }, out: out, err: stderr,
		patience: dialPatience}, out, stderr
}

// A wait that is interrupted says which run goes on without it.
func TestClientWaitInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := clientOn(func(Request) []string { return nil })
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("got signal interrupt")) })
		c, _, _ := clientCLI(t)
		err := c.waitRun(ctx, conn, clientRunID)
		var exit *exitError
		if !errors.As(err, &exit) || exit.code != exitInterrupted || !strings.Contains(exit.hint,
			"cdktr cancel "+clientRunID) {
			t.Errorf("%v: %+v", err, exit)
		}
		// A principal that goes away meanwhile, and does not come back, is another matter, and does not take the run
		// with it.
		conn, theirs := clientOn(func(Request) []string { return nil })
		time.AfterFunc(time.Minute, func() { theirs.Close() })
		c, _, stderr := clientCLI(t)
		began := time.Now()
		err = c.waitRun(t.Context(), conn, clientRunID)
		if !errors.As(err, &exit) || exit.code != exitUnreachable || !strings.Contains(exit.hint, "not lost") {
			t.Errorf("%v: %+v", err, exit)
		}
		if took := time.Since(began); took < time.Minute+dialPatience || took > time.Minute+2*dialPatience {
			t.Errorf("it tried for %s", took)
		}
		if want := "cdktr: the connection was lost, and is made again for 30s\n"; stderr.String() != want {
			t.Errorf("it said %q, want %q", stderr, want)
		}
	})
}

// A verb that waits for a run which does not begin says why, once for each reason, and again when the run is queued
// again later. It does not ask twice a principal that refuses to say why, and waits on.
func TestClientRunWhy(t *testing.T) {
	row := func(state, reason string) string {
		return `{"id":"ID","ok":true,"runs":[{"run":"` + clientRunID + `","state":"` + state + `","reason":"` + reason +
			`"}]}`
	}
	over := strings.Replace(row(runSucceeded, ""), "ID", "1", 1)
	for name, c := range map[string]struct {
		shows []string // replies to show, the last behind the end of the run
		asked string   // when
		said  string
	}{
		"reasons": {shows: []string{row(runQueued, "no agent"), row(runQueued, "no agent"), row(runQueued, "busy"),
			row(runRunning, ""), row(runQueued, "busy"), over},
			asked: "3s 6s 9s 12s 1m12s 1m15s", said: "no agent|busy|busy|"},
		"nothing known": {shows: []string{row(runQueued, ""), over}, asked: "3s 6s"},
		"an old one":    {shows: []string{`{"id":"ID","ok":true}`, over}, asked: "3s 1m3s"},
		"refused": {shows: []string{`{"id":"ID","error":{"code":"not_allowed","message":"no","retry":false}}`},
			asked: "3s"},
	} {
		for _, follow := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				began := time.Now()
				conn, theirs := clientOn(func(req Request) []string {
					if req.Op != "show" {
						return nil
					}
					asked = append(asked, time.Since(began).String())
					return c.shows[len(asked)-1 : len(asked)]
				})
				time.AfterFunc(time.Hour, func() { theirs.Send([]byte{}, []byte(over)) })
				x, out, stderr := clientCLI(t)
				run := x.waitRun
				x.flags.json = true
				if follow {
					run = x.followRun
				}
				if err := run(t.Context(), conn, clientRunID); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				said := strings.NewReplacer("cdktr: run "+clientRunID+" is queued: ", "", "\n",
					"|").Replace(stderr.String())
				if got := strings.Join(asked, " "); got != c.asked || said != c.said {
					t.Errorf("%s: it asked at %s, want %s, and said %q, want %q", name, got, c.asked, said, c.said)
				}
				if n := strings.Count(out.String(), "\n"); n != 1 {
					t.Errorf("%s: %d lines on standard output: %s", name, n, out)
				}
			})
		}
	}
}

func TestClientStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := clientOn(func(Request) []string {
			return []string{`{"id":"ID","ok":true,"more":true,"note":"1"}`, `{"id":"x","ok":true,"note":"no"}`,
				`{"id":"ID","ok":true,"more":true,"note":"2"}`, `{"id":"ID","ok":true,"note":"3"}`}
		})
		got := ""
		if err := c.stream(t.Context(), Request{Op: "logs"},
			func(r *Reply) error { got += r.Note; return nil }); err != nil || got != "123" {
			t.Errorf("%q, %v", got, err)
		}
		// One that was given up half way does not disturb the next.
		if err := c.stream(t.Context(), Request{Op: "logs"},
			func(r *Reply) error { return errNoReply }); err != errNoReply {
			t.Error(err)
		}
		got = ""
		if err := c.stream(t.Context(), Request{Op: "logs"},
			func(r *Reply) error { got += r.Note; return nil }); err != nil || got != "123" {
			t.Errorf("%q, %v", got, err)
		}
		if err := c.send(Request{Op: "cancel"}); err != nil {
			t.Error(err)
		}
		got = ""
		if err := c.stream(t.Context(), Request{Op: "logs"},
			func(r *Reply) error { got += r.Note; return nil }); err != nil || got != "123" {
			t.Errorf("%q, %v", got, err)
		}
		c.close()
		theirs.Close()
	})
}
