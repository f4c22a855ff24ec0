#!/bin/sh
# COMMAND | listen.sh WORKFLOW PARAM: a run for each line of standard input, which becomes its parameter. With no ZeroMQ:
# only sh, sed, cksum and cdktr, which may be on another box (CDKTR_SHELL='ssh hub').
#   mosquitto_sub -t 'sensor/#' | listen.sh site.reading value
# A line is tried again with the same key until the principal has taken it (exit code 3 says that it is not there), so
# that a restart of the principal loses none, and none runs twice. The ids of the runs go to standard output.
workflow=${1:?usage: COMMAND | listen.sh WORKFLOW PARAM} param=${2:?usage: COMMAND | listen.sh WORKFLOW PARAM}
quote() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; } # ssh gives all words to a shell once more
session=$(date +%s).$$ n=0
while IFS= read -r line; do
	n=$((n + 1))
	text="cdktr run --detach $(quote "$workflow") --key $(quote "$session.$n") -p $(quote "$param=$line")"
	while ${CDKTR_SHELL:-sh -c} "$text" </dev/null; [ $? = 3 ]; do sleep 1; done
done
