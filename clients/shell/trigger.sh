#!/bin/sh
# trigger.sh WORKFLOW [NAME=VALUE...]: start a run and wait for its end, with no ZeroMQ: only sh, sed and cdktr, which may
# be on another box: CDKTR_SHELL='ssh hub' trigger.sh etl.daily day=2026-01-31
# The id and the state of the run go to standard output; the exit code is that of `cdktr run --wait`.
quote() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; } # ssh gives all words to a shell once more
text="cdktr run $(quote "${1:?usage: trigger.sh WORKFLOW [NAME=VALUE...]}") --wait --json"
shift
for pair do text="$text -p $(quote "$pair")"; done
json=$(${CDKTR_SHELL:-sh -c} "$text")
code=$?
printf '%s\n' "$json" | sed -n 's/^{"run":"\([^"]*\)","workflow":"[^"]*","state":"\([a-z]*\)".*/\1 \2/p'
exit "$code"
