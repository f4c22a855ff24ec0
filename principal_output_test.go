// principal_output_test.go: the numbers of lines of output.

package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
)

// Numbers that no honest agent gives to lines do not keep out the lines that follow, and none is stored twice.
func TestOutputNumbers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		id := g.run("w")
		as := a.last()
		a.report(fleetBegun(as)...)
		scan := func(output string) { // as blocks
			a.conn.Send([]byte(fmt.Sprintf(parcelFront+`%d,"parcel":{"lease":%d,"run":"%s","output":[%s]}}`, a.n+1,
				as.Lease, as.Run, output)))
			a.n++
			synctest.Wait()
		}
		a.report(fleetLines(as, 1, 2))
		a.report(fleetLines(as, math.MaxInt64, -5))
		scan(`{"i":999999999999999999,"k":"a","m":["far"]}`)
		scan(`{"i":3,"k":"a","m":["line 3"]},{"i":2,"k":"a","m":["again"]}`)
		a.report(fleetLines(as, 5, 4, 5, math.MaxInt64))
		scan(`{"i":6,"k":"a","m":["line 6"]},{"i":8,"k":"a","m":["line 8"]}`)
		a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded), fleetEvent(as, evRunFinished, "", runSucceeded))
		text := g.output(id)
		for i, line := range []string{"line 1 ", "line 2 ", "line 3", "line 5 ", "line 6", "line 8", "far", "again",
			"line 4 "} {
			want := 1
			if i > 5 {
				want = 0
			}
			if n := strings.Count(text, line); n != want {
				t.Errorf("%q is there %d times", line, n)
			}
		}
		if n := strings.Count(text, "line"); n != 6 {
			t.Errorf("%d lines: %q", n, text)
		}
		a.gone()
		g.stop()
	})
}
