// End-to-end tests of import crontab and export crontab: what a crontab becomes, and that its jobs have what cron gives
// them.

package e2e

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// importTab is a crontab of a dozen lines, each of another kind. DIR is the site's folder.
const importTab = `# m h dom mon dow command
MAILTO=ops@example.org
GREETING = " hello  world "

# what a job is given
0 3 * * * echo "$GREETING|$SHELL|$PATH|$MAILTO|$(pwd)"
0 4 * * * cat%one%two \% three
30 4 * * * printf '\%s\n' 'a\\b' '\d'
@daily [ -e DIR/guard ] && echo guarded
@weekly test -e DIR/guard || { cd / && pwd; }
*/5 * * * * flock -n DIR/lock sh -c 'echo locked; echo twice'
0 5 * * 1-5 sleep $((RANDOM \% 600)); echo spread # with a pause
0,30 2 * * * timeout 60 echo in time
@reboot (echo early; echo late) &
SHELL=/bin/bash
CRON_TZ=Europe/Berlin
0~59 6 1 jan,jul * [[ -d / ]] && echo "${BASH_VERSION:+bash}"
0 7 * * 7 echo a & echo b
22 7 * * 7 /nowhere/report --all
`

// importLine is a line of the report, as JSON.
type importLine struct {
	Source, Text, Workflow, File, Action, Fault string
	Line                                        int
	Notes                                       []string
	ClockChange                                 string `json:"clock_change"`
}

// importSite is a site with a crontab in the file tab.
func importSite(t *testing.T, text string) *site {
	t.Helper()
	x := newSite(t)
	x.Env = append(x.Env, "CDKTR_TIMEZONE=Europe/Berlin")
	importWrite(t, x, text)
	return x
}

// importWrite writes the crontab.
func importWrite(t *testing.T, x *site, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "DIR", x.Dir)
	if err := os.WriteFile(x.Dir+"/tab", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImportRuns: the jobs of a crontab have what cron gives them: input, environment, folder, shell.
func TestImportRuns(t *testing.T) {
	x := importSite(t, importTab)
	lines := harness.Lines[importLine](t, x.OK("import", "crontab", "tab", "--json"))
	if len(lines) != 12 {
		t.Fatalf("%d lines: %+v", len(lines), lines)
	}
	x.OK("validate")
	if info, err := os.Stat(x.Dir + "/workflows/cron/cat.yml"); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("a crontab that others may not read makes %v, %v", info, err)
	}
	// handlers mail, if there is a sendmail
	mail := x.Dir + "/mail"
	text := importRead(t, x, "workflows/cron/defaults.yml")
	text = strings.ReplaceAll(text, "/usr/sbin/sendmail -i -t", "cat >> "+mail)
	x.File("cron/defaults.yml", strings.ReplaceAll(text, "/usr/sbin/sendmail", "/bin/cat"))
	x.Principal("--with-agent")
	want := map[int]string{
		6: " hello  world |/bin/sh|/usr/bin:/bin|ops@example.org|" + x.Dir + "\n",
		7: "one\ntwo % three\n", 8: "a\\b\n\\d\n", 9: "", 10: "/\n", 11: "locked\ntwice\n", 12: "spread\n",
		13: "in time\n", 14: "early\nlate\n", 17: "bash\n", 18: "a\nb\n",
	}
	for _, l := range lines {
		out, ok := want[l.Line]
		if !ok {
			continue
		}
		got := x.OK("run", l.Workflow, "--follow")
		if l.Line == 18 { // in either order
			got = strings.Join(slices.Sorted(strings.Lines(got)), "")
		}
		if got != out {
			t.Errorf("line %d, %s, wrote %q, want %q", l.Line, l.Workflow, got, out)
		}
	}
	text = importRead(t, x, "mail")
	if !strings.Contains(text, "To: ops@example.org\n") || !strings.Contains(text, "Subject: Cron <") ||
		!strings.Contains(text, "\n\none\ntwo % three\n") {
		t.Errorf("the mail is %s", text)
	}
	if run := x.await(x.Start(lines[11].Workflow)); run.State != runFailed {
		t.Errorf("a program that is not there: %+v", run)
	}
	if zone := x.OK("next", lines[9].Workflow, "-n", "1", "--json"); !strings.Contains(zone, `"at":`) {
		t.Errorf("line 17 has no next fire: %s", zone)
	}
}

