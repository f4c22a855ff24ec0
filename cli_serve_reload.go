// cli_serve_reload.go: HUP, which systemctl reload sends. It makes a principal read the workflows folder and the
// authorized keys again, and how many places pools have; and an agent its credential.

package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
)

// runReload calls fn for each HUP, one after the other, until ctx ends. It tells systemd before and after.
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

// reloadPools reads the configuration again for how many places pools have: no other setting changes while a principal
// runs. With a fault the numbers stay as they are.
func (h *host) reloadPools(c *cli, log *slog.Logger) {
	cfg, err := configLoad(h.ctx, c.flags.set, c.flags.config, c.getenv)
	var places map[string]int
	if err == nil {
		places, err = cfg.pools()
	}
	if err != nil {
		log.Warn("read the configuration again: pools keep their places", "cause", err)
		return
	}
	h.p.call(func() { h.p.declarePools(places) })
}

// reload makes the principal read the workflows folder and the authorized keys again at once.
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

// reload reads the authorized file and puts it in force.
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

// serveDialer connects an agent to its principal, with a credential that may be replaced.
type serveDialer struct {
	mu     sync.Mutex
	target *dialTarget
	waits  *diskWaits // the looks of reload, which one goroutine calls
}

// dial connects once, with the credential that is in force.
func (d *serveDialer) dial(ctx context.Context) (wireConn, error) {
	d.mu.Lock()
	target := d.target
	d.mu.Unlock()
	once := *target
	once.opt.Heartbeat, once.opt.Quiet = 0, true // the agent's own heartbeats tell more, and mostly alone
	return once.dial(ctx)
}

// reload reads the credential again. A different one comes in force at once: the connection of the old one is cut,
// while runs go on. A credential that cannot be read or is for another agent changes nothing. c has the settings as
// they were before dialTo filled in those of the old credential. reload ends with ctx.
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
