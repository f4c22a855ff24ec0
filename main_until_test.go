package main

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A verb that waits for what does not answer is given up some time after the first signal; one that has begun to serve
// is not, and one that ends by itself gives its own result.
func TestMainUntil(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		settle time.Duration // from the start, 0: never
		ends   time.Duration
		taken  time.Duration
		want   string
	}{
		{"ends before", 0, time.Second, time.Second, "done"},
		{"ends by itself", 0, 14 * time.Second, 14 * time.Second, "done"},
		{"hangs", 0, time.Hour, 15 * time.Second,
			"interrupted (got signal terminated), and given up after 5s: something does not answer"},
		{"serves", time.Second, time.Hour, time.Hour, "done"},
		{"serves at last", 13 * time.Second, time.Hour, time.Hour, "done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(10*time.Second, func() { cancel(&signalError{syscall.SIGTERM}) })
				began, x := time.Now(), &cli{}
				err := x.mainUntil(ctx, func() error {
					if c.settle > 0 {
						time.Sleep(c.settle)
						x.settle()
					}
					time.Sleep(c.ends - c.settle)
					return errors.New("done")
				})
				if taken := time.Since(began); taken != c.taken || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("%v after %s, want %s after %s", err, taken, c.want, c.taken)
				}
				if exit, ok := errors.AsType[*exitError](err); c.want != "done" &&
					(!ok || exit.code != exitInterrupted) {
					t.Errorf("exit code: %v", err)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}
