// Tests of the log lines that peers can make: how many there are, how long, and that what is left out is counted.

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// notesTest gives notes, and what they have logged, without the time.
func notesTest() (*peerNotes, func() []string) {
	var log principalLog
	return peerNotesNew(slog.New(slog.NewTextHandler(&log, nil))), func() []string {
		text := regexp.MustCompile(`time=\S+ level=WARN msg=`).ReplaceAllString(log.String(), "")
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
}

// TestNotesOnceAMinute: the first of a kind and a party is logged at once, those after it are counted, and after a
// minute it begins anew.
func TestNotesOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lines := notesTest()
		want := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s:\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		for i := range 10_000 {
			n.note("refused", "key a", "value", i)
		}
		n.note("refused", "key b", "value", 7)
		n.note("odd", "key a", "cause", errors.New("because"))
		all := []string{`refused peer="key a" value=0`, `refused peer="key b" value=7`,
			`odd peer="key a" cause=because`}
		want("at once", all...)
		time.Sleep(notesPeriod - time.Second)
		n.note("refused", "key a", "value", 1)
		want("within a minute", all...)
		time.Sleep(2 * time.Second)
		all = append(all, `refused peer="key a" times_more=10000`)
		want("after a minute", all...)
		time.Sleep(time.Hour)
		want("with nothing new", all...)
		n.note("refused", "key a", "value", 2)
		n.note("refused", "key a", "value", 3)
		all = append(all, `refused peer="key a" value=2`)
		want("after an hour", all...)
		n.end()
		want("at the end", append(all, `refused peer="key a" times_more=1`)...)
		if len(n.kinds) != 0 {
			t.Errorf("%d kinds are kept", len(n.kinds))
		}
	})
}

// TestNotesManyParties: who comes under many names makes no more lines for it, and takes no more memory.
func TestNotesManyParties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lines := notesTest()
		for i := range 100_000 {
			n.note("refused", fmt.Sprintf("2001:db8:%x::/64", i), "cause", "no key")
		}
		if got := lines(); len(got) != notesParties {
			t.Errorf("%d lines, want %d", len(got), notesParties)
		}
		if k := n.kinds["refused"]; len(k.again) != notesParties {
			t.Errorf("%d parties are kept", len(k.again))
		}
		n.note("another kind", "2001:db8::/64") // one kind does not hide another
		time.Sleep(notesPeriod)
		synctest.Wait()
		got := lines()
		if want := fmt.Sprintf("refused peer=others times_more=%d", 100_000-notesParties); len(got) != notesParties+2 ||
			got[len(got)-1] != want {
			t.Errorf("%q, want the last to be %s", got[notesParties:], want)
		}
	})
}

// TestNotesCut: what a peer has said is cut, whatever type it comes as, and at whole characters.
func TestNotesCut(t *testing.T) {
	long := strings.Repeat("é", 1<<19)
	for _, c := range []struct {
		value any
		want  string
	}{
		{"short", "value=short"},
		{strings.Repeat("x", notesValue), "value=" + strings.Repeat("x", notesValue)},
		{strings.Repeat("x", notesValue+1), `value="` + strings.Repeat("x", notesValue) + ` ... (101 bytes in all)"`},
		{long, `value="` + long[:notesValue] + ` ... (1048576 bytes in all)"`},
		{"x" + long, `value="x` + long[:notesValue-2] + ` ... (1048577 bytes in all)"`},
		{errors.New(long), `value="` + long[:notesValue] + ` ... (1048576 bytes in all)"`},
		{refuse(codeNotFound, "%s", long), `value="` + long[:notesValue] + ` ... (`},
		{wirePeer{Addr: long}, `value="` + long[:notesValue] + ` ... (`},
		{"\x1b[31m\nlevel=ERROR", `value="\x1b[31m\nlevel=ERROR"`},
	} {
		n, lines := notesTest()
		n.note("odd", "", "value", c.value)
		if got := lines(); len(got) != 1 || !strings.HasPrefix(got[0], "odd "+c.want) || len(got[0]) > 400 {
			t.Errorf("%.20v: %.300q, want %.300q", c.value, got, c.want)
		}
		n.end()
	}
}

