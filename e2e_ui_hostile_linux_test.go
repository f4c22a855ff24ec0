// Hostile text end to end: what tasks print and what workflow files say reaches the terminal as text in its cells,
// whatever it is made of.

package main

import (
	"strings"
	"testing"
)

// uiHostileNames is a workflow whose texts are sequences for terminals, and one that does not load because of such a
// word.
const (
	uiHostileText = `\e]52;c;aGFja2Vk\a\e[2J\e[6n\x9b31m\u202ertl\u2067\u200bn \u65e5\u672c\u8a9e e\u0301\u0301\u0301 \U0001F469\u200D\U0001F4BB|`
	uiHostileFile = `
name: "` + uiHostileText + `"
description: "` + uiHostileText + `"
params: {p: {default: "` + uiHostileText + `", description: "` + uiHostileText + `"}}
tasks:
  reason: {cmd: "no-such\e[2Jcommand\e]0;x\a"}
`
	uiHostileFault = "tasks:\n  a: {run: 'true', \"key\\e[2J\\e]52;c;aGFja2Vk\\a\\u202e\": 1}\n"
)

// uiHostileOutput prints what terminals act on.
const uiHostileOutput = `
tasks:
  print:
    run: |
      for i in 1 2 3; do
        printf 'clip \033]52;c;aGFja2Vk\007 title \033]0;pwned\007 \033]2;pwned\033\\ end\n'
        printf 'clear \033[2J\033[H\033[3J ask \033[6n\033[c\033[>q\033[18t modes \033[?1049l\033[?25l\033[?1000h\033c end\n'
        printf 'colour \033[31;1mred\033[38;5;99m\033[7m reverse\033[48;2;1;2;3mrgb end\n'
        printf 'dcs \033P$q"p\033\\ apc \033_Gx\033\\ pm \033^x\033\\ c1 \302\2332J \302\23552;c;aGk=\302\234 raw \2332J\2350;x\234 end\n'
        printf 'bidi \342\200\256abc\342\200\254 \342\201\247x\342\201\251 zero \342\200\213\342\200\215\357\273\277 line \342\200\250 end\n'
        printf 'wide \346\227\245\346\234\254\350\252\236 \360\237\221\251\342\200\215\360\237\222\273 marks e\314\201\314\202\314\203\314\204 \340\270\201\340\270\263\340\271\211 end\n'
        printf 'broken \377\376\300\200\355\240\200 \360\237 nul \000\000 back \010\010\010 bell \007 tab\tx\v\f end\n'
        printf 'over\rwritten \016shift\017 \033(0lqk\033(B \033#8 \033[5;10r\033[10S\033[?6h end\n'
      done
      head -c 1000000 /dev/zero | tr '\000' 'x'; echo
      head -c 1000000 /dev/zero | tr '\000' '\033'; echo
      head -c 1000000 /dev/zero; echo
      i=0; while [ $i -lt 3000 ]; do printf '\314\201'; i=$((i+1)); done; echo
      printf 'unterminated \033]52;c;aGFj\nnot \033[31\n\033P never \n last \033'
`

// TestUIHostile looks at all of it on every screen. The terminal of the test takes nothing but what the painter is made
// of.
func TestUIHostile(t *testing.T) {
	x := e2eNew(t)
	x.File("names.yml", uiHostileFile)
	x.File("fault.yml", uiHostileFault)
	x.File("output.yml", uiHostileOutput)
	p := x.Principal("--with-agent")
	defer p.Stop()
	x.run("output")
	x.run("names")
	for _, c := range []struct {
		w, h int
		env  string
	}{{120, 40, "LC_ALL=C.UTF-8"}, {80, 24, "LC_ALL=C"}} {
		u := uiPtyOpen(x, c.w, c.h, c.env)
		u.shows("LIVE")
		for _, step := range []struct{ keys, want string }{
			{"0", "Attention"}, {"j", ""}, {"j", ""}, {"l", ""}, {"\x7f", "Attention"},
			{"1", "Workflows"}, {"j", ""}, {"G", ""}, {"/", ""}, {"names", "/names"}, {"\r", "1 of 1"}, {"e", "source"},
			{"j", ""}, {"G", ""}, {"\x7f", "1 of 1"}, {"i", "stat"}, {"\x7f", "1 of 1"},
			{"r", "parameters"}, {"\x03", "1 of 1"}, {"\r", "Runs"}, {"\r", "names"}, {"v", ""}, {"v", ""}, {"v", ""},
			{"\x7f", "Runs"},
			{"2", "Runs"}, {"G", ""}, {"\r", "output"}, {"\t", ""}, {"\x15", ""}, {"v", ""}, {"v", ""},
			{"\r", "log"}, {"k", ""}, {"\x15", ""}, {"c", ""}, {"\x15", ""}, {"w", ""}, {"\x15", ""}, {"\x15", ""},
			{"g", ""}, {"j", ""}, {"t", ""}, {"o", ""}, {"o", ""}, {"o", ""}, {"w", ""}, {"l", ""}, {"l", ""},
			{"h", ""}, {"h", ""},
			{"/", ""}, {"end", "/end"}, {"\r", ""}, {"n", ""}, {"N", ""}, {"c", ""}, {"\x7f", ""}, {"G", "FOLLOW"},
			{"3", "Agents"}, {"4", "Events"}, {"k", ""}, {"g", ""}, {"?", ""}, {"q", "Events"}, {"1", "Workflows"},
		} {
			u.keys(step.keys)
			u.shows(step.want)
			u.sound(step.keys)
		}
		u.keys("q")
		if code := u.end(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		u.given()
		if u.screen.title != "cdktr" {
			t.Errorf("the title is %q", u.screen.title)
		}
	}
}

// sound lets what is due be drawn, and fails where the terminal was sent what it does not know, or what is around a
// screen was written over.
func (u *uiPty) sound(after string) {
	u.t.Helper()
	u.pause(tuiFrameGap + tuiFrameGap/4)
	u.until("the end of the frame", func(*termEmulator) bool { return true })
	u.mu.Lock()
	defer u.mu.Unlock()
	lines := u.screen.lines()
	switch last := lines[len(lines)-1]; {
	case u.screen.fault != "":
		u.t.Fatalf("after %q: %s", after, u.screen.fault)
	case len(u.screen.outside) > 0:
		u.t.Fatalf("after %q the shell's screen has %q", after, u.screen.outside)
	case !strings.HasPrefix(lines[0], " cdktr ") || !strings.HasSuffix(lines[0], "LIVE"),
		!strings.HasPrefix(last, " ") || strings.ContainsRune(last, '\ufffd'):
		u.t.Fatalf("after %q what is around the screen was written over:\n%s", after, strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		if strings.Contains(line, "STATE") && strings.Contains(line, "NEXT") { // columns stay where their heads are
			at := strings.Index(line, "STATE")
			for _, row := range lines {
				if strings.Contains(row, "names   ") && !strings.HasPrefix(row[min(at, len(row)):], "! ") {
					u.t.Fatalf("after %q a column is not below its head:\n%s", after, strings.Join(lines, "\n"))
				}
			}
		}
	}
}
