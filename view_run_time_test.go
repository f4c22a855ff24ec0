// Tests of what the screen of a run shows of the attempts of a task: their bars on the time axis, and the line of
// facts.

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// viewAttemptsTask makes a task from words, times in seconds after 02:00:00: its state, start, end and attempts, when
// the newest began ("-": there is none), then "start+seconds" of each earlier one ("?+seconds": it is not known when).
func viewAttemptsTask(t *testing.T, text string) *TaskRun {
	t.Helper()
	at := func(word string) (s Stamp) {
		seconds := 0.0
		if word == "-" || word == "?" {
			return s
		}
		if _, err := fmt.Sscan(word, &seconds); err != nil {
			t.Fatal(err)
		}
		return stampOf(viewStamp("02:00:00").Add(time.Duration(seconds * float64(time.Second))))
	}
	words := strings.Fields(text)
	task := &TaskRun{Task: "a", State: words[0], Reason: "exit 9", Started: at(words[1]), Finished: at(words[2]),
		Began: at(words[4])}
	fmt.Sscan(words[3], &task.Attempts)
	for i, word := range words[5:] {
		start, took, _ := strings.Cut(word, "+")
		a := TaskAttempt{Attempt: task.Attempts - len(words[5:]) + i, Reason: "exit " + fmt.Sprint(i+1),
			Started: at(start)}
		if task.State == taskRetrying || task.State == taskCancelled { // while it waited: the newest is among them
			a.Attempt++
		}
		fmt.Sscan(took, &a.Seconds)
		task.Earlier = append(task.Earlier, a)
	}
	return task
}

// Each attempt has its bar, to scale: here a column is a second. "b" is a task after it, so that the axis has 40.
func TestViewAttemptsBars(t *testing.T) {
	tests := []struct{ name, task, bar, facts string }{
		{"one try", "succeeded 2 8 1 -", "  ======+", "1/3   0:06 in all"},
		{"two, with a wait", "succeeded 2 20 2 13 2+5", "  =====!.....=======+ 2 of 3 tries",
			"1 exit 1 0:05 | 2 ok 0:07"},
		{"three, and failed", "failed 0 30 3 20 0+4 10+6", "====!.....======!...==========!",
			"1 exit 1 0:04 | 2 exit 2 0:06 | 3 exit 9 0:10"},
		{"the second at work", "running 2 - 2 30 2+5", "  =====!......................=========>",
			"1 exit 1 0:05 | 2 run"},
		{"one that waits", "retrying 2 - 1 - 2+5", "  =====!...............................>", "1 exit 1 0:05"},
		{"cancelled while it waits", "cancelled 2 20 1 - 2+5", "  =====!............x", "1 exit 1 0:05"},
		{"at once again", "succeeded 2 20 2 7 2+5", "  =====!============+ 2 of 3 tries", "1 exit 1 0:05 | 2 ok 0:13"},
		{"all in one column", "succeeded 2.1 2.9 3 2.7 2.1+0.1 2.4+0.1", "  + 3 of 3 tries",
			"1 exit 1 0:00 | 2 exit 2 0:00 | 3 ok 0:00"},
		{"two in the column where the last ends", "failed 2.1 5 3 5 2.1+0.1 2.6+0.2", "  !..! 3 of 3 tries",
			"1 exit 1 0:00 | 2 exit 2 0:00 | 3 exit 9 0:00"},
		{"older: nothing is known", "failed 2 20 3 -", "  ~~~~~~~~~~~~~~~~~~! 3 of 3 tries", "3/3   0:18 in all"},
		{"older: when the newest began", "failed 2 20 3 15", "  ~~~~~~~~~~~~~=====! 3 of 3 tries",
			"3/3   0:18 in all"},
		{"the oldest are not kept", "failed 2 30 9 25 10+4 16+4", "  ~~~~~~~~====!.====!....=====!",
			"7 exit 1 0:04 | 8 exit 2 0:04 | 9 exit 9 0:05"},
		{"of the first it is not known when", "failed 2 30 3 25 ?+4 16+4", "  ~~~~~~~~~~~~~~====!....=====!",
			"1 exit 1 0:04 | 2 exit 2 0:04 | 3 exit 9 0:05"},
		{"a clock that was set back", "failed 20 30 3 15 25+400 12+3", "               !    ~~~~~=====!", ""},
		{"begun before its run, by another clock", "failed -3 20 2 9 -3+5", "==!......===========! 2 of 3 tries", ""},
		{"done before this run began", "succeeded -90 -60 2 -65 -90+5", "<", ""},
	}
	for _, test := range tests {
		task := viewAttemptsTask(t, test.task)
		v := &viewRun{Now: viewStamp("02:00:40").Time, Mode: viewRunTime}
		v.set(&Run{ID: "R", State: runRunning, Started: viewStamp("02:00:00"),
			Tasks: []TaskRun{*task, {Task: "b", State: taskRunning, Started: viewStamp("02:00:00"), Attempts: 1}}},
			&Workflow{ID: "w", Tasks: []Task{{ID: "a", Retries: 2}, {ID: "b"}}})
		g := termGridNew(40, 1)
		v.drawBar(viewPen{g, viewArea{0, 0, 40, 1}}, &v.rows[0], v.Run.Started.Time, v.length())
		row, _, _ := strings.Cut(viewPicture(g), "\n")
		if is := strings.TrimRight(strings.Trim(row, "|"), " "); is != test.bar {
			t.Errorf("%s: the bar is\n%q, want\n%q", test.name, is, test.bar)
		}
		for _, f := range v.factsOf(&v.rows[0]) {
			if is := f.text; f.label == "tries" && test.facts != "" {
				if f.tries != nil {
					is = strings.Join(f.tries, " | ")
				}
				if is != test.facts {
					t.Errorf("%s: told is %q, want %q", test.name, is, test.facts)
				}
			}
		}
	}
}

