// cli_many.go: many requests over one connection, of which a bounded number wait for their answers at one time. A
// connection that is lost is made again, and what was not answered is asked again: so each request must be harmless
// when it comes twice.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	manyMost  = 256         // requests that wait for their answers at one time; the next one is read after an answer
	manyAgain = time.Second // before a request is repeated that was refused because the principal was busy
)

// manyAsk is one of many requests, and its answer once there is one.
type manyAsk struct {
	req     Request
	done    bool
	reply   *Reply
	refused *protoError
}

// manyAsks asks them. All its fields belong to the goroutine of run.
type manyAsks struct {
	c      *cli
	next   <-chan *manyAsk      // what to ask, in order; closed behind the last
	asked  func(*manyAsk)       // is told of each request before it goes out for the first time
	took   func(*manyAsk) error // is told of each answer, in whatever order they come
	idle   func() error         // is called when all answers that have come were taken
	beside *clientBeside        // asked meanwhile; nil: nothing is
	say    func(string)

	conn    *client
	replies chan manyReply // of conn
	quit    chan struct{}  // closed when nobody reads replies any more

	open  map[int]*manyAsk // asked and not answered, by the number that is the request's id
	last  int              // the highest of these numbers
	later []int            // to be repeated after manyAgain
	again *time.Timer      // for later
	ask   *time.Timer      // for beside
	been  bool             // there was a connection
	lost  time.Time        // since when there is none that works
}

// manyReply is what came over a connection.
type manyReply struct {
	r   *Reply
	err error
}

// run asks all there is to ask, and returns when all is answered, or with the first error of took, or when the
// principal stays away for longer than c.patience. It wakes for requests, for answers, and for its two timers.
func (m *manyAsks) run(ctx context.Context) error {
	m.open = map[int]*manyAsk{}
	m.again, m.ask = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	m.again.Stop()
	m.ask.Stop()
	defer m.again.Stop()
	defer m.ask.Stop()
	defer m.hangUp()
	for more := m.next; more != nil || len(m.open) > 0; {
		if m.conn == nil {
			if err := m.connect(ctx); err != nil {
				return err
			}
		}
		if len(m.replies) == 0 {
			if err := m.idle(); err != nil {
				return err
			}
		}
		in := more
		if len(m.open) >= manyMost {
			in = nil
		}
		select {
		case one, ok := <-in:
			if !ok {
				more = nil
				continue
			}
			m.last++
			m.open[m.last] = one
			m.asked(one)
			if err := m.send(m.last); err != nil {
				return err
			}
		case got := <-m.replies:
			if err := m.hear(ctx, got); err != nil {
				return err
			}
		case <-m.again.C:
			numbers := m.later
			m.later = nil
			for _, n := range numbers {
				if err := m.send(n); err != nil {
					return err
				}
			}
		case <-m.ask.C:
			if body, err := protoAsk(m.beside.req, clientBesideID, wireMaxFrame); err == nil {
				m.conn.conn.Send([]byte{}, body) // hear notices a connection that has ended
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// connect makes the connection, again and again for as long as c.patience says, and asks what was not answered.
func (m *manyAsks) connect(ctx context.Context) error {
	for {
		conn, err := m.c.dial(ctx)
		if err == nil {
			m.been = true
			m.listen(ctx, conn)
			return m.resend()
		}
		if !m.been || !dialLost(err) {
			return err
		}
		if err := m.away(ctx, err); err != nil {
			return err
		}
	}
}

// resend asks all that is not answered, in its order.
func (m *manyAsks) resend() error {
	m.later = nil
	first := m.last
	for n := range m.open {
		first = min(first, n)
	}
	for n := first; n <= m.last; n++ {
		if m.open[n] != nil {
			if err := m.send(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// away waits a moment for a principal that is away. It gives err back when that was away for too long.
func (m *manyAsks) away(ctx context.Context, err error) error {
	switch {
	case m.lost.IsZero():
		m.lost = time.Now()
		m.say(fmt.Sprintf("the connection was lost, and is made again for %s", m.c.patience))
	case time.Since(m.lost) > m.c.patience:
		return err
	}
	select {
	case <-time.After(dialAgain):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// listen begins to read a connection. Its goroutine ends with the connection, or when hangUp is called.
func (m *manyAsks) listen(ctx context.Context, conn *client) {
	replies, quit := make(chan manyReply, manyMost), make(chan struct{})
	m.conn, m.replies, m.quit = conn, replies, quit
	stop := context.AfterFunc(ctx, conn.close) // a send that waits for room ends too
	go func() {
		defer stop()
		for {
			got := manyReply{r: &Reply{}}
			frames, err := conn.conn.Recv()
			if err != nil {
				got.err = &exitError{code: exitUnreachable, err: fmt.Errorf("the principal at %s went away: %w",
					conn.endpoint, err)}
			} else if _, body, err := protoSplit(frames); err != nil {
				got.err = fmt.Errorf("read reply: %w", err)
			} else if err := json.Unmarshal(body, got.r); err != nil {
				got.err = fmt.Errorf("read reply: %w", err)
			}
			select {
			case replies <- got:
			case <-quit:
				return
			}
			if got.err != nil {
				return
			}
		}
	}()
	if m.beside != nil {
		m.ask.Reset(m.beside.delay)
	}
}

// hangUp ends the connection.
func (m *manyAsks) hangUp() {
	if m.conn != nil {
		close(m.quit)
		m.conn.close()
		m.conn = nil
	}
}

// send asks the request of that number. A connection that has ended is no error: hear is told of it.
func (m *manyAsks) send(n int) error {
	one := m.open[n]
	if one == nil {
		return nil
	}
	body, err := protoAsk(one.req, strconv.Itoa(n), wireMaxFrame)
	if err != nil {
		return err
	}
	m.conn.conn.Send([]byte{}, body)
	return nil
}

// hear takes what came over the connection.
func (m *manyAsks) hear(ctx context.Context, got manyReply) error {
	if got.err != nil {
		m.hangUp()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !dialLost(got.err) {
			return got.err
		}
		return m.away(ctx, got.err)
	}
	r := got.r
	if m.beside != nil && r.ID == clientBesideID {
		if delay := m.beside.fn(r); delay > 0 && r.Error == nil {
			m.ask.Reset(delay)
		}
		return nil
	}
	n, err := strconv.Atoi(r.ID)
	one := m.open[n]
	if err != nil || one == nil || r.More {
		return nil // it answers what was given up, or is no answer yet
	}
	if r.Error != nil {
		switch r.Error.Code {
		case codeStopping: // the connection ends soon; what is open is asked of the next principal
			return nil
		case codeBusy:
			m.later = append(m.later, n)
			m.again.Reset(manyAgain)
			return nil
		}
	}
	m.lost = time.Time{}
	delete(m.open, n)
	one.done, one.reply, one.refused = true, r, r.Error
	return m.took(one)
}

// manyLines reads lines, and gives each to fn with its number, without its end. Of a line that has more than most bytes
// fn gets none, and long is true. It ends with the input, or when fn is false.
func manyLines(in io.Reader, most int, fn func(line int, text string, long bool) bool) error {
	r := bufio.NewReaderSize(in, most+2) // with \r\n
	for number := 1; ; number++ {
		text, err := r.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		line := ""
		if !long {
			line = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
			long = len(line) > most
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read standard input: %w", err)
		}
		if err != nil && len(text) == 0 {
			return nil
		}
		if !fn(number, line, long) || err != nil {
			return nil
		}
	}
}
