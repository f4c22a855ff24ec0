#!/bin/sh
# An alarm for `alarm:` of the principal: it tells by mail, and by ntfy when that fails.
#
#   alarm: /etc/cdktr/alarm.sh ops@example.org https://ntfy.example.org/cdktr
#
# The principal runs it when something needs a person. CDKTR_ALARM_TEXT has the text; its first line counts what there
# is. Exit 0 says that people were told: otherwise cdktr tells the same again later.
set -eu
mail_to=$1
ntfy_url=${2-}

subject=$(printf '%s\n' "$CDKTR_ALARM_TEXT" | head -n 1)

if printf '%s\n' "$CDKTR_ALARM_TEXT" | mail -s "cdktr: $subject" "$mail_to"; then
	exit 0
fi
[ -n "$ntfy_url" ] || exit 1
printf '%s\n' "$CDKTR_ALARM_TEXT" | head -c 4000 | # ntfy makes a file of what is longer
	curl -fsS -m 30 -H "Title: cdktr: $subject" --data-binary @- "$ntfy_url"
