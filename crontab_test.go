package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// crontabOne reads a crontab and wants one job of it.
func crontabOne(t *testing.T, src crontabSource) *crontabJob {
	t.Helper()
	jobs := crontabRead([]crontabSource{src}, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), time.UTC)
	if len(jobs) != 1 {
		t.Fatalf("%q gives %d jobs", src.Text, len(jobs))
	}
	return jobs[0]
}

// crontabParsed reads the file of a job as the principal does, with the defaults of imports beside it.
func crontabParsed(t *testing.T, j *crontabJob) *Workflow {
	t.Helper()
	w, faults, _ := workflowParseAt("x.yml", j.Spec.ID, []byte(j.file()),
		[]workflowDefaults{{file: "defaults.yml", data: []byte(crontabMarked("cron", crontabDefaults))}},
		workflowClock{})
	if w == nil {
		t.Fatalf("%s makes a file that does not load: %v\n%s", j.Text, faults, j.file())
	}
	return w
}

// TestCrontabCommands: what a command becomes, in the words of a workflow file.
func TestCrontabCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"backup --all", "run=backup --all"},
		{"backup   ", "run=backup"},
		{`date +\%F`, "run=date +%F"},
		{`printf '\%s\n' 'a\\b' '\d'`, `run=printf '%s\n' 'a\b' '\d'`},
		{"cat%one%two\\%x", "run=cat stdin=one\ntwo%x\n"},
		{"cat %one%", "run=cat stdin=one\n"},
		{"[ -x /x ] && /x -a", "if=[ -x /x ] run=/x -a"},
		{"test -x /x && /x -a | tee y", "if=test -x /x run=/x -a | tee y"},
		{"[ -x /x ] && [ -f /y ] && /x && z", "if=[ -x /x ] && [ -f /y ] run=/x && z"},
		{"[ -x /x ] || /y", "if=[ ! -x /x ] run=/y"},
		{"test ! -d /run/systemd/system || /y", "if=test -d /run/systemd/system run=/y"},
		{"test -e /a -o -e /b || y", "if=! test -e /a -o -e /b run=y"},
		{"! test -e /a && y", "if=test ! -e /a run=y"},
		{"test -x /x || exit 0; /x; z", "if=test -x /x run=/x; z"},
		{"test -x /x || { cd / && run-parts --report /etc/cron.daily; }",
			"dir=/ if=test ! -x /x run=run-parts --report /etc/cron.daily"},
		{"[ -f /a ] && ( . /a; b )", "if=[ -f /a ] run=. /a; b"},
		{"if [ -x /x ]; then /x; fi", "if=[ -x /x ] run=/x"},
		{"if [ ! -d /a ] && [ -x /x ] ; then /x ; y ; fi", "if=[ ! -d /a ] && [ -x /x ] run=/x ; y"},
		{"[ -x /x ] && if [ ! -d /a ]; then /x; fi", "if=[ -x /x ] && [ ! -d /a ] run=/x"},
		{"command -v x > /dev/null && x 1", `if=test -n "$(command -v x)" run=x 1`},
		{"which x >/dev/null 2>&1 && x", `if=test -n "$(command -v x)" run=x`},
		{"grep -q on /etc/x && x", "if=grep -q on /etc/x run=x"},
		{"[ $(date +\\%d) -le 7 ] && x", "if=[ $(date +%d) -le 7 ] run=x"},
		// left as they are: the test does not decide about all of it
		{"[ -x /x ] && /x; y", "run=[ -x /x ] && /x; y"},
		{"[ -x /x ] && /x || y", "run=[ -x /x ] && /x || y"},
		{"[ -x /x ] || /x && y", "run=[ -x /x ] || /x && y"},
		{"if [ -x /x ]; then /x; else y; fi", "run=if [ -x /x ]; then /x; else y; fi"},
		{"if [ -x /x ]; then /x; fi; y", "run=if [ -x /x ]; then /x; fi; y"},
		{"if backup; then mail; fi", "run=if backup; then mail; fi"},
		{"if a; then b; fi; if c; then d; fi", "run=if a; then b; fi; if c; then d; fi"},
		{`echo "[ -x /x ] && y"`, `run=echo "[ -x /x ] && y"`},
		{"{ a; } && { b; }", "run={ a; } && { b; }"},
		{"( a ) && ( b )", "run=( a ) && ( b )"},
		{"for f in a b; do [ -x $f ] && $f; done", "run=for f in a b; do [ -x $f ] && $f; done"},
		{"case $X in a) b && c;; esac", "run=case $X in a) b && c;; esac"},
		{"echo 'open", "run=echo 'open"},
		// random delays
		{"sleep $((RANDOM \\% 3600)); x", "jitter=1h run=x"},
		{"sleep $(shuf -i 0-300 -n 1) && x; y", "jitter=5m run=x; y"},
		{"perl -e 'sleep int(rand(43200))' && certbot -q renew", "jitter=12h run=certbot -q renew"},
		{"sleep $RANDOM; x", "jitter=9h6m7s run=x"},
		{"sleep $((RANDOM * 600 / 32768)); x", "jitter=10m run=x"},
		{"sleep $((RANDOM \\% 60))m; x", "jitter=1h run=x"},
		{"python3 -c 'import random,time; time.sleep(random.random()*3600)' && x", "jitter=1h run=x"},
		{"test -x /x -a \\! -d /y && perl -e 'sleep int(rand(60))' && x", "jitter=1m if=test -x /x -a \\! -d /y run=x"},
		{"sleep 30; x", "run=sleep 30; x"},
		{"{ sleep `od -N1 /dev/urandom`; x; }", "run=sleep `od -N1 /dev/urandom`; x"},
		// locks, time limits, shells, folders
		{"flock -n /run/x.lock x -a >>/log 2>&1", "overlap=skip run=x -a >>/log 2>&1"},
		{"/usr/bin/flock /run/x.lock x", "overlap=queue run=x"},
		{"flock -n /run/x.lock -c 'a; b'", "overlap=skip run=a; b"},
		{"[ -f /x ] && flock -xn /run/x.lock x", "overlap=skip if=[ -f /x ] run=x"},
		{"flock -w 10 /run/x.lock x", "run=flock -w 10 /run/x.lock x"},
		{"flock -n /run/x.lock x || echo busy", "run=flock -n /run/x.lock x || echo busy"},
		{"flock -n \"$HOME/l\" x", "run=flock -n \"$HOME/l\" x"},
		{"timeout 90 x", "timeout=1m30s run=x"},
		{"timeout 2h flock -n /l x", "overlap=skip timeout=2h run=x"},
		{"timeout -k 5 90 x", "run=timeout -k 5 90 x"},
		{"timeout 0 x", "run=timeout 0 x"},
		{"sh -c 'a && b'", "run=a && b"},
		{"sh -c 'a $1' x", "run=sh -c 'a $1' x"},
		{"cd /srv/app && ./x", "dir=/srv/app run=./x"},
		{"cd ~/app && ./x", "dir=${env.HOME}/app run=./x"},
		{"cd $HOME && ./x", "run=./x"},
		{"cd /srv/app; ./x", "run=cd /srv/app; ./x"},
		{"cd /srv/app && ./x; y", "run=cd /srv/app && ./x; y"},
		{"[ -f here ] && cd /srv && x", "if=[ -f here ] run=cd /srv && x"},
		{"[ -f /here ] && cd /srv && x", "dir=/srv if=[ -f /here ] run=x"},
		// the background
		{"x &", "run=x"}, {"[ -d /a ] || x&", "if=[ ! -d /a ] run=x"}, {"x >/dev/null 2>&1 &", "run=x >/dev/null 2>&1"},
		{"a & b", "run=a & b; wait"}, {"a & b &", "run=a & b & wait"}, {"a & wait", "run=a & wait"},
		{"x &>/dev/null", "run=x &>/dev/null"},
		// comments
		{"x -a # nightly", "about=nightly run=x -a"}, {"x a#b", "run=x a#b"},
		{"-n x", "run=x"}, {"-s x", "overlap=skip run=x"},
	} {
		j := crontabOne(t, crontabSource{Text: "0 4 * * * " + c.line + "\n"})
		if j.Spec == nil {
			t.Errorf("%s: %s", c.line, j.Fault)
			continue
		}
		w := crontabParsed(t, j)
		if got := crontabSaid(w); got != c.want {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
}

// crontabSaid writes what a workflow has beside its schedule and what cron gives.
func crontabSaid(w *Workflow) string {
	var parts []string
	add := func(key, value, plain string) {
		if value != plain {
			parts = append(parts, key+"="+value)
		}
	}
	add("about", w.Description, "")
	add("zone", w.Timezone, "")
	add("catchup", w.Catchup, "")
	add("overlap", orDefault(w.Overlap, "skip"), "allow")
	if w.Jitter > 0 {
		add("jitter", w.Jitter.String(), "")
	}
	add("user", w.User, "")
	for _, name := range sortedKeys(w.Env) {
		if kv := name + w.Env[name]; kv != "SHELL"+crontabShell && kv != "PATH"+crontabPath {
			parts = append(parts, name+"="+w.Env[name])
		}
	}
	add("shell", w.Shell, "/bin/sh -c")
	add("dir", w.WorkingDirectory, crontabHome)
	add("if", w.If, "")
	if w.Tasks[0].Timeout > 0 {
		add("timeout", w.Tasks[0].Timeout.String(), "")
	}
	add("run", w.Tasks[0].Run, "")
	add("stdin", w.Tasks[0].Stdin, "")
	return strings.Join(parts, " ")
}

// TestCrontabSchedules: what a schedule becomes.
func TestCrontabSchedules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want, note string }{
		{"* * * * *", "* * * * *", ""}, {"*/5 * * * *", "*/5 * * * *", ""}, {"09,39 * * * *", "09,39 * * * *", ""},
		{"5-55/10 * * * *", "5-55/10 * * * *", ""}, {"0 */12 * * *", "0 */12 * * *", ""},
		{"0  8 1,15 * *", "0 8 1,15 * *", ""}, {"0\t0\t*\t*\t0", "0 0 * * 0", ""}, {"0 0 * * 7", "0 0 * * 7", ""},
		{"0 0 * * 5-7", "0 0 * * 5-7", ""}, {"0 0 * * mon,wed-FRI", "0 0 * * mon,wed-FRI", ""},
		{"0 0 1 jan,Jul *", "0 0 1 jan,Jul *", ""}, {"0 0 13 * 5", "0 0 13 * 5", ""},
		{"0 0 */2 * 1", "0 0 */2 * 1", ""},
		{"0 16,17,22,23,0-6 * * *", "0 16,17,22,23,0-6 * * *", ""}, {"-*/15 * * * *", "*/15 * * * *", ""},
		{"*/90 * * * *", "*/90 * * * *", ""}, {"*,5 * * * *", "*,5 * * * *", ""},
		{"00 00 01 01 00", "00 00 01 01 00", ""},
		{"@yearly", "@yearly", ""}, {"@annually", "@annually", ""}, {"@monthly", "@monthly", ""},
		{"@weekly", "@weekly", ""},
		{"@daily", "@daily", ""}, {"@midnight", "@midnight", ""}, {"@hourly", "@hourly", ""},
		{"@reboot", "@reboot", "daemon"},
		{"@minutely", "* * * * *", ""}, {"@every_minute", "* * * * *", ""}, {"@quarterly", "0 0 1 1,4,7,10 *", ""},
		{"@semi-annually", "0 0 1 1,7 *", ""}, {"@every 90s", "@every 90s", ""}, {"@300", "@every 300s", "from 1970"},
		{"0~59 4 * * *", "H(0-59) 4 * * *", "0~59"}, {"~ ~ * * *", "H(0-59) H(0-23) * * *", "cron draws"},
		{"0~30/10 * * * *", "H(0-30)/10 * * * *", ""}, {"22-2 * * * *", "22-2 * * * *", "never fires at 22-2"},
		{"0 22-2 * * *", "0 22-2 * * *", "backward"}, {"* * * * fri-mon", "* * * * fri-mon", "backward"},
		{"5/15 * * * *", "5/15 * * * *", "refuses 5/15"},
	} {
		j := crontabOne(t, crontabSource{Text: c.line + " x\n"})
		if j.Spec == nil {
			t.Errorf("%s: %s", c.line, j.Fault)
			continue
		}
		if w := crontabParsed(t, j); !slices.Equal(w.Schedule, []string{c.want}) {
			t.Errorf("%s became %q, want %q", c.line, w.Schedule, c.want)
		}
		if said := strings.Join(j.Notes, "; "); !strings.Contains(said, c.note) || said != "" && c.note == "" &&
			!strings.Contains(c.want, "H(") {
			t.Errorf("%s: the remark is %q, want %q", c.line, said, c.note)
		}
	}
	for _, c := range []struct{ line, want string }{
		{"60 * * * * x", "minute: 60"}, {"0 24 * * * x", "hour: 24"}, {"0 0 0 * * x", "day: 0"},
		{"0 0 * 13 * x", "month: 13"},
		{"0 0 * * 8 x", "weekday: 8"}, {"0 0 * *", "five fields"}, {"0 0 * * *", "no command"},
		{"@daily", "no command"},
		{"@dayly x", "did you mean @daily?"}, {"1, * * * * x", "minute"}, {"FOO", "five fields"},
		{"0 0 * * * %in", "no command"},
		{"*/0 * * * * x", "step"}, {"0 0 * * * a\x00b", "NUL"}, {"0 0 * * * caf\xe9", "UTF-8"},
	} {
		if j := crontabOne(t, crontabSource{Text: c.line + "\n"}); !strings.Contains(j.Fault, c.want) || j.Spec != nil {
			t.Errorf("%s: the fault is %q, want %q in it", c.line, j.Fault, c.want)
		}
	}
}

