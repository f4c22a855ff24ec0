// workflow_process_test.go: the keys that say how a task's process is run, stopped and judged.

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWorkflowProcessFaults(t *testing.T) {
	const signals = "TERM, INT, HUP, QUIT, USR1, USR2, ALRM, ABRT, WINCH or KILL"
	task := func(keys string) string { return "tasks:\n  a: {run: x, " + keys + "}\n" }
	workflowTestFaults(t, []workflowFaultCase{
		{"success_exit beyond 255", task("success_exit: [0, 256]"),
			`w.yml:2:33: task "a": success_exit: want exit codes from 0 to 255, such as [0, 24], not "256"`},
		{"success_exit is a word", task("success_exit: all"),
			`w.yml:2:29: task "a": success_exit: want exit codes from 0 to 255, such as [0, 24], not "all"`},
		{"success_exit is a map", task("success_exit: {a: 1}"),
			`w.yml:2:29: task "a": success_exit: want exit codes from 0 to 255, such as [0, 24], not a map`},
		{"success_exit of nothing", task("success_exit: []"),
			`w.yml:2:29: task "a": success_exit: the list is empty: want exit codes from 0 to 255, such as [0, 24]`},
		{"retry_exit of a success", task("retries: 1, retry_exit: [0]"),
			`w.yml:2:40: task "a": retry_exit: want exit codes from 1 to 255, such as [1, 24], not "0"`},
		{"retry_exit in success_exit", task("retries: 1, success_exit: [0, 75], retry_exit: 75"),
			`w.yml:2:62: task "a": retry_exit: 75 is in success_exit: what has succeeded is not tried again`},
		{"retry_exit without retries", task("retry_exit: 75"),
			`w.yml:2:15: warning: task "a": retry_exit does nothing without retries`},
		{"stop_signal by number", task("stop_signal: 2"),
			`w.yml:2:28: task "a": stop_signal: want the name of a signal, ` +
				signals + `: a number is another signal on another machine`},
		{"stop_signal that ends nothing", task("stop_signal: SIGSTOP"),
			`w.yml:2:28: task "a": stop_signal: want ` + signals + `, not "SIGSTOP"`},
		{"stop_signal misspelt", task("stop_signal: SIGTREM"),
			`w.yml:2:28: task "a": stop_signal: want ` + signals + `, not "SIGTREM" (did you mean "TERM"?)`},
		{"no grace", task("grace: 0s"), `w.yml:2:22: task "a": grace: want more than 0 and at most 1h, not "0s" ` +
			`(stop_signal: KILL ends a task at once)`},
		{"too long a grace", task("grace: 1d"),
			`w.yml:2:22: task "a": grace: want more than 0 and at most 1h, not "1d" ` +
				`(stop_signal: KILL ends a task at once)`},
		{"grace that is none", task("grace: long"),
			`w.yml:2:22: task "a": grace: "long" is not a duration: write it as 90s, 30m, 2h30m, 1d or 2w`},
		{"grace before KILL", task("grace: 5s, stop_signal: kill"), `w.yml:2:15: task "a": grace does nothing with ` +
			`stop_signal: KILL, which ends the task at once: write one of them`},
		{"stdin beyond its bound", task("stdin: " + strings.Repeat("x", 64<<10+1)),
			`w.yml:2:22: task "a": stdin: 65537 bytes are more than 65536: have the task read a file`},
		{"stdin is a list", task("stdin: [a]"), `w.yml:2:22: task "a": stdin: want text, not a list`},
		{"umask of two digits", task("umask: 27"),
			`w.yml:2:22: task "a": umask: want three octal digits such as "027", not "27"`},
		{"umask that is not octal", task("umask: 089"),
			`w.yml:2:22: task "a": umask: want three octal digits such as "027", not "089"`},
		{"umask of words", task("umask: u=rwx"),
			`w.yml:2:22: task "a": umask: want three octal digits such as "027", not "u=rwx"`},
		{"names of other tools", task("killSignal: INT"),
			`w.yml:2:15: task "a": key "killSignal" is not known (here it is "stop_signal")`},
	})
}

