package main

import (
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
				theirs.Send(append(envelope[:len(envelope):len(envelope)], []byte(strings.ReplaceAll(text, "ID", req.ID)))...)
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
				return []string{`{"id":"old","ok":true,"version":"no"}`, `{"id":"ID","ok":true,"version":"7","later_field":{}}`}
			case "show":
				return []string{`{"id":"ID","error":{"code":"not_found","message":"no run","retry":false}}`}
			}
			return []string{"{"}
		})
		if r, err := c.ask(t.Context(), Request{Op: "ping"}); err != nil || r.Version != "7" {
			t.Errorf("%+v, %v", r, err)
		}
		var refused *protoError
		if _, err := c.ask(t.Context(), Request{Op: "show"}); !errors.As(err, &refused) || refused.Code != codeNotFound || err.Error() != "no run" {
			t.Error(err)
		}
		if r, err := c.ask(t.Context(), Request{Op: "ping"}); err != nil || r.ID != "3" {
			t.Errorf("after a refusal: %+v, %v", r, err)
		}
		if _, err := c.ask(t.Context(), Request{Op: "garbage"}); err == nil || !strings.Contains(err.Error(), "read reply") {
			t.Error(err)
		}
		var exit *exitError
		if _, err := c.ask(t.Context(), Request{Op: "run", Workflow: strings.Repeat("w", wireMaxFrame)}); !errors.As(err, &exit) || exit.code != exitUsage || !strings.Contains(err.Error(), "may have 1048576") {
			t.Error(err)
		}
		c.close()
		if _, err := c.ask(t.Context(), Request{Op: "ping"}); !errors.As(err, &exit) || exit.code != exitUnreachable || !strings.Contains(err.Error(), "ask the principal at here") {
			t.Error(err)
		}
	})
}

// A principal that says nothing, and one that goes away: both are out of reach, which has an exit code of its own.
func TestClientUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clientOn(func(Request) []string { return nil })
		began := time.Now()
		_, err := c.ask(t.Context(), Request{Op: "ping"})
		var exit *exitError
		if took := time.Since(began); !errors.As(err, &exit) || exit.code != exitUnreachable || !strings.Contains(err.Error(), "does not answer (waited 10s)") || took != clientTimeout {
			t.Errorf("%v after %v", err, took)
		}
		c, theirs := clientOn(func(Request) []string { return nil })
		time.AfterFunc(time.Hour, func() { theirs.Close() })
		began = time.Now()
		_, err = c.ask(t.Context(), Request{Op: "wait", Wait: true}) // as long as it takes
		if took := time.Since(began); !errors.As(err, &exit) || exit.code != exitUnreachable || !strings.Contains(err.Error(), "the principal at here went away") || took != time.Hour {
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

// Who is interrupted while the principal does not take its call was interrupted; that there is a principal is not in question.
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
	cfg, err := configLoad(map[string]string{"principal": "ipc://" + l.Addr().String()}, "", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&cli{flags: f, cfg: cfg, getenv: func(string) string { return "" }}).dial(ctx)
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitInterrupted {
		t.Errorf("%v", err)
	}
}

// A wait that is interrupted says which run goes on without it; one whose run was not acknowledged yet cannot.
func TestClientWaitInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := clientOn(func(Request) []string { return nil })
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("got signal interrupt")) })
		err := (&cli{flags: newCLIFlags("run")}).waitRun(ctx, conn, "01JD3V5K8Q2M4N6P8R0S2T4V6W")
		var exit *exitError
		if !errors.As(err, &exit) || exit.code != exitInterrupted || !strings.Contains(exit.hint, "cdktr cancel 01JD3V5K8Q2M4N6P8R0S2T4V6W") {
			t.Errorf("%v: %+v", err, exit)
		}
		// A principal that goes away meanwhile is another matter, and does not take the run with it.
		conn, theirs := clientOn(func(Request) []string { return nil })
		time.AfterFunc(time.Minute, func() { theirs.Close() })
		err = (&cli{flags: newCLIFlags("run")}).waitRun(t.Context(), conn, "01JD3V5K8Q2M4N6P8R0S2T4V6W")
		if !errors.As(err, &exit) || exit.code != exitUnreachable || !strings.Contains(exit.hint, "not lost") {
			t.Errorf("%v: %+v", err, exit)
		}
	})
}

func TestClientStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := clientOn(func(Request) []string {
			return []string{`{"id":"ID","ok":true,"more":true,"note":"1"}`, `{"id":"x","ok":true,"note":"no"}`, `{"id":"ID","ok":true,"more":true,"note":"2"}`, `{"id":"ID","ok":true,"note":"3"}`}
		})
		got := ""
		if err := c.stream(t.Context(), Request{Op: "logs"}, func(r *Reply) error { got += r.Note; return nil }); err != nil || got != "123" {
			t.Errorf("%q, %v", got, err)
		}
		// One that was given up half way does not disturb the next.
		if err := c.stream(t.Context(), Request{Op: "logs"}, func(r *Reply) error { return errNoReply }); err != errNoReply {
			t.Error(err)
		}
		got = ""
		if err := c.stream(t.Context(), Request{Op: "logs"}, func(r *Reply) error { got += r.Note; return nil }); err != nil || got != "123" {
			t.Errorf("%q, %v", got, err)
		}
		if err := c.send(Request{Op: "cancel"}); err != nil {
			t.Error(err)
		}
		got = ""
		if err := c.stream(t.Context(), Request{Op: "logs"}, func(r *Reply) error { got += r.Note; return nil }); err != nil || got != "123" {
			t.Errorf("%q, %v", got, err)
		}
		c.close()
		theirs.Close()
	})
}
