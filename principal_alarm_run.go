// principal_alarm_run.go: the command of the alarm: what it is given, how it is run beside the loop, and what follows
// from how it ended. There is one at a time. When it fails the same is told again after a while, with what has come
// since.

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	alarmTimeout  = 1 * time.Minute  // of the command
	alarmExplain  = 10 * time.Second // how long the output of runs that failed is looked for, before it runs
	alarmLast     = 3 * time.Second  // how long a stop of the principal waits for a command that runs
	alarmMaxItems = 50               // items that one run of it tells of; it counts the others
	alarmMaxText  = 8 << 10          // bytes of CDKTR_ALARM_TEXT
)

// alarmRunner is commandRun.
type alarmRunner func(context.Context, commandSpec) commandResult

// alarmRun is one run of the command. It belongs to the loop, but for done.
type alarmRun struct {
	news *alarmNews
	test *opCall // who has asked for a test; nil: it is none
	stop context.CancelFunc
	done chan commandResult // gets one, before the loop is called
}

// alarmInput is what the command gets on its standard input, as JSON. Its lists have items as attention lists them.
type alarmInput struct {
	Time  Stamp           `json:"t"`
	Host  string          `json:"host"`
	Text  string          `json:"text"`            // the same for people, as in CDKTR_ALARM_TEXT
	New   []AttentionItem `json:"new"`             // never told before
	Still []AttentionItem `json:"still,omitempty"` // told alarm_repeat ago or longer, and still there
	Over  []AttentionItem `json:"recovered,omitempty"`
	More  int             `json:"more,omitempty"` // items that are not in these lists
	Test  bool            `json:"test,omitempty"`
}

// begin runs the command for what there is to tell.
func (a *alarm) begin(news *alarmNews) { a.start(&alarmRun{news: news}) }

// start runs the command beside the loop. The goroutine ends with it.
func (a *alarm) start(run *alarmRun) {
	ctx, stop := context.WithCancel(context.Background())
	run.stop, run.done = stop, make(chan commandResult, 1)
	a.running = run
	in := &alarmInput{Time: stampOf(a.cfg.now()), Host: a.set.Host, New: []AttentionItem{}, Test: run.test != nil}
	left := alarmMaxItems
	for _, list := range []struct{ to, from *[]AttentionItem }{{&in.New, &run.news.fresh},
		{&in.Still, &run.news.still}, {&in.Over, &run.news.over}} {
		n := min(left, len(*list.from))
		*list.to = append(*list.to, (*list.from)[:n]...)
		left, in.More = left-n, in.More+len(*list.from)-n
	}
	var cases []attentionCase
	for _, list := range [][]AttentionItem{in.New, in.Still} {
		for _, item := range list {
			cases = append(cases, a.attention.caseOf(item))
		}
	}
	a.workers.Go(func() {
		defer stop()
		a.explain(in, cases)
		in.Text = in.text()
		run.done <- a.set.run(ctx, commandSpec{Line: a.set.Command, Stdin: append(protoEncode(in), '\n'),
			Env:     append(a.set.Environ[:len(a.set.Environ):len(a.set.Environ)], "CDKTR_ALARM_TEXT="+in.Text),
			Timeout: alarmTimeout})
		a.call(func() { a.take(run) })
	})
}

// explain adds the last output of runs that failed. It does not wait for a disk that does not answer.
func (a *alarm) explain(in *alarmInput, cases []attentionCase) {
	explained, until := make(chan bool, 1), time.Now().Add(alarmExplain)
	timer := time.NewTimer(alarmExplain)
	defer timer.Stop()
	a.workers.Go(func() { // ends with the disk's answer
		for i := range cases {
			a.looks.explain(&cases[i], func() bool { return time.Now().After(until) })
		}
		explained <- true
	})
	select {
	case <-explained:
	case <-timer.C:
		return
	}
	for i := range cases {
		if i < len(in.New) {
			in.New[i] = cases[i].item
		} else {
			in.Still[i-len(in.New)] = cases[i].item
		}
	}
}

// take has the end of a run count, once. Only on the loop.
func (a *alarm) take(run *alarmRun) {
	select {
	case result := <-run.done:
		a.ended(run, &result)
	default: // finish has it
	}
}

// finish waits a little for a command that runs when the principal stops, and then stops it: what it had to tell is
// told again after the start.
func (a *alarm) finish() {
	if a == nil || a.running == nil {
		return
	}
	timer := time.NewTimer(alarmLast)
	defer timer.Stop()
	select {
	case result := <-a.running.done:
		a.ended(a.running, &result)
	case <-timer.C:
		a.running.stop()
	}
}

// ended notes how the command went and, if it went well, what it has told.
func (a *alarm) ended(run *alarmRun, result *commandResult) {
	a.running, a.stirred = nil, true
	e := &Event{Kind: evAlarmRan, State: runSucceeded, Exit: result.Exit, Seconds: result.Took.Seconds()}
	if run.test != nil {
		e.By, e.From = run.test.by, run.test.from
	}
	if result.Reason == "" {
		a.emit(e)
		a.said, a.notBefore = "", time.Time{}
		if run.test == nil {
			a.since = time.Time{}
			a.noteTold(run.news)
		}
	} else {
		e.State, e.Reason = runFailed, protoReason(alarmReason(result))
		a.emit(e)
		a.said = result.Output
		a.notBefore = a.cfg.now().Add(alarmWait(a.state.Alarm.Failed))
		a.cfg.Log.Error("the alarm told nobody", "cause", e.Reason, "again_in",
			alarmWait(a.state.Alarm.Failed).String())
	}
	if c := run.test; c != nil {
		info := a.info()
		info.Lines = alarmLines(result.Output)
		a.whenDurable(func() { c.reply(Reply{Alarm: info}) })
	}
}

