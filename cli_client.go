// cli_client.go: the client's end of the request API: ask and be answered, or ask and read a stream.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// clientTimeout is how long a request that needs no waiting may take.
const clientTimeout = 10 * time.Second

// client is a connection to a principal. One goroutine uses it at a time.
type client struct {
	conn     wireConn
	endpoint string
	next     int
}

// clientDial connects. An error of it means that there is no principal to talk to, or that it does not know us.
func clientDial(ctx context.Context, endpoint string, opt wireOptions) (*client, error) {
	conn, err := wireDial(ctx, endpoint, opt)
	if err != nil {
		return nil, fmt.Errorf("reach the principal: %w", err)
	}
	return &client{conn: conn, endpoint: endpoint}, nil
}

// close ends the connection; whoever reads a stream of it gets an error.
func (c *client) close() { c.conn.Close() }

// ask sends a request and gives the reply; a refusal is a *protoError.
func (c *client) ask(ctx context.Context, req Request) (*Reply, error) {
	if !req.Wait {
		limited, cancel := context.WithTimeoutCause(ctx, clientTimeout, &exitError{code: exitUnreachable,
			err: fmt.Errorf("the principal at %s does not answer (waited %s)", c.endpoint, clientTimeout)})
		defer cancel()
		ctx = limited
	}
	var last *Reply
	err := c.stream(ctx, req, func(r *Reply) error {
		last = r
		return nil
	})
	return last, err
}

// askAll asks for a list page by page, and gives each of them to fn.
func (c *client) askAll(ctx context.Context, req Request, fn func(*Reply) error) error {
	for {
		r, err := c.ask(ctx, req)
		if err != nil {
			return err
		}
		if err := fn(r); err != nil || r.Next == "" {
			return err
		}
		req.After = r.Next
	}
}

// clientBesideID is the id of a request that is asked beside a stream; those of streams are numbers.
const clientBesideID = "beside"

// clientBeside is a request that is asked again and again while a stream is read, on the same connection: first after delay, then
// each time after what fn gives, and no more once that is 0 or the principal refuses it. It is never asked before it was answered.
// fn is called by the goroutine that reads the stream.
type clientBeside struct {
	req   Request
	delay time.Duration
	fn    func(*Reply) time.Duration
}

// stream sends a request and gives each reply to fn, up to the last one. It ends early when ctx does, or fn fails.
func (c *client) stream(ctx context.Context, req Request, fn func(*Reply) error) error {
	return c.streamBeside(ctx, req, nil, fn)
}

// streamBeside is stream that asks something else meanwhile, where beside is not nil.
func (c *client) streamBeside(ctx context.Context, req Request, beside *clientBeside, fn func(*Reply) error) error {
	c.next++
	req.ID = strconv.Itoa(c.next)
	body, err := protoAsk(req, req.ID, wireMaxFrame)
	if err != nil {
		return err
	}
	var again []byte
	if beside != nil {
		if again, err = protoAsk(beside.req, clientBesideID, wireMaxFrame); err != nil {
			return err
		}
	}
	if err := c.conn.Send([]byte{}, body); err != nil {
		return &exitError{code: exitUnreachable, err: fmt.Errorf("ask the principal at %s: %w", c.endpoint, err)}
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	var next *time.Timer
	if beside != nil {
		next = time.AfterFunc(beside.delay, func() {
			c.conn.Send([]byte{}, again) // a connection that has ended is noticed by the loop below
		})
		defer next.Stop()
	}
	for {
		frames, err := c.conn.Recv()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return &exitError{code: exitUnreachable, err: fmt.Errorf("the principal at %s went away: %w", c.endpoint, err)}
		}
		_, body, err := protoSplit(frames)
		if err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
		r := &Reply{}
		if err := json.Unmarshal(body, r); err != nil { // unknown fields are a newer principal's, and fine
			return fmt.Errorf("read reply: %w", err)
		}
		switch {
		case beside != nil && r.ID == clientBesideID:
			if r.Error == nil {
				if delay := beside.fn(r); delay > 0 {
					next.Reset(delay)
				}
			}
			continue
		case r.ID != req.ID:
			continue // of a request that was given up
		case r.Error != nil:
			return r.Error
		}
		if err := fn(r); err != nil {
			return err
		}
		if !r.More {
			return nil
		}
	}
}

// send asks and waits for no reply; what comes is passed over by stream.
func (c *client) send(req Request) error {
	body, err := protoAsk(req, "-", wireMaxFrame)
	if err != nil {
		return err
	}
	return c.conn.Send([]byte{}, body)
}

// errNoReply is for verbs that must have an answer in the last reply and find none.
var errNoReply = errors.New("the principal's reply is not complete: is it of another version?")
