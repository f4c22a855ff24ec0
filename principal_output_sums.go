// principal_output_sums.go: how many bytes the outputs of a run have: they must fit into a message together, however
// many of its tasks have some.

package main

// outputSums is these bytes, of runs at work of which a task has said outputs. It belongs to the principal's loop.
type outputSums struct {
	*principalLoop
	bytes map[string]int // run -> bytes
}

// of gives the bytes of the outputs that the tasks of a run have already, for an event that adds to them. They are
// summed up once; observe goes on from there.
func (s *outputSums) of(e *Event) (size int) {
	r := s.state.Runs[e.Run]
	if r == nil || len(e.Outputs) == 0 {
		return 0
	}
	size, known := s.bytes[r.ID]
	if known {
		return size
	}
	for i := range r.Tasks {
		if t := &r.Tasks[i]; len(t.Outputs) > 0 {
			size += protoSize(t.Outputs)
		}
	}
	s.bytes[r.ID] = size
	return size
}

// observe brings the sums up to date.
func (s *outputSums) observe(c change) {
	if len(s.bytes) == 0 || c.run == nil {
		return
	}
	size, known := s.bytes[c.run.ID]
	switch {
	case !known:
	case c.moved():
		delete(s.bytes, c.run.ID)
	case c.event.Kind == evTaskFinished && len(c.event.Outputs) > 0:
		s.bytes[c.run.ID] = size + protoSize(c.event.Outputs)
	}
}
