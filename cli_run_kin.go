// cli_run_kin.go: the output of the runs that the tasks of a file start, where the file runs within this process: there
// is no principal that could be asked for it later.

package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
)

// runKin follows the runs that a run of a file has started, and those that these have started, and shows their output
// beside its own. A nil one follows none. Any goroutine may call its methods.
type runKin struct {
	connect func() *client // to the principal of this process
	view    *progress

	mu       sync.Mutex
	over     bool                     // nothing new is followed any more
	followed map[string]chan struct{} // run -> closed once all that it has written was shown
}

// runKinNew makes one that follows nothing yet.
func runKinNew(connect func() *client) *runKin {
	return &runKin{connect: connect, followed: map[string]chan struct{}{}}
}

// note follows the runs that tasks have started since it looked. under and top are the tasks that have started the run
// of these tasks, as "load/", and the first of them; "" for the run of the file.
func (k *runKin) note(tasks []TaskRun, under, top string) {
	if k == nil || k.view.quiet {
		return
	}
	for i := range tasks {
		t := &tasks[i]
		k.mu.Lock()
		if t.Child != "" && !k.over && k.followed[t.Child] == nil {
			over := make(chan struct{})
			k.followed[t.Child] = over
			go k.runFollow(t.Child, under+t.Task, orDefault(top, t.Task), over)
		}
		k.mu.Unlock()
	}
}

// runFollow shows the output of a run. It ends with the run, or with the principal of this process.
func (k *runKin) runFollow(id, name, top string, over chan struct{}) {
	defer close(over)
	conn, number := k.connect(), int64(0)
	defer conn.close()
	conn.stream(context.Background(), Request{Op: "wait", Run: id, Follow: true, N: protoMaxLines},
		func(r *Reply) error { // that the stream ended early is of no use to anybody
			k.note(r.Tasks, name+"/", top)
			err := k.view.takeKin(r, name, top, &number)
			if errors.Is(err, syscall.EPIPE) {
				k.view.mute()
				err = nil
			}
			return err
		})
}

// wait waits until the output of all runs was shown that are over: that of those which go on comes later.
func (k *runKin) wait(ctx context.Context, conn *client) {
	if k == nil {
		return
	}
	for shown := map[string]bool{}; ; {
		r, err := conn.ask(ctx, Request{Op: "ps"})
		if err != nil {
			return
		}
		for _, run := range r.Runs {
			shown[run.ID] = runActive(run.State)
		}
		next := chan struct{}(nil)
		k.mu.Lock()
		for id, over := range k.followed {
			if _, known := shown[id]; !known {
				next, shown[id] = over, true
				break
			}
		}
		k.mu.Unlock()
		if next == nil {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// stop stops the principal of this process, with which all that follow end, and waits for them.
func (k *runKin) stop(h *host) error {
	if k == nil {
		return h.stop()
	}
	k.mu.Lock()
	k.over = true // nothing new is followed
	k.mu.Unlock()
	err := h.stop()
	for _, over := range k.followed {
		<-over
	}
	return err
}
