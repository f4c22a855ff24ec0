package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

// Where the system tells of no changes it is looked again and again; where a look says that it will be told, it waits.
func TestWatchLookBlind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, looks := time.Now(), 0
		go runWatchLook(ctx, nil, time.Second, 10*time.Second, func(follow func(string) (bool, error)) bool {
			if _, err := follow("/"); err == nil {
				t.Error("there is nothing to tell")
			}
			if at := time.Since(began); at != time.Duration(looks)*10*time.Second {
				t.Errorf("look %d at %s", looks, at)
			}
			looks++
			return looks == 5
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if looks != 5 {
			t.Errorf("%d looks", looks)
		}
		cancel()
		synctest.Wait()
	})
}

// However often something changes, it is looked at within watchSettleMost; what merely lies beside the way to it counts
// for nothing.
func TestWatchLookNoise(t *testing.T) {
	t.Parallel()
	for what, noisy := range map[string]bool{"x/f": true, "x/g": true, "beside": false} {
		dir := t.TempDir()
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ok(os.Mkdir(dir+"/x", 0o700))
		for _, name := range []string{"x/f", "x/g", "beside"} {
			ok(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		w, err := watchOpen(nil)
		ok(err)
		ctx, cancel := context.WithCancel(t.Context())
		looks, ended := make(chan bool, 1000), make(chan struct{})
		go func() {
			defer close(ended)
			runWatchLook(ctx, w, time.Hour, time.Hour, func(follow func(string) (bool, error)) bool {
				_, err := follow(dir + "/x")
				looks <- true
				return err == nil
			})
		}()
		<-looks
		stop := time.After(3 * watchSettleMost)
		for over, seen := false, false; !over && !seen; {
			select {
			case <-looks:
				seen = true
				if !noisy {
					t.Errorf("%s has changed, and it was looked at", what)
				}
			case <-stop:
				over = true
				if noisy {
					stop, over = nil, false // the machine may be slow; it comes
				}
			case <-time.After(10 * time.Millisecond):
				ok(os.Chtimes(filepath.Join(dir, what), time.Now(), time.Now()))
			}
		}
		cancel()
		<-ended
	}
}

// A change is looked at when it has settled, also one of another file that has come into the place; when the events end
// the loop goes on without.
func TestWatchLook(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "f")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put("0")
	w, err := watchOpen(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		last := ""
		runWatchLook(ctx, w, time.Millisecond, time.Millisecond, func(follow func(string) (bool, error)) bool {
			more, err := follow(file)
			if text, _ := os.ReadFile(file); string(text) != last {
				last = string(text)
				seen <- last
			}
			return err == nil && !more
		})
	}()
	see := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("saw %q, want %q", got, want)
			}
		case <-time.After(harness.Patience):
			t.Fatalf("never saw %q", want)
		}
	}
	see("0")
	put("1")
	see("1")
	put("2")
	see("2")
	w.file.Close() // as if the kernel told no more
	put("3")
	see("3")
	cancel()
	<-ended
}
