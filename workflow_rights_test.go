package main

import "testing"

// TestWorkflowRights: users that are none are faults.
func TestWorkflowRights(t *testing.T) {
	workflowTestFaults(t, []workflowFaultCase{
		{"users", "user: backup\ntasks:\n  a: {run: x, user: _apt}\n  b: {run: x, user: machine$}\n  c: {run: x, " +
			"user: ~}\n",
			""},
		{"user is a number", "user: 1000\ntasks:\n  a: {run: x}\n",
			"w.yml:1:7: user: want the name of a user, such as backup, not a number: 1000 may be another user on " +
				"another " +
				"machine"},
		{"user is no name", "tasks:\n  a: {run: x, user: 'a b'}\n  b: {run: x, user: ''}\n  c: {run: x, user: -x}\n",
			"w.yml:2:21: task \"a\": user: want the name of a user, such as backup, not \"a b\"\n" +
				"w.yml:3:21: task \"b\": user: want the name of a user, such as backup, not \"\"\n" +
				"w.yml:4:21: task \"c\": user: want the name of a user, such as backup, not \"-x\""},
		{"secrets", "secrets: A\nenv: {URL: \"x${env.A}\"}\ntasks:\n  a: {run: x, secrets: [B, A]}\n", ""},
		{"secrets are no names", "secrets: [a-b, CDKTR_X]\ntasks:\n  a: {run: x}\n",
			"w.yml:1:11: secrets: \"a-b\" cannot name a variable, which each secret becomes: want letters, digits " +
				"and _, no " +
				"digit first\nw.yml:1:16: secrets: CDKTR_X would replace a variable of cdktr's own"},
		{"secrets in env too", "secrets: [A]\nenv: {A: x, B: y}\ntasks:\n  a: {run: x, env: {A: z}, secrets: B}\n",
			"w.yml:2:6: env: A is in secrets too: write only one of them\n" +
				"w.yml:4:20: task \"a\": env: A is in secrets too: write only one of them\n" +
				"w.yml:4:37: task \"a\": secrets: env of the workflow sets B too: write only one of them"},
		{"a secret for curl", "secrets: [A]\ntasks:\n  a: {http: {url: https://x, headers: {Authorization: \"B " +
			"${env.A}\"}}}\n", ""},
		{"a secret on the command line", "secrets: [A]\ntasks:\n  a: {cmd: x, args: [\"${env.B}\", \"-p${env.A}\"]}\n",
			"w.yml:3:34: task \"a\": args: ${env.A} is a secret, and everybody on the agent's machine may read it " +
				"there: let " +
				"the program read the variable A"},
	})
}
