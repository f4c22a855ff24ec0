// cli_attention.go: the verbs attention and ack: attention tells what needs a person, ack says that one has seen it.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// attentionVerb is the entry of `attention`.
func attentionVerb() cliVerb {
	return cliVerb{name: "attention",
		help: "tell what needs a person: failed runs, approvals, files that do not load, lost agents, what is late, " +
			"a full disk",
		run: doAttention,
		more: `
With --test-alarm it runs the command of the setting alarm with a test item instead, and prints how that went. Exit
codes then: 0 it went well, 1 it failed.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.markdown, "markdown", false, "as Markdown, to hand over; also what is paused and why")
			f.BoolVar(&f.testAlarm, "test-alarm", false, "run the alarm with a test item, and print how it went")
		},
		examples: []string{
			"cdktr attention",
			"cdktr attention --json | jq -r 'select(.recovered | not) | .key'",
			"cdktr attention --test-alarm",
			"cdktr attention --markdown > handover.md",
		}}
}

func doAttention(ctx context.Context, c *cli, args []string) error {
	switch {
	case c.flags.testAlarm && c.flags.markdown:
		return usageError("attention takes --markdown or --test-alarm, not both")
	case c.flags.testAlarm:
		return testAlarm(ctx, c)
	case c.flags.markdown:
		return printHandover(ctx, c)
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	p, now := c.painter(), time.Now()
	n, alarm := 0, (*AlarmInfo)(nil)
	err = conn.askAll(ctx, Request{Op: "attention"}, func(r *Reply) (err error) {
		alarm = r.Alarm
		for i := range r.Items {
			switch {
			case c.flags.json:
				err = printJSON(c.out, &r.Items[i])
			default:
				if n > 0 {
					fmt.Fprintln(c.out)
				}
				err = p.attentionItem(&r.Items[i], now)
			}
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err == nil && n == 0 && !c.flags.json {
		_, err = fmt.Fprintln(c.out, "nothing needs attention")
	}
	if err == nil && alarm != nil && !c.flags.json {
		_, err = fmt.Fprintln(c.out, p.paint(colorDim, alarm.text(func(at Stamp) string { return timeText(at, now) })))
	}
	return err
}

// testAlarm has the principal run the alarm, and prints how it went.
func testAlarm(ctx context.Context, c *cli) error {
	r, err := c.ask(ctx, Request{Op: "alarm"})
	if err != nil {
		return err
	}
	if r.Alarm == nil {
		return errors.New("the principal does not say how the alarm went")
	}
	how := "well"
	if r.Alarm.Reason != "" {
		how = r.Alarm.Reason
	} else if r.Alarm.Exit != nil {
		how = fmt.Sprintf("exit %d", *r.Alarm.Exit)
	}
	if c.flags.json {
		err = printJSON(c.out, r.Alarm)
	} else {
		for _, line := range r.Alarm.Lines {
			if err = printText(c.out, "| "+line); err != nil {
				return err
			}
		}
		err = printText(c.out, "the alarm was run with a test item: "+how)
	}
	if err == nil && r.Alarm.State != runSucceeded {
		err = &exitError{code: exitFailed, err: errors.New("the alarm failed"),
			hint: "it is run by /bin/sh -c on the principal's machine, as the principal's user"}
	}
	return err
}

// attentionItem prints one item: what happened and when, the last lines of output, what had changed, and commands that
// help.
func (p *painter) attentionItem(item *AttentionItem, now time.Time) error {
	var b strings.Builder
	say := func(color, text string) { b.WriteString("    " + p.paint(color, text) + "\n") }
	glyph, color, what := attentionWords(item)
	when := timeText(item.Last, now)
	if item.Count > 1 && len(item.Runs) > 0 { // items about files have a count, but no runs
		when = fmt.Sprintf("%s, %s to %s", countText(item.Count, "run"), timeText(item.First, now), when)
	}
	line := glyph + " " + what
	if when != "-" {
		line += "  " + when
	}
	b.WriteString(p.paint(color, line) + "\n")
	say("", item.Reason)
	if len(item.Workflows) > 0 {
		say("", "workflows: "+attentionNamesText(item.Workflows, attentionShown))
	}
	if len(item.Agents) > 0 {
		say("", "agents: "+attentionNamesText(item.Agents, attentionShown))
	}
	for i := range item.Lines {
		say("", item.lineText(i))
	}
	for _, text := range item.Changed {
		say(colorDim, text)
	}
	for _, command := range attentionCommands(item) {
		say(colorDim, "$ "+command)
	}
	_, err := fmt.Fprint(p.w, b.String())
	return err
}

// attentionWords says in a few words what an item is about, and gives its glyph and colour.
func attentionWords(item *AttentionItem) (glyph, color, what string) {
	what = item.what()
	switch item.Kind {
	case attentionFile:
		return "#", colorRed, what
	case attentionPools:
		return "!", colorRed, what
	case attentionAgent:
		return "?", colorRed, what
	case attentionPaused:
		return "=", colorYellow, what
	case attentionOld, attentionClock, attentionApprove:
		return "?", colorYellow, what
	case attentionOverdue:
		return ".", colorYellow, what
	case attentionOutput, attentionLeft, attentionListener:
		return "!", colorYellow, what
	case attentionExpect:
		return ".", colorYellow, what
	case attentionFolder:
		if len(item.Workflows) > 0 {
			return "#", colorYellow, what
		}
		return "#", colorRed, what
	}
	if item.Recovered {
		return "+", colorGreen, what
	}
	return "!", colorRed, what
}

// attentionCommands lists the commands that help with an item.
func attentionCommands(item *AttentionItem) []string {
	var commands []string
	switch item.Kind {
	case attentionFile:
		commands = []string{"cdktr show " + item.Workflow}
	case attentionAgent:
		commands = []string{"cdktr forget " + item.Agent}
	case attentionOld:
		commands = []string{"cdktr agents"}
	case attentionOverdue:
		commands = []string{"cdktr agents"}
		if item.Workflow != "" {
			commands = append(commands, "cdktr why "+item.Workflow)
		}
	case attentionPools:
		commands = []string{"cdktr pools", "cdktr cancel " + item.Runs[0]}
	case attentionListener:
		commands = []string{"cdktr show " + item.Workflow, "cdktr why " + item.Workflow}
	case attentionFolder:
		commands = []string{"cdktr doctor"}
		if len(item.Workflows) > 0 {
			commands = []string{"cdktr validate"}
		}
	case attentionDisk:
		commands = []string{"cdktr doctor"}
	case attentionAlarm:
		commands = []string{"cdktr attention --test-alarm"}
	case attentionClock:
		commands = []string{"cdktr agents"}
	case attentionApprove:
		run := item.Runs[0] + " " + item.Task
		commands = []string{"cdktr approve " + run, "cdktr reject " + run, "cdktr show " + item.Runs[0]}
	case attentionExpect:
		commands = []string{"cdktr why " + item.Workflow}
		if len(item.Runs) > 0 {
			commands = []string{"cdktr show " + item.Runs[0], "cdktr stats " + item.Workflow}
		}
	case attentionPaused:
		commands = []string{"cdktr resume " + orDefault(item.Workflow, "--all"),
			"cdktr pause " + orDefault(item.Workflow, "--all") + " --for 7d --note WHY"}
		if len(item.Workflows) > 1 {
			commands = []string{"cdktr resume " + item.Workflows[0]}
		}
	case attentionLeft:
		commands = []string{"cdktr show " + item.Runs[0]}
	case attentionOutput:
		commands = []string{"cdktr doctor", "cdktr logs " + item.Runs[0]}
	default:
		if len(item.Runs) > 0 {
			commands = []string{"cdktr retry " + item.Runs[0], "cdktr logs " + item.Runs[0]}
		}
	}
	return append(commands, "cdktr ack "+item.Key)
}

// ackVerb is the entry of `ack`.
func ackVerb() cliVerb {
	return cliVerb{name: "ack", args: "KEY",
		help: "acknowledge something that attention tells of: it is gone until it happens again", run: doAck,
		flags: func(f *cliFlags) {
			f.StringVar(&f.snooze, "snooze", "", "for a `DURATION` only, as 4h: then it is told of again")
		},
		examples: []string{
			"cdktr ack agent:edge-07",
			"cdktr ack agent:edge-07 --snooze 4h",
			"cdktr attention --json | jq -r .key | xargs -n1 cdktr ack",
		}}
}

func doAck(ctx context.Context, c *cli, args []string) error {
	key, err := oneArg(args, "ack", "KEY")
	if err != nil {
		return err
	}
	req, done := Request{Op: "ack", Key: key}, "acknowledged "+key
	if c.flags.snooze != "" {
		d, err := parseDuration(c.flags.snooze)
		if err != nil || d <= 0 {
			return usageError("--snooze: %q is not a duration: write it as 30m, 4h or 1d", c.flags.snooze)
		}
		req.Until = stampOf(time.Now().Add(d))
		done = "snoozed " + key + " until " + timeText(req.Until, time.Now())
	}
	if _, err := c.ask(ctx, req); err != nil {
		return err
	}
	if c.flags.json {
		return printJSON(c.out, struct {
			Done  string `json:"done"`
			Key   string `json:"key"`
			Until Stamp  `json:"until,omitzero"`
		}{"ack", key, req.Until})
	}
	return printText(c.err, done)
}