// TestCrontabVariables: what the lines above a job set, and what is left of it.
func TestCrontabVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lines, want, note string }{
		{"A=b\n", "A=b run=x", ""}, {"A = b  \n", "A=b run=x", ""}, {"A='b c '\n", "A=b c  run=x", ""},
		{"A=\"b\"\nA=c\n", "A=c run=x", ""}, {"\"A\"='b'\n", "A=b run=x", ""}, {"A=\n", "A= run=x", ""},
		{"MAILTO=\"\"\n", "MAILTO= run=x", ""}, {"MAILTO=ops@example.org\n", "MAILTO=ops@example.org run=x", ""},
		{"PATH=/opt/bin:/bin\n", "PATH=/opt/bin:/bin run=x", ""}, {"PATH=/usr/bin:/bin\n", "run=x", ""},
		{"SHELL=/bin/sh\n", "run=x", ""}, {"SHELL=/bin/bash\n", "SHELL=/bin/bash shell=/bin/bash -c run=x", ""},
		{"HOME=/srv\n", "HOME=/srv run=x", ""}, {"LOGNAME=bob\n", "run=x", ""},
		{"CRON_TZ=Europe/Berlin\n", "zone=Europe/Berlin run=x", ""},
		{"TZ=Asia/Tokyo\n", "TZ=Asia/Tokyo run=x", "command alone"},
		{"RANDOM_DELAY=45\n", "jitter=45m run=x", "jitter"}, {"RANDOM_DELAY=x\n", "run=x", "not a number"},
		{"MAILFROM=a@b\nCONTENT_TYPE=text/html\n", "run=x", "MAILFROM"},
		{"P=$HOME/bin:${X}\n", "P=$HOME/bin:$${X} run=x", "replaces nothing"},
		{"# Loads the shops,\n# all of them\n", "about=Loads the shops, all of them run=x", ""},
		{"# head\n\n", "run=x", ""}, {"# m h  dom mon dow   command\n", "run=x", ""},
		{"# Old:\n# 0 3 * * * y\n", "run=x", ""}, {"#  .---- minute\n#  |  .-- hour\n#  *  *\n", "run=x", ""},
		{"# DO NOT EDIT THIS FILE - edit the master and reinstall.\n# (/tmp/x installed on Mon Jan 1)\n", "run=x", ""},
	} {
		j := crontabOne(t, crontabSource{Text: c.lines + "0 4 * * * x\n"})
		w := crontabParsed(t, j)
		if got := crontabSaid(w); got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
		if said := strings.Join(j.Notes, "; "); !strings.Contains(said, c.note) || c.note == "" && said != "" {
			t.Errorf("%q: the remark is %q, want %q", c.lines, said, c.note)
		}
	}
	text := "A=1\n0 1 * * * x\nA=2\n0 2 * * * x\n"
	jobs := crontabRead([]crontabSource{{Name: "tab", Text: text}}, time.Time{}, time.UTC)
	if a, b := jobs[0].Spec, jobs[1].Spec; a.Env["A"] != "1" || b.Env["A"] != "2" || a.ID != "x" || b.ID != "x-tab" {
		t.Errorf("variables hold for the lines below them: %+v, %+v", jobs[0].Spec, jobs[1].Spec)
	}
}

