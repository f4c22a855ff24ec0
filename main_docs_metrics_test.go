// The metrics against everything that names them: the table in docs/metrics.md, the alert rules, the dashboard.
// promtool of Prometheus reads what it can.

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

const (
	docsMetrics   = "docs/metrics.md"
	docsDashboard = "contrib/grafana/cdktr.json"
	docsRules     = "contrib/prometheus/cdktr.rules.yml"
)

// docsPromtool gives the command promtool.
func docsPromtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		harness.Lacks(t, "promtool: %v", err)
	}
	return path
}

// TestDocsMetrics holds the table of metrics in the document to the program; with -update it writes it anew.
func TestDocsMetrics(t *testing.T) {
	var table strings.Builder
	table.WriteString("| Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n")
	for _, row := range metricsTable {
		labels := strings.ReplaceAll("`"+row.labels+"`", ", ", "`, `")
		if row.labels == "" {
			labels = ""
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", row.name, row.kind, labels, row.help)
	}
	had := docsRead(t, docsMetrics)
	head, rest, found := strings.Cut(had, "<!-- metrics -->\n")
	_, tail, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		t.Fatalf("%s has no place for the table", docsMetrics)
	}
	text := head + "<!-- metrics -->\n" + table.String() + "<!-- end -->" + tail
	if text == had {
		return
	}
	if !*protocolUpdate {
		t.Errorf("the table in %s is not that of the program: go test -run TestDocsMetrics -update .", docsMetrics)
	} else if err := os.WriteFile(docsMetrics, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// docsQueries gives the queries of the rules, the dashboard and the document.
func docsQueries(t *testing.T) (queries []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^ +expr: (.*)$`).FindAllStringSubmatch(docsRead(t, docsRules), -1) {
		queries = append(queries, m[1])
	}
	rules := len(queries)
	var dashboard any
	if err := json.Unmarshal([]byte(docsRead(t, docsDashboard)), &dashboard); err != nil {
		t.Fatalf("%s: %v", docsDashboard, err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, each := range v {
				walk(each)
			}
		case map[string]any:
			if expr, ok := v["expr"].(string); ok {
				queries = append(queries, expr)
			}
			if expr, ok := v["definition"].(string); ok { // label_values(METRIC, LABEL)
				expr, _, _ = strings.Cut(strings.TrimPrefix(expr, "label_values("), ", ")
				queries = append(queries, expr)
			}
			for _, each := range v {
				walk(each)
			}
		}
	}
	walk(dashboard)
	panels := len(queries) - rules
	_, list, _ := strings.Cut(docsRead(t, docsMetrics), "| Question | Query |")
	for _, m := range regexp.MustCompile("(?m)^\\| [^|]* \\| `(.*)` \\|$").FindAllStringSubmatch(list, -1) {
		queries = append(queries, strings.ReplaceAll(m[1], `\|`, "|"))
	}
	if rules < 10 || panels < 30 || len(queries)-rules-panels < 5 {
		t.Errorf("found %d queries of rules and %d of panels, of %d", rules, panels, len(queries))
	}
	return queries
}

// TestDocsMetricsQueries: each metric and each label in the rules, the dashboard and the document exists, and the
// queries are sound.
func TestDocsMetricsQueries(t *testing.T) {
	t.Parallel()
	names, labels := map[string]bool{"node_textfile_mtime_seconds": true}, []string{"instance", "job", "file", "le"}
	for _, row := range metricsTable {
		labels = append(labels, strings.Split(row.labels, ", ")...)
		endings := []string{""}
		if row.kind == metricsHistogram {
			endings = []string{"_bucket", "_sum", "_count"}
		}
		for _, ending := range endings {
			names[row.name+ending] = true
		}
	}
	name := regexp.MustCompile(`\b(?:cdktr|process|node)_[a-z_]+`)
	label := regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	sets := regexp.MustCompile(`(?:by|on|ignoring) \(([a-z_, ]+)\)`)
	var rules strings.Builder
	rules.WriteString("groups:\n- name: all\n  rules:\n")
	for i, query := range docsQueries(t) {
		found := name.FindAllString(query, -1)
		if len(found) == 0 {
			t.Errorf("no metric is in %s", query)
		}
		for _, n := range found {
			if !names[n] {
				t.Errorf("there is no metric %s: %s", n, query)
			}
		}
		for _, m := range append(label.FindAllStringSubmatch(query, -1), sets.FindAllStringSubmatch(query, -1)...) {
			for _, l := range strings.Split(m[1], ", ") {
				if !slices.Contains(labels, l) {
					t.Errorf("there is no label %s: %s", l, query)
				}
			}
		}
		query = strings.ReplaceAll(strings.ReplaceAll(query, "$__rate_interval", "5m"), "'", `"`)
		fmt.Fprintf(&rules, "  - record: q%d\n    expr: '%s'\n", i, query)
	}
	promtool, file := docsPromtool(t), filepath.Join(t.TempDir(), "all.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, docsRules} {
		if said, err := exec.Command(promtool, "check", "rules", f).CombinedOutput(); err != nil {
			t.Errorf("promtool check rules: %v\n%s", err, said)
		}
	}
}