// importRead reads a file of the site.
func importRead(t *testing.T, x *site, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(x.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestImportAgain: a second import changes nothing, a third what has changed in the crontab, and none what a person has
// changed; --diff writes nothing.
func TestImportAgain(t *testing.T) {
	x := importSite(t, "0 3 * * * alpha\n0 4 * * * beta\n0 5 * * * gamma\n0,30 2 * * * delta\n")
	actions := func(args ...string) string {
		t.Helper()
		var got []string
		out := x.OK(append([]string{"import", "crontab", "tab", "--json"}, args...)...)
		for _, l := range harness.Lines[importLine](t, out) {
			got = append(got, strings.TrimPrefix(l.Workflow, "cron.")+" "+l.Action)
		}
		return strings.Join(got, ", ")
	}
	r := x.Code(0, "import", "crontab", "tab", "--diff")
	if !strings.Contains(r.Out, "--- /dev/null\n+++ "+x.Dir+"/workflows/cron/alpha.yml\n@@ -0,0 +1,") ||
		!strings.Contains(r.Err, "5 files would be written") {
		t.Errorf("--diff prints %s%s", r.Out, r.Err)
	}
	if _, err := os.Stat(x.Dir + "/workflows/cron"); err == nil {
		t.Error("--diff has made a folder")
	}
	if got := actions(); got != "alpha new, beta new, gamma new, delta new" {
		t.Errorf("first: %s", got)
	}
	if got := actions(); got != "alpha same, beta same, gamma same, delta same" {
		t.Errorf("second: %s", got)
	}
	mine := importRead(t, x, "workflows/cron/beta.yml")
	x.File("cron/beta.yml", strings.Replace(mine, "run: beta", "run: beta --mine", 1))
	importWrite(t, x, "1 3 * * * alpha\n1 4 * * * beta\n0,30 2 * * * delta\n")
	r = x.Code(0, "import", "crontab", "tab", "--diff")
	for _, want := range []string{"-schedule: \"0 3 * * *\"\n+schedule: \"1 3 * * *\"\n",
		"-    run: beta --mine\n+    run: beta\n"} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("--diff lacks %q:\n%s", want, r.Out)
		}
	}
	if !strings.Contains(r.Err, "beta.yml would stay as it is") || !strings.Contains(r.Err, "gamma.yml stays") {
		t.Errorf("--diff says %s", r.Err)
	}
	if got := actions(); got != "alpha changed, beta kept, delta same, gamma gone" {
		t.Errorf("third: %s", got)
	}
	if text := importRead(t, x, "workflows/cron/beta.yml"); !strings.Contains(text, "--mine") {
		t.Errorf("what a person has changed is gone:\n%s", text)
	}
	if r := x.Code(0, "import", "crontab", "tab"); !strings.Contains(r.Out, "delta") ||
		!strings.Contains(r.Out, "the clock skips 02:00 to 03:00: cron starts it 2 times then") ||
		!strings.Contains(r.Err, "cron goes on with these lines") {
		t.Errorf("the report is %s%s", r.Out, r.Err)
	}
	if got := actions("--force"); got != "alpha same, beta changed, delta same, gamma gone" {
		t.Errorf("by force: %s", got)
	}
}

