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
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// exampleRun runs an example with a temporary folder of its own choosing, and gives its exit code, what it wrote to
// standard output and what to standard error.
func exampleRun(t *testing.T, tmp, file string, flags ...string) (code int, out, report string) {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), harness.Bin(), append(append([]string{"run"}, flags...),
		filepath.Join("../examples", file))...)
	cmd.Env = append(harness.BareEnv(tmp), "LC_ALL=C")
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

// TestExampleEach runs every example with its defaults, twice: what the first run left behind must not trouble the
// second. Its shell lines are read by the shell beforehand, those too that no run reaches.
func TestExampleEach(t *testing.T) {
	x := newSite(t)
	folder, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	x.Env = append(x.Env, "CDKTR_WORKFLOWS="+folder)
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
			exampleFine(t, tmp, name)
			exampleFine(t, tmp, name)
			if left := exampleFiles(t, tmp,
				"*.[A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9]"); len(left) > 0 {
				t.Errorf("left in the temporary folder: %q", left)
			}
		})
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

func TestExampleLegacy(t *testing.T) {
	out := exampleFine(t, t.TempDir(), "legacy.yml")
	if !strings.HasPrefix(out, "fetched 3 rows\n") || !strings.HasSuffix(out, "all done\n") ||
		!strings.Contains(out, "converting report\n") {
		t.Errorf("output: %s", out)
	}
}
