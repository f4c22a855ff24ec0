// principal_dialect.go: what the principal asks of a language other than its own that peers may speak to it. Who starts
// a principal says which (principalConfig); there is one, CDKTR's.

package main

import "time"

// dialect serves the peers that speak another language, and the agents among them. serve and pushed are called by the
// goroutines of connections, everything else by the loop.
type dialect interface {
	// serve answers a request; false when it is not in the dialect.
	serve(c *opCall, body [][]byte) bool
	// pushed takes what a PUSH peer has sent; false when it is not in the dialect.
	pushed(body []byte, peer wirePeer) bool
	// topic says whether a subscription is for the dialect's messages.
	topic(topic string) bool
	// publish sends output to those who have subscribed to it in the dialect.
	publish(workflow string, lines []LogLine)

	// speaks says whether an agent is one of the dialect's.
	speaks(agent *Agent) bool
	// present says whether one of these is there.
	present() bool
	// cancel ends a run that one of these has; false when none of them has it.
	cancel(r *Run, reason, by, from string) bool
	// recovered takes over an agent that has runs when the principal starts; false when it is none of these.
	recovered(agent string) bool
	// giveUp gives up agents that are silent for too long.
	giveUp(now time.Time)
	// until gives how long the loop may sleep before giveUp has something to do, wait at most.
	until(now time.Time, wait time.Duration) time.Duration
}

// noDialect is the dialect of a principal that speaks its own language alone.
type noDialect struct{}

func (noDialect) serve(*opCall, [][]byte) bool             { return false }
func (noDialect) pushed([]byte, wirePeer) bool             { return false }
func (noDialect) topic(string) bool                        { return false }
func (noDialect) publish(string, []LogLine)                {}
func (noDialect) speaks(*Agent) bool                       { return false }
func (noDialect) present() bool                            { return false }
func (noDialect) cancel(*Run, string, string, string) bool { return false }
func (noDialect) recovered(string) bool                    { return false }
func (noDialect) giveUp(time.Time)                         {}

func (noDialect) until(_ time.Time, wait time.Duration) time.Duration { return wait }
