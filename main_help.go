// main_help.go: the overview, the help of a verb, and the verbs help and man, for which the table of all verbs is
// needed. What they print is made in cli_help.go.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mainFirst is what to type first.
const mainFirst = `  cdktr init                           an example workflow in ./workflows
  cdktr run workflows/hello.yml        run a file here and now, with no daemon
  cdktr start principal --with-agent   schedule everything in ./workflows
  cdktr ui                             watch it, and act on it
`

// mainOverview is what cdktr alone prints. It fits a terminal of 24 lines.
func mainOverview(verbs []cliVerb) string {
	var b strings.Builder
	b.WriteString("cdktr (\"conductor\") runs workflows by schedule, on this machine or on many.\n\nStart here:\n" +
		mainFirst + "\n")
	for i, group := range helpGrouped(verbs) {
		if i == 0 { // they are the first steps
			continue
		}
		var names []string
		for _, v := range group {
			names = append(names, v.name)
		}
		helpFill(&b, strings.Split(strings.Join(names, ",\n"), "\n"), cliGroups[i].name+":", len("Run and watch: "))
	}
	b.WriteString("\n")
	var topics []string
	for _, t := range helpTopics {
		topics = append(topics, t.name)
	}
	helpFill(&b, strings.Fields("tells more: "+strings.Join(topics, ", ")), "cdktr help TOPIC", 18)
	b.WriteString("cdktr help        lists each verb with a line on it\n" +
		"cdktr VERB --help has its flags, and examples\n")
	return b.String()
}

// mainHelp prints the help of one verb.
func mainHelp(c *cli, v *cliVerb) error {
	_, err := fmt.Fprint(c.out, helpPlain(helpVerbText(v, nil, false)))
	return err
}

// helpVerb is the entry of `help`.
func helpVerb() cliVerb {
	return cliVerb{name: "help", args: "[VERB|TOPIC]", help: "list the verbs and the topics, or tell of one",
		run: doHelp, unset: true,
		more: `
Topics are texts about what is more than one verb: the files, the schedules, the settings. They are man pages too.`,
		examples: []string{"cdktr help", "cdktr help run", "cdktr help schedules", "cdktr help workflow-files | less"}}
}

func doHelp(_ context.Context, c *cli, args []string) error {
	if len(args) == 0 {
		return mainList(c)
	}
	t := helpTopicOf(strings.Join(args, "-"))
	verb, rest, err := mainFind(args)
	switch {
	case err == nil && verb != nil && (t == nil || t.name != args[0]):
		if len(rest) > 0 {
			return usageError("help takes one verb or topic: what is %q?", textHead(rest[0], cliEchoMost))
		}
		if c.flags.json {
			return printJSON(c.out, mainVerbJSON(verb))
		}
		return mainHelp(c, verb)
	case t == nil:
		return mainNoHelp(args, err)
	}
	text, err := t.text()
	switch {
	case err != nil:
		return err
	case c.flags.json:
		return printJSON(c.out, map[string]string{"topic": t.name, "help": t.help, "text": text})
	}
	_, err = fmt.Fprint(c.out, helpPlain(strings.ToUpper(t.help[:1])+t.help[1:]+".\n\n"+text))
	return err
}

// mainNoHelp refuses a word that is neither a verb nor a topic. fault says what is wrong with it as a verb.
func mainNoHelp(args []string, fault error) error {
	word := strings.Join(args, " ")
	hint := "cdktr help lists the verbs and the topics"
	var exit *exitError
	var topics []string
	for _, t := range helpTopics {
		topics = append(append(topics, t.name), strings.Fields(t.words)...)
	}
	if near := helpTopicOf(nearest(word, topics)); near != nil {
		hint = "did you mean `cdktr help " + near.name + "`?"
	} else if errors.As(fault, &exit) && exit.hint != "" {
		hint = exit.hint
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("there is no verb and no topic %q", textHead(word, cliEchoMost)),
		hint: hint}
}

// mainList prints all verbs by their groups, and the topics.
func mainList(c *cli) error {
	var b strings.Builder
	for i, group := range helpGrouped(mainVerbs()) {
		b.WriteString(cliGroups[i].name + ":\n")
		for _, v := range group {
			if c.flags.json {
				row := mainVerbJSON(v)
				row["group"] = cliGroups[i].name
				if err := printJSON(c.out, row); err != nil {
					return err
				}
			}
			fmt.Fprintf(&b, "  %-16s %s\n", v.name, v.help)
		}
		b.WriteString("\n")
	}
	b.WriteString("Topics:\n")
	for _, t := range helpTopics {
		if c.flags.json {
			if err := printJSON(c.out, map[string]string{"topic": t.name, "help": t.help}); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "  %-16s %s\n", t.name, t.help)
	}
	if c.flags.json {
		return nil
	}
	b.WriteString("\ncdktr VERB --help has the flags of a verb, and examples; cdktr help TOPIC tells of a topic.\n")
	_, err := fmt.Fprint(c.out, b.String())
	return err
}

