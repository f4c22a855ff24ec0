package main

import (
	"context"
	"encoding/json"
	"errors"
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
		c.close()
		if _, err := c.ask(t.Context(), Request{Op: "ping"}); err == nil || !strings.Contains(err.Error(), "ask the principal at here") {
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