// The facts of a task say what it may take of its machine, and how that was in force.
func TestViewLimitsFacts(t *testing.T) {
	v := &viewRun{Now: viewStamp("02:00:40").Time}
	v.set(&Run{ID: "R", State: runRunning, Started: viewStamp("02:00:00"), Tasks: []TaskRun{
		{Task: "a", State: taskRunning, Started: viewStamp("02:00:00"), Attempts: 1, Limited: "pids: cgroup"}}},
		&Workflow{ID: "w", Limits: &Limits{PIDs: 9}, Tasks: []Task{{ID: "a", Limits: &Limits{CPU: 50}}}})
	var told []string
	for _, f := range v.factsOf(&v.rows[0]) {
		if f.label == "limit" || f.label == "limits" {
			told = append(told, f.text)
		}
	}
	if is := strings.Join(told, " | "); is != "pids: cgroup | cpu 50%, pids 9" {
		t.Error(is)
	}
}

// Where the attempts have no room in the line of facts, the newest are shown and the others counted.
func TestViewAttemptsFacts(t *testing.T) {
	for _, test := range []struct {
		task string
		w    int
		want string
	}{
		{"failed 0 90 5 80 0+4 10+4 20+4 30+4", 90,
			"1 exit 1 0:04 | 2 exit 2 0:04 | 3 exit 3 0:04 | 4 exit 4 0:04 | 5 exit 9 0:10"},
		{"failed 0 90 5 80 0+4 10+4 20+4 30+4", 66, "+2 more | 3 exit 3 0:04 | 4 exit 4 0:04 | 5 exit 9 0:10"},
		{"failed 0 90 5 80 0+4 10+4 20+4 30+4", 34, "+4 more | 5 exit 9 0:10"},
		{"failed 0 90 5 80 0+4 10+4 20+4 30+4", 20, "+4 more | ~"},
		// the others are not kept
		{"failed 0 90 15 80 20+4 30+4", 90, "+12 more | 13 exit 1 0:04 | 14 exit 2 0:04 | 15 exit 9 0:10"},
		{"failed 0 90 15 80 20+4 30+4", 38, "+14 more | 15 exit 9 0:10"},
	} {
		v, g := &viewRun{Now: viewStamp("02:02:00").Time}, termGridNew(test.w, 6)
		v.set(&Run{ID: "R", State: runFailed, Started: viewStamp("02:00:00"),
			Tasks: []TaskRun{*viewAttemptsTask(t, test.task)}}, nil)
		v.drawFacts(viewPen{g, viewArea{0, 0, test.w, 6}})
		if text := viewPicture(g); !strings.Contains(text, "tries  "+test.want+" ") {
			t.Errorf("%d columns: %q is not in\n%s", test.w, test.want, text)
		}
	}
}
