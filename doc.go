/*
Cdktr ("conductor") automates workflows for teams that live behind firewalls and work over ssh: one static binary with no
services around it. A workflow is a YAML file with a graph of tasks; what happened is in JSON files that grep and jq read.

Three roles are in the program. The principal schedules, queues, and keeps what happened. An agent runs tasks. A client
is a command line or the terminal UI. They meet through the messages of proto.go and nowhere else, over ZeroMQ sockets or, in one process,
over a pair of queues.

# Rooms

The package is flat, and its files are sorted into rooms. A room is one owner, one type, or one format; in it, files use
each other freely. Use between rooms goes down this table, and only where the last column says so. TestLayers reads the
table from here and holds the code to it.

	room       files                                                   may use
	main       main*.go completion.go                                  check cli client command config model proto table term tui zone
	check      check.go backup.go doctor.go                            auth cli client clock command config disk logs model owner proto spool state store table term wire zone
	tui        tui*.go                                                 cli command config model proto state term view wire
	cli        cli.go dial.go keys.go look*.go progress.go serve*.go setup.go agent auth client clock command config cron curve dag disk load model owner principal proto state store table term wire workflow zone
	view       view*.go                                                dag model proto state term
	client     client.go                                               command proto wire
	command    command.go                                              config disk model
	principal  principal*.go dispatch*.go verbs.go follow*.go news.go attention*.go stats.go publish.go compat*.go retain.go auth logs loop model proto sched state store wire workflow
	agent      agent.go runner*.go attempt.go step.go parcel.go values.go user.go dag disk exec loop model proto spool state wire workflow
	auth       auth*.go                                                curve disk model owner proto workflow
	workflow   workflow*.go folder.go watch_*.go                       cron dag disk model zone
	sched      sched*.go                                               cron model zone
	store      store*.go history*.go                                    disk model state
	proto      proto*.go                                               model state
	state      state*.go                                               model
	logs       logs*.go                                                disk model
	dag        dag*.go                                                 model
	table      table.go                                                model term
	wire       wire*.go                                                curve model
	curve      curve.go                                                -
	exec       exec*.go                                                -
	spool      spool*.go                                               disk model
	clock      clock*.go                                               -
	load       load*.go                                                -
	loop       loop.go                                                 -
	config     config.go                                               disk model
	owner      owner.go                                                -
	disk       disk*.go                                                -
	model      model*.go                                               -
	cron       cron*.go                                                -
	zone       zone.go                                                 -
	term       term*.go                                                -

The principal and the agent never use each other: a run in one process and a run over a network are the same code.

# The way of a run

 1. A tick of the scheduler, the command line or any ZeroMQ client makes a fire: a call of the principal's loop
    (sched.go, verbs.go, fire in principal.go). The loop decides whether it becomes a run, and notes why.
 2. What the loop decides is events. [State.apply] folds each into memory; at the end of the turn the store appends them
    all to the journal, and behind their fsync go the replies and assignments that rest on them (principal.go, store.go).
 3. A queued run goes at once to the best agent that has the labels and room for it (dispatch_assign.go). The agent gets the
    whole workflow as it was when the run was queued, and a lease: a number that makes what it said before void.
 4. The agent owns the run's graph (dag.go) and starts each task when those before it are over (runner.go, attempt.go),
    as a process in a group of its own (exec.go). A principal that goes away stops none of it.
 5. Every change and every line of output gets a number and is written to the agent's spool (spool.go), sent from there,
    and forgotten when the principal has acknowledged it. After a break the principal says where to go on.
 6. The principal folds and journals the changes, puts the output into the log of the workflow (logs.go), acknowledges
    both, and wakes whoever follows the run (follow.go). A run that is over moves to the history (history.go).
 7. Whoever has the lists open is told which rows have changed (news.go); the terminal UI shows them (tui.go), and asks for
    the tasks and the output of the run that is on its screen.
 8. `cdktr run FILE` is this way with a principal and an agent in one process (runLocal in serve.go).

# Rules

  - One goroutine owns each piece of mutable state; the others send it a call.
  - apply is the only way in which State changes, live and in recovery.
  - A goroutine belongs to its owner and ends with it; stopping is one function that reads as a list.
  - Nothing polls: timers are set for the next thing due, and an idle agent says only that it is there.
  - Time, files and processes come in as fields, so that tests can put others in their place.
  - Everything is bounded, and what happens at a bound is written where the bound is.
  - A file has at most 800 lines, a function 80; no package variable changes. TestLayers holds these too.
*/
package main