// TestCrontabForms: the crontabs of the system, of users, and of anacron.
func TestCrontabForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind       crontabKind
		user, text string
		want       string
	}{
		{crontabOfSystem, "", "0 4 * * *\troot\tx -a", "user=root run=x -a"},
		{crontabOfSystem, "", "@daily www-data:www-data x", "user=www-data run=x"},
		{crontabOfUser, "ana", "0 4 * * * x", "user=ana run=x"},
		{crontabOfDays, "", "1\t5\tcron.daily\trun-parts /etc/cron.daily",
			"catchup=once overlap=skip user=root run=run-parts /etc/cron.daily"},
	} {
		j := crontabOne(t, crontabSource{Kind: c.kind, User: c.user, Text: c.text})
		if j.Spec == nil {
			t.Errorf("%s: %s", c.text, j.Fault)
		} else if got := crontabSaid(crontabParsed(t, j)); got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
	text := "START_HOURS_RANGE=3-22\nRANDOM_DELAY=45\n1 5 cron.daily x\n7 25 cron.weekly y\n@monthly 45 cron.monthly z\n" +
		"10 5 ten w\n1 x bad y\n"
	jobs := crontabRead([]crontabSource{{Name: "anacrontab", Kind: crontabOfDays, Text: text}}, time.Time{}, time.UTC)
	for i, want := range []string{"cron-daily 5 3 * * *", "cron-weekly 25 3 * * 0", "cron-monthly 45 3 1 * *",
		"ten @every 10d"} {
		w := crontabParsed(t, jobs[i])
		if got := w.ID + " " + w.Schedule[0]; got != want || w.Jitter != Duration(45*time.Minute) ||
			w.Pool["anacron"] != 1 {
			t.Errorf("line %d of anacron is %s, %+v, want %s", i+1, got, w, want)
		}
	}
	if jobs[4].Spec != nil || !strings.Contains(jobs[4].Fault, "days, minutes") {
		t.Errorf("a bad line of anacron: %+v", jobs[4])
	}
}

