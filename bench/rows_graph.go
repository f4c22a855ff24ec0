// Rows of `cdktr run FILE`, one process for the whole of a workflow: beside make, xargs and the shell.

package main

import (
	"fmt"
	"strings"
)

func graphGroups() []group {
	how := "`cdktr run FILE` and `make -j2` with the same graph, two tasks at once in both, in turns. Each task is " +
		"`true` in a shell, which make needs a `;` for. The whole process counts, from its start to its end."
	var rows []row
	for _, shape := range shapes() {
		r := row{name: "graph-" + shape.name, what: shape.what, unit: inMillis, bound: mostTimes(1.2), how: how,
			why: graphWhy, readme: shape.name == "10x10"}
		if shape.tasks == 1000 {
			r.bound = mostTimes(1.3)
		}
		rows = append(rows, r)
	}
	return []group{
		{"graphs", rows, (*bench).graphs},
		{"shell", []row{
			{name: "one-task", what: "`cdktr run one.yml`, one `true`", unit: inMillis, bound: most(15e6), readme: true,
				how: "The whole life of a process that runs one task, in turns with `sh -c true`."},
			{name: "loop-200", what: "200 times that, in a loop of a shell", unit: inSeconds,
				how: "`sh` starts 200 processes one after the other, in turns with 200 times `sh -c true`."},
			{name: "graph-xargs", what: "100 tasks side by side, beside `xargs -P2`", unit: inMillis,
				how: "As graph-parallel, beside `seq 100 | xargs -P2` that starts a shell for each."},
		}, (*bench).shell},
	}
}

// graphWhy is what stands between a graph and make.
const graphWhy = "The shells cost make and cdktr the same, 0.6 ms of processor time each: three quarters of all. A " +
	"start of cdktr costs 4 ms more than one of make: Go's runtime, the libraries' tables, what JSON prepares for " +
	"the " +
	"types of messages, signals. That alone is 0.1 of the ratio for 100 tasks. Then a task costs cdktr 0.2 ms and " +
	"make " +
	"0.05: make's children write to make's own output and are waited for together, while each task here has two " +
	"pipes, " +
	"a session and a descriptor to wait for its end, and goes through agent, spool, principal and the client that " +
	"shows " +
	"it. Both processors are in use for 86 of 100 parts of the time, and for 89 with make. What was tried and did " +
	"not " +
	"pay: clone3 with CLONE_VFORK and CLONE_CLEAR_SIGHAND (4 % more processor time), one processor or two for cdktr " +
	"(the same), and JSON of our own, which saved 0.5 ms of a start and was taken out again: 670 lines that a " +
	"library " +
	"keeps better."

// shape is a graph of tasks.
type shape struct {
	name, what string
	tasks      int
	depends    func(i int) []int
}

func shapes() []shape {
	layers := func(i int) []int { return seq(max(0, (i/10-1)*10), i/10*10) }
	return []shape{
		{"parallel", "100 tasks side by side", 100, func(int) []int { return nil }},
		{"chain", "100 tasks in a chain", 100, func(i int) []int { return seq(max(0, i-1), i) }},
		{"10x10", "10 rows of 10 tasks, each waits for the row before", 100, layers},
		{"1000", "100 rows of 10 tasks, each waits for the row before", 1000, layers},
	}
}

// files writes a shape as a workflow and as a makefile.
func (b *bench) files(s shape) (workflow, makefile string, err error) {
	var yml, mk strings.Builder
	all := names("t", seq(0, s.tasks), " ")
	yml.WriteString("max_active_tasks: 2\ntasks:\n")
	fmt.Fprintf(&mk, ".PHONY: all %s\nall: %s\n", all, all)
	for i := range s.tasks {
		before := s.depends(i)
		fmt.Fprintf(&yml, "  t%d: {run: \"true\", depends: [%s]}\n", i, names("t", before, ", "))
		fmt.Fprintf(&mk, "t%d: %s\n\t@true;\n", i, names("t", before, " "))
	}
	if workflow, err = b.file(s.name+".yml", yml.String()); err != nil {
		return "", "", err
	}
	makefile, err = b.file(s.name+".mk", mk.String())
	return workflow, makefile, err
}

// graphs runs each shape beside make.
func (b *bench) graphs() (map[string]figures, error) {
	makes, err := need("make")
	if err != nil {
		return nil, err
	}
	all := map[string]figures{}
	for _, s := range shapes() {
		workflow, makefile, err := b.files(s)
		if err != nil {
			return nil, err
		}
		rounds := b.samples(21, 5)
		if s.tasks == 1000 {
			rounds = b.samples(7, 3)
		}
		b.say("%s, %d rounds", s.name, rounds)
		took, err := b.inTurns(rounds, []string{b.cdktr, "run", workflow},
			[]string{makes, "-j2", "-s", "-f", makefile, "all"})
		if err != nil {
			return nil, err
		}
		all["graph-"+s.name] = figures{ours: took[0], floor: took[1], floorName: "make -j2"}
	}
	return all, nil
}

// shell runs what a person would write in a shell.
func (b *bench) shell() (map[string]figures, error) {
	one, err := b.file("one.yml", "tasks:\n  a:\n    cmd: \"true\"\n")
	if err != nil {
		return nil, err
	}
	single, err := b.inTurns(b.samples(101, 15), []string{b.cdktr, "run", one}, []string{"sh", "-c", "true"})
	if err != nil {
		return nil, err
	}
	n := b.samples(200, 20)
	loop := func(command string) []string {
		return []string{"sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s || exit 1; i=$((i+1)); done", n,
			command)}
	}
	b.say("loops of %d", n)
	loops, err := b.inTurns(b.samples(3, 1), loop(b.cdktr+" run one.yml 2>/dev/null"), loop("sh -c true"))
	if err != nil {
		return nil, err
	}
	workflow, _, err := b.files(shapes()[0])
	if err != nil {
		return nil, err
	}
	wide, err := b.inTurns(b.samples(21, 3), []string{b.cdktr, "run", workflow},
		[]string{"sh", "-c", "seq 100 | xargs -P2 -I{} sh -c 'true; true {}'"})
	if err != nil {
		return nil, err
	}
	return map[string]figures{
		"one-task":    {ours: single[0], floor: single[1], floorName: "sh -c true"},
		"loop-200":    {ours: loops[0], floor: loops[1], floorName: "sh -c true", note: fmt.Sprint(n, " times")},
		"graph-xargs": {ours: wide[0], floor: wide[1], floorName: "xargs -P2"},
	}, nil
}

// seq is the numbers from a up to and without b.
func seq(a, b int) []int {
	var s []int
	for ; a < b; a++ {
		s = append(s, a)
	}
	return s
}

// names writes numbers as names with sep between.
func names(prefix string, ids []int, sep string) string {
	var s []string
	for _, id := range ids {
		s = append(s, fmt.Sprint(prefix, id))
	}
	return strings.Join(s, sep)
}