func TestWorkflowProcess(t *testing.T) {
	for _, signal := range []string{"INT", "int", "SIGINT", "sigint", "SigInt"} {
		w, faults := workflowParse("w.yml", "w", []byte("tasks:\n  a:\n    cmd: x\n    retries: 1\n"+
			"    stdin: yes\n    umask: 0027\n    success_exit: [0, 24, 24]\n    retry_exit: 75\n    grace: 90s\n   "+
			" stop_signal: "+signal+"\n"))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		a := w.Tasks[0]
		if a.StopSignal != "INT" || time.Duration(a.Grace) != 90*time.Second ||
			a.Stdin != "yes\n" || a.Umask != "027" || !slices.Equal(a.SuccessExit, []int{0, 24}) ||
			!slices.Equal(a.RetryExit, []int{75}) {
			t.Errorf("%s: %+v", signal, a)
		}
	}
	w, faults := workflowParse("w.yml", "w",
		[]byte("tasks:\n  a: {cmd: x, success_exit: , retry_exit: null, grace: , stop_signal: ~, stdin: , umask: }\n"))
	plain, _ := workflowParse("w.yml", "w", []byte("tasks:\n  a: {cmd: x}\n"))
	if len(faults) > 0 || w == nil {
		t.Fatal(faults)
	}
	was, _ := plain.hash()
	if is, _ := w.hash(); is != was {
		t.Errorf("null is not the same as not written: %+v", w.Tasks[0])
	}
}

func TestWorkflowScriptFaults(t *testing.T) {
	long := strings.Repeat("# nothing\n      ", scriptMax/10+1)
	workflowTestFaults(t, []workflowFaultCase{
		{"a shell without -c", "shell: bash -eu\ntasks:\n  a: {run: x}\n",
			"w.yml:1:8: warning: shell: bash -eu takes the script for the name of a file: write bash -eu -c"},
		{"a task's shell without -c", "tasks:\n  a: {run: x, shell: /bin/zsh}\n", "w.yml:2:22: warning: task \"a\": " +
			"shell: /bin/zsh takes the script for the name of a file: write /bin/zsh -c"},
		{"no shell", "shell: ' '\ntasks:\n  a: {run: x}\n",
			"w.yml:1:8: shell is empty: want a shell such as bash -euo pipefail -c"},
		{"a long script for a shell that reads none", "shell: sed\ntasks:\n  a:\n    run: |\n      " + long + "\n",
			"w.yml:4:10: task \"a\": run: a script of more than 102400 bytes cannot be an argument, and sed is not " +
				"known " +
				"to run one from a file: have it run a file of yours"},
		{"a long script for other shells", "shell: sed\ntasks:\n  a:\n    shell: bash -ec\n    run: |\n      " + long +
			"\n",
			""},
		{"keys of one's own", "x-a: {b: [1, {c: d}]}\nx-: ~\ntasks:\n  a: {run: x, x-note: y}\n", ""},
		{"keys of one's own below", "params:\n  p: {default: a, x-b: c}\ntasks:\n  a: {run: x}\n",
			"w.yml:2:19: params: p: key \"x-b\" is not known: keys of your own are for the workflow and its tasks, " +
				"not for a " +
				"part of them"},
	})
}

func TestWorkflowChoicesFaults(t *testing.T) {
	of := func(keys string) string { return "params:\n  p: {" + keys + "}\ntasks:\n  a: {run: x}\n" }
	many := strings.Repeat("x, ", workflowMaxChoices) + "y"
	for i := range workflowMaxChoices {
		many = strings.Replace(many, "x,", "a"+strings.Repeat("b", i)+",", 1)
	}
	workflowTestFaults(t, []workflowFaultCase{
		{"default is none", of("choices: [full, quick], default: fulll"),
			"w.yml:2:40: params: p: default \"fulll\" is not " +
				"among the choices full or quick (did you mean \"full\"?)"},
		{"an empty default", of("choices: [full, quick], default: ''"),
			"w.yml:2:40: params: p: default \"\" is not among the choices full or quick"},
		{"no choices", of("choices: []"),
			"w.yml:2:16: params: p: choices: the list is empty: want a list such as [full, quick]"},
		{"no list", of("choices: full"),
			"w.yml:2:16: params: p: choices: want a list such as [full, quick], not \"full\""},
		{"twice", of("choices: [a, b, a]"), "w.yml:2:23: params: p: choices: \"a\" is here a second time"},
		{"too many", of("choices: [" + many + "]"), "w.yml:2:16: params: p: choices: there are 101, more than 100"},
		{"with a pattern", of("choices: [a, b], pattern: a|b"),
			"w.yml:2:24: params: p: pattern and choices: write only one of them"},
		{"as it should be", of("choices: [a, '', b], default: ''"), ""},
		{"without a default", of("choices: [a, b]"), ""},
		{"null", of("choices: , default: x"), ""},
	})
}

