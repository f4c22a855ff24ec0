// cli_attention_markdown.go: attention --markdown, a text to hand over: what needs a person, who has acknowledged what,
// and which schedules are paused. All that comes from others stands in code, so that it is no Markdown.

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	handoverAcks   = 24 * time.Hour // acknowledgements that are not older are told
	handoverMost   = 50             // acknowledgements, the newest, and paused workflows that are listed
	handoverLayout = "Mon 2006-01-02 15:04:05 MST"
)

// handover is a text while it is written.
type handover struct {
	b   strings.Builder
	now time.Time
}

// printHandover writes the text: each part is asked for before anything is printed.
func printHandover(ctx context.Context, c *cli) error {
	if c.flags.json {
		return usageError("attention takes --markdown or --json, not both")
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	var items []AttentionItem
	var alarm *AlarmInfo
	if err := conn.askAll(ctx, Request{Op: "attention"}, func(r *Reply) error {
		items, alarm = append(items, r.Items...), r.Alarm
		return nil
	}); err != nil {
		return err
	}
	var paused []WorkflowInfo
	count := 0
	if err := conn.askAll(ctx, Request{Op: "ls"}, func(r *Reply) error {
		for _, w := range r.Workflows {
			if w.Paused == "" {
				continue
			}
			if count++; len(paused) < handoverMost {
				paused = append(paused, w)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	h := &handover{now: time.Now()}
	acks, err := h.acked(ctx, conn)
	if err != nil {
		return err
	}
	h.line("# What needs a person")
	h.line("")
	h.line("As of " + h.now.Format(handoverLayout) + ", " + countText(len(items), "item") + ".")
	for rank, title := range []string{"Stops everything", "Needs a person", "Has recovered by itself"} {
		h.group(title, items, rank)
	}
	h.acks(acks)
	h.paused(paused, count)
	if alarm != nil {
		h.line("")
		h.line("## The alarm")
		h.line("")
		h.line(markdownCode(alarm.text(func(at Stamp) string { return at.Local().Format(handoverLayout) })))
	}
	_, err = fmt.Fprint(c.out, h.b.String())
	return err
}

func (h *handover) line(text string) { h.b.WriteString(text + "\n") }

// group writes the items of one rank, if there are any.
func (h *handover) group(title string, items []AttentionItem, rank int) {
	begun := false
	for i := range items {
		if attentionRank(items[i]) != rank {
			continue
		}
		if !begun {
			h.line("")
			h.line("## " + title)
			begun = true
		}
		h.item(&items[i])
	}
}

// item writes an item: what, since when, why, the last lines, the runs to look at, and the commands.
func (h *handover) item(item *AttentionItem) {
	h.line("")
	h.line("### " + markdownCode(item.what()))
	h.line("")
	h.fact("since", h.time(item.First))
	if item.Last != item.First {
		h.fact("last", h.time(item.Last))
	}
	if item.Count > 1 && len(item.Runs) > 0 {
		h.fact("how often", countText(item.Count, "run"))
	}
	h.fact("why", markdownCode(item.Reason))
	if len(item.Workflows) > 0 {
		h.fact("workflows", markdownCode(attentionNamesText(item.Workflows, attentionShown)))
	}
	if len(item.Agents) > 0 {
		h.fact("agents", markdownCode(attentionNamesText(item.Agents, attentionShown)))
	}
	for _, text := range item.Changed {
		h.fact("changed", markdownCode(text))
	}
	for _, run := range item.Runs[:min(len(item.Runs), 3)] {
		h.fact("look at", markdownCode("cdktr show "+run))
	}
	if len(item.Lines) > 0 {
		lines := make([]string, len(item.Lines))
		for i := range lines {
			lines[i] = item.lineText(i)
		}
		h.block("", lines)
	}
	h.block("sh", attentionCommands(item))
}

// fact writes a line of a list, if there is something to say.
func (h *handover) fact(name, text string) {
	if text != "" {
		h.line("- " + name + ": " + text)
	}
}

// time writes a time, and how long ago it was; "" when it is not known.
func (h *handover) time(at Stamp) string {
	if at.IsZero() {
		return ""
	}
	text := at.Local().Format(handoverLayout)
	if ago := h.now.Sub(at.Time).Round(time.Minute); ago > 0 {
		text += " (" + Duration(ago).String() + " ago)"
	}
	return text
}

// block writes lines as they are, between fences that none of them can end.
func (h *handover) block(kind string, lines []string) {
	fence := "```"
	for _, line := range lines {
		for strings.Contains(line, fence) {
			fence += "`"
		}
	}
	h.line("")
	h.line(fence + kind)
	for _, line := range lines {
		h.line(markdownLine(line))
	}
	h.line(fence)
}

// acked asks the audit trail who has acknowledged what lately, and gives what is not over, the newest last.
func (h *handover) acked(ctx context.Context, conn *client) (acks []*Event, err error) {
	err = conn.stream(ctx, Request{Op: "events", Since: stampOf(h.now.Add(-handoverAcks))}, func(r *Reply) error {
		for _, e := range r.Events {
			if e.Kind != evAcked && e.Kind != evAckOver {
				continue
			}
			kept := acks[:0]
			for _, ack := range acks {
				if ack.Key != e.Key {
					kept = append(kept, ack)
				}
			}
			if acks = kept; e.Kind == evAcked {
				acks = append(acks, e)
			}
		}
		acks = acks[max(0, len(acks)-handoverMost):]
		return nil
	})
	return acks, err
}

// acks writes who has acknowledged what.
func (h *handover) acks(acks []*Event) {
	if len(acks) == 0 {
		return
	}
	h.line("")
	h.line("## Acknowledged since yesterday")
	h.line("")
	for _, e := range acks {
		text := "- " + markdownCode(e.Key) + " by " + markdownCode(e.By) + ", " + h.time(e.Time)
		if !e.Until.IsZero() {
			text += ", comes back " + e.Until.Local().Format(handoverLayout)
		}
		h.line(text)
	}
}

// paused writes which schedules are paused; there may be more than are given.
func (h *handover) paused(list []WorkflowInfo, count int) {
	if count == 0 {
		return
	}
	h.line("")
	h.line("## Paused schedules")
	h.line("")
	for i := range list {
		w := &list[i]
		text := "- " + markdownCode(w.Workflow) + " by " + markdownCode(w.Paused)
		end := "until somebody resumes it"
		if p := w.Pause; p != nil {
			if !p.Since.IsZero() {
				text += ", since " + h.time(p.Since)
			}
			if !p.Until.IsZero() {
				end = "until " + p.Until.Local().Format(handoverLayout)
			}
			if p.All {
				end += ", with all others"
			}
			if p.Note != "" {
				end += ": " + markdownCode(p.Note)
			}
		}
		h.line(text + ", " + end)
	}
	if more := count - len(list); more > 0 {
		h.line(fmt.Sprintf("- and %d more: `cdktr ls`", more))
	}
}

// markdownLine makes one line of a text.
func markdownLine(text string) string {
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\u2028", " ", "\u2029", " ").Replace(text)
}

// markdownCode writes a text as code in a line: whatever it has stays as it is, and ends nothing.
func markdownCode(text string) string {
	text = strings.TrimSpace(markdownLine(text))
	if text == "" {
		return "-"
	}
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return fence + text + fence
}
