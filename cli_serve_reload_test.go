package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An agent reads its credential again as often as it is told to, even from a slow disk: the looks of one reload take no
// time from those of the next.
func TestServeReloadSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, err := authNewPair()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "a.cred")
		authTestWrite(t, file, (&credential{Endpoint: "tcp://127.0.0.1:1", Name: "a", Role: roleAgent,
			Server: pair.Public, Pair: pair}).text())
		c := &cli{cfg: (&config{values: map[string]configValue{}}).with("credential", file, ""),
			getenv: func(string) string { return "" }}
		target, err := c.dialTo(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		c.cfg.values["principal"] = configValue{} // as it was before
		var log bytes.Buffer
		a := &agent{cfg: agentConfig{Name: "a", Log: slog.New(slog.NewTextHandler(&log, nil))}}
		d := &serveDialer{target: target, waits: diskWaitsNew()}
		d.waits.begin = func(string) { time.Sleep(diskLimit / 4) }
		for i := range 6 {
			log.Reset()
			d.reload(t.Context(), c, a)
			if !strings.Contains(log.String(),
				`msg="read the credential again" principal=tcp://127.0.0.1:1 changed=false`) {
				t.Errorf("reload %d: %s", i+1, &log)
			}
			time.Sleep(time.Hour)
		}
	})
}