// TestNotesPeers: everything that a peer can do to be logged, done 200 times with as long names as it likes, makes
// a line and a count.
func TestNotesPeers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 200<<10)
	hello := func(name string) []byte {
		return protoEncode(protoTestHello(name, "e"))
	}
	for _, c := range []struct {
		name, key, socket string
		says              func(i int) [][]byte
		want              string
	}{
		{"a PUSH of a workflow that is not there", "ci", "PUSH", func(i int) [][]byte {
			return [][]byte{fmt.Appendf(nil, `{"v":1,"workflow":"w%d%s"}`, i, strings.Repeat("w", 200))}
		}, "trigger refused"},
		{"a PUSH of nonsense", "ci", "PUSH", func(i int) [][]byte { return [][]byte{[]byte("{" + long[:2000])} },
			"trigger refused"},
		{"a PUSH of a workflow with a long name", "ci", "PUSH",
			func(i int) [][]byte { return [][]byte{[]byte(`{"workflow":"` + long + `"}`)} }, "trigger refused"},
		{"a PUSH of another op", "ci", "PUSH", func(i int) [][]byte {
			return [][]byte{fmt.Appendf(nil, `{"op":"x%d"}`,
				i)}
		}, "trigger refused"},
		{"a log record of the older dialect", "ci", "PUSH", func(i int) [][]byte {
			return [][]byte{fmt.Appendf(nil,
				"%d\x01%s", i, long)}
		}, "log record refused"},
		{"a PUSH by a viewer", "vi", "PUSH", func(i int) [][]byte { return [][]byte{[]byte("{}")} },
			"connection refused"},
		{"hello by a viewer", "vi", "DEALER", func(i int) [][]byte { return [][]byte{{}, hello(fmt.Sprint(i, long))} },
			"not an agent's key"},
		{"hello with a bad name", "ag", "DEALER", func(i int) [][]byte {
			return [][]byte{{},
				hello(fmt.Sprint("\x1b[31m", i))}
		}, "an agent was not let in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := sharesRigOpen(t)
				g.do(func() { g.p.cfg.Keys.grants["ag"] = &authGrant{Name: "ag", Key: "ag", Role: roleAgent} })
				began := len(g.log.String())
				const times = 200
				peer := g.with(c.key, c.socket)
				for i := range times {
					if peer.conn.Send(c.says(i)...) != nil {
						peer = g.with(c.key, c.socket) // it has hung up on the one before
						peer.conn.Send(c.says(i)...)
					}
					time.Sleep(paceEach + 200*paceKiB)
					synctest.Wait()
				}
				g.stop()
				said := g.log.String()[began:]
				if n := strings.Count(said, "\n"); n != 2 || !strings.Contains(said, c.want) ||
					!strings.Contains(said, "times_more=") || len(said) > 1000 {
					t.Errorf("%d lines, %d bytes; want a %q and a count:\n%.2000s", n, len(said), c.want, said)
				}
			})
		})
	}
}

// TestNotesListener: what a listener tells is counted for each address and each kind.
func TestNotesListener(t *testing.T) {
	n, lines := notesTest()
	for i := range 100 {
		n.noteWire(&wireNote{Kind: "connection refused", Party: "192.0.2.1/32",
			Addr: fmt.Sprintf("tcp://192.0.2.1:%d", i), Err: errors.New("why")})
		n.noteWire(&wireNote{Kind: "handshake cut", Party: "192.0.2.1/32", Err: errors.New("why")})
		n.noteWire(errors.New("other"))
	}
	n.end()
	want := `"connection refused" peer=192.0.2.1/32 from=tcp://192.0.2.1:0 cause=why
"handshake cut" peer=192.0.2.1/32 cause=why
listener cause=other
"connection refused" peer=192.0.2.1/32 times_more=99
"handshake cut" peer=192.0.2.1/32 times_more=99
listener peer="" times_more=99`
	if got := strings.Join(lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
