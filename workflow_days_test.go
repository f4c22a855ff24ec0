package main

import (
	"strings"
	"testing"
	"time"
)

// TestFolderDays: a file of days is followed like the workflows, the nearest counts, and what is wrong with it is a
// fault of each workflow that names it, whose last good version stays in force.
func TestFolderDays(t *testing.T) {
	const file = "schedule: '0 9 * * *'\nexcept: ['@off.txt', 12-31]\ntasks: {a: {run: x}}\n"
	f := folderTestNew(t)
	f.write("a.yml", file)
	f.write("sub/b.yml", file)
	f.scan("a a.yml none [a.yml: except: there is no off.txt beside the workflow, nor in a folder above it]; "+
		"sub.b sub/b.yml none [sub/b.yml: except: there is no off.txt beside the workflow, nor in a folder above it]",
		"")
	f.write("off.txt", "12-25\n")
	changed := f.scan("a a.yml good; sub.b sub/b.yml good", "")
	day := func(i int, text string) string {
		t.Helper()
		at, err := time.Parse(time.DateOnly, text)
		if err != nil || i >= len(changed) {
			t.Fatal(err, changed)
		}
		return changed[i].Days.against(at)
	}
	if got := day(0, "2026-12-25"); got != "except: 12-25 of off.txt" {
		t.Errorf("a: %q", got)
	}
	f.scan("", "")
	f.write("sub/off.txt", "12-24 # not 12-25\n")
	changed = f.scan("sub.b sub/b.yml good", "")
	if got := day(0, "2026-12-25") + day(0, "2026-12-24"); got != "except: 12-24 of off.txt" {
		t.Errorf("b: %q", got)
	}
	f.write("sub/off.txt", "12-24\nchristmas\n")
	changed = f.scan(`sub.b sub/b.yml good [sub/b.yml: except: sub/off.txt: line 2: "christmas" is no day: write it as `+
		"2026-12-25, 12-25 (of every year), sat-sun, or @FILE]", "")
	if got := day(0, "2026-12-24"); got != "except: 12-24 of off.txt" {
		t.Errorf("b with a fault: %q", got)
	}
	f.write("sub/off.txt", strings.Repeat("12-24\n", daysMaxFile/5))
	f.scan("sub.b sub/b.yml good [sub/b.yml: except: sub/off.txt: the file has 314568 bytes, more than 262144]", "")
	f.remove("sub/off.txt")
	changed = f.scan("sub.b sub/b.yml good", "")
	if got := day(0, "2026-12-25"); got != "except: 12-25 of off.txt" {
		t.Errorf("b without a file of its own: %q", got)
	}
	f.write("a.yml", folderTestGood)
	if changed = f.scan("a a.yml good", ""); changed[0].Days != nil {
		t.Errorf("a has days: %v", changed[0].Days)
	}
}

func TestWorkflowDays(t *testing.T) {
	const tasks = "tasks: {a: {run: x}}\n"
	workflowTestFaults(t, []workflowFaultCase{
		{"days", "schedule: '0 9 * * *'\nexcept: [25-12, '@holidays', '@../x.txt', '@x/y.txt', 5]\n" + tasks,
			"w.yml:2:10: except: there is no day 25-12\n" +
				"w.yml:2:17: except: @holidays: a file of days lies beside the workflow or in a folder above it, " +
				"and its " +
				"name ends in .txt: write @holidays.txt\n" +
				"w.yml:2:30: except: @../x.txt: a file of days lies beside the workflow or in a folder above it, " +
				"and its " +
				"name ends in .txt: write @holidays.txt\n" +
				"w.yml:2:43: except: @x/y.txt: a file of days lies beside the workflow or in a folder above it, and " +
				"its " +
				"name ends in .txt: write @holidays.txt\n" +
				`w.yml:2:55: except: "5" is no day: write it as 2026-12-25, 12-25 (of every year), sat-sun, or @FILE`},
		{"no schedule", "only: mon\n" + tasks, "w.yml:1:1: warning: only does nothing without a schedule"},
	})
	for text, want := range map[string]string{
		"except: mon-sun\n": "w.yml:2:9: warning: except leaves no day on which the schedule fires, in the next 10 " +
			"years",
		"only: 2020-01-01\n": "w.yml:2:7: warning: only leaves no day on which the schedule fires, in the next 10 " +
			"years",
		"except: sat-sun\n": "",
	} {
		_, faults, _ := workflowParseAt("w.yml", "w", []byte("schedule: '0 9 * * *'\n"+text+tasks), nil,
			workflowClock{schedEpoch,
				time.UTC})
		got := ""
		for _, fault := range faults {
			got += fault.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
