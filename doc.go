/*
Cdktr ("conductor") automates workflows for teams that live behind firewalls and work over ssh: one static binary with
no services around it. A workflow is a YAML file with a graph of tasks. The program keeps what happened in JSON files
that grep and jq read.

The program has three roles. The principal schedules, queues, and keeps what happened. An agent runs tasks. A client
is a command line or the terminal UI. They meet only through the messages of proto.go, over ZeroMQ sockets or, in one
process, over a pair of queues.

# Rooms

The package is flat, and the first word of a file is its room: cli_keys.go is in the room cli, whose head is cli.go. In
a room files use each other freely. Between rooms, use goes down this table, and only where the last column says so.
TestLayers reads the table from here and holds the code to it. .ci/room NAME runs the tests of one room.

	room       what is in it                                    may use
	main       the table of all verbs; signals, exit codes      cli model proto sys term tui
	tui        the terminal UI: a loop, a link, screens, keys   cli model proto state term view wire
	cli        the verbs of the command line; settings          agent auth compat crontab exec model principal proto
	                                                            sched state store sys term unit wire workflow
	compat     the dialect of CDKTR's clients and agents        auth model principal proto state store wire workflow
	principal  the loop that owns the state; requests, streams  auth model proto sched state store sys wire workflow
	view       draws each screen from a struct that says all    model proto state term
	auth       keys and roles: who may do what                  model proto sys wire
	crontab    a crontab as workflows, and back                 model sched sys
	agent      the loop that owns an agent's runs; its spool    exec model proto state sys wire workflow
	workflow   reads workflow files, and follows their folder   model sched sys
	store      journal, snapshot, history, output on the disk   model state sys
	proto      what is said: requests, replies, messages        model state
	state      what is known, and how an event changes it       model
	sched      when: cron expressions, and what a tick becomes  model sys
	wire       ZeroMQ connections, limited and encrypted        model
	exec       one process: start, read, stop, clear up         -
	unit       the text of systemd units                        -
	term       the terminal: cells, keys, differences, raw      -
	sys        the machine: clock, disk, file events, zones     -
	model      workflows, runs and tasks; the graph             -

The principal and the agent never use each other: a run in one process and a run over a network are the same code.

docs/architecture.md goes with one run and with one key press from function to function.

# Rules

  - One goroutine owns each piece of mutable state; the others send it a call.
  - apply is the only way in which State changes, live and in recovery.
  - A goroutine belongs to its owner and ends with it; stopping is one function that reads as a list.
  - Nothing polls: timers are set for the next thing due, and an idle agent says only that it is there.
  - Time, files and processes come in as fields, so that tests can put others in their place.
  - Everything is bounded, and what happens at a bound is written where the bound is.
  - Slices of structs are sorted by package sort: slices.SortFunc has code of its own, 12 KB, for each kind of struct.
  - A package variable is made by the compiler or when it is first used (sync.OnceValue): every process pays for what
    is made at its start. A table is a slice or an array, not a map. An error made by errors.New is small enough.
  - A file has at most 800 lines (tests may have more), a function 80, a type 60 methods; no package variable changes.
    TestLayers and its neighbours hold these too.
*/
package main