// alarmWait gives how long the alarm waits after a failure.
func alarmWait(failed int) time.Duration {
	if failed > 6 { // 2^6 minutes are more than an hour
		return alarmRetryMost
	}
	return min(alarmRetry<<max(failed-1, 0), alarmRetryMost)
}

// alarmReason says why the command failed: how it ended, and the last line that it wrote.
func alarmReason(result *commandResult) string {
	lines := alarmLines(result.Output)
	if len(lines) == 0 {
		return result.Reason
	}
	return result.Reason + ": " + lines[len(lines)-1]
}

// alarmLines gives the last lines of what the command wrote.
func alarmLines(output string) (lines []string) {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, textHead(line, attentionMaxLine))
		}
	}
	return lines[max(len(lines)-attentionLines, 0):]
}

// noteTold notes what was told.
func (a *alarm) noteTold(news *alarmNews) {
	for _, list := range [][]AttentionItem{news.fresh, news.still} {
		for i := range list {
			for _, item := range list[i].parts() {
				a.emit(&Event{Kind: evTold, Key: item.Key, Workflow: item.Workflow, Task: item.Task, Exit: item.Exit,
					Agent: item.Agent, Reason: protoReason(item.Reason)})
			}
		}
	}
	for _, item := range news.over {
		a.emit(&Event{Kind: evTold, Key: item.Key, Workflow: item.Workflow, Agent: item.Agent, State: toldOver})
	}
}

// info says how the alarm is, nil when none is set. Only on the loop.
func (a *alarm) info() *AlarmInfo {
	if a == nil {
		return nil
	}
	info := &AlarmInfo{Delay: a.set.Delay.Seconds(), Repeat: a.set.Repeat.Seconds(), Running: a.running != nil}
	if ran := a.state.Alarm; ran != nil {
		info.Time, info.State, info.Exit, info.Reason, info.Failed, info.Since = ran.Time, ran.State, ran.Exit,
			ran.Reason, ran.Failed, ran.Since
		if ran.Failed > 0 {
			info.Next = stampOf(a.notBefore)
		}
	}
	return info
}

// item is the failure of the alarm as something that needs a person; false when it has not failed. Only on the loop.
func (a *alarm) item() (AttentionItem, bool) {
	if a == nil || a.state.Alarm == nil || a.state.Alarm.Failed == 0 {
		return AttentionItem{}, false
	}
	ran := a.state.Alarm
	item := AttentionItem{Key: stateKey(attentionAlarm, "command", ""), Kind: attentionAlarm, Reason: ran.Reason,
		Exit: ran.Exit, Count: ran.Failed, First: ran.Since, Last: ran.Time}
	item.Lines = alarmLines(a.said)
	item.Streams = strings.Repeat("o", len(item.Lines))
	return item, true
}

// opAlarm runs the command with a test item, and answers when it has ended.
func (p *principal) opAlarm(c *opCall) {
	a := p.alarm
	switch {
	case a == nil:
		c.refuse(refuse(codeConflict, "no alarm is set: start the principal with alarm: COMMAND in its configuration "+
			"file, or --alarm COMMAND"))
	case a.running != nil:
		c.refuse(refuse(codeBusy, "the alarm runs just now: try again in a moment"))
	default:
		now := stampOf(p.cfg.now())
		a.start(&alarmRun{test: c, news: &alarmNews{fresh: []AttentionItem{{Key: "test:alarm", Kind: "test",
			Reason: "a test of the alarm, by " + c.by + ": nothing is wrong", Count: 1, First: now, Last: now}}}})
	}
}

// text tells people what the command is to tell: a line that counts, and then what there is.
func (in *alarmInput) text() string {
	var counts []string
	for _, list := range []struct {
		n    int
		what string
	}{{len(in.New), "new"}, {len(in.Still), "still there"}, {len(in.Over), "recovered"}, {in.More, "more"}} {
		if list.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", list.n, list.what))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", in.Host, strings.Join(counts, ", "))
	for _, list := range []struct {
		head  string
		items []AttentionItem
	}{{"NEW", in.New}, {"STILL THERE", in.Still}, {"RECOVERED", in.Over}} {
		if len(list.items) > 0 {
			fmt.Fprintf(&b, "\n%s\n", list.head)
		}
		for i := range list.items {
			list.items[i].alarmText(&b)
		}
	}
	if in.More > 0 {
		fmt.Fprintf(&b, "\n%d more: cdktr attention\n", in.More)
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, b.String())
	if len(text) > alarmMaxText {
		text = strings.ToValidUTF8(text[:alarmMaxText], "") + "\n... the rest: cdktr attention\n"
	}
	return strings.TrimRight(text, "\n")
}

// alarmText writes an item for people.
func (item *AttentionItem) alarmText(b *strings.Builder) {
	line := func(text string) { b.WriteString(strings.ReplaceAll(text, "\n", " ") + "\n") }
	switch {
	case item.Recovered && item.Kind != attentionFailed:
		line("* " + item.what() + ": over")
		return
	case item.Recovered:
		line("* " + item.what())
		return
	}
	line("* " + item.what())
	if item.Reason != "" {
		line("  " + item.Reason)
	}
	if len(item.Workflows) > 0 {
		line("  workflows: " + attentionNamesText(item.Workflows, attentionShown))
	}
	if len(item.Runs) > 0 {
		line("  run " + item.Runs[0])
	}
	for i := range item.Lines {
		line("  " + item.lineText(i))
	}
}