// TestImportRefused: what is wrong is said, with its place, and nothing is lost.
func TestImportRefused(t *testing.T) {
	x := importSite(t, "0 3 * * * alpha\n0 25 * * * beta\n")
	r := x.Code(2, "import", "crontab", "tab")
	if !strings.Contains(r.Err, "tab:2: hour: 25 is out of range") || !strings.Contains(r.Out, "new      cron.alpha") {
		t.Errorf("a bad line: %s%s", r.Out, r.Err)
	}
	x.Refused(2, []string{"nowhere", "no such file"}, "import", "crontab", "nowhere")
	x.Refused(2, []string{"one FILE"}, "import", "crontab", "a", "b")
	x.Refused(5, []string{"no workflows folder", "nothing was written", "--out"}, "import", "crontab", "tab",
		"--workflows", "nowhere")
	x.File("mine/own.yml", "tasks: {a: {run: x}}\n")
	x.Refused(5, []string{"own.yml", "not import's", "--out"}, "import", "crontab", "tab", "--out", "workflows/mine")
	x.File("theirs/defaults.yml", "env: {A: b}\n")
	x.Refused(5, []string{"defaults.yml", "not import's"}, "import", "crontab", "tab", "--out", "workflows/theirs")
	if r := x.Feed("* * * * * a\xff\n* * * * * b\n", "import", "crontab", "-", "--out", "out"); r.Code != 2 ||
		!strings.Contains(r.Err, "UTF-8") || !strings.Contains(r.Out, "standard input:2") {
		t.Errorf("bytes that are no text: %d %s%s", r.Code, r.Out, r.Err)
	}
	x.Refused(2, []string{"more than"}, "import", "crontab", "/dev/zero")
	if r := x.Cdktr("import", "crontab"); r.Code != 5 || !strings.Contains(r.Err, "FILE") { // nobody has a crontab here
		t.Logf("without FILE: %d %s", r.Code, r.Err)
	}
	x.Refused(2, []string{"import crontab"}, "import")
	x.Refused(2, []string{"export crontab"}, "export")
}

// TestImportFolder: a folder as /etc/cron.d is, and what comes back from it.
func TestImportFolder(t *testing.T) {
	x := importSite(t, "")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(x.Dir, "cron.d")
	for name, text := range map[string]string{
		"web":          "PATH=/opt/bin:/bin\n09,39 * * * * USER [ -x /bin/sh ] && if [ ! -d /nowhere ]; then echo clean; fi\n",
		"top":          "0 0 * * * USER [ -d /nowhere ] || echo top&\n",
		"old.dpkg-old": "0 0 * * * USER echo old\n",
		".placeholder": "# nothing\n",
	} {
		err = os.MkdirAll(folder, 0o755)
		if err == nil {
			text = strings.ReplaceAll(text, "USER", me.Username)
			err = os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := x.Code(0, "import", "crontab", "cron.d")
	if !strings.Contains(r.Out, "cron.d/web:2") || strings.Contains(r.Out, "old") ||
		!strings.Contains(r.Err, "dpkg-old") || !strings.Contains(r.Err, "their users are "+me.Username) {
		t.Errorf("the report is %s%s", r.Out, r.Err)
	}
	first := x.OK("export", "crontab", "cron.*", "--system")
	want := "09,39 * * * * " + me.Username + " [ -x /bin/sh ] && [ ! -d /nowhere ] && echo clean\n"
	if !strings.Contains(first, "PATH=/opt/bin:/bin\n"+want) {
		t.Errorf("exported:\n%s\nwant in it\n%s", first, want)
	}
	if err := os.WriteFile(x.Dir+"/back", []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}
	x.OK("import", "crontab", "back", "--system", "--out", "again")
	if second := x.OK("export", "crontab", "--system", "--workflows", "again"); second != first {
		t.Errorf("exported again:\n%s\nwas\n%s", second, first)
	}
	x.File("graph.yml", "schedule: '@daily'\ntasks: {a: {run: x}, b: {run: y}}\n")
	if out := x.OK("export", "crontab"); !strings.Contains(out, "# graph is no line of a crontab: it has 2 tasks\n") {
		t.Errorf("what is none: %s", out)
	}
	harness.Fields(t, strings.SplitN(x.OK("export", "crontab", "cron.*", "--json"), "\n", 2)[0], "workflow lines")
	x.Refused(5, []string{"no workflow"}, "export", "crontab", "nothing")
	x.Principal("--with-agent")
	for _, l := range harness.Lines[importLine](t, x.OK("import", "crontab", "cron.d", "--json")) {
		if l.Action != "same" {
			t.Errorf("%s is %s", l.Workflow, l.Action)
		}
		if out := x.OK("run", l.Workflow, "--follow"); out != "clean\n" && out != "top\n" {
			t.Errorf("%s wrote %q", l.Workflow, out)
		}
	}
}
