// Tests of attention --markdown: what comes from others cannot be read as Markdown.

package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestMarkdownCode(t *testing.T) {
	for text, want := range map[string]string{
		"etl.daily": "`etl.daily`", "": "-", " \n": "-", "a`b": "``a`b``", "`x`": "`` `x` ``", "```": "```` ``` ````",
		"# a\n# b": "`# a # b`", "a\r\nb\u2028c": "`a b c`", "[x](y) | <b>": "`[x](y) | <b>`",
	} {
		if got := markdownCode(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Whatever an item has: outside of code there is only what this program writes.
func TestHandoverHostile(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	bits := []string{"`", "``", "```", "````", "\n", "\r", "# X", "- X", "<X>", "[X](X)", "|", "~~~", "\n\n", "    X",
		"X",
		"\u2028"}
	hostile := func() string {
		text := ""
		for range rnd.IntN(8) {
			text += bits[rnd.IntN(len(bits))]
		}
		return text
	}
	for range 500 {
		h := &handover{now: time.Now()}
		items := []AttentionItem{{Kind: attentionFailed, Workflow: hostile(), Task: hostile(), Reason: hostile(),
			Agent: hostile(), Key: hostile(), Runs: []string{hostile()}, Changed: []string{hostile()}, Count: 1,
			Lines: []string{hostile(), hostile(), hostile()}, Last: stampOf(time.Now())}}
		h.group("Needs a person", items, 1)
		h.acks([]*Event{{Key: hostile(), By: hostile(), Time: stampOf(time.Now())}})
		h.paused([]WorkflowInfo{{Workflow: hostile(), Paused: "x", Pause: &Pause{By: "x", Note: hostile()}}}, 1)
		fence := ""
		for line := range strings.Lines(h.b.String()) {
			line = strings.TrimSuffix(line, "\n")
			run := line[:len(line)-len(strings.TrimLeft(line, "`"))]
			switch {
			case fence != "":
				if strings.HasPrefix(run, fence) && run == line {
					fence = ""
				}
				continue
			case len(run) > 2 && !strings.Contains(line[len(run):], "`"):
				fence = run
				continue
			}
			if plain := markdownTestPlain(line); strings.ContainsAny(plain, "X<[|~`") {
				t.Fatalf("seed %d: %q stands outside of code in\n%s", seed, plain, h.b.String())
			}
		}
		if fence != "" {
			t.Fatalf("seed %d: a block does not end:\n%s", seed, h.b.String())
		}
	}
}

// markdownTestPlain gives what of a line is not code, as CommonMark reads code spans.
func markdownTestPlain(line string) (plain string) {
	for line != "" {
		i := strings.IndexByte(line, '`')
		if i < 0 {
			return plain + line
		}
		plain, line = plain+line[:i], line[i:]
		fence := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		rest, end := line[len(fence):], -1
		for at := 0; at < len(rest); {
			j := strings.IndexByte(rest[at:], '`')
			if j < 0 {
				break
			}
			at += j
			run := len(rest[at:]) - len(strings.TrimLeft(rest[at:], "`"))
			if run == len(fence) {
				end = at + run
				break
			}
			at += run
		}
		if end < 0 {
			return plain + line
		}
		line = rest[end:]
	}
	return plain
}
