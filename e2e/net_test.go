// End-to-end tests of a real network between agent and principal: two network namespaces with a cable between them,
// which the tests cut. When a cable is pulled, both sides learn it. When a cable swallows packets, neither does: the
// tests do that by giving one side a wrong hardware address for the other, which needs no kernel module. They need root
// and ip(8).

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

const (
	netHub   = "10.77.0.1" // the principal's side; the namespaces are each test's own, and so are the addresses
	netFar   = "10.77.0.2" // the agent's
	netPort  = "5561"
	netWrong = "02:00:00:00:00:01" // nobody's
)

// netCable is a principal in one network namespace, a credential for an agent in the other, and the cable between.
type netCable struct {
	*site
	hub, far  *site              // run in their namespaces; x itself is outside, with the principal's socket
	spaces    map[*site]string   // names of the namespaces
	addresses map[*site][]string // IP and hardware address of each side
	principal *harness.Proc
}

// netNew lays the cable and starts the principal, with one workflow.
func netNew(t *testing.T, workflow string) *netCable {
	t.Helper()
	if out, err := netTry(); err != nil {
		harness.Lacks(t, "no network namespaces here (they need root and ip, of iproute2): %v: %s", err, out)
	}
	n := &netCable{site: newSite(t), spaces: map[*site]string{}, addresses: map[*site][]string{}}
	n.hub, n.far = n.space("hub"), n.space("far")
	n.ip(n.hub, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", n.spaces[n.far])
	for side, address := range map[*site]string{n.hub: netHub, n.far: netFar} {
		n.ip(side, "addr", "add", address+"/24", "dev", "cable")
		n.ip(side, "link", "set", "lo", "up")
		n.ip(side, "link", "set", "cable", "up")
		link := n.ip(side, "-o", "link", "show", "cable")
		_, hard, _ := strings.Cut(link, "link/ether ")
		hard, _, _ = strings.Cut(hard, " ")
		n.addresses[side] = []string{address, hard}
	}
	n.File("w.yml", workflow)
	n.principal = n.hub.Principal("--bind", "tcp://"+netHub+":"+netPort)
	return n
}

// netTry says whether network namespaces can be had.
func netTry() (out []byte, err error) {
	name := fmt.Sprintf("cdktr-%d-try-%d", os.Getpid(), time.Now().UnixNano())
	out, err = exec.Command("ip", "netns", "add", name).CombinedOutput()
	if err == nil {
		out, err = exec.Command("ip", "netns", "del", name).CombinedOutput()
	}
	return out, err
}

// space makes a namespace, and a site whose processes run in it. Both are gone after the test.
func (n *netCable) space(name string) *site {
	n.T.Helper()
	space := fmt.Sprintf("%s-%d-%s", filepath.Base(n.Dir), os.Getpid(), name)
	if out, err := exec.Command("ip", "netns", "add", space).CombinedOutput(); err != nil {
		n.T.Fatalf("add namespace: %v: %s", err, out)
	}
	n.T.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", space).CombinedOutput(); err != nil {
			n.T.Errorf("remove namespace: %v: %s", err, out)
		}
	})
	x := *n.site
	x.Bin = filepath.Join(n.Dir, "in-"+name) // each exec keeps the pid, so that signals arrive
	if err := os.WriteFile(x.Bin, fmt.Appendf(nil, "#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", space, n.Bin),
		0o755); err != nil {
		n.T.Fatal(err)
	}
	n.spaces[&x] = space
	return &x
}

// ip runs ip(8) on one side.
func (n *netCable) ip(side *site, args ...string) string {
	n.T.Helper()
	out, err := exec.Command("ip", append([]string{"-n", n.spaces[side]}, args...)...).CombinedOutput()
	if err != nil {
		n.T.Fatalf("ip %q: %v: %s", args, err, out)
	}
	return string(out)
}

// swallow drops everything that one side sends to the other, or lets it through again. Neither side learns of it.
func (n *netCable) swallow(from *site, swallowed bool) {
	n.T.Helper()
	to := n.addresses[n.hub]
	if from == n.hub {
		to = n.addresses[n.far]
	}
	hard := to[1]
	if swallowed {
		hard = netWrong
	}
	n.ip(from, "neigh", "replace", to[0], "lladdr", hard, "dev", "cable", "nud", "permanent")
}

// credentialed starts an agent on one side with a credential of its own.
func (n *netCable) credentialed(side *site, name string) *harness.Proc {
	n.T.Helper()
	file := filepath.Join(n.Dir, name+".cred")
	n.OK("authorize", "--new", name, "--role", "agent", "--endpoint", "tcp://"+netHub+":"+netPort, "-o", file)
	y := *side
	y.Env = append(slices.Clone(side.Env), "WHO="+name, "CDKTR_CREDENTIAL="+file, "CDKTR_AGENT_NAME="+name)
	p := y.Spawn("start", "agent", "--state", n.Dir+"/"+name)
	p.Saw(&p.Err, "msg=.connected to the principal")
	return p
}

