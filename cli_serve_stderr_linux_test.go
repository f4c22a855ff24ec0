package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// serveErrReader takes what is written when it is let.
type serveErrReader struct {
	let  chan struct{}
	text strings.Builder
}

func (r *serveErrReader) Write(b []byte) (int, error) {
	<-r.let
	return r.text.Write(b)
}

// Lines wait in order for a slow reader, up to a bound. A line says how many were dropped, in their place. At the end
// the daemon waits for the reader, but not for ever.
func TestServeErr(t *testing.T) {
	plain := func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
	}
	line := func(i int) string { return fmt.Sprintf("%9d %s\n", i, strings.Repeat("x", 1013)) } // 1 KiB
	synctest.Test(t, func(t *testing.T) {
		r := &serveErrReader{let: make(chan struct{})}
		q := serveErrOpen(r)
		q.telling(serveErrLost(plain))
		var want strings.Builder
		put := func(i int, taken bool) {
			t.Helper()
			if n, err := io.WriteString(q, line(i)); n != 1024 || err != nil {
				t.Errorf("%d written, %v", n, err)
			}
			if taken {
				want.WriteString(line(i))
			}
		}
		put(0, true)
		synctest.Wait() // it is on its way
		for i := range 256 {
			put(1+i, true)
		}
		for i := range 7 {
			put(1000+i, false)
		}
		r.let <- struct{}{}
		synctest.Wait()
		want.WriteString("level=WARN msg=\"lines of this log were lost: nobody read standard error\" lines=7\n")
		put(2000, true)
		for range 2 {
			r.let <- struct{}{}
			synctest.Wait()
		}
		if got := r.text.String(); got != want.String() {
			t.Errorf("%d bytes, want %d; the end is %q", len(got), want.Len(), got[max(len(got)-100, 0):])
		}

		put(3000, true) // and nobody reads it
		began := time.Now()
		q.close()
		if taken := time.Since(began); taken != time.Second {
			t.Errorf("the end waited for %s", taken)
		}
		put(4000, false)
		close(r.let)
		synctest.Wait()
		want.WriteString("level=WARN msg=\"lines of this log were lost: nobody read standard error\" lines=1\n")
		if got := r.text.String(); got != want.String() {
			t.Errorf("the end is %q", got[max(len(got)-2000, 0):])
		}

		q = serveErrOpen(r)
		io.WriteString(q, "last words\n")
		began = time.Now()
		q.close()
		if time.Since(began) != 0 || !strings.HasSuffix(r.text.String(), "\nlast words\n") {
			t.Errorf("after %s the end is %q", time.Since(began), r.text.String()[r.text.Len()-100:])
		}
	})
}

// A daemon whose standard error is a pipe that nobody reads serves and stops as usual. A late reader still finds its
// lines.
func TestStderrUnread(t *testing.T) {
	x := e2eNew(t)
	const files = 100
	for i := range files { // each makes a line in the log, from the loop
		x.File(fmt.Sprintf("w%03d.yml", i), "tasks: {a: {rum: x}}\n")
	}
	for _, reads := range []bool{true, false} {
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		if _, err := unix.FcntlInt(to.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(x.Bin, "start", "principal", "--with-agent")
		cmd.Env, cmd.Dir, cmd.Stderr, cmd.SysProcAttr = x.Env, x.Dir, to, &syscall.SysProcAttr{Setsid: true}
		if err := errors.Join(cmd.Start(), to.Close()); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		x.Until("it serves", func() bool { return x.Cdktr("ping").Code == exitOK })
		if got := len(harness.Lines[WorkflowInfo](t, x.OK("ls", "--json"))); got != files {
			t.Errorf("%d workflows", got)
		}
		text := make(chan string, 1)
		if reads {
			go func() {
				all, _ := io.ReadAll(from)
				text <- string(all)
			}()
		}
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Errorf("it stops with %v", err)
		}
		if !reads {
			continue
		}
		got := <-text
		for i := range files {
			at := strings.Index(got, fmt.Sprintf("w%03d.yml", i))
			if at < 0 {
				t.Fatalf("no word of file %d in %q", i, got)
			}
			got = got[at:]
		}
		if !strings.Contains(got, "msg=ready") || !strings.Contains(got, "msg=stopping") {
			t.Errorf("the end is %q", got)
		}
	}
}
