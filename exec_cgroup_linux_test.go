package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// procTestPut writes files below a folder.
func procTestPut(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// procTestCgroups gives a tree of cgroups as files, and a /proc which says that we are in one of them.
func procTestCgroups(t *testing.T, own string) (top, proc string) {
	t.Helper()
	top, proc = t.TempDir(), t.TempDir()
	procTestPut(t, proc, map[string]string{
		"self/cgroup": "4:memory:/elsewhere\n0::" + own + "\n",
		"self/mountinfo": "24 1 0:22 / /proc rw - proc proc rw\n" +
			"32 24 0:28 / " + top + " rw,relatime shared:4 - cgroup2 cgroup2 rw\n"})
	procTestPut(t, filepath.Join(top, own), map[string]string{"cgroup.type": "domain\n",
		"cgroup.procs": strconv.Itoa(os.Getpid()) + "\n", "cgroup.subtree_control": ""})
	return top, proc
}

// TestCgroupsBase: which cgroup is ours.
func TestCgroupsBase(t *testing.T) {
	const service = "/system.slice/cdktr.service"
	noXattr := false
	base := func(own, delegated string, managed bool) string {
		t.Helper()
		top, proc := procTestCgroups(t, own)
		if delegated != "" {
			err := unix.Setxattr(filepath.Join(top, delegated), "user.delegate", []byte("1"), 0)
			noXattr = noXattr || err != nil
		}
		if own == "/" {
			os.Remove(filepath.Join(top, "cgroup.type"))
		}
		manager := filepath.Join(proc, "systemd")
		if managed {
			procTestPut(t, proc, map[string]string{"systemd": ""})
		}
		dir, within, err := procCgroupsBase(proc, manager)
		if err != nil {
			return err.Error()
		}
		if within {
			return "in " + strings.TrimPrefix(dir, top)
		}
		return "at " + strings.TrimPrefix(dir, top)
	}
	none := errProcCgroupNone.Error()
	for _, c := range []struct {
		own, delegated string
		managed        bool
		want           string
	}{
		{service, service, true, "in " + service},
		{service + "/leaf", service, true, "at " + service},
		{service + "/cdktr-7-1", service, true, "this agent runs within the limits of a task"},
		{service, "", false, "in " + service},
		{"/", "", false, "at "},
		{"/", "", true, none},
	} {
		if got := base(c.own, c.delegated, c.managed); got != c.want && !(noXattr && c.delegated != "") {
			t.Errorf("in %s, delegated %q, systemd %t: %s, want %s", c.own, c.delegated, c.managed, got, c.want)
		}
	}
	if os.Geteuid() == 0 {
		if got := base(service, "", true); got != none {
			t.Errorf("root takes what systemd has not delegated: %s", got)
		}
	}
	top, proc := procTestCgroups(t, service)
	for _, pid := range []string{"1", "0"} { // 0 is one that we cannot see
		procTestPut(t, top, map[string]string{service + "/cgroup.procs": pid + "\n"})
		if dir, _, err := procCgroupsBase(proc, proc+"/none"); err != errProcCgroupNone {
			t.Errorf("with process %s, of somebody else: %s, %v", pid, dir, err)
		}
	}
	for _, text := range []string{"", "1:cpu:/\n"} {
		procTestPut(t, proc, map[string]string{"self/cgroup": text})
		if _, _, err := procCgroupsBase(proc, ""); err == nil || !strings.Contains(err.Error(),
			"no cgroups of version 2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// procTestHold puts limits in force by cgroups in a folder of plain files, with these controllers.
func procTestHold(t *testing.T, controllers string, l procLimits) (s *procSys, h *procHold) {
	t.Helper()
	s = &procSys{}
	s.cgroups.opened, s.cgroups.dir, s.cgroups.on = true, t.TempDir(), map[string]string{}
	procTestPut(t, s.cgroups.dir, map[string]string{"cgroup.controllers": controllers + "\n"})
	h = s.hold(&l)
	t.Cleanup(func() { h.began(0) })
	return s, h
}

// TestCgroupsFiles: what is written into the files of a cgroup, and read from them.
func TestCgroupsFiles(t *testing.T) {
	nice := 19
	s, h := procTestHold(t, "cpuset cpu memory pids", procLimits{Memory: 64 << 20, CPU: 150, PIDs: 9, Nice: &nice})
	if got := h.text(); got != "memory, cpu, pids: cgroup; nice: set" {
		t.Error(got)
	}
	for file, want := range map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "memory.oom.group": "1",
		"cpu.max": "150000 100000", "cpu.weight.nice": "19", "pids.max": "9"} {
		if text, err := os.ReadFile(filepath.Join(h.cgroup.dir, file)); string(text) != want {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
	if h.dataLimit() != nil || h.struck() != (procStruck{}) {
		t.Errorf("%+v, %+v", h.dataLimit(), h.struck())
	}
	procTestPut(t, h.cgroup.dir, map[string]string{"pids.events": "max 3\n", "memory.events": "oom 0\noom_kill 1\n"})
	if got := h.struck(); got != (procStruck{PIDs: true, Machine: true}) {
		t.Errorf("%+v", got)
	}
	procTestPut(t, h.cgroup.dir, map[string]string{"memory.events": "low 0\noom 1\noom_kill 2\noom_group_kill 1\n"})
	if got := h.struck(); !got.Memory {
		t.Errorf("%+v", got)
	}
	_, other := procTestHold(t, "cpu memory pids", procLimits{CPU: 50})
	procTestPut(t, other.cgroup.dir, map[string]string{"pids.events": "max 3\n",
		"memory.events": "oom 1\noom_kill 2\n"})
	if got := other.struck(); got != (procStruck{Machine: true}) {
		t.Errorf("limits that it does not have: %+v", got)
	}
	procTestPut(t, h.cgroup.dir, map[string]string{"cgroup.procs": "12\n7\n"})
	if got := h.inside(); len(got) != 2 || got[0] != 12 {
		t.Errorf("%v", got)
	}
	h.kill()
	if text, _ := os.ReadFile(h.cgroup.dir + "/cgroup.kill"); string(text) != "1" {
		t.Errorf("cgroup.kill: %q", text)
	}
	if again := s.hold(&procLimits{PIDs: 1}); again.cgroup.dir == h.cgroup.dir {
		t.Error("one cgroup for two")
	} else {
		again.began(0)
	}
}

// TestCgroupsLack: a controller that is missing is named, and memory is then bounded for each process.
func TestCgroupsLack(t *testing.T) {
	_, h := procTestHold(t, "cpu", procLimits{Memory: 64 << 20, CPU: 5, PIDs: 9})
	want := "memory: each process alone; cpu: cgroup; pids: not in force " +
		"(no cgroup controller memory; no cgroup controller pids)"
	if got := h.text(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if d := h.dataLimit(); d == nil || d.Cur != 64<<20 || d.Max != d.Cur || !h.struck().Each {
		t.Errorf("%+v", d)
	}
	// what is named must be the controller, not a part of another's name
	if _, h := procTestHold(t, "cpuset",
		procLimits{CPU: 5}); h.text() != "cpu: not in force (no cgroup controller cpu)" {
		t.Error(h.text())
	}
	s := &procSys{}
	s.cgroups.opened, s.cgroups.why = true, "none"
	if h := s.hold(&procLimits{PIDs: 3}); h.cgroup != nil || h.text() != "pids: not in force (none)" {
		t.Errorf("%+v", h)
	}
	s.cgroups.dir = t.TempDir() + "/gone"
	if h := s.hold(&procLimits{Memory: 1 << 20}); h.cgroup != nil ||
		h.text() != "memory: each process alone (make a cgroup: no such file or directory)" {
		t.Errorf("%+v", h)
	}
}

// TestCgroupsClear: what is in the cgroups of agents that are no more ends, those of others stay.
func TestCgroupsClear(t *testing.T) {
	top, proc := procTestCgroups(t, "/box")
	os.Remove(top + "/box/cgroup.type") // we need not move
	own := "cdktr-" + strconv.Itoa(os.Getpid()) + "-3"
	for _, name := range []string{"cdktr-1-4", "cdktr-4194305-1", own, "cdktr-x-1", "other"} {
		if err := os.Mkdir(top+"/box/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := procCgroups{proc: proc, manager: proc + "/none"}
	cgroup, why := s.enter()
	if cgroup == nil {
		t.Fatal(why)
	}
	all, err := os.ReadDir(top + "/box")
	if err != nil {
		t.Fatal(err)
	}
	killed := map[string]bool{}
	for _, e := range all {
		if text, _ := os.ReadFile(filepath.Join(top, "box", e.Name(), "cgroup.kill")); string(text) == "1" {
			killed[e.Name()] = true
		}
	}
	if len(killed) != 2 || !killed[own] || !killed["cdktr-4194305-1"] {
		t.Errorf("killed: %v", killed)
	}
	s.leave(cgroup)
	if _, err := os.Stat(cgroup.dir); !os.IsNotExist(err) {
		t.Error("a cgroup that was left is there")
	}
}

// TestProcLimits: a child is in its cgroup before it is its program, has its nice, and its memory is bounded.
func TestProcLimits(t *testing.T) {
	ps := procTestNew(t)
	dir, nice := t.TempDir(), 7
	ps.sys.cgroups = procCgroups{opened: true, dir: dir, on: map[string]string{}}
	log := &procTestLog{}
	spec := procTestSh(t, "cat "+dir+"/*/cgroup.procs; echo .$(nice).$(ulimit -Sd).$(ulimit -Hd)", log)
	spec.Limits = &procLimits{Memory: 64 << 20, Nice: &nice}
	r := procTestDone(t, procTestStart(t, ps, spec))
	log.mu.Lock()
	var text strings.Builder
	for _, line := range log.lines {
		text.Write(line.Text)
	}
	log.mu.Unlock()
	if text.String() != "0.7.65536.65536" ||
		r.Limited != "memory: each process alone; nice: set (no cgroup controller memory)" {
		t.Errorf("%q, %+v", text.String(), r)
	}
	spec = procTestSh(t, "head -c 100M /dev/zero | tail -c 90M", nil)
	spec.Limits = &procLimits{Memory: 64 << 20}
	if r := procTestDone(t, procTestStart(t, ps, spec)); r.Exit == 0 || !r.Struck.Each {
		t.Errorf("90 MiB in 64: %+v", r)
	}
	spec.Limits = nil
	if r := procTestDone(t, procTestStart(t, ps, spec)); r.Exit != 0 || r.Limited != "" {
		t.Errorf("without limits: %+v", r)
	}
}

// TestProcLimitsEnter: a child that cannot enter its cgroup never becomes its program, and says so.
func TestProcLimitsEnter(t *testing.T) {
	ps := procTestNew(t)
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	traits := procTraits{umask: procNoUmask, hold: &procHold{entry: full}}
	_, err = ps.sys.fork(t.Context(), "/bin/true", []string{"true"}, &syscall.ProcAttr{Env: []string{},
		Files: []uintptr{ps.null.Fd(), ps.null.Fd(), ps.null.Fd()}}, traits, nil)
	if err == nil || err.Error() != "enter its cgroup: no space left on device" {
		t.Errorf("%v", err)
	}
}

// TestProcLimitsMemory: a child in a cgroup does not share our memory. Where it has too little for its arguments, the
// system ends all that share it.
func TestProcLimitsMemory(t *testing.T) {
	ps := procTestNew(t)
	from, to, err := procPipe() // full: the child waits for room on its way into the cgroup
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(from)
	defer unix.Close(to)
	size, err := unix.FcntlInt(uintptr(to), unix.F_GETPIPE_SZ, 0)
	if err == nil {
		_, err = unix.Write(to, make([]byte, size))
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		pid, err := ps.sys.fork(t.Context(), "/bin/true", []string{"true"}, &syscall.ProcAttr{Env: []string{},
			Files: []uintptr{ps.null.Fd(), ps.null.Fd(), ps.null.Fd()}},
			procTraits{umask: procNoUmask, hold: &procHold{entry: to}}, nil)
		if err == nil {
			_, err = unix.Wait4(pid, nil, 0, nil)
		}
		ended <- err
	}()
	var born []procMember
	procTestUntil(t, "there is a child", func() bool {
		born = ps.sys.births()
		return len(born) > 0
	})
	const memory = 1 // KCMP_VM of kcmp(2)
	differ, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(born[0].pid), memory, 0, 0, 0)
	if errno != 0 {
		t.Logf("this system does not say who shares memory: %v", errno)
	} else if differ == 0 {
		t.Error("the child shares our memory")
	}
	if _, err := unix.Read(from, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestProcMayNice: only who may go below the own nice is let.
func TestProcMayNice(t *testing.T) {
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !procMayNice(20-own) || !procMayNice(19) {
		t.Error("its own nice, or a higher one, is not let")
	}
	if os.Geteuid() == 0 && !procMayNice(-20) {
		t.Error("root may not")
	}
}