// TestCrontabBounds: what is more than the bound is named, and the rest read.
func TestCrontabBounds(t *testing.T) {
	t.Parallel()
	text := "0 4 * * * x\n" + strings.Repeat("#\n", crontabMaxLines) + "0 4 * * * y\n"
	jobs := crontabRead([]crontabSource{{Name: "tab", Text: text}}, time.Time{}, time.UTC)
	if len(jobs) != 2 || jobs[0].Spec == nil || !strings.Contains(jobs[1].Fault, "more than 10000 lines") {
		t.Errorf("of too many lines came %d jobs, at last %+v", len(jobs), jobs[len(jobs)-1])
	}
}

// TestCrontabLocks: a lock that keeps several lines apart stays where it is.
func TestCrontabLocks(t *testing.T) {
	t.Parallel()
	text := "0 4 * * * flock -n /l a\n0 4 * * * flock -n /l b\n0 4 * * * flock -n /m c\n"
	jobs := crontabRead([]crontabSource{{Text: text}}, time.Time{}, time.UTC)
	for i, want := range []string{"flock -n /l a", "flock -n /l b", "c"} {
		if got := jobs[i].Spec.Tasks[0].Run; got != want {
			t.Errorf("line %d runs %q, want %q", i+1, got, want)
		}
	}
}

