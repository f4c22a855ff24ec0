// crontab.go: a crontab as workflows, and workflows as a crontab. crontabRead takes a file apart, and makes of each
// line of it a job: a workflow that means what the line means to cron, remarks on what is different, or the reason why
// there is none. crontabExporter does the reverse. All of it is pure: text in, text out; the verbs read and write the
// files.
//
//	crontab_read.go     from a file to its lines: comments, variables, schedules, users, commands
//	crontab_convert.go  from a command to a workflow: guards, delays, locks, folders, background
//	crontab_shell.go    as much of the shell's grammar as that needs
//	crontab_name.go     an id for each line
//	crontab_text.go     the workflow as a file, and the mark that says whether somebody has edited it
//	crontab_export.go   a workflow as a line

package main

import "time"

// Bounds of what is read.
const (
	crontabMaxFile  = 1 << 20 // bytes of a crontab; a larger one is refused
	crontabMaxFiles = 1000    // files of a folder; the rest is not read, and the report says so
	crontabMaxLines = 10_000  // of a crontab; more are refused
	crontabMaxText  = 500     // bytes of a description; more are cut off
)

// crontabKind is a form of crontabs.
type crontabKind int

// The forms.
const (
	crontabOfUser   crontabKind = iota // five fields and a command
	crontabOfSystem                    // a user between them
	crontabOfDays                      // anacron's: days, minutes, a name and a command
)

// crontabSource is one crontab.
type crontabSource struct {
	Name string // as the report and the workflows call it
	Kind crontabKind
	User string // whose it is; "": not known, or each line says it
	Text string
}

// crontabJob is one line of a crontab, and what became of it.
type crontabJob struct {
	Source string
	Line   int    // from 1
	Text   string // the line
	Spec   *Workflow
	Notes  []string // what is different, a sentence each
	Shift  string   // what the change of the clock does differently; "": as cron
	Fault  string   // why there is no Spec

	env   map[string]string // as the lines above have set it
	kind  crontabKind
	user  string // whose the crontab is
	about string // the comment above the line
	label string // anacron's name of the job
	lock  string // the file of a flock that became overlap
}

// Of what cron gives each job. The folder of what is imported says it in its file of defaults.
const (
	crontabShell = "/bin/sh"
	crontabPath  = "/usr/bin:/bin"
	crontabHome  = "${env.HOME}"
)

// crontabDefaults is the file of defaults beside imported workflows, without its mark.
const crontabDefaults = `# What cron gives each of its jobs, for the workflows in this folder.
shell: /bin/sh -c
working_directory: ${env.HOME}
env: {SHELL: /bin/sh, PATH: "/usr/bin:/bin"}
overlap: allow # cron starts a job again while it is still at work
# cron mails what a job has written: to MAILTO, else to its user, and with MAILTO: "" to nobody.
on_exit:
  mail:
    shell: /bin/sh -c
    if: test -x /usr/sbin/sendmail && test -n "${MAILTO-$LOGNAME}" && test -s "$CDKTR_LOG"
    run: |
      {
        echo "To: ${MAILTO-$LOGNAME}"
        echo "Subject: Cron <$LOGNAME@$(uname -n)> $CDKTR_WORKFLOW_ID $CDKTR_REASON"
        echo "Auto-Submitted: auto-generated"
        echo
        cat "$CDKTR_LOG"
      } | /usr/sbin/sendmail -i -t
`

// crontabRead makes jobs of crontabs: ids differ from each other and from those taken. Times are those of now in zone,
// where no line names another.
func crontabRead(sources []crontabSource, now time.Time, zone *time.Location) []*crontabJob {
	var jobs []*crontabJob
	for i := range sources {
		jobs = append(jobs, crontabLines(&sources[i])...)
	}
	locks := map[string]int{}
	for _, j := range jobs {
		if j.Fault == "" { // else it stands for what was not read
			j.convert(true)
			locks[j.lock]++
		}
	}
	for _, j := range jobs {
		if j.lock != "" && locks[j.lock] > 1 { // it keeps several lines apart
			j.convert(false)
		}
		if j.Spec != nil {
			j.shift(now, zone)
		}
	}
	crontabNames(jobs)
	return jobs
}