// agentState gives what `agents` says of one.
func (n *netCable) agentState(name string) string {
	r, err := n.ask(Request{Op: "agents"})
	if err != nil {
		return err.Error()
	}
	for _, a := range r.Agents {
		if a.Name == name {
			return a.State
		}
	}
	return ""
}

// lost waits until the agent counts as lost, and logs how long that took since the cut.
func (n *netCable) lost(name string, cut time.Time) {
	n.T.Helper()
	n.Until("agent "+name+" is lost", func() bool { return n.agentState(name) == agentLost })
	took := time.Since(cut)
	n.T.Logf("agents says lost %.1f s after the cut", took.Seconds())
	// 30 s of silence, or two heartbeats and a half; the rest is for a slow machine
	if took > 31*time.Second+15*time.Second {
		n.T.Errorf("it took %s until the agent counted as lost", took)
	}
}

// netChatty is two tasks that talk until they are told that it is enough, and a third with much to say at once. Each
// leaves the count of its lines in a file.
const netChatty = `tasks:
  a: &chat
    run: |
      i=0
      while [ ! -e $DIR/enough ]; do
        i=$((i+1))
        echo $CDKTR_TASK_ID $i
        [ $((i%10)) -gt 0 ] || sleep 0.05
      done
      echo $i > $DIR/said-$CDKTR_TASK_ID
  b: *chat
  c:
    depends: [a, b]
    run: |
      seq 1 3000 | sed 's/^/c /'
      echo 3000 > $DIR/said-c
`

// netSaid waits until the principal has n lines of a run.
func (n *netCable) netSaid(run string, lines int) {
	n.T.Helper()
	n.Until(fmt.Sprintf("%d lines", lines), func() bool { return strings.Count(n.OK("logs", run), "\n") >= lines })
}

// enough tells the tasks to end.
func (n *netCable) enough() {
	n.T.Helper()
	if err := os.WriteFile(n.Dir+"/enough", nil, 0o644); err != nil {
		n.T.Fatal(err)
	}
}

// wholeOutput wants a run that succeeded, and every line of each task once, in its order.
func (n *netCable) wholeOutput(run string) {
	n.T.Helper()
	if r := n.await(run); r.State != runSucceeded || statesOf(r) != "a=succeeded b=succeeded c=succeeded" ||
		r.Attempt != 1 {
		n.T.Errorf("the run is %s (%s), attempt %d, %s", r.State, r.Reason, r.Attempt, statesOf(r))
	}
	count := map[string]int{}
	for line := range strings.Lines(n.OK("logs", run)) {
		task, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		count[task]++
		if number != strconv.Itoa(count[task]) {
			n.T.Fatalf("line %d of task %s is %q", count[task], task, line)
		}
	}
	for _, task := range []string{"a", "b", "c"} {
		said, err := os.ReadFile(n.Dir + "/said-" + task)
		if err != nil || strings.TrimSpace(string(said)) != strconv.Itoa(count[task]) {
			n.T.Errorf("task %s said %q lines (%v), the principal has %d", task, said, err, count[task])
		}
	}
	n.T.Logf("%d lines of a, %d of b, %d of c, each once", count["a"], count["b"], count["c"])
}

// TestNetCut: the cable swallows everything in the middle of a run, for longer than the agent and the principal wait
// for each other; both see it, and when it is whole again nothing is missing and nothing is there twice.
func TestNetCut(t *testing.T) {
	n := netNew(t, netChatty)
	agent := n.credentialed(n.far, "ed")
	id := n.Start("w")
	n.netSaid(id, 300)
	cut := time.Now()
	n.swallow(n.far, true)
	n.swallow(n.hub, true)
	n.lost("ed", cut)
	agent.Saw(&agent.Err, "no principal; trying again")
	n.swallow(n.far, false)
	n.swallow(n.hub, false)
	n.Until("the agent is there again", func() bool { return n.agentState("ed") == agentUp })
	n.enough()
	n.wholeOutput(id)
}

// TestNetHalfOpen: what one side sends arrives nowhere, while the other is heard. Either way round the agent is lost,
// and the run goes on.
func TestNetHalfOpen(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"agent", "principal"} {
		t.Run(from, func(t *testing.T) {
			n := netNew(t, netChatty)
			n.credentialed(n.far, "ed")
			id := n.Start("w")
			n.netSaid(id, 300)
			side := n.far
			if from == "principal" {
				side = n.hub
			}
			cut := time.Now()
			n.swallow(side, true)
			n.lost("ed", cut)
			n.swallow(side, false)
			n.Until("the agent is there again", func() bool { return n.agentState("ed") == agentUp })
			n.enough()
			n.wholeOutput(id)
		})
	}
}