func TestScriptArgv(t *testing.T) {
	for shell, want := range map[string]string{
		"/bin/sh -c":            "/bin/sh|-c|. '/it'\\''s here'",
		"bash -euo pipefail -c": "bash|-euo|pipefail|-c|. '/it'\\''s here'",
		"fish -c":               "fish|-c|source '/it'\\''s here'",
		"python3 -u -c":         "python3|-u|/it's here",
		"perl -e":               "perl|/it's here",
	} {
		argv, err := scriptArgv(strings.Fields(shell), "/it's here")
		if got := strings.Join(argv, "|"); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", shell, got, err, want)
		}
	}
}

func TestWorkflowHTTPFaults(t *testing.T) {
	of := func(keys string) string { return "tasks:\n  a: {http: {" + keys + "}}\n" }
	beside := func(keys string) string { return "tasks:\n  a: {http: {url: 'http://x'}, " + keys + "}\n" }
	const alone = " does not go with http: expect says which answers are a success, and body is what is sent"
	workflowTestFaults(t, []workflowFaultCase{
		{"no url", of("method: GET"), `w.yml:2:13: task "a": http: url is missing`},
		{"not a map", "tasks:\n  a: {http: http://x}\n",
			`w.yml:2:13: task "a": http: want a map such as {url: https://example.org}, not "http://x"`},
		{"no address", of("url: example.org"),
			`w.yml:2:19: task "a": http: url must begin with http:// or https://, as ` +
				`https://example.org/x`},
		{"a file", of("url: file:///etc/shadow"),
			`w.yml:2:19: task "a": http: url must begin with http:// or https://, ` +
				`as https://example.org/x`},
		{"a blank in it", of("url: 'http://x/a b'"),
			`w.yml:2:19: task "a": http: url has a blank or a line break in it: ` +
				`write a blank as %20, as https://example.org/x`},
		{"an unknown reference", of("url: 'http://x/${params.y}'"),
			`w.yml:2:19: task "a": url: ${params.y}: there is no parameter "y"`},
		{"an unknown method", of("url: 'http://x', method: get"),
			`w.yml:2:39: task "a": http: method: want GET, HEAD, ` +
				`POST, PUT, PATCH, DELETE or OPTIONS, not "get" (did you mean "GET"?)`},
		{"a header that is two", of(`url: 'http://x', headers: {A: "b\nC: d"}`),
			`w.yml:2:44: task "a": http: headers: A has a line break in it`},
		{"a header from a file", of("url: 'http://x', headers: {'@/etc/passwd': x}"), `w.yml:2:41: task "a": http: ` +
			`headers: "@/etc/passwd" cannot name a header: want letters, digits, - and _`},
		{"a status that is none", of("url: 'http://x', expect: [200, 999]"),
			`w.yml:2:45: task "a": http: expect: want a ` +
				`status such as 204, or a kind of status such as 2xx, or a list of them, not "999"`},
		{"a long body", of("url: 'http://x', body: " + strings.Repeat("x", httpMaxBody+1)),
			`w.yml:2:37: task "a": http: ` +
				`body: 65537 bytes are more than 65536: send a file, with run: curl`},
		{"a key of another tool", of("url: 'http://x', json: 1"),
			`w.yml:2:31: task "a": http: key "json" is not known: ` +
				`want method, url, headers, body or expect`},
		{"beside run", "tasks:\n  a: {run: x, http: {url: 'http://x'}}\n",
			`w.yml:2:15: task "a": has run and http: write only one of them`},
		{"success_exit", beside("success_exit: 22"), `w.yml:2:32: task "a": success_exit` + alone},
		{"stdin", beside("stdin: x"), `w.yml:2:32: task "a": stdin` + alone},
		{"as it should be", of("url: 'https://x:8080/${run.id}', method: PUT, headers: {A-b: '${env.X}', C: }, " +
			"body: '{}', " +
			"expect: [2XX, 404, 404]"), ""},
		{"an address that the run knows", "params: {u: ''}\n" + of("url: '${params.u}', expect: "), ""},
	})
}
