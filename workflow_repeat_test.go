package main

import "testing"

func TestWorkflowRepeatFaults(t *testing.T) {
	workflowTestFaults(t, []workflowFaultCase{
		{"repeat", "tasks:\n  a: {run: x, repeat: {every: 30s, for: 2h, times: 20, until: test -e y}}\n", ""},
		{"repeat of nothing", "tasks:\n  a: {run: x, repeat: {}}\n  b: {run: x, repeat: 30s}\n  c: {run: x, repeat: " +
			"{every: 1ms, for: 0, times: 0, until: ''}}\n",
			"w.yml:2:23: task \"a\": repeat: every is missing\n" +
				"w.yml:3:23: task \"b\": repeat: want a map such as {every: 30s, for: 2h}, not \"30s\"\n" +
				"w.yml:4:31: task \"c\": repeat: every: want 100ms or more\n" +
				"w.yml:4:41: task \"c\": repeat: for: want a time above 0, or leave the key out for no limit\n" +
				"w.yml:4:51: task \"c\": repeat: times: want a whole number from 1 to 1000000, not \"0\"\n" +
				"w.yml:4:61: task \"c\": repeat: until is empty: want a shell line such as test -e /data/in.csv"},
		{"repeat and retries", "tasks:\n  a: {run: x, repeat: {every: 30s}, retries: 2, retry_delay: 1s}\n",
			"w.yml:2:37: task \"a\": retries does not go with repeat, which says itself when a task is tried again: write " +
				"times or for within repeat\n" +
				"w.yml:2:49: task \"a\": retry_delay does not go with repeat, which says itself when a task is tried again: " +
				"write times or for within repeat"},
		{"repeat of others", "tasks:\n  a: {run: x, repeatPolicy: {}}\n",
			"w.yml:2:15: task \"a\": key \"repeatPolicy\" is not known (here it is \"repeat\")"},
	})
}
