// The examples, run as a stranger would run them: each by itself with nothing but its defaults, and those with an
// effect worth a look with parameters of a test's own.

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// exampleRun runs an example with a temporary folder of its own choosing, and gives its exit code, what it wrote to
// standard output and what to standard error. Programs in tmp/bin come before those of the machine, and secrets are
// in tmp/credentials.
func exampleRun(t *testing.T, tmp, file string, flags ...string) (code int, out, report string) {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), harness.Bin(), append(append([]string{"run"}, flags...),
		filepath.Join("../examples", file))...)
	cmd.Env = append(harness.BareEnv(tmp), "LC_ALL=C", "CREDENTIALS_DIRECTORY="+tmp+"/credentials",
		"PATH="+tmp+"/bin:"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// exampleFine runs an example that must succeed, and gives its output.
func exampleFine(t *testing.T, tmp, file string, flags ...string) string {
	t.Helper()
	code, out, report := exampleRun(t, tmp, file, flags...)
	if code != exitOK {
		t.Fatalf("%s %q: exit %d\noutput:\n%sreport:\n%s", file, flags, code, out, report)
	}
	return out
}

// exampleFails runs an example that must fail, with that text in its output.
func exampleFails(t *testing.T, tmp, file, want string, flags ...string) {
	t.Helper()
	code, out, report := exampleRun(t, tmp, file, flags...)
	if code != exitFailed || !strings.Contains(out, want) {
		t.Fatalf("%s %q: exit %d, want %d and %q in the output\noutput:\n%sreport:\n%s", file, flags, code, exitFailed,
			want, out, report)
	}
}

// exampleFiles lists what a pattern matches in a folder, by base name.
func exampleFiles(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}

func exampleWrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exampleNeeds are what examples need that run by no other means; the folder is that of the test.
var exampleNeeds = map[string]func(t *testing.T, tmp string){"restic.yml": exampleRestic}

// exampleRestic is for tasks of another user, with a secret. It puts a program in the place of restic that says who
// calls it, and for what.
func exampleRestic(t *testing.T, tmp string) {
	t.Helper()
	if os.Geteuid() != 0 {
		harness.Lacks(t, "only root can start a process of another user")
	}
	exampleWrite(t, tmp+"/credentials/RESTIC_PASSWORD", "of the repository\n")
	exampleWrite(t, tmp+"/bin/restic", "#!/bin/sh\ntest \"$RESTIC_PASSWORD\" = 'of the repository' || exit 1\n"+
		"echo \"$(id -un) $* at $RESTIC_REPOSITORY\"\ntest \"$1\" != cat || test -e \"$RESTIC_REPOSITORY\" || exit 1\n"+
		"test \"$1\" != init || : > \"$RESTIC_REPOSITORY\"\n")
	for name, mode := range map[string]os.FileMode{"/..": 0o711, "": 0o777 | os.ModeSticky, "/bin/restic": 0o755,
		"/credentials/RESTIC_PASSWORD": 0o600} {
		if err := os.Chmod(tmp+name, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// exampleFolder has the site read the examples, or a folder of them, and gives the whole path.
func exampleFolder(x *site, name string) (folder string) {
	x.T.Helper()
	folder, err := filepath.Abs(filepath.Join("../examples", name))
	if err != nil {
		x.T.Fatal(err)
	}
	x.Env = append(x.Env, "CDKTR_WORKFLOWS="+folder)
	return folder
}

// TestExampleEach runs every example with its defaults, twice: what the first run left behind must not trouble the
// second. Its shell lines are read by the shell beforehand, those too that no run reaches.
func TestExampleEach(t *testing.T) {
	x := newSite(t)
	folder := exampleFolder(x, "")
	x.Principal("--no-scheduler")
	names := exampleFiles(t, folder, "*.yml")
	if len(names) < 10 {
		t.Fatalf("only %d examples are here: %q", len(names), names)
	}
	for _, name := range names {
		shown := harness.Decode[struct {
			Error    string
			Warnings []string
			Spec     struct {
				Tasks []struct{ ID, Run string }
			}
		}](t, x.OK("show", strings.TrimSuffix(name, ".yml"), "--json"))
		t.Run(name, func(t *testing.T) {
			if shown.Error != "" || len(shown.Warnings) > 0 || len(shown.Spec.Tasks) == 0 {
				t.Fatalf("it shows %+v", shown)
			}
			for _, task := range shown.Spec.Tasks {
				if task.Run == "" {
					continue
				}
				if out, err := exec.Command("/bin/sh", "-n", "-c", task.Run).CombinedOutput(); err != nil {
					t.Errorf("task %s: %v: %s", task.ID, err, out)
				}
			}
			tmp := t.TempDir()
			if needs := exampleNeeds[name]; needs != nil {
				needs(t, tmp)
			}
			exampleFine(t, tmp, name)
			exampleFine(t, tmp, name)
			if left := exampleFiles(t, tmp,
				"*.[A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9]"); len(left) > 0 {
				t.Errorf("left in the temporary folder: %q", left)
			}
		})
	}
}

// TestExampleDeploy: a release that is not well is rolled back; production is asked for first.
func TestExampleDeploy(t *testing.T) {
	x := newSite(t)
	exampleFolder(x, "")
	x.Principal("--with-agent", "--no-scheduler")
	current := func(where string) string {
		to, err := os.Readlink(x.Dir + "/" + where + "/current")
		if err != nil {
			t.Error(err)
		}
		return to
	}
	good := x.run("deploy", "-p", "root="+x.Dir)
	if r := x.run("deploy", "-p", "root="+x.Dir, "-p", "check=false"); r.State != runFailed ||
		r.task("roll-back").State != taskSucceeded || current("staging") != good.ID {
		t.Errorf("%s, now at %s, before at %s", childEnds(r), current("staging"), good.ID)
	}
	asked := func(answer string) *Run {
		run := approveAsked(x, "deploy", "-p", "root="+x.Dir, "-p", "where=production")
		x.OK(answer, run)
		return x.await(run)
	}
	yes := asked("approve")
	if no := asked("reject"); yes.State != runSucceeded || no.State != runFailed ||
		no.task("roll-back").State != "skipped" || current("production") != yes.ID {
		t.Errorf("yes: %s; no: %s; now at %s", childEnds(yes), childEnds(no), current("production"))
	}
	exampleFails(t, t.TempDir(), "deploy.yml", "", "-p", "where=production", "-p", "root="+x.Dir)
}

// TestExampleWarehouse: outputs go from one workflow to the next, also without a principal.
func TestExampleWarehouse(t *testing.T) {
	tmp := t.TempDir()
	code, out, report := exampleRun(t, tmp, "warehouse.yml", "-p", "day=2026-01-31")
	if code != exitOK || !strings.Contains(out, "the warehouse has 5 rows more for 2026-01-31") ||
		!strings.Contains(out, "indexing the orders of 2026-01-31") {
		t.Errorf("output: %s\nreport: %s", out, report)
	}
	if left := exampleFiles(t, tmp, "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestExampleRestic: all but the last task are of user backup, and nothing says the password.
func TestExampleRestic(t *testing.T) {
	tmp := t.TempDir()
	exampleRestic(t, tmp)
	text, err := os.ReadFile("../examples/restic.yml")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Rel(examples, tmp+"/restic.yml")
	if err != nil {
		t.Fatal(err)
	}
	exampleWrite(t, tmp+"/restic.yml", strings.Replace(string(text), `STAMP: ""`, "STAMP: "+tmp+"/stamp", 1))
	flags := []string{"-p", "from=/srv", "-p", "to=" + tmp + "/there"}
	exampleFine(t, tmp, file, flags...)
	out := exampleFine(t, tmp, file, flags...)
	at := " at " + tmp + "/there\n"
	for _, want := range []string{"backup backup --one-file-system --exclude-caches /srv" + at,
		"backup forget --prune --keep-daily 7 --keep-weekly 5 --keep-monthly 12" + at,
		"backup check --read-data-subset="} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the output:\n%s", want, out)
		}
	}
	if strings.Contains(out, " init ") {
		t.Errorf("a repository that is there is made anew: %s", out)
	}
	if stamp, err := os.Stat(tmp + "/stamp"); err != nil || stamp.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the stamp: %+v, %v", stamp, err)
	}
}

// TestExampleForecast runs a project and a script by uv, where that is installed.
func TestExampleForecast(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	out := exampleFine(t, tmp, "forecast.yml")
	_, err := exec.LookPath("uv")
	if found := strings.Contains(out, "tomorrow: 20\n"); found != (err == nil) {
		t.Errorf("uv: %v, and it prints %s", err, out)
	}
	out = exampleFine(t, tmp, "report.yml", "-p", "month=2026-01")
	if found := strings.Contains(out, "2026-01 south 35\n"); found != (err == nil) {
		t.Errorf("uv: %v, and it prints %s", err, out)
	}
	exampleWrite(t, tmp+"/bin/uv", "#!/bin/sh\necho \"$(basename $PWD): $*\"\n")
	if err := os.Chmod(tmp+"/bin/uv", 0o755); err != nil {
		t.Fatal(err)
	}
	if out := exampleFine(t, tmp, "forecast.yml"); out != "cdktr-forecast: run forecast.py 20 35 5\n" {
		t.Errorf("uv is called so: %s", out)
	}
	out = exampleFine(t, tmp, "report.yml", "-p", "month=2026-01", "-p", "chart=/srv/sold.svg")
	if !strings.Contains(out, " run --with pygal>=3 - /srv/sold.svg 2026-01\n") {
		t.Errorf("uv is called so: %s", out)
	}
}

func TestExampleBackup(t *testing.T) {
	tmp := t.TempDir()
	src, dest := filepath.Join(tmp, "my data"), filepath.Join(tmp, "archives of mine")
	exampleWrite(t, filepath.Join(src, "a file"), "precious\n")
	flags := []string{"-p", "src=" + src, "-p", "dest=" + dest, "-p", "keep=2"}
	var newest string
	for range 4 {
		exampleFine(t, tmp, "backup.yml", flags...)
		kept := exampleFiles(t, dest, "backup-*.tar.gz")
		if last := kept[len(kept)-1]; last <= newest {
			t.Fatalf("the archive of this run, %s, is not the newest: before it was %s", last, newest)
		} else {
			newest = last
		}
	}
	if kept := exampleFiles(t, dest, "backup-*.tar.gz"); len(kept) != 2 {
		t.Fatalf("4 runs with keep=2 left %q", kept)
	}
	out, err := exec.Command("tar", "-xzOf", filepath.Join(dest, newest), "my data/a file").Output()
	if err != nil || string(out) != "precious\n" {
		t.Fatalf("read the archive back: %q, %v", out, err)
	}
	exampleFails(t, tmp, "backup.yml", "there is no folder "+src+".gone", "-p", "src="+src+".gone", "-p", "dest="+dest,
		"-p", "keep=1")
	if kept := exampleFiles(t, dest, "*"); len(kept) != 2 {
		t.Fatalf("a run that failed left %q", kept)
	}
}

// TestExampleNightly looks into the record of the run: a second attempt, and outputs that came through.
func TestExampleNightly(t *testing.T) {
	out := exampleFine(t, t.TempDir(), "nightly.yml", "--json", "-p", "day=2026-01-31")
	var run Run
	if err := json.Unmarshal([]byte(out), &run); err != nil {
		t.Fatalf("run --json FILE printed %q: %v", out, err)
	}
	if run.State != runSucceeded || run.Params["day"] != "2026-01-31" {
		t.Fatalf("run: %+v", run)
	}
	if load := run.task("load"); load == nil || load.Attempts != 2 || load.State != taskSucceeded {
		t.Errorf("load: %+v, want it to succeed at its second attempt", load)
	}
	if merge := run.task("merge"); merge == nil || strings.TrimSpace(merge.Outputs["ROWS"]) != "9" {
		t.Errorf("merge: %+v, want the output ROWS=9", merge)
	}
	plain := exampleFine(t, t.TempDir(), "nightly.yml")
	for _, want := range []string{"the database is busy", "loaded 9 rows at attempt 2",
		"nightly for yesterday is done, 9 rows"} {
		if !strings.Contains(plain, want) {
			t.Errorf("%q is not in the output:\n%s", want, plain)
		}
	}
}

// exampleCertificate writes a certificate that expires after that time.
func exampleCertificate(t *testing.T, name string, life time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	exampleWrite(t, name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func TestExampleCertificate(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		harness.Lacks(t, "apt install openssl: %v", err)
	}
	tmp := t.TempDir()
	soon, late := filepath.Join(tmp, "soon.pem"), filepath.Join(tmp, "late.pem")
	exampleCertificate(t, soon, 5*24*time.Hour)
	exampleCertificate(t, late, 500*24*time.Hour)
	if out := exampleFine(t, tmp, "certificate-check.yml", "-p", "files="+late); !strings.Contains(out, "fine: "+late) {
		t.Errorf("a certificate of 500 days: %s", out)
	}
	exampleFine(t, tmp, "certificate-check.yml", "-p", "files="+soon, "-p", "days=3")
	exampleFails(t, tmp, "certificate-check.yml", "expires in less than 21 days: "+soon, "-p", "files="+tmp+"/*.pem")
	exampleWrite(t, filepath.Join(tmp, "none.pem"), "no certificate\n")
	exampleFails(t, tmp, "certificate-check.yml", "fine: "+late, "-p", "files="+tmp+"/none.pem "+late)
}

func TestExampleDiskWatch(t *testing.T) {
	tmp := t.TempDir()
	exampleFails(t, tmp, "disk-watch.yml", "too full (the limit is 0%): "+tmp, "-p", "threshold=0")
	exampleFails(t, tmp, "disk-watch.yml", "cannot tell how full", "-p", "paths="+tmp+"/none")
	if code, _, report := exampleRun(t, tmp, "disk-watch.yml", "-p", "threshold=101"); code != exitUsage ||
		!strings.Contains(report, "pattern") {
		t.Errorf("threshold=101: exit %d, %s", code, report)
	}
}

// TestExampleLogShipping ships what is new, once, and starts again when the log was rotated.
func TestExampleLogShipping(t *testing.T) {
	tmp := t.TempDir()
	log, to := filepath.Join(tmp, "app.log"), filepath.Join(tmp, "there")
	flags := []string{"-p", "log=" + log, "-p", "to=" + to}
	var shipped string
	for _, step := range []struct{ log, new string }{
		{"one\ntwo\n", "one\ntwo\n"},
		{"one\ntwo\nthree\n", "three\n"},
		{"one\ntwo\nthree\n", ""},
		{"four\n", "four\n"},
	} {
		exampleWrite(t, log, step.log)
		exampleFine(t, tmp, "log-shipping.yml", flags...)
		shipped += step.new
	}
	var got string
	for _, name := range exampleFiles(t, to, "*.gz") {
		out, err := exec.Command("gzip", "-dc", filepath.Join(to, name)).Output()
		if err != nil {
			t.Fatal(err)
		}
		got += string(out)
	}
	if got != shipped {
		t.Errorf("shipped %q, want %q", got, shipped)
	}
}

func TestExampleDatabaseDump(t *testing.T) {
	tmp := t.TempDir()
	dest := filepath.Join(tmp, "dumps")
	flags := []string{"-p", "dest=" + dest, "-p", "keep=1"}
	exampleFine(t, tmp, "database-dump.yml", flags...)
	exampleFine(t, tmp, "database-dump.yml", flags...)
	if kept := exampleFiles(t, dest, "dump-*.sql.gz"); len(kept) != 1 {
		t.Fatalf("2 runs with keep=1 left %q", kept)
	}
	exampleWrite(t, filepath.Join(dest, "last-size"), "1000000\n")
	exampleFails(t, tmp, "database-dump.yml", "less than half of the last dump", flags...)
	left, err := os.ReadDir(dest)
	if err != nil || len(left) != 2 { // the good dump, and the note of its size
		t.Errorf("after a dump that shrank: %v, %v", left, err)
	}
}

func TestExampleMirror(t *testing.T) {
	tmp := t.TempDir()
	from, to := filepath.Join(tmp, "from here"), filepath.Join(tmp, "to there")
	flags := []string{"-p", "from=" + from, "-p", "to=" + to}
	exampleWrite(t, filepath.Join(from, "a b"), "1\n")
	exampleWrite(t, filepath.Join(from, "gone"), "2\n")
	exampleFine(t, tmp, "mirror.yml", flags...)
	if err := os.Remove(filepath.Join(from, "gone")); err != nil {
		t.Fatal(err)
	}
	exampleFine(t, tmp, "mirror.yml", flags...)
	if got := exampleFiles(t, to, "*"); len(got) != 1 || got[0] != "a b" {
		t.Errorf("the copy has %q, want what the source has", got)
	}
	if err := os.Remove(filepath.Join(from, "a b")); err != nil {
		t.Fatal(err)
	}
	exampleFails(t, tmp, "mirror.yml", "is empty or not there", flags...)
	if got := exampleFiles(t, to, "*"); len(got) != 1 {
		t.Errorf("an empty source emptied the copy: %q", got)
	}
}

// TestExampleHealth lets a service be down for all four attempts: somebody is told, and the run has failed all the
// same.
func TestExampleHealth(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	exampleFails(t, tmp, "health-check.yml", "does not answer", "-p", "url=file://"+tmp+"/none")
	_, out, report := exampleRun(t, tmp, "health-check.yml", "-p", "url=gopher://x")
	if !strings.Contains(out, "no such kind of address") {
		t.Errorf("an unknown kind of address: %s%s", out, report)
	}
}

func TestExampleCleanTemp(t *testing.T) {
	tmp := t.TempDir()
	folder := filepath.Join(tmp, "uploads of others")
	old, young := filepath.Join(folder, "old one"), filepath.Join(folder, "young one")
	exampleWrite(t, old, "x")
	exampleWrite(t, young, "x")
	past := time.Now().Add(-40 * 24 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	flags := []string{"-p", "folder=" + folder, "-p", "days=30"}
	if out := exampleFine(t, tmp, "clean-temp.yml", flags...); !strings.Contains(out, "1 files would be deleted") {
		t.Errorf("without delete=yes: %s", out)
	}
	if got := exampleFiles(t, folder, "*"); len(got) != 2 {
		t.Fatalf("a look deleted something: %q is left", got)
	}
	exampleFine(t, tmp, "clean-temp.yml", append(flags, "-p", "delete=yes")...)
	if got := exampleFiles(t, folder, "*"); len(got) != 1 || got[0] != "young one" {
		t.Errorf("left: %q", got)
	}
	exampleFails(t, tmp, "clean-temp.yml", "is not to be cleaned", "-p", "folder=/", "-p", "delete=yes")
	exampleFails(t, tmp, "clean-temp.yml", "write the folder from / on", "-p", "folder=uploads", "-p", "delete=yes")
}

// TestExampleETL checks the sums, and that the row that is no number was put aside.
func TestExampleETL(t *testing.T) {
	tmp := t.TempDir()
	warehouse := filepath.Join(tmp, "ware house")
	for range 2 { // the second load of a day replaces the first
		out := exampleFine(t, tmp, "etl.yml", "-p", "day=2026-01-31", "-p", "warehouse="+warehouse)
		if !strings.Contains(out, "1 rows put aside") {
			t.Errorf("output: %s", out)
		}
	}
	got, err := os.ReadFile(filepath.Join(warehouse, "2026-01-31.csv"))
	if want := "Ada,5.00\nEdsger,80.00\nGrace,20.00\n"; err != nil || string(got) != want {
		t.Errorf("loaded %q, %v, want %q", got, err, want)
	}
	if left := exampleFiles(t, tmp, "etl.*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestExampleSiteWatch watches a site that is well, and one that is not and whose webhook hears of it.
func TestExampleSiteWatch(t *testing.T) {
	harness.Need(t, "apt install curl", "curl", "--version")
	told := make(chan string, 9)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
		case "/hook":
			body, _ := io.ReadAll(r.Body)
			told <- r.Header.Get("Authorization") + " " + string(body)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(site.Close)
	exampleFine(t, t.TempDir(), "site-watch.yml", "-p", "site="+site.URL+"/well", "-p", "hook="+site.URL+"/hook")
	if len(told) > 0 {
		t.Errorf("a site that is well is told of: %s", <-told)
	}
	tmp := t.TempDir()
	exampleWrite(t, tmp+"/credentials/SITE_WATCH_TOKEN", "t0ken\n")
	if err := os.Chmod(tmp+"/credentials/SITE_WATCH_TOKEN", 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, report := exampleRun(t, tmp, "site-watch.yml", "-p", "site="+site.URL+"/ill", "-p",
		"hook="+site.URL+"/hook")
	if code != exitFailed || len(told) != 1 {
		t.Fatalf("exit %d, told %d times\n%s", code, len(told), report)
	}
	text := <-told
	var hook struct{ Text string }
	token, body, _ := strings.Cut(text, " {")
	if err := json.Unmarshal([]byte("{"+body), &hook); err != nil || token != "Bearer t0ken" ||
		!strings.HasPrefix(hook.Text, site.URL+"/ill does not answer") {
		t.Errorf("told: %s, %v", text, err)
	}
}

func TestExampleLegacy(t *testing.T) {
	out := exampleFine(t, t.TempDir(), "legacy.yml")
	if !strings.HasPrefix(out, "fetched 3 rows\n") || !strings.HasSuffix(out, "all done\n") ||
		!strings.Contains(out, "converting report\n") {
		t.Errorf("output: %s", out)
	}
}

// TestExampleLogrotate has the run skipped where the program is not there, and a task where nothing is to be told.
func TestExampleLogrotate(t *testing.T) {
	tmp := t.TempDir()
	program := filepath.Join(tmp, "logrotate")
	out := exampleFine(t, tmp, "logrotate-guard.yml", "--json", "-p", "program="+program)
	if !strings.Contains(out, `"state":"skipped","reason":"if: exit 1"`) {
		t.Errorf("without the program: %s", out)
	}
	exampleWrite(t, program, "#!/bin/sh\necho \"$@\" >> \"$0.log\"\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	sleep := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	pidfile := filepath.Join(tmp, "pid")
	exampleWrite(t, pidfile, strconv.Itoa(sleep.Process.Pid)+"\n")
	for _, flags := range [][]string{nil, {"-p", "pidfile=" + pidfile}} {
		flags = append(flags, "-p", "program="+program, "-p", "config=/my/conf", "-p", "state=/my/state")
		out := exampleFine(t, tmp, "logrotate-guard.yml", flags...)
		if out != "rotated\n" {
			t.Errorf("with %q: %s", flags, out)
		}
	}
	if err := sleep.Wait(); err == nil || !strings.Contains(err.Error(), "hangup") {
		t.Errorf("who writes the log was not told: %v", err)
	}
	if got, _ := os.ReadFile(program + ".log"); string(got) != strings.Repeat("--state /my/state /my/conf\n", 2) {
		t.Errorf("it was called with %q", got)
	}
}

// TestExampleChecksums: a file that has changed or is gone is named, a new one is welcome.
func TestExampleChecksums(t *testing.T) {
	t.Parallel()
	tmp, dir := t.TempDir(), t.TempDir()
	run := []string{"-p", "folder=" + dir, "-p", "keep=" + tmp + "/keep"}
	for _, name := range []string{"one", "two", "three"} {
		exampleWrite(t, dir+"/"+name, name)
	}
	if out := exampleFine(t, tmp, "checksums.yml", run...); !strings.Contains(out, "3 files\n") {
		t.Errorf("the first time: %s", out)
	}
	exampleWrite(t, dir+"/four", "four")
	if out := exampleFine(t, tmp, "checksums.yml", run...); !strings.Contains(out, "4 files\n") {
		t.Errorf("with a new file: %s", out)
	}
	exampleWrite(t, dir+"/two", "22")
	if err := os.Remove(dir + "/four"); err != nil {
		t.Fatal(err)
	}
	exampleFails(t, tmp, "checksums.yml", "changed or gone:\n./four\n./two\n", run...)
	exampleFails(t, tmp, "checksums.yml", "./two\n", run...)
}

// TestExampleGather merges what came, whatever did not, unless that is all.
func TestExampleGather(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		harness.Lacks(t, "apt install curl: %v", err)
	}
	tmp := t.TempDir()
	from, to := filepath.Join(tmp, "from"), filepath.Join(tmp, "to there")
	flags := []string{"-p", "from=file://" + from, "-p", "to=" + to}
	exampleWrite(t, filepath.Join(from, "west.csv"), "west,1\nwest,2\n")
	out := exampleFine(t, tmp, "gather.yml", flags...)
	for _, want := range []string{"merged 1 of 3 sources, 2 rows\n", "north did not come", "south did not come"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if err := os.Remove(filepath.Join(from, "west.csv")); err != nil {
		t.Fatal(err)
	}
	exampleFails(t, tmp, "gather.yml", "nothing came", flags...)
}

// TestExampleCronMail: output is mailed, silence is not, and a failure always.
func TestExampleCronMail(t *testing.T) {
	x := newSite(t)
	bin := x.Dir + "/bin"
	exampleWrite(t, bin+"/mail", "#!/bin/sh\n{ echo \"$2 to $3\"; cat; } >> \"$HOME/sent\"\n")
	if err := os.Chmod(bin+"/mail", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		job  string
		code int
		want string
	}{
		{"echo hello", exitOK, "Cron cron-mail to ana\nhello\n"},
		{"true", exitOK, ""},
		{"echo oh; exit 3", exitFailed, "cron-mail: task job: exit 3 to ana\nfailed: job, begun "},
	} {
		tmp := t.TempDir()
		cmd := exec.CommandContext(t.Context(), harness.Bin(), "run", "-p", "job="+c.job, "-p", "to=ana",
			"../examples/cron-mail.yml")
		cmd.Env = append(harness.BareEnv(tmp), "PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%s: %v: %s", c.job, err, out)
		}
		if sent, _ := os.ReadFile(tmp + "/sent"); !strings.HasPrefix(string(sent), c.want) ||
			c.code != exitOK && !strings.HasSuffix(string(sent), "\n\noh\n") || c.want == "" && len(sent) > 0 {
			t.Errorf("%s: sent is %q", c.job, sent)
		}
	}
}

// TestExampleMailOnFailure: by defaults.yml each failure is mailed, as the workflow's own env says to whom, also from
// the folder of a principal; show says where that comes from.
func TestExampleMailOnFailure(t *testing.T) {
	x := newSite(t)
	exampleWrite(t, x.Dir+"/bin/mail", "#!/bin/sh\n{ echo \"$2 to $3\"; cat; } >> \"$DIR/sent\"\n")
	if err := os.Chmod(x.Dir+"/bin/mail", 0o755); err != nil {
		t.Fatal(err)
	}
	folder := exampleFolder(x, "mail-on-failure")
	x.Env = append(x.Env, "PATH="+x.Dir+"/bin:"+os.Getenv("PATH"))
	sent := func(want string) {
		t.Helper()
		got, _ := os.ReadFile(x.Dir + "/sent")
		if lines := strings.Split(string(got), "\n"); lines[0] != want || want != "" && lines[3] != "oh" {
			t.Errorf("sent is %q", got)
		}
		os.Remove(x.Dir + "/sent")
	}
	x.Code(exitFailed, "run", folder+"/report.yml", "-p", "command=echo oh; exit 3")
	sent("report: task report: exit 3 to reports")
	if out := x.Code(exitOK, "validate", folder+"/report.yml"); !strings.Contains(out.Err,
		"report.yml: on_failure of ") {
		t.Errorf("validate says %q", out.Err)
	}
	x.Principal("--with-agent")
	if out := x.OK("ls", "--json"); strings.Contains(out, `"defaults.yml","`) || strings.Count(out, "\n") != 1 {
		t.Errorf("ls lists %s", out)
	}
	if out := x.OK("show", "report"); !strings.Contains(out, "on_failure of defaults.yml") {
		t.Errorf("show says\n%s", out)
	}
	x.run("report")
	sent("")
	x.run("report", "-p", "command=echo oh; exit 4")
	sent("report: task report: exit 4 to reports")
}

// TestExampleTapeCopy: two agents do it, each its tasks; a tape that has something else on it is found.
func TestExampleTapeCopy(t *testing.T) {
	x := newSite(t)
	exampleFolder(x, "")
	x.Principal("--no-scheduler")
	x.Agent("base", "--label", "disk=database")
	x.Agent("drive", "--label", "disk=tape")
	r := x.run("tape-copy", "-p", "folder="+x.Dir+"/both")
	if got := childEnds(r); got != "succeeded dump=succeeded copy=succeeded check=succeeded tidy=succeeded" ||
		r.Agent != "base" || r.task("copy").Agent != "drive" || r.task("check").Agent != "drive" {
		t.Fatal(got, r.Reason)
	}
	if out := x.OK("logs", r.ID); !strings.Contains(out, "wrote shop.sql to tape\n") ||
		!strings.Contains(out, "the tape has what was dumped\n") {
		t.Errorf("output:\n%s", out)
	}
	if r := x.run("tape-copy", "-p", "folder="+x.Dir+"/both", "-p", "tape=/dev/null"); r.State != runFailed ||
		len(exampleFiles(t, x.Dir+"/both", "shop.sql")) != 1 {
		t.Errorf("with no tape: %s", childEnds(r))
	}
}