// mainVerbJSON is a verb for programs.
func mainVerbJSON(v *cliVerb) map[string]any {
	own, _ := helpFlags(v)
	flags := map[string]string{}
	for _, fl := range own {
		_, flags[cliFlagShown(fl)] = flag.UnquoteUsage(fl)
	}
	return map[string]any{"verb": v.name, "args": v.args, "help": v.help, "flags": flags, "examples": v.examples}
}

// mainPages gives the man pages, each with its path below a folder of such pages.
func mainPages() ([]cliText, error) {
	pages, err := helpPages(mainVerbs(), mainFirst)
	if err != nil {
		return nil, err
	}
	texts := make([]cliText, len(pages))
	for i := range pages {
		texts[i] = cliText{pages[i].file(), helpRoff(pages[i])}
	}
	return texts, nil
}

// manVerb is the entry of `man`.
func manVerb() cliVerb {
	return cliVerb{name: "man", args: "[VERB|TOPIC]", help: "print a man page, or write all of them", run: doMan,
		unset: true,
		more: `
On a terminal man shows the page, else its source is printed. Without a word it is the page of the whole program.`,
		flags: func(f *cliFlags) {
			f.Func("out", "write all pages below `DIR`, in man1, man5 and man7", func(dir string) error {
				if f.file = dir; dir == "" {
					return errors.New("want the name of a folder")
				}
				return nil
			})
		},
		examples: []string{"cdktr man run", "cdktr man schedules", "cdktr man ps > cdktr-ps.1",
			"sudo cdktr man --out /usr/local/share/man"}}
}

func doMan(ctx context.Context, c *cli, args []string) error {
	pages, err := helpPages(mainVerbs(), mainFirst)
	switch {
	case err != nil:
		return err
	case c.flags.file != "" && len(args) > 0:
		return usageError("man --out writes all pages: leave %q out", textHead(args[0], cliEchoMost))
	case c.flags.file != "":
		return mainWritePages(c, c.flags.file, pages)
	}
	name := strings.TrimPrefix(strings.Join(args, "-"), "cdktr-")
	if t := helpTopicOf(name); t != nil {
		name = t.name
	}
	for i, p := range pages {
		if name != strings.TrimPrefix(p.name, "cdktr-") && (name != "" || i > 0) {
			continue
		}
		_, _, terminal := termOf(c.out)
		switch {
		case c.flags.json:
			return printJSON(c.out, map[string]string{"page": p.file(), "text": helpRoff(p)})
		case terminal:
			return mainShowPage(ctx, c, p)
		}
		_, err := fmt.Fprint(c.out, helpRoff(p))
		return err
	}
	_, _, err = mainFind(args)
	return mainNoHelp(args, err)
}

// mainShowPage has man show a page, from a file that lies there meanwhile: not every man reads standard input. Where
// there is no man, or it does not know how, the page is printed as text.
func mainShowPage(ctx context.Context, c *cli, p *helpPage) error {
	dir, err := os.MkdirTemp("", "cdktr-man")
	if err == nil {
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, filepath.Base(p.file()))
		if err = os.WriteFile(file, []byte(helpRoff(p)), 0o600); err == nil {
			man := exec.CommandContext(ctx, "man", "-l", file)
			man.Stdin, man.Stdout = os.Stdin, termRaw(c.out)
			err = man.Run()
		}
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	_, err = fmt.Fprint(c.out, helpPlain(p.name+": "+p.help+"\n\n"+p.text))
	return err
}

// mainWritePages writes all pages below a folder.
func mainWritePages(c *cli, dir string, pages []*helpPage) error {
	for _, p := range pages {
		file := filepath.Join(dir, p.file())
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(helpRoff(p)), 0o644)
		}
		if err == nil && c.flags.json {
			err = printJSON(c.out, map[string]string{"file": file})
		}
		if err != nil {
			return fmt.Errorf("write man pages: %w", err)
		}
	}
	if c.flags.json {
		return nil
	}
	_, err := fmt.Fprintf(c.out, "wrote %d pages below %s\n", len(pages), dir)
	return err
}
