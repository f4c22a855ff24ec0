package main

import "testing"

// An answer of no known length ends with its bound, whatever the curl of the machine does about that.
func TestHTTPBound(t *testing.T) {
	ps := procTestNew(t)
	log := &procTestLog{}
	spec, s := procTestSh(t, "yes 0123456789", log), &step{}
	httpBound(&spec, s)
	p, err := ps.begin(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	s.proc.Store(p)
	go p.run()
	if r := procTestDone(t, p); procTestReason(p, r) != httpTooLong {
		t.Errorf("%+v", r)
	}
	if n := len(log.text(false)); n == 0 || n > httpMaxAnswer {
		t.Errorf("%d bytes are kept", n)
	}
}
