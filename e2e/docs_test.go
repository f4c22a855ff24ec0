// The examples of docs/workflow-files.md, run.

package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// docsPrograms are what the examples call, from PATH (bin/) and by its place: each says here how it was called.
// docsFiles are what they find; a name that ends in a slash is a folder.
var (
	docsPrograms = strings.Fields("bin/zcat bin/psql bin/pg_dump bin/rsync bin/mail bin/ssh bin/go bin/make bin/uv " +
		"load.sh dump.sh report.sh withdraw.sh to-tape.sh setup worker srv/shop/load.sh srv/shop/tools/count")
	docsFiles = map[string]string{"srv/report/": "", "srv/forecast/": "", "data/queue/": "", "shared/": "",
		"version":           "7\n",
		"etc/shop/load.env": "FROM=file\n", "data/in/orders.csv": "a,1\nb,2\n",
		"credentials/PGPASSWORD": "pg pass", "credentials/UPLOAD_TOKEN": "t0ken",
		"etl/load.yml":   "params: {day: }\ntasks: {a: {run: 'echo ROWS=3 >> $CDKTR_OUTPUT'}}\n",
		"cache/warm.yml": "tasks: {a: {run: 'true'}}\n"}
)

// docsCases are what is to be said of examples that a text tells from the others. All others end well.
var docsCases = []struct {
	has  string
	args []string
	code int
	want string // in what it prints
}{
	{has: "name: Report\n", want: "report for yesterday, 42 rows\n"},
	{has: "name: Nightly load\n", want: "count \n"},
	{has: "shell: python3 -c", want: "psql shop\n"},
	{has: "./setup --interactive", want: "setup --interactive\n"},
	{has: "script: forecast.py", want: "uv run forecast.py\n"},
	{has: "script: report.py", want: "uv run --with pandas>=2.3 report.py --day today\n"},
	{has: "token:     ", args: []string{"-p", "token=x", "-p", "shop=west"}, want: "west on yesterday no note\n"},
	{has: "rsync -a", want: "rsync -a --delete "},
	{has: "allow_failure: [3]", want: "lint has findings\n"},
	{has: "quick: {depends: look", want: "done: full\n"},
	{has: "diagnose:", want: "load.sh \n"},
	{has: "test -s ", want: "2\n"},
	{has: "hosts:", want: `free on each host ["ssh web1 df --output=avail /","ssh web2 df --output=avail /"]`},
	{has: "GOARCH", want: "go build -o app-darwin-arm64\n"},
	{has: "workflow: etl.load", want: "3 rows were loaded\n"},
	{has: "approve: Ship", code: exitFailed, want: "withdraw.sh \n"}, // nobody can be asked
	{has: "user: nobody", want: "root has "},
	{has: "secrets: [PGPASSWORD]", want: "curl -fsS -T - https://backup:***@host/dump\n"},
}

// docsFolder makes what an example needs in a folder of its own.
func docsFolder(t *testing.T, dir string, curl bool) {
	t.Helper()
	programs := docsPrograms
	if curl {
		programs = append(programs[:len(programs):len(programs)], "bin/curl")
	}
	for _, name := range programs {
		exampleWrite(t, dir+"/"+name, "#!/bin/sh\ncat > /dev/null; echo \"${0##*/} $*\"\n")
		if err := os.Chmod(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range docsFiles {
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(dir+"/"+name, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		exampleWrite(t, dir+"/"+name, text)
		if err := os.Chmod(dir+"/"+name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocsRun runs each workflow of the document, on paths below a folder of the test and with stand-ins for programs.
func TestDocsRun(t *testing.T) {
	t.Parallel()
	harness.Need(t, "apt install bash python3 curl", "sh", "-c",
		"bash --version && python3 --version && curl --version")
	text, err := os.ReadFile("../docs/workflow-files.md")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	met := map[string]bool{}
	for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		file := block[1]
		if !regexp.MustCompile(`(?m)^tasks:`).MatchString(file) {
			continue
		}
		if strings.Contains(file, "user: nobody") && os.Geteuid() != 0 {
			t.Log("only root can start a process of another user")
			continue
		}
		dir := t.TempDir()
		for _, d := range []string{dir, filepath.Dir(dir)} { // for the user of an example
			if err := os.Chmod(d, 0o711); err != nil {
				t.Fatal(err)
			}
		}
		docsFolder(t, dir, !strings.Contains(file, "http:"))
		file = strings.NewReplacer("/srv/", dir+"/srv/", "/data/", dir+"/data/", "/etc/shop/", dir+"/etc/shop/",
			"/opt/uv/bin/", dir+"/bin/", "/tmp/load", dir+"/load", "/shared/", dir+"/shared/", "/dev/st0", dir+"/tape",
			"https://shop.example", server.URL,
			"https://hooks.example", server.URL).Replace(file)
		exampleWrite(t, dir+"/example.yml", file)
		args, code, wants := []string{"run", "./example.yml"}, exitOK, []string(nil)
		for _, c := range docsCases {
			if strings.Contains(file, c.has) {
				met[c.has] = true
				args, code, wants = append(args, c.args...), max(code, c.code), append(wants, c.want)
			}
		}
		cmd := exec.CommandContext(t.Context(), harness.Bin(), args...)
		cmd.Dir = dir
		cmd.Env = append(harness.BareEnv(dir), "PATH="+dir+"/bin:"+os.Getenv("PATH"), "LC_ALL=C",
			"CREDENTIALS_DIRECTORY="+dir+"/credentials")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("exit %d, want %d:\n%s\n%s", got, code, file, out)
		}
		for _, want := range wants {
			if !strings.Contains(string(out), want) {
				t.Errorf("%q is not in what it prints:\n%s\n%s", want, file, out)
			}
		}
	}
	for _, c := range docsCases {
		if !met[c.has] && (c.has != "user: nobody" || os.Geteuid() == 0) {
			t.Errorf("no example has %q", c.has)
		}
	}
}