// TestNetFlaps: a link that loses many packets, by netem where the kernel has it, else by pulling the cable briefly
// again and again. No line of output may be lost.
func TestNetFlaps(t *testing.T) {
	n := netNew(t, netChatty)
	n.credentialed(n.far, "ed")
	netem := true
	for _, side := range []*site{n.hub, n.far} {
		err := exec.Command("tc", "-n", n.spaces[side], "qdisc", "add", "dev", "cable", "root", "netem", "delay",
			"20ms", "10ms", "loss", "5%").Run()
		netem = netem && err == nil
	}
	id := n.Start("w")
	if netem {
		t.Log("netem: 20 ms more each way, 5% of packets lost")
		n.netSaid(id, 3000)
	} else {
		const pulls = 6
		t.Logf("this kernel has no sch_netem: the cable is pulled %d times instead", pulls)
		for range pulls {
			n.ip(n.far, "link", "set", "cable", "down")
			said := time.After(200 * time.Millisecond)
			<-said // the task talks on meanwhile
			n.ip(n.far, "link", "set", "cable", "up")
			n.netSaid(id, strings.Count(n.OK("logs", id), "\n")+50)
		}
	}
	n.enough()
	n.wholeOutput(id)
}

// netFailover has a task that is done before the cut, and one that keeps writing who runs it.
const netFailover = `failover: rerun
tasks:
  first: {run: 'echo $WHO >> $DIR/first'}
  second:
    depends: [first]
    run: 'while [ ! -e $DIR/enough ]; do echo $WHO $(date +%s%N) >> $DIR/beats; sleep 0.1; done'
  third: {depends: [second], run: 'echo $WHO >> $DIR/third'}
`

// TestNetFailover: the cable is pulled for so long that another agent gets the run. By the timestamps of the tasks, the
// first agent has stopped before the second begins. Tasks that were done are not done again.
func TestNetFailover(t *testing.T) {
	n := netNew(t, netFailover)
	n.credentialed(n.far, "ed")
	id := n.Start("w")
	beats := func() string {
		text, _ := os.ReadFile(n.Dir + "/beats")
		return string(text)
	}
	n.Until("the first agent is at it", func() bool { return strings.Count(beats(), "ed ") > 5 })
	n.credentialed(n.hub, "vi")
	cut := time.Now()
	n.ip(n.far, "link", "set", "cable", "down")
	n.Until("the second agent is at it", func() bool { return strings.Count(beats(), "vi ") > 5 })
	n.ip(n.far, "link", "set", "cable", "up")
	n.Until("the first agent is there again", func() bool { return n.agentState("ed") == agentUp })
	again := time.Now()
	n.Until("the second agent is still at it", func() bool { return netLast(t, beats(), "vi").After(again) })
	n.enough()
	if run := n.await(id); run.State != runSucceeded || run.Attempt != 2 || run.Agent != "vi" ||
		statesOf(run) != "first=succeeded second=succeeded third=succeeded" {
		t.Errorf("the run is %s (%s), attempt %d on %s, %s", run.State, run.Reason, run.Attempt, run.Agent,
			statesOf(run))
	}
	for name, want := range map[string]string{"first": "ed\n", "third": "vi\n"} {
		if text, _ := os.ReadFile(filepath.Join(n.Dir, name)); string(text) != want {
			t.Errorf("task %s was run by %q, want %q", name, text, want)
		}
	}
	end, begin := netLast(t, beats(), "ed"), netFirst(t, beats(), "vi")
	t.Logf("the first agent let go %.1f s after the cut, the second began after %.1f s", end.Sub(cut).Seconds(),
		begin.Sub(cut).Seconds())
	if !end.Before(begin) {
		t.Errorf("the first agent was at it until %s, the second from %s", end, begin)
	}
}

// netStamps gives the times at which an agent worked on a task.
func netStamps(t *testing.T, beats, who string) []time.Time {
	t.Helper()
	var all []time.Time
	for line := range strings.Lines(beats) {
		if name, stamp, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); name == who &&
			strings.HasSuffix(line, "\n") {
			nanos, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			all = append(all, time.Unix(0, nanos))
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s was never at it:\n%s", who, beats)
	}
	return all
}

func netFirst(t *testing.T, beats, who string) time.Time {
	return slices.MinFunc(netStamps(t, beats, who), time.Time.Compare)
}

func netLast(t *testing.T, beats, who string) time.Time {
	return slices.MaxFunc(netStamps(t, beats, who), time.Time.Compare)
}