// TestCrontabNames: ids tell what a line does, and differ.
func TestCrontabNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		commands []string
		want     string
	}{
		{[]string{"/usr/local/bin/backup.sh --all"}, "backup"},
		{[]string{"cd /srv && ./manage.py clearsessions"}, "manage"},
		{[]string{"python3 /srv/m.py a", "python3 /srv/m.py b"}, "m-a m-b"},
		{[]string{"x -R", "x"}, "x x-t"},
		{[]string{"nice -n10 ionice -c3 /usr/sbin/logcheck"}, "logcheck"},
		{[]string{"sudo -u ana FOO=1 /x/Run_It"}, "run_it"},
		{[]string{"run-parts --report /etc/cron.daily"}, "cron-daily"},
		{[]string{"systemctl restart nginx"}, "nginx"},
		{[]string{"d=$(date); find /tmp -mtime +1 -delete"}, "find"},
		{[]string{"if [ -d /a ]; then x; else y; fi"}, "a"},
		{[]string{"defaults"}, "defaults-t"},
		{[]string{"\u00e9\u00e9"}, "job"},
		{[]string{"'/opt/my app/run me'"}, "my"},
		{[]string{strings.Repeat("long", 40)}, strings.Repeat("long", 40)[:crontabMaxName]},
	} {
		var text string
		for _, command := range c.commands {
			text += "0 4 * * * " + command + "\n"
		}
		var got []string
		for _, j := range crontabRead([]crontabSource{{Name: "/x/t", Text: text}}, time.Time{}, time.UTC) {
			got = append(got, j.Spec.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q are called %q, want %q", c.commands, got, c.want)
		}
	}
}

