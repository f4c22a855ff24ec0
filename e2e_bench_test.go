// The client's side of bench/run: our own wire against a principal that bench/run has started, and says of in the
// environment. What is measured goes to a file, in nanoseconds and kB.

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// benchSet gives what bench/run says under a name.
func benchSet(b *testing.B, name string) string {
	b.Helper()
	value := os.Getenv("CDKTR_BENCH_" + name)
	if value == "" {
		b.Fatalf("CDKTR_BENCH_%s is not set: bench/run is what runs this", name)
	}
	return value
}

// benchDial connects, with keys when pair is one.
func benchDial(b *testing.B, pair *curvePair) *client {
	b.Helper()
	opt, endpoint := wireOptions{}, benchSet(b, "ENDPOINT")
	if file := os.Getenv("CDKTR_BENCH_CREDENTIAL"); file != "" {
		cred, err := credentialRead(context.Background(), nil, file)
		if err != nil {
			b.Fatal(err)
		}
		if pair == nil {
			pair = &cred.Pair
		}
		opt.CurveClient, opt.Heartbeat = &curveClient{Pair: *pair, Server: cred.Server}, dialHeartbeat
	}
	conn, err := clientDial(b.Context(), endpoint, opt)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// benchPings is as many pings, one after the other, as bench/run wants, after some to warm up: median and 99th
// percentile.
func benchPings(b *testing.B, conn *client) string {
	b.Helper()
	n, err := strconv.Atoi(benchSet(b, "N"))
	if err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for i := range n + n/10 {
		began := time.Now()
		if _, err := conn.ask(context.Background(), Request{Op: "ping"}); err != nil {
			b.Fatal(err)
		}
		if i >= n/10 {
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	return fmt.Sprintf("%d %d", took[n/2].Nanoseconds(), took[n*99/100].Nanoseconds())
}

// benchOut leaves what was measured.
func benchOut(b *testing.B, values ...any) {
	b.Helper()
	if err := os.WriteFile(benchSet(b, "OUT"), []byte(fmt.Sprintln(values...)), 0o600); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkNetClient measures the round trip of a ping.
func BenchmarkNetClient(b *testing.B) {
	conn := benchDial(b, nil)
	defer conn.close()
	benchOut(b, benchPings(b, conn))
}

// BenchmarkNetAgents connects agents by tcp with a key each, and measures the principal's memory and the pings of
// another client before and with them.
func BenchmarkNetAgents(b *testing.B) {
	const atOnce = 16 // in their handshake
	count, err := strconv.Atoi(benchSet(b, "AGENTS"))
	if err != nil {
		b.Fatal(err)
	}
	conn := benchDial(b, nil)
	defer conn.close()
	pairs := benchAuthorize(b, filepath.Join(benchSet(b, "STATE"), authFolder, authFile), count)
	before, kB := benchPings(b, conn), benchMemory(b)
	for {
		limited, err := clientDial(b.Context(), benchSet(b, "ENDPOINT"), benchKeys(b, pairs[count-1]))
		if err == nil {
			limited.close()
			break // the lines are in force
		}
	}
	began := time.Now()
	var all sync.WaitGroup
	places, ended := make(chan struct{}, atOnce), make(chan struct{})
	for i, pair := range pairs {
		places <- struct{}{}
		agent, err := clientDial(b.Context(), benchSet(b, "ENDPOINT"), benchKeys(b, pair))
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() { benchAgent(b, agent.conn, i, places, ended) })
	}
	for range atOnce {
		places <- struct{}{}
	}
	took := time.Since(began)
	up, err := conn.ask(b.Context(), Request{Op: "agents"})
	if err != nil {
		b.Fatal(err)
	}
	n := len(slices.DeleteFunc(up.Agents, func(a *Agent) bool {
		return a.State != agentUp ||
			!strings.HasPrefix(a.Name, "agent-")
	}))
	after := benchPings(b, conn)
	benchOut(b, before, after, benchMemory(b)-kB, n, took.Nanoseconds())
	close(ended)
	all.Wait()
}

// benchAuthorize adds a line for each agent, agent-0 and so on, and gives their pairs.
func benchAuthorize(b *testing.B, file string, count int) []curvePair {
	b.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var pairs []curvePair
	for i := range count {
		pair, err := authNewPair()
		if err != nil {
			b.Fatal(err)
		}
		pairs = append(pairs, pair)
		text = fmt.Appendln(text, (&authGrant{Name: fmt.Sprint("agent-", i), Key: pair.Public.String(),
			Role: roleAgent}).line())
	}
	if err := authTestReplace(filepath.Dir(file), string(text)); err != nil {
		b.Fatal(err)
	}
	return pairs
}

// benchKeys is the options of an agent with this pair.
func benchKeys(b *testing.B, pair curvePair) wireOptions {
	b.Helper()
	cred, err := credentialRead(context.Background(), nil, benchSet(b, "CREDENTIAL"))
	if err != nil {
		b.Fatal(err)
	}
	return wireOptions{CurveClient: &curveClient{Pair: pair, Server: cred.Server}, Heartbeat: dialHeartbeat}
}

// benchAgent is an agent that has nothing to do. It gives its place back when it is taken in, and says every
// agentPaceOf(agentLostAfter).beat that it is there, until ended is closed.
func benchAgent(b *testing.B, conn wireConn, i int, places, ended chan struct{}) {
	say := func(m agentMsg) {
		m.V = protoVersion
		conn.TrySend(protoEncode(m))
	}
	say(protoTestHello(fmt.Sprint("agent-", i), fmt.Sprint("epoch-", i)))
	if _, err := conn.Recv(); err != nil {
		b.Error(err)
	}
	<-places
	go func() { // ends with the connection
		for _, err := conn.Recv(); err == nil; _, err = conn.Recv() {
		}
	}()
	beat := time.NewTicker(agentPaceOf(agentLostAfter).beat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			say(agentMsg{Op: msgHeartbeat, Clock: stampOf(time.Now())})
		case <-ended:
			conn.Close()
			return
		}
	}
}

// benchMemory gives the resident memory of the principal in kB.
func benchMemory(b *testing.B) int {
	b.Helper()
	status, err := os.ReadFile("/proc/" + benchSet(b, "PID") + "/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kB, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kB
}
