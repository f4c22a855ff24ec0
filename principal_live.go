// principal_live.go: lines that a task has begun and not ended, as a progress bar has one, shown to those who follow a
// run and ask for them. Nothing of them is stored: a line is stored when it ends. The agent sends them only while
// somebody follows.

package main

// followMaxLive is the most bytes of a line without an end that is shown. What an agent sends that is longer is not shown.
const followMaxLive = 4 << 10

// liveRun is what is shown of an active run that somebody follows. It belongs to the loop.
type liveRun struct {
	followers int
	lines     map[string]LogLine // by liveKey; two for each task at most
}

// liveKey names a stream of output.
func liveKey(l *LogLine) string { return l.Stream + l.Task }

// watchLive has a watcher woken for lines without an end as well. Only on the loop.
func (p *principal) watchLive(w *watcher) {
	r := p.state.Runs[w.run]
	if r == nil || !runActive(r.State) {
		return
	}
	l := p.live[w.run]
	if l == nil {
		l = &liveRun{lines: map[string]LogLine{}}
		p.live[w.run] = l
		p.tellFollowed(r, false)
	}
	w.live = true
	l.followers++
}

// unwatchLive takes a watcher off again; with the last one the agent is told that nobody follows. Only on the loop.
func (p *principal) unwatchLive(w *watcher) {
	l := p.live[w.run]
	if !w.live || l == nil {
		return
	}
	w.live = false
	if l.followers--; l.followers > 0 {
		return
	}
	delete(p.live, w.run)
	if r := p.state.Runs[w.run]; r != nil {
		p.tellFollowed(r, true)
	}
}

// tellFollowed tells the agent of a run that somebody follows it, or that nobody does any more. Only on the loop.
func (p *principal) tellFollowed(r *Run, over bool) {
	if link := p.links[r.Agent]; link != nil && link.follows && r.State == runRunning && (over || p.live[r.ID] != nil) {
		link.send(&agentMsg{Op: msgFollow, Run: r.ID, Drop: over})
	}
}

// takeLive takes in lines without an end. Only on the loop.
func (p *principal) takeLive(link *agentLink, m *agentMsg) {
	for i := range m.Items {
		item := &m.Items[i]
		for j := range item.Lines {
			line := &item.Lines[j]
			r, l := p.state.Runs[line.Run], p.live[line.Run]
			if l == nil || r == nil || r.State != runRunning || r.Agent != link.name || r.Lease != item.Lease || r.task(line.Task) == nil ||
				line.Stream != "o" && line.Stream != "e" || len(line.Text) > followMaxLive {
				continue
			}
			line.N = 0
			protoLine(line)
			l.lines[liveKey(line)] = *line
			p.touched[r.ID] = true
		}
	}
}

// endLive notes that lines have ended: they are stored now. Only on the loop.
func (p *principal) endLive(run string, lines []LogLine) {
	if l := p.live[run]; l != nil {
		for i := range lines {
			delete(l.lines, liveKey(&lines[i]))
		}
	}
}

// sendLive sends the lines without an end that a follower has not got yet, and an empty one for each that is no more. It is
// called behind sendLines: what has ended meanwhile was sent before.
func (p *principal) sendLive(c *verbCall, w *watcher, filter logFilter) {
	if !c.req.All || filter.Grep != nil {
		return
	}
	lines, _ := principalAsk(p, func() (lines []LogLine) {
		if l := p.live[w.run]; l != nil {
			for _, key := range sortedKeys(l.lines) {
				lines = append(lines, l.lines[key])
			}
		}
		return lines
	})
	there := map[string]bool{}
	for i := range lines {
		line, key := &lines[i], liveKey(&lines[i])
		if !filter.pass(line) {
			continue
		}
		there[key] = true
		if before, ok := w.shown[key]; !ok || before.Text != line.Text || before.Attempt != line.Attempt {
			w.shown[key] = *line
			c.reply(Reply{More: true, Line: line})
		}
	}
	for _, key := range sortedKeys(w.shown) {
		if gone := w.shown[key]; !there[key] {
			delete(w.shown, key)
			gone.Text = ""
			c.reply(Reply{More: true, Line: &gone})
		}
	}
}
