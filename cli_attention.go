// cli_attention.go: the verbs attention and ack: attention tells what needs a person, ack says that one has seen it.

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// attentionShown is how many names of workflows or agents an item lists; it counts the others.
const attentionShown = 12

// attentionVerb is the entry of `attention`.
func attentionVerb() cliVerb {
	return cliVerb{name: "attention",
		help: "tell what needs a person: failed runs, files that do not load, lost agents, what is overdue, " +
			"a full disk",
		run: doAttention,
		examples: []string{
			"cdktr attention",
			"cdktr attention --json | jq -r 'select(.recovered | not) | .key'",
		}}
}

func doAttention(ctx context.Context, c *cli, args []string) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	p, now := c.painter(), time.Now()
	n := 0
	err = conn.askAll(ctx, Request{Op: "attention"}, func(r *Reply) (err error) {
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
	switch item.Kind {
	case attentionFile:
		return "#", colorRed, item.Workflow + " does not load"
	case attentionAgent:
		return "?", colorRed, "agent " + item.Agent + " is lost"
	case attentionOld:
		return "?", colorYellow, "agent " + item.Agent + " is too old"
	case attentionOverdue:
		if len(item.Workflows) > 1 {
			return ".", colorYellow, item.where() + " are overdue"
		}
		return ".", colorYellow, item.where() + " is overdue"
	case attentionDisk:
		return "!", colorRed, "the principal's disk takes nothing"
	case attentionOutput:
		return "!", colorYellow, item.Workflow + " lost output"
	case attentionFolder:
		if len(item.Workflows) > 0 {
			files := "the file of "
			if item.Count > 1 {
				files = "the files of "
			}
			return "#", colorYellow, files + countText(item.Count, "workflow") + " may not mean what was meant"
		}
		return "#", colorRed, "the workflows folder cannot be read"
	case attentionClock:
		return "?", colorYellow, "the clock of agent " + item.Agent + " is off"
	case attentionLeft:
		return "!", colorYellow, item.Workflow + " " + item.Task + " left processes alive on " + item.Agent
	}
	what = item.where()
	if item.Task != "" {
		what += " " + item.Task
	}
	if item.Exit != nil {
		what += fmt.Sprintf(" exit %d", *item.Exit)
	}
	if on := item.onAgents(); on != "" {
		what += " on " + on
	}
	if item.Recovered {
		return "+", colorGreen, what + ", recovered since"
	}
	return "!", colorRed, what
}

// where names the workflow of an item, or counts its workflows.
func (item *AttentionItem) where() string {
	if n := len(item.Workflows); n > 0 {
		return countText(n, "workflow")
	}
	return item.Workflow
}

// onAgents names the agent of an item, or counts its agents.
func (item *AttentionItem) onAgents() string {
	if n := len(item.Agents); n > 0 {
		return countText(n, "agent")
	}
	return item.Agent
}

// lineText gives a line of an item's output, marked with its stream: o, e, or c. An older principal does not name the
// stream.
func (item *AttentionItem) lineText(i int) string {
	if i < len(item.Streams) {
		return item.Streams[i:i+1] + "| " + item.Lines[i]
	}
	return "| " + item.Lines[i]
}

// attentionNamesText lists the first few names, and counts the others.
func attentionNamesText(names []string, most int) string {
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
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
	case attentionFolder:
		commands = []string{"cdktr doctor"}
		if len(item.Workflows) > 0 {
			commands = []string{"cdktr validate"}
		}
	case attentionDisk:
		commands = []string{"cdktr doctor"}
	case attentionClock:
		commands = []string{"cdktr agents"}
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
