// cli_serve_reload.go: HUP, which has a service read again what others write: a principal the workflows folder and the
// authorized keys, an agent its credential. systemctl reload sends it.

package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
)

// runReload has fn done for each HUP, one after the other, until ctx ends. systemd is told before and after.
func runReload(ctx context.Context, hangups <-chan os.Signal, notify *serveNotify, fn func()) {
	for {
		select {
		case <-hangups:
		case <-ctx.Done():
			return
		}
		notify.reloading()
		fn()
		notify.ready()
	}
}

// reload reads the workflows folder and the authorized keys again, at once.
func (h *host) reload(folder *workflowFolder, log *slog.Logger) {
	keys := -1
	if h.doors != nil && h.doors.keys != nil {
		h.doors.reload()
		keys = h.doors.keys.count()
	}
	if !folder.readAgain(h.ctx) {
		return // it stops
	}
	files, _ := principalAsk(h.p, func() int { return len(h.p.catalog.files) })
	if keys < 0 {
		log.Info("read the workflows folder again", "workflows", files)
		return
	}
	log.Info("read the workflows folder and the keys again", "workflows", files, "keys", keys)
}

// reload puts the authorized file in force as it is now.
func (d *serveDoors) reload() {
	gone, faults, err := d.keys.load()
	if err != nil {
		faults = append(faults, err)
	}
	for _, fault := range faults {
		d.log.Warn("authorized keys", "cause", fault)
	}
	for _, g := range gone {
		d.cut(g)
	}
}

// serveDialer is how an agent reaches its principal: by a credential that may be replaced.
type serveDialer struct {
	mu     sync.Mutex
	target *dialTarget
	waits  *diskWaits // of reload, which one goroutine calls
}

// dial connects once, as things are now.
func (d *serveDialer) dial(ctx context.Context) (wireConn, error) {
	d.mu.Lock()
	target := d.target
	d.mu.Unlock()
	return target.dial(ctx)
}

// reload reads the credential again. Another one is used at once: the connection that the old one made is cut, and runs
// go on meanwhile. One that cannot be read or is for another agent changes nothing. c is as it was before the settings
// took the old one in. It ends with ctx.
func (d *serveDialer) reload(ctx context.Context, c *cli, a *agent) {
	d.waits.turn()
	fresh := *c
	fresh.cfg, fresh.waits = c.cfg.copy(), d.waits
	target, err := fresh.dialTo(ctx, true)
	if err == nil {
		_, err = agentNameOf(configValue{Value: a.cfg.Name, From: "this process"}, target)
	}
	switch {
	case ctx.Err() != nil:
		return // it stops
	case err != nil:
		a.cfg.Log.Warn("read the credential again: the old one stays in force", "cause", err)
		return
	}
	d.mu.Lock()
	same := target.same(d.target)
	d.target = target
	d.mu.Unlock()
	a.cfg.Log.Info("read the credential again", "principal", target.endpoint, "changed", !same)
	if !same {
		a.redial()
	}
}
