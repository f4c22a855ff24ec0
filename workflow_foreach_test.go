package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestWorkflowForeachFaults(t *testing.T) {
	task := func(keys string) string { return "tasks:\n  b: {run: x}\n  a: {cmd: x, " + keys + "}\n" }
	const want = "a list such as [eu, us], a map of lists such as {os: [linux, mac]}, ${params.NAME} or " +
		"${tasks.ID.outputs.KEY}"
	workflowTestFaults(t, []workflowFaultCase{
		{"a list", task("foreach: [eu, us], max_parallel: 2, args: [\"${item}\"]"), ""},
		{"no items", task("foreach: []"), ""},
		{"lists", task("foreach: {os: [linux, mac], v: [1, 2]}, args: [\"${item.os}\", \"${item}\"]"), ""},
		{"an output", task("foreach: '${tasks.b.outputs.k}', depends: b, env: {X: '${item.y}'}"), ""},
		{"a parameter", "params: {x: ''}\n" + task("foreach: '${params.x}'"), ""},
		{"an output of none before", task("foreach: '${tasks.b.outputs.k}'"), `w.yml:3:24: task "a": foreach: ` +
			`${tasks.b.outputs.k}: only a task that depends on "b", directly or not, can use its outputs`},
		{"no parameter", task("foreach: '${params.x}'"),
			`w.yml:3:24: task "a": foreach: ${params.x}: there is no parameter "x"`},
		{"a text", task("foreach: eu us"), `w.yml:3:24: task "a": foreach: want ` + want + `, not "eu us"`},
		{"a text around", task("foreach: 'x ${params.x}'"),
			`w.yml:3:24: task "a": foreach: want ` + want + `, not "x ${params.x}"`},
		{"another reference", task("foreach: '${run.id}'"),
			`w.yml:3:24: task "a": foreach: want ` + want + `, not "${run.id}"`},
		{"a reference in a list", task("foreach: ['${run.id}']"),
			`w.yml:3:25: task "a": foreach: an item is taken as it ` +
				`is written, and "${run.id}" is a reference: write foreach: ${params.NAME} for a whole list`},
		{"lists in a list", task("foreach: [[a]]"), `w.yml:3:25: task "a": foreach: want text in the list, not a list`},
		{"no list", task("foreach: {os: linux}"), `w.yml:3:29: task "a": foreach: os: want ` + want + `, not "linux"`},
		{"a name of a list", task("foreach: {o-s: [a]}"), `w.yml:3:25: task "a": foreach: "o-s" cannot name a list: ` +
			`want letters, digits and _, no digit first`},
		{"too many", task("foreach: {a: [" + strings.Repeat("x,", 33) + "], b: [" + strings.Repeat("x,", 33) + "]}"),
			`w.yml:3:24: task "a": foreach: there are more than 1000 items: split the task`},
		{"no such list", task("foreach: {os: [a]}, args: ['${item.v}']"),
			`w.yml:3:42: task "a": args: ${item.v}: foreach has no list "v"`},
		{"no values", task("foreach: [a], args: ['${item.v}']"),
			`w.yml:3:36: task "a": args: ${item.v}: foreach has no list "v"`},
		{"an item of none", task("args: ['${item}']"),
			`w.yml:3:22: task "a": args: ${item}: only a task with foreach has ` +
				`an item, in its own keys`},
		{"an item of the workflow", "env: {X: '${item}'}\n" + task("foreach: [a]"),
			`w.yml:1:10: env: X: ${item}: only a task with foreach has an item, in its own keys`},
		{"max_parallel alone", task("max_parallel: 2"), `w.yml:3:15: task "a": max_parallel goes only with foreach`},
		{"max_parallel of none", task("foreach: [a], max_parallel: 0"),
			`w.yml:3:43: task "a": max_parallel: want a whole number from 1 to 1000, not "0"`},
		{"names of other tools", task("matrix: {os: [a]}, loop: [b]"),
			`w.yml:3:15: task "a": key "matrix" is not known (here it is "foreach")` + "\n" +
				`w.yml:3:34: task "a": key "loop" is not known (here it is "foreach")`},
	})
}

// Items have names that are short, safe in a terminal and a shell, and each its own.
func TestForeachNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	for from, want := range map[string]string{
		"a\n\n  b \r\nc":       "a|b|c",
		`["a","a","a~2","",1]`: "a|a~2|a_2|~4|1",
		`["$(x)","a;b","\u001b[0m","é","\ufffd", "[x]"]`:      "__x_|a_b|__0m|é|_|_x_",
		`["` + long + `","` + long + `"]`:                     long[:58] + "~1|" + long[:58] + "~2",
		`[{"os":"linux","v":[1, 2]},{"os":"linux","v":true}]`: "linux,_1,_2_|linux,true",
		`[]`: "", "": "", " \n ": "",
	} {
		items, err := (&Foreach{From: "${params.x}"}).items(from)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, item := range items {
			names = append(names, item.name)
		}
		if got := strings.Join(names, "|"); got != want {
			t.Errorf("%q: %q, want %q", from, got, want)
		}
	}
	for from, want := range map[string]string{
		`["a", null]`:               "item 2 is null",
		`[{"a":null}]`:              `item 1 has a value "a" that is null`,
		`["a\u0000"]`:               "item 1 has a NUL byte in it, at byte 2",
		`[1, 2`:                     "want a JSON list, or one item a line: unexpected end of JSON input",
		strings.Repeat("x\n", 1001): "there are 1001 items, more than 1000",
	} {
		if _, err := (&Foreach{From: "x"}).items(from); fmt.Sprint(err) != want {
			t.Errorf("%.20q: %v, want %s", from, err, want)
		}
	}
}
