// The recipes of docs/recipes.md, typed by a shell as a reader would type them.

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

var recipesUpdate = flag.Bool("update-recipes", false, "write what the commands of docs/recipes.md print into it")

const recipesFile = "../docs/recipes.md"

// recipesBlock is a block of a recipe: a file, whose first line names it, or what somebody types and reads.
var recipesBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// recipesVaries is what differs from one run to the next, and what stands for it when outputs are compared.
var recipesVaries = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`\bB?[0-9A-HJKMNP-TV-Z]{26}\b`), "RUN"},
	{regexp.MustCompile(`\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) `), ""},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d|\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d\d\b`), "DATE"},
	{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?(\.\d+)?\b`), "TIME"},
	{regexp.MustCompile(`\bDATE TIME\b`), "TIME"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s|m)\b`), "SPAN"},
	{regexp.MustCompile(`\b\d+\.\d+\b`), "NUMBER"},
	{regexp.MustCompile(`\bpid \d+`), "pid"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// recipesPlain is an output without what varies.
func recipesPlain(text string) string {
	for _, v := range recipesVaries {
		text = v.pattern.ReplaceAllString(text, v.text)
	}
	return strings.TrimSpace(strings.ReplaceAll(text, " \n", "\n"))
}

// TestRecipes types each recipe on a site of its own, with /srv below the folder of the test, and compares what comes
// out. With -update-recipes it is written into the document instead.
func TestRecipes(t *testing.T) {
	text, err := os.ReadFile(recipesFile)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n## ")
	if len(parts) < 25 {
		t.Fatalf("only %d recipes", len(parts)-1)
	}
	t.Run("each", func(t *testing.T) {
		for i := range parts[1:] {
			title, _, _ := strings.Cut(parts[i+1], "\n")
			t.Run(title, func(t *testing.T) {
				t.Parallel()
				parts[i+1] = recipeRun(t, title, parts[i+1])
			})
		}
	})
	if *recipesUpdate && !t.Failed() {
		if err := os.WriteFile(recipesFile, []byte(strings.Join(parts, "\n## ")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// recipeRun types one recipe, and gives its text with what came out.
func recipeRun(t *testing.T, title, text string) string {
	if strings.Contains(text, "\nuser: ") && os.Geteuid() != 0 {
		harness.Lacks(t, "only root can start a process of another user")
	}
	x := recipeSite(t, title)
	var listening []string
	here := strings.NewReplacer("/srv/", x.Dir+"/srv/")
	for _, block := range recipesBlock.FindAllStringSubmatch(text, -1) {
		if block[1] == "yaml" {
			first, body, _ := strings.Cut(block[2], "\n")
			name, named := strings.CutPrefix(first, "# ")
			if !named {
				t.Fatalf("a file without a name: %q", first)
			}
			x.File(name, here.Replace(body))
			if strings.HasPrefix(body, "on:") {
				listening = append(listening, strings.TrimSuffix(name, ".yml"))
			}
		}
	}
	x.OK("rescan")
	for _, id := range listening {
		x.Until(id+" listens", func() bool { return len(x.workflow(id).Listeners) == 1 })
	}
	return recipesBlock.ReplaceAllStringFunc(text, func(block string) string {
		parts := recipesBlock.FindStringSubmatch(block)
		if parts[1] != "" {
			return block
		}
		return "```\n" + recipeType(t, x, parts[2]) + "```"
	})
}

// recipeSite makes a box with a principal and an agent, and with what the recipes find there.
func recipeSite(t *testing.T, title string) *site {
	x := newSiteAlone(t)
	for _, name := range []string{"spool", "mail", "in", "done", "data"} {
		if err := os.MkdirAll(filepath.Join(x.Dir, "srv", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exampleWrite(t, x.Dir+"/srv/data/orders.csv", "1,apples\n2,pears\n3,plums\n")
	exampleWrite(t, x.Dir+"/bin/mail",
		"#!/bin/sh\n{ echo \"Subject: $2\"; echo; cat; } > '"+x.Dir+"/srv/mail/'\"$3\"\n")
	for name, mode := range map[string]os.FileMode{"bin/mail": 0o755, "srv/spool": 0o777, "": 0o711} {
		if err := os.Chmod(filepath.Join(x.Dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(x.Bin, x.Dir+"/bin/cdktr"); err != nil {
		t.Fatal(err)
	}
	x.Env = append(x.Env, "PATH="+x.Dir+"/bin:"+os.Getenv("PATH"), "LC_ALL=C.UTF-8")
	x.Principal("--with-agent")
	if strings.Contains(title, "another box") {
		x.Agent("tape", "--label", "disk=tape")
	}
	return x
}

// recipeType types the lines of a block that begin with a dollar sign into one shell, compares what each prints with
// the lines below it, and gives the block with what was printed.
func recipeType(t *testing.T, x *site, block string) string {
	var script strings.Builder
	var commands, wants []string
	for line := range strings.Lines(block) {
		if command, typed := strings.CutPrefix(line, "$ "); typed {
			commands, wants = append(commands, line), append(wants, "")
			command = strings.ReplaceAll(command, "/srv/", x.Dir+"/srv/")
			fmt.Fprintf(&script, "\necho '<%d>'\n%s", len(commands), command)
		} else if len(wants) == 0 {
			t.Fatalf("nothing was typed before %q", line)
		} else {
			wants[len(wants)-1] += line
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "exec 2>&1\n"+script.String())
	cmd.Env, cmd.Dir = x.Env, x.Dir
	out, err := cmd.Output()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := strings.ReplaceAll(string(out), x.Dir, "")
	var all strings.Builder
	for i, command := range commands {
		_, after, found := strings.Cut(rest, fmt.Sprintf("<%d>\n", i+1))
		if !found {
			t.Fatalf("the shell ended before %q:\n%s", command, out)
		}
		got, _, _ := strings.Cut(after, fmt.Sprintf("<%d>\n", i+2))
		if !*recipesUpdate && recipesPlain(got) != recipesPlain(wants[i]) {
			t.Errorf("%s%s\nand in the document is\n%s", command, got, wants[i])
		}
		all.WriteString(command + got)
	}
	return all.String()
}
