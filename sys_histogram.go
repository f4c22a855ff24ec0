// sys_histogram.go: a histogram of durations that many goroutines may count in.

package main

import (
	"sync/atomic"
	"time"
)

// histogram counts durations by how long they were. Any goroutine may use it.
type histogram struct {
	bounds []float64      // seconds, growing: a duration counts for the first that it does not exceed
	counts []atomic.Int64 // one for each bound, and one for what exceeds all
	sum    atomic.Int64   // nanoseconds
}

// histogramNew makes a histogram with these bounds.
func histogramNew(bounds ...float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]atomic.Int64, len(bounds)+1)}
}

// add counts a duration. One below zero, of a clock that was set, counts as zero.
func (h *histogram) add(d time.Duration) {
	d, i := max(d, 0), 0
	for i < len(h.bounds) && d.Seconds() > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// read gives how many durations exceed no bound, for each bound and for all, and what they are together in seconds.
func (h *histogram) read() (upto []int64, sum float64) {
	all := int64(0)
	for i := range h.counts {
		all += h.counts[i].Load()
		upto = append(upto, all)
	}
	return upto, time.Duration(h.sum.Load()).Seconds()
}