// TestCrontabShift: what the change of the clock does differently.
func TestCrontabShift(t *testing.T) {
	t.Parallel()
	berlin, err := zoneLoad("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		n    int
	}{
		{"30 2 * * *", 0}, {"0,30 2 * * *", 2}, {"0 2,3 * * *", 2}, {"0-59/10 2 * * *", 6}, {"*/10 2 * * *", 0},
		{"0 4 * * *", 0},
		{"@reboot", 0}, {"@hourly", 0}, {"0 1,2 * * *", 0},
	} {
		summer := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		jobs := crontabRead([]crontabSource{{Text: c.line + " x\n"}}, summer, berlin)
		want := ""
		if c.n > 0 {
			want = fmt.Sprintf("on 2027-03-28 the clock skips 02:00 to 03:00: cron starts it %d times then", c.n)
		}
		if got := jobs[0].Shift; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.line, got, want)
		}
	}
}

// TestCrontabMark: import knows a file that somebody has edited.
func TestCrontabMark(t *testing.T) {
	t.Parallel()
	text := crontabMarked("/etc/cron.d/x, y", "a: b\n")
	for _, c := range []struct {
		text, source string
		edited       bool
	}{
		{text, "/etc/cron.d/x, y", false}, {text + "#\n", "/etc/cron.d/x, y", true}, {"a: b\n", "", true},
		{"", "", true},
		{strings.Replace(text, "x,", "z,", 1), "/etc/cron.d/z, y", false},
	} {
		if source, edited := crontabOrigin(c.text); source != c.source || edited != c.edited {
			t.Errorf("%q is of %q, edited: %v", c.text, source, edited)
		}
	}
}

// TestCrontabPackages: lines such as those of Debian's packages, in words of our own. Each is carried over, means the
// same when it was exported and imported again, and a second time gives the same line.
func TestCrontabPackages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/crontab/packages")
	if err != nil {
		t.Fatal(err)
	}
	source := crontabSource{Name: "packages", Kind: crontabOfSystem, Text: string(text)}
	jobs := crontabRead([]crontabSource{source}, time.Time{}, time.UTC)
	if len(jobs) < 34 {
		t.Fatalf("only %d lines", len(jobs))
	}
	var first []*Workflow
	for _, j := range jobs {
		if j.Spec == nil {
			t.Errorf("%s: %s", j.Text, j.Fault)
			continue
		}
		first = append(first, crontabParsed(t, j))
	}
	base, _ := workflowParse("defaults.yml", "base", []byte(crontabDefaults+"tasks: {a: {run: x}}\n"))
	x := &crontabExporter{system: true, mail: &base.OnExit}
	lines := crontabText(t, x.export(first))
	source.Text = lines
	again := crontabRead([]crontabSource{source}, time.Time{}, time.UTC)
	var second []*Workflow
	for _, j := range again {
		if j.Spec == nil {
			t.Fatalf("exported: %s: %s", j.Text, j.Fault)
		}
		second = append(second, crontabParsed(t, j))
	}
	if len(second) != len(first) {
		t.Fatalf("%d lines became %d", len(first), len(second))
	}
	for _, w := range second {
		same := func(o *Workflow) bool {
			return crontabSaid(o) == crontabSaid(w) && slices.Equal(o.Schedule, w.Schedule)
		}
		if !slices.ContainsFunc(first, same) {
			t.Errorf("nothing that was imported is %s %s", w.Schedule, crontabSaid(w))
		}
	}
	third := crontabText(t, x.export(second))
	sorted := func(text string) string {
		all := strings.Split(text, "\n")
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	ids := func(text string) string { // the ids that locks are made of may differ
		return crontabLockID.ReplaceAllString(text, "/var/lock/ID")
	}
	if sorted(ids(third)) != sorted(ids(lines)) {
		t.Errorf("exported again it differs:\n%s\nwas\n%s", third, lines)
	}
}

