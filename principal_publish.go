// principal_publish.go: the two one-way patterns on the principal's port. A SUB peer gets events and output as they
// happen, by topic prefix; one that is slow misses messages, and is told how many. A PUSH peer sends triggers, which
// are not answered; while no run can be queued its messages are not read.

package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

const (
	publishMaxTopics = 64              // subscriptions of one peer; a peer with more is cut off
	publishMaxTopic  = 1 << 10         // bytes of one of them; a peer with a longer one is cut off
	publishWait      = 1 * time.Second // between two tries to queue a trigger while nothing can be queued
)

// subscriber is a SUB peer. Its fields belong to the principal's loop.
type subscriber struct {
	conn   wireConn
	grant  *authGrant
	topics []string // prefixes
	// says whether a topic is not ours but the dialect's, which sends to it
	theirs  func(topic string) bool
	dropped int // messages since the last one that it took
}

// runSubscriber reads a SUB peer's subscriptions until the connection ends. Each is a byte 1 and a prefix, or a byte 0
// and a prefix to forget. theirs says which prefixes are the dialect's.
func (p *principal) runSubscriber(conn wireConn, grant *authGrant, theirs func(topic string) bool) {
	if !grant.may(protoOpOf("events")) {
		p.turnAway(conn, grant.deny("subscribe"))
		return
	}
	s := &subscriber{conn: conn, grant: grant, theirs: theirs}
	defer p.call(func() { delete(p.followers.subscribers, s) })
	if !p.call(func() { p.followers.subscribers[s] = true }) {
		return
	}
	by, _ := peerName(conn.Peer())
	party, paced := p.shares.join(conn.Peer().Party), p.paced(grant, by)
	defer party.leave()
	for {
		frames, err := conn.Recv()
		if err != nil {
			return
		}
		if paced && !party.pace(conn, p.ended, frames) {
			return
		}
		if len(frames) != 1 || len(frames[0]) == 0 || frames[0][0] > 1 {
			conn.Cut(fmt.Errorf("a SUB peer sent something other than a subscription"))
			return
		}
		if n := len(frames[0]) - 1; n > publishMaxTopic {
			conn.Cut(fmt.Errorf("a subscription of %d bytes: it may have %d", n, publishMaxTopic))
			return
		}
		topic, add := string(frames[0][1:]), frames[0][0] == 1
		p.call(func() { s.subscribe(topic, add) })
	}
}

// turnAway ends a one-way connection that is not allowed. Only the log says why: the peer cannot be told.
func (p *principal) turnAway(conn wireConn, why *protoError) {
	p.note("connection refused", conn.Peer(), "cause", why.Message)
	conn.Cut(why)
}

// subscribe adds or forgets a prefix.
func (s *subscriber) subscribe(topic string, add bool) {
	for i, t := range s.topics {
		if t == topic && !add {
			s.topics = append(s.topics[:i:i], s.topics[i+1:]...)
			return
		}
	}
	if !add {
		return
	}
	if len(s.topics) >= publishMaxTopics {
		s.conn.Cut(fmt.Errorf("more than %d subscriptions", publishMaxTopics))
		return
	}
	s.topics = append(s.topics, topic)
}

// wants says whether the topic begins with one of its prefixes, and it may see the workflow.
func (s *subscriber) wants(workflow, topic string) bool {
	if !s.grant.sees(workflow) {
		return false
	}
	for _, t := range s.topics {
		if strings.HasPrefix(topic, t) && !s.theirs(t) {
			return true
		}
	}
	return false
}

// give sends one message, a JSON object, or counts it as dropped. The next message that the peer takes has the count.
func (s *subscriber) give(topic string, body []byte) {
	if s.dropped > 0 {
		body = append(fmt.Appendf(nil, `{"dropped":%d,`, s.dropped), bytes.TrimPrefix(body, []byte("{"))...)
	}
	if s.conn.TrySend([]byte(topic), body) {
		s.dropped = 0
		return
	}
	s.dropped++
}

// publishEvents tells subscribers of this turn's events: topic event.WORKFLOW.RUN.
func (fs *followers) publishEvents(events []*Event) {
	if len(fs.subscribers) == 0 {
		return
	}
	for _, e := range events {
		if e.Kind == evVersion {
			continue
		}
		topic := "event." + e.Workflow + "." + e.Run
		fs.publish(e.Workflow, topic, func() []byte { return protoEncode(e) })
	}
}

// publishLines tells subscribers of output: topic log.WORKFLOW.RUN.TASK.
func (fs *followers) publishLines(workflow string, lines []LogLine) {
	if len(fs.subscribers) == 0 {
		return
	}
	for i := range lines {
		l := &lines[i]
		fs.publish(workflow, "log."+workflow+"."+l.Run+"."+l.Task, func() []byte { return protoEncode(logJSONOf(l)) })
	}
	fs.dialect.publish(workflow, lines)
}

// publish gives a message to the subscribers that want its topic. It encodes it once, when there is one.
func (fs *followers) publish(workflow, topic string, encode func() []byte) {
	var body []byte
	for s := range fs.subscribers {
		if !s.wants(workflow, topic) {
			continue
		}
		if body == nil {
			body = encode()
		}
		s.give(topic, body)
	}
}

// runPusher takes the triggers of a PUSH peer, {"workflow":...,"params":...,"key":...} each, until the connection ends.
// It logs those that cannot be carried out.
func (p *principal) runPusher(conn wireConn, grant *authGrant) {
	if !grant.may(protoOpOf("run")) {
		p.turnAway(conn, grant.deny("start runs"))
		return
	}
	by, from := peerName(conn.Peer())
	party, paced := p.shares.join(conn.Peer().Party), p.paced(grant, by)
	defer party.leave()
	for {
		frames, err := conn.Recv()
		if err != nil {
			return
		}
		_, body, err := protoSplit(frames)
		if err == nil && p.dialect.pushed(body, conn.Peer()) {
			continue
		}
		if paced && !party.pace(conn, p.ended, frames) {
			return
		}
		var req Request
		if err == nil {
			err = protoRequest(body, &req)
		}
		if err == nil && req.Op != "" && req.Op != "run" {
			err = refuse(codeInvalid, "a PUSH peer may send triggers only, not op %q", req.Op)
		}
		if err != nil {
			p.note("trigger refused", conn.Peer(), "cause", err)
			continue
		}
		req.checked = p.paramsCheck(&req)
		for p.push(conn, grant, req, by, from) {
			timer := time.NewTimer(publishWait)
			select {
			case <-timer.C:
			case <-conn.Done():
			case <-p.ended:
			}
			timer.Stop()
		}
	}
}

// push queues the run that a trigger asks for. True when it is to be tried again.
func (p *principal) push(conn wireConn, grant *authGrant, req Request, by, from string) (again bool) {
	answer := make(chan *protoError, 1)
	if !p.call(func() {
		refused := p.permit(grant, "run", req.Workflow, "")
		if refused == nil {
			_, refused = p.trigger(grant, req, by, from)
		}
		answer <- refused
	}) {
		return false
	}
	select {
	case refused := <-answer:
		if refused != nil && !refused.Retry {
			p.note("trigger refused", conn.Peer(), "workflow", req.Workflow, "cause", refused)
		}
		return refused != nil && refused.Retry
	case <-p.ended:
	case <-conn.Done():
	}
	return false
}
