// cli_metrics.go: the verb metrics: the numbers of a principal, as Prometheus reads them, as JSON, or as the answer to
// one request by HTTP (cli_metrics_http.go).

package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

// metricsVerb is the entry of `metrics`.
func metricsVerb() cliVerb {
	return cliVerb{name: "metrics", help: "print counters and gauges of the principal, as Prometheus reads them",
		run: doMetrics,
		more: `
With --http it reads one HTTP request from standard input and answers it on standard output: a socket unit of systemd
starts it for each connection (Accept=yes).`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.http, "http", false, "answer one HTTP request from standard input")
		},
		examples: []string{
			"cdktr metrics",
			"cdktr metrics --json | jq -c 'select(.metric == \"cdktr_attention_items\" and .value > 0)'",
			"printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | cdktr metrics --http",
		}}
}

func doMetrics(ctx context.Context, c *cli, args []string) error {
	switch {
	case len(args) > 0:
		return usageError("metrics takes no arguments, not %q", textHead(args[0], cliEchoMost))
	case c.flags.http && c.flags.json:
		return usageError("--http answers in one form only: leave --json out")
	case c.flags.http:
		return metricsServe(c.in, termRaw(c.out), func() (string, error) { return metricsAsk(ctx, c) }, c.say)
	}
	text, err := metricsAsk(ctx, c)
	if err != nil {
		return err
	}
	if c.flags.json {
		return metricsEach(text, func(s metricsSample) error { return printJSON(c.out, s) })
	}
	_, err = c.out.Write([]byte(text))
	return err
}

// metricsAsk asks the principal for its numbers.
func metricsAsk(ctx context.Context, c *cli) (string, error) {
	r, err := c.ask(ctx, Request{Op: "metrics"})
	if refused, ok := errors.AsType[*protoError](err); ok && refused.Code == codeUnknownOp {
		return "", &exitError{code: exitUsage, hint: "cdktr ping says its version",
			err: errors.New("this principal keeps no metrics: it is of an older version")}
	}
	if err == nil && r.Metrics == "" {
		err = errNoReply
	}
	if err != nil {
		return "", err
	}
	return r.Metrics, nil
}

// metricsSample is one number as `metrics --json` prints it. One bucket of a histogram is a number too.
type metricsSample struct {
	Metric string            `json:"metric"`
	Type   string            `json:"type"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// metricsEach gives fn each number of a text of Prometheus.
func metricsEach(text string, fn func(metricsSample) error) error {
	kind := ""
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			_, kind, _ = strings.Cut(rest, " ")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		s := metricsSample{Type: kind, Labels: map[string]string{}}
		at := strings.IndexAny(line, "{ ")
		if at < 0 {
			return errNoReply
		}
		s.Metric, line = line[:at], line[at:]
		for line[0] != ' ' { // behind { or a comma; the last pair has a brace behind it
			name, rest, _ := strings.Cut(line[1:], "=")
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return errNoReply
			}
			s.Labels[name], err = strconv.Unquote(quoted)
			if err != nil {
				return errNoReply
			}
			line = strings.TrimPrefix(rest[len(quoted):], "}")
			if line == "" {
				return errNoReply
			}
		}
		var err error
		s.Value, err = strconv.ParseFloat(line[1:], 64)
		if err != nil {
			return errNoReply
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}
