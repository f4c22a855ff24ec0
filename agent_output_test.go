// agent_output_test.go: what was spooled as messages to principals old and new.

package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// A parcel of many short lines reaches the principal behind a hole, and when it has a part of it already. To one that
// is too old for parcels, to whom all of them do not fit into a message, go what happened, as many lines as do fit, and
// how many do not.
func TestAgentReportDense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		lines := parcelCut([]byte(strings.Repeat("y\n", 12000)))
		lines[0].Time = stampOf(stateEpoch)
		lines[0].N, lines[0].Task, lines[0].Attempt, lines[0].Stream = 1, "a", 1, "o"
		msg, _ := parcelPack("01JD3V5K0000000000000000AB", 1, lines, []*Event{{Kind: evRunFinished, State: runFailed}})
		g.do(func() {
			for _, c := range []struct {
				can         []string
				first       uint64
				n, skip     uint64
				items, keep int
			}{{protoPrincipalCan, 6, 6, 0, 2, 12000}, {protoPrincipalCan, 9, 9, 3, 2, 12000},
				{protoPrincipalCan, 5, 6, 0, 1, 0}, {nil, 9, 9, 3, 2, 6000}, {nil, 5, 6, 0, 1, 0}} {
				g.a.theirs, g.a.said = c.can, 5
				body, err := g.a.report(c.first, msg)
				if err != nil {
					t.Errorf("%+v: %v", c, err)
					continue
				}
				m := &agentMsg{}
				protoPeer(body, m)
				m.unpack()
				if len(body) > wireMaxFrame || m.N != c.n || m.Skip != c.skip || len(m.Items) != c.items ||
					m.Items[c.items-1].Event == nil || len(m.Items[0].Lines) != c.keep {
					t.Errorf("%+v: %d bytes, number %d, skip %d, %d items", c, len(body), m.N, m.Skip, len(m.Items))
				}
				if c.keep > 0 && c.keep < 12000 {
					if said := protoDropped(&m.Items[0].Lines[c.keep-1]); !strings.HasPrefix(said,
						fmt.Sprint(12000-c.keep+1)+" ") {
						t.Errorf("it says %q", said)
					}
				}
			}
			g.a.theirs, g.a.said = protoPrincipalCan, g.a.spool.acked
		})
		g.end()
	})
}