// crontabLockID matches the file of a lock that an export has made.
var crontabLockID = regexp.MustCompile(`/var/lock/[a-zA-Z0-9_.-]+`)

// crontabText joins the lines of an export, which all must be some.
func crontabText(t *testing.T, lines []*crontabLine) string {
	t.Helper()
	var b strings.Builder
	for _, l := range lines {
		if l.Why != "" {
			t.Errorf("%s was not exported: %s", l.Workflow, l.Why)
		}
		for _, line := range l.Lines {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// TestCrontabExport: what becomes a line, and why not.
func TestCrontabExport(t *testing.T) {
	t.Parallel()
	base, _ := workflowParse("defaults.yml", "base", []byte(crontabDefaults+"tasks: {a: {run: x}}\n"))
	const tasks = "tasks: {a: {run: x}}\n"
	for _, c := range []struct{ text, want string }{
		{"schedule: '0 4 * * *'\noverlap: allow\n" + tasks, `MAILTO="" / 0 4 * * * x`},
		{"schedule: '0 4 * * *'\n" + tasks, `MAILTO="" / 0 4 * * * flock -n /var/lock/w.lock x`},
		{"schedule: '0 4 * * *'\noverlap: queue\ntasks: {a: {run: 'x; y', timeout: 5m}}\n",
			`MAILTO="" / 0 4 * * * flock /var/lock/w.lock timeout 300 sh -c 'x; y'`},
		{"schedule: [0 4 * * *, 5/15 5 * * *]\noverlap: allow\n" + tasks, `MAILTO="" / 0 4 * * * x / 5-59/15 5 * * * x`},
		{"schedule: 0 30 4 * * *\noverlap: allow\nif: test -x /x; test -y\ntasks: {a: {run: 'x; date +%F'}}\n",
			"why: not be the same"},
		{"schedule: 30 4 * * *\noverlap: allow\nif: test -x /x\ntasks: {a: {run: 'x; date +%F', stdin: 'a\n\nb%'}}\n",
			`MAILTO="" / 30 4 * * * if test -x /x; then x; date +\%F; fi%a%b\%`},
		{"schedule: '0 4 * * *'\noverlap: allow\ntimezone: Europe/Berlin\nenv: {A: ' b'}\n" + tasks,
			`A=" b" / CRON_TZ=Europe/Berlin / MAILTO="" / 0 4 * * * x`},
		{"schedule: '@every 90s'\n" + tasks, "why: no @every"}, {tasks, "why: no schedule"},
		{"schedule: '0 4 L * *'\n" + tasks, "why: cron has no"}, {"schedule: '@start'\n" + tasks, "why: cron has no"},
		{"schedule: '@daily'\ntasks: {a: {run: x}, b: {run: y}}\n", "why: 2 tasks"},
		{"schedule: '@daily'\nretries: 2\n" + tasks, "why: nothing for its retries"},
		{"schedule: '@daily'\ntimeout: 5m\n" + tasks, "why: timeout"},
		{"schedule: '@daily'\ntasks: {a: {run: x, env: {A: b}}}\n", "why: nothing for its env"},
		{"schedule: '@daily'\ntasks: {a: {cmd: x}}\n", "why: cmd"},
		{"schedule: '@daily'\ntasks: {a: {run: \"x\\ny\"}}\n", "why: several lines"},
		{"schedule: '@daily'\noverlap: replace\n" + tasks, "why: overlap: replace"},
		{"schedule: '@daily'\nuser: bob\n" + tasks, "why: user is bob"},
		{"schedule: '@daily'\nshell: bash -eu -c\n" + tasks, "why: shell has options"},
		{"schedule: '@daily'\nenv: {A: '${run.id}'}\n" + tasks, "why: value for A"},
		{"schedule: '@daily'\non_failure: mail ops\n" + tasks, "why: on_failure"},
	} {
		w, faults := workflowParse("w.yml", "w", []byte(c.text))
		if w == nil {
			t.Fatalf("%s: %v", c.text, faults)
		}
		x := &crontabExporter{self: "ana", mail: &base.OnExit}
		l := x.export([]*Workflow{w})[0]
		why, wants := strings.CutPrefix(c.want, "why: ")
		switch got := strings.Join(l.Lines, " / "); {
		case wants && !strings.Contains(l.Why, why):
			t.Errorf("%s: the reason is %q (%s), want %q", c.text, l.Why, got, why)
		case !wants && (got != c.want || l.Why != ""):
			t.Errorf("%s: %q, want %q (%s)", c.text, got, c.want, l.Why)
		}
	}
}

// TestCrontabRandom: whatever a crontab has in it, each line gets a workflow that loads, or a reason; and what is
// exported means the same.
func TestCrontabRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{"[ -x /x ]", "test -d /y", "&&", "||", ";", "&", "|", "x", "/bin/y -a", "{", "}", "(", ")",
		"if", "then",
		"fi", "'q r'", `"d $e"`, "`b`", "$(c; d)", "%", `\%`, `\\`, "#", ">/dev/null", "2>&1", "flock -n /l",
		"timeout 5",
		"cd /srv", "sleep $RANDOM", "sh -c", "'", `"`, "$", "é", "\t", "\x01", "!", "exit 0", "wait"}
	base, _ := workflowParse("defaults.yml", "base", []byte(crontabDefaults+"tasks: {a: {run: x}}\n"))
	x := &crontabExporter{mail: &base.OnExit}
	exported := 0
	for range 2000 {
		line := "0 4 * * *"
		for range 1 + random.IntN(9) {
			line += " " + pieces[random.IntN(len(pieces))]
		}
		j := crontabOne(t, crontabSource{Name: "tab", Text: line})
		if j.Spec == nil {
			if j.Fault == "" {
				t.Fatalf("%q: neither a workflow nor a reason", line)
			}
			continue
		}
		if j.Spec.If != "" && strings.TrimSpace(j.Spec.Tasks[0].Run) == "" {
			t.Errorf("%q: nothing is left to run", line)
		}
		w, faults, _ := workflowParseAt("x.yml", "x", []byte(j.file()),
			[]workflowDefaults{{file: "defaults.yml", data: []byte(crontabDefaults)}}, workflowClock{})
		if w == nil {
			t.Errorf("%q: %v\n%s", line, faults, j.file())
			continue
		}
		if w.Tasks[0].Run != j.Spec.Tasks[0].Run || w.If != j.Spec.If || w.Tasks[0].Stdin != j.Spec.Tasks[0].Stdin {
			t.Errorf("%q: the file says another thing:\n%s", line, j.file())
		}
		if l := x.export([]*Workflow{w})[0]; l.Why == "" {
			exported++
		}
	}
	if exported < 200 {
		t.Errorf("only %d of 2000 lines were exported", exported)
	}
}

// FuzzCrontab reads any text as crontabs of each form.
func FuzzCrontab(f *testing.F) {
	for _, text := range []string{"0 4 * * * x\n", "A=b\n@daily root cat%x\n", "1 5 a b\n",
		"* * * * * if [ -x a ]; then b; fi &\n",
		"0~5/2 * * * 1-7 flock -n /l -c 'x'\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []crontabKind{crontabOfUser, crontabOfSystem, crontabOfDays} {
			for _, j := range crontabRead([]crontabSource{{Name: "t", Kind: kind, Text: text}}, time.Time{}, time.UTC) {
				if (j.Spec == nil) == (j.Fault == "") {
					t.Errorf("%q: both or neither of a workflow and a fault: %q", j.Text, j.Fault)
				}
				if j.Spec != nil {
					workflowParse("x.yml", "x", []byte(j.file()))
				}
			}
		}
	})
}

// TestCrontabDocs: the file that docs/coming-from-cron.md has before and after is what import makes of it.
func TestCrontabDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/coming-from-cron.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## One file, before and after\n")
	blocks := strings.Split(section, "```")
	if len(blocks) < 4 {
		t.Fatal("there are no two blocks")
	}
	plain := func(text string) string { // without comments and empty lines
		var lines []string
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) != "" && line[0] != '#' {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	j := crontabOne(t, crontabSource{Name: "/etc/cron.d/certbot", Kind: crontabOfSystem, Text: blocks[1]})
	if got, want := plain(j.file()), plain(strings.TrimPrefix(blocks[3], "yaml\n")); got != want {
		t.Errorf("import makes\n%s\nand the document says\n%s", got, want)
	}
}
