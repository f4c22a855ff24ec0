// cli_export.go: the verb export crontab, which gives workflows back as lines of a crontab.

package main

import (
	"context"
	"fmt"
	"os"
	"path"
)

// exportCrontabVerb is the entry of `export crontab`.
func exportCrontabVerb() cliVerb {
	return cliVerb{name: "export crontab", args: "[PATTERN]", run: doExportCrontab,
		help: "print the workflows of the folder as a crontab, as far as cron can do what they say",
		more: `
It reads the workflows folder, and asks no principal. A workflow with a schedule and one script becomes a line. Each
other one becomes a comment that says why not.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.system, "system", false, "with a column of users, as /etc/crontab and /etc/cron.d have it")
			f.setting("workflows", "the workflows folder `DIR` (default workflows)")
		},
		examples: []string{
			"cdktr export crontab > crontab.new",
			"cdktr export crontab 'cron.*' --system > /etc/cron.d/from-cdktr",
			"cdktr export crontab --json | jq -r 'select(.why) | .workflow + \": \" + .why'",
		}}
}

func doExportCrontab(ctx context.Context, c *cli, args []string) error {
	if len(args) > 1 {
		return usageError("export crontab takes one PATTERN: quote it, so that the shell leaves it alone")
	}
	pattern := "*"
	if len(args) == 1 {
		pattern = args[0]
	}
	base, _ := workflowParse(workflowDefaultsName, "base", []byte(crontabDefaults+"tasks: {a: {run: x}}\n"))
	folder := newWorkflowFolder(c.cfg.get("workflows"))
	files, _, err := folder.scan(ctx)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	var workflows []*Workflow
	for _, f := range files {
		ok, err := path.Match(pattern, f.ID)
		if err != nil {
			return usageError("%q is no pattern: %w", textHead(pattern, cliEchoMost), err)
		}
		if ok && f.Spec == nil {
			f.Spec = &Workflow{ID: f.ID}
		}
		if ok {
			workflows = append(workflows, f.Spec)
		}
	}
	if len(workflows) == 0 {
		return &exitError{code: exitRefused, err: fmt.Errorf("no workflow in %s is called %s", c.cfg.get("workflows"),
			textHead(pattern, cliEchoMost)),
			hint: "cdktr ls lists those of the principal; --workflows DIR names a folder"}
	}
	x := &crontabExporter{system: c.flags.system, self: userNameOf(os.Geteuid()), mail: &base.OnExit}
	return exportPrint(c, x.export(workflows))
}

// exportPrint prints the crontab.
func exportPrint(c *cli, lines []*crontabLine) error {
	done := 0
	for _, l := range lines {
		if l.Why == "" {
			done++
		}
		if c.flags.json {
			if err := printJSON(c.out, l); err != nil {
				return err
			}
			continue
		}
		if l.Why != "" {
			l.Lines = []string{"# " + l.Workflow + " is no line of a crontab: " + l.Why}
		}
		for _, line := range append(l.Lines, "") {
			if err := printText(c.out, line); err != nil {
				return err
			}
		}
	}
	if !c.flags.json {
		c.say(fmt.Sprintf("%s, of which %d became lines", countText(len(lines), "workflow"), done))
	}
	return nil
}
