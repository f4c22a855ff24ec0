// The table of the lines of units in docs/security.md is made of the units.

package main

import (
	"fmt"
	"strings"
	"time"
)

// docsUnits is that table: every line that install may write into a unit of the machine, and into which.
func docsUnits() string {
	kinds := []unitKind{unitPrincipal, unitAgent, unitSudoAgent, unitRootAgent}
	type row struct {
		line, why string
		in        [4]bool
	}
	var rows []*row
	byLine := map[string]*row{}
	for i, kind := range kinds {
		for _, version := range []int{252, 254} {
			s := &unitSpec{Kind: kind, Systemd: version, Bin: "B", User: "U", Clock: version == 254}
			if kind&unitAgents != 0 {
				s.Stop, s.Credential = time.Second, "C"
			}
			if kind&unitUserAgents != 0 {
				s.Group = "G"
			}
			why, last := "", -1
			for line := range strings.Lines(s.text()) {
				line = strings.TrimSpace(line)
				if comment, is := strings.CutPrefix(line, "# "); is {
					why = comment
					continue
				}
				if why == "" || !strings.Contains(line, "=") {
					continue
				}
				name, _, _ := strings.Cut(line, "=")
				switch name {
				case "Description", "Wants", "After", "WantedBy":
					why = ""
					continue
				case "User", "ExecStart", "TimeoutStopSec", "SupplementaryGroups", "LoadCredential", "StateDirectory",
					"WorkingDirectory": // what is behind it is the machine's, or the role's
					line = name + "="
				}
				r := byLine[line]
				if r == nil { // behind the one that was before it
					r = &row{line: line, why: why}
					byLine[line] = r
					rows = append(rows[:last+1], append([]*row{r}, rows[last+1:]...)...)
				}
				r.in[i] = true
				for at := range rows {
					if rows[at] == r {
						last = at
					}
				}
				why = ""
			}
		}
	}
	var b strings.Builder
	b.WriteString("| Line | Why | principal | agent | sudo | root |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %s |", r.line, r.why)
		for _, in := range r.in {
			b.WriteString(map[bool]string{true: " x |", false: " |"}[in])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
