// End-to-end tests of doctor: faults that only other processes, users and keys provoke.

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// doctorFinding is a line of doctor --json.
type doctorFinding struct{ What, State, Text, Code, Means, Do string }

// doctorCodes gives the codes of the faults in what doctor printed.
func doctorCodes(t *testing.T, out string) (codes []string) {
	t.Helper()
	for _, f := range harness.Lines[doctorFinding](t, out) {
		if (f.Code == "") != (f.State == "ok") || f.Code != "" && (f.Means == "" || f.Do == "") {
			t.Errorf("%+v", f)
		}
		codes = append(codes, f.Code)
	}
	return codes
}

// TestDoctorKeys: a key that the principal does not know, a principal with another key, and nobody at the port.
func TestDoctorKeys(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "agent: {gpu: yes}\ntasks: {a: {run: 'true'}}\n")
	h := x.OpenHub("--with-agent")
	cred := h.Authorize("ana", "operator")
	ask := func(want string) {
		t.Helper()
		r := x.Cdktr("doctor", "--json", "--credential", cred, "--principal", h.Endpoint)
		codes := doctorCodes(t, r.Out)
		if want != "" && !slices.Contains(codes, want) || (r.Code != 0) != (want != "") {
			t.Errorf("exit code %d, codes %q, want %s\n%s", r.Code, codes, want, r.Out)
		}
	}
	ask("")
	if codes := doctorCodes(t, x.OK("doctor", "--json")); !slices.Contains(codes, "agents-labels") {
		t.Errorf("a workflow for an agent with other labels: %q", codes)
	}
	x.OK("authorize", "--remove", "ana")
	x.Until("the key is known no more", func() bool {
		return x.Cdktr("ping", "--credential", cred, "--principal", h.Endpoint).Code == 4
	})
	ask("key-unknown")
	text, err := os.ReadFile(cred)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.Contains(line, "server-key") {
			lines[i] = `    server-key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"`
		}
	}
	if err := os.WriteFile(cred, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	ask("key-server")
	h.Daemon.Kill()
	ask("principal-refused")
	if codes := doctorCodes(t, x.Code(1, "doctor", "--json").Out); !slices.Contains(codes, "socket-stale") {
		t.Errorf("a socket whose principal was killed: %q", codes)
	}
}

// TestDoctorUser: another user may neither use the socket nor look into folders.
func TestDoctorUser(t *testing.T) {
	if os.Getuid() != 0 {
		harness.Lacks(t, "only root can be another user")
	}
	x := newSite(t)
	x.Principal()
	open := t.TempDir()
	for _, dir := range []string{open, filepath.Dir(open)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bin := harness.Plain(t, open)
	look := func() []string {
		cmd := exec.Command(bin, "doctor", "--json")
		var out bytes.Buffer
		cmd.Env, cmd.Dir, cmd.Stdout = x.Env, "/", &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := cmd.Run(); err == nil || out.Len() == 0 {
			t.Errorf("%v: it says %s", err, out.String())
		}
		return doctorCodes(t, out.String())
	}
	if err := os.Chmod(x.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if codes := look(); !slices.Contains(codes, "socket-denied") {
		t.Errorf("another user: %q", codes)
	}
	if err := os.Chmod(x.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if codes := look(); !slices.Contains(codes, "socket-folder") {
		t.Errorf("a user who may not enter the folder: %q", codes)
	}
}

// TestDoctorTable: the table and its rows as text and JSON, and a configuration with faults.
func TestDoctorTable(t *testing.T) {
	x := newSite(t)
	if out := x.OK("doctor", "--list"); !strings.Contains(out, "disk-low") || strings.Count(out, "\n") < 40 {
		t.Errorf("--list: %s", out)
	}
	if out := x.OK("doctor", "--explain", "disk-low"); out != "disk-low: warn, of disk\nThere is little room left.\n"+
		"Make room, or set retain_bytes.\n" {
		t.Errorf("--explain: %q", out)
	}
	if n := len(doctorCodes(t, x.OK("doctor", "--list", "--json"))); n < 40 {
		t.Errorf("--list --json has %d", n)
	}
	x.Refused(2, []string{"no fault", "did you mean disk-low?"}, "doctor", "--explain", "disc-low")
	if codes := doctorCodes(t, x.Code(1, "doctor", "--json", "--config",
		x.badConfig("capcity: 1\n")).Out); codes[1] != "config-faults" {
		t.Errorf("a configuration with faults: %q", codes)
	}
}
