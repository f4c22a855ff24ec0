// store_forget.go: the store of a run that nobody will ask for again, as of cdktr run FILE. It keeps nothing on the
// disk, which would cost such a run more than all that it does itself.

package main

// runForget is the writer of such a store: it says of all that is handed to it that it is safe, in the order of the
// calls. It wakes when the owner queues something, and ends after close.
func (s *store) runForget() {
	defer close(s.ended)
	for range s.wake {
		s.mu.Lock()
		ops, closing := s.queue, s.closing
		s.queue = nil
		s.mu.Unlock()
		for _, op := range ops {
			s.forget(op)
		}
		if s.opt.onWritten != nil {
			s.opt.onWritten()
		}
		if s.opt.onSynced != nil {
			s.opt.onSynced()
		}
		if closing {
			return
		}
	}
}

// forget tells those who wait for a request that it is done.
func (s *store) forget(op storeOp) {
	s.written.Store(max(s.written.Load(), op.last))
	if op.done != nil {
		op.done()
	}
	if op.save {
		s.saving.Store(false)
	} else {
		s.backlog.Add(-int64(len(op.data)))
	}
	if op.saved != nil {
		op.saved(op.err)
	}
}
