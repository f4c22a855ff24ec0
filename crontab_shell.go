// crontab_shell.go: as much of the shell's grammar as a command of a crontab is taken apart by: its commands and what
// stands between them, its words, and groups. What it does not understand stays in one piece.

package main

import (
	"slices"
	"strings"
)

// shellPart is a command of a line, and the operator behind it: && || ; & | or "" at the end.
type shellPart struct {
	text string
	op   string
	end  int // where the operator ends in the line
}

// shellScan goes through a line of shell.
type shellScan struct {
	line    string
	at      int
	depth   int  // of groups, and of if, for and while
	first   bool // a command begins here
	comment int  // where a comment begins; -1: nowhere
}

// shellSplit gives the commands of a line of shell that stand side by side, and the comment behind them. ok is false
// where the line has something in it that this scan does not follow.
func shellSplit(line string) (parts []shellPart, comment string, ok bool) {
	defer func() {
		ok = ok && !slices.ContainsFunc(parts, func(p shellPart) bool { return p.text == "" })
	}()
	s := &shellScan{line: line, first: true, comment: -1}
	begin := 0
	cut := func(op string) {
		parts = append(parts, shellPart{strings.TrimSpace(line[begin:s.at]), op, s.at + len(op)})
		s.at += len(op)
		begin, s.first = s.at, true
	}
	for s.at < len(line) {
		op, ok := s.next()
		switch {
		case !ok:
			return nil, "", false
		case s.comment >= 0:
			rest := strings.TrimSpace(line[begin:s.comment])
			if rest != "" {
				parts = append(parts, shellPart{rest, "", s.comment})
			}
			return parts, strings.Trim(line[s.comment:], "# \t"), s.depth == 0
		case op == "":
		case s.depth == 0:
			cut(op)
		default:
			s.at += len(op)
			s.first = true
		}
	}
	if rest := strings.TrimSpace(line[begin:]); rest != "" {
		parts = append(parts, shellPart{rest, "", len(line)})
	}
	return parts, "", s.depth == 0
}

// next goes to the end of a word, or to an operator, which it gives.
func (s *shellScan) next() (op string, ok bool) {
	rest := s.line[s.at:]
	switch c := rest[0]; {
	case c == ' ' || c == '\t' || c == '\n':
		s.at++
		return "", true
	case c == '#':
		s.comment = s.at
		return "", s.depth == 0
	case strings.HasPrefix(rest, "<<"), strings.HasPrefix(rest, ";;"):
		return "", false
	case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "||"):
		return rest[:2], true
	case strings.HasPrefix(rest, "&>"): // of bash: both streams into a file
		s.at += 2
		return "", true
	case c == ';' || c == '|' || c == '&':
		return rest[:1], true
	case c == '(':
		s.depth, s.first = s.depth+1, true
		s.at++
		return "", true
	case c == ')':
		s.depth--
		s.at++
		return "", s.depth >= 0
	}
	word, end := shellWord(rest)
	if end < 0 {
		return "", false
	}
	if s.first {
		switch word {
		case "case", "function", "select", "coproc":
			return "", false
		case "if", "for", "while", "until", "{":
			s.depth++
		case "fi", "done", "}":
			s.depth--
		case "then", "else", "elif", "do", "!", "time":
		default:
			s.first = false
		}
		if word == "for" {
			s.first = false
		}
	}
	s.at += end
	return "", s.depth >= 0
}

// shellWord gives the word at the front of a text, and where it ends; -1 where it does not end.
func shellWord(text string) (word string, end int) {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\n;|()", c) >= 0, c == '&' && (i == 0 || text[i-1] != '>' && text[i-1] != '<'):
			return text[:i], i
		default:
			n := shellUnit(text[i:])
			if n < 0 {
				return "", -1
			}
			i += n
		}
	}
	return text, len(text)
}

// shellUnit gives how long the unit at the front of a text is: a character, or what is quoted or substituted. It is -1
// where that does not end.
func shellUnit(text string) int {
	switch {
	case text[0] == '\\':
		return min(2, len(text))
	case text[0] == '\'':
		if end := strings.IndexByte(text[1:], '\''); end >= 0 {
			return end + 2
		}
		return -1
	case strings.HasPrefix(text, "$("):
		return shellUntil(text, 2, ')')
	case strings.HasPrefix(text, "${"):
		return shellUntil(text, 2, '}')
	case text[0] == '"', text[0] == '`':
		return shellUntil(text, 1, text[0])
	}
	return 1
}

// shellUntil gives where the unit that begins a text, and closes with a byte, is over.
func shellUntil(text string, from int, closes byte) int {
	for i := from; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == closes:
			return i + 1
		case closes == '"' && c == '\'', closes == '`' && c != '\\' && c != '\'':
		case closes == ')' && c == '(':
			n = shellUntil(text[i:], 1, ')')
		default:
			n = shellUnit(text[i:])
		}
		if n < 0 {
			return -1
		}
		i += n
	}
	return -1
}

// shellLinked says whether each of the commands runs only if those before it have gone well.
func shellLinked(parts []shellPart) bool {
	return !slices.ContainsFunc(parts, func(p shellPart) bool { return p.op == ";" || p.op == "||" || p.op == "&" })
}

// shellPipe says whether commands are one pipe.
func shellPipe(parts []shellPart) bool {
	return !slices.ContainsFunc(parts, func(p shellPart) bool { return p.op != "" && p.op != "|" })
}

// shellWords gives the words of a simple command as they are written; nil where it is none.
func shellWords(command string) (words []string) {
	for rest := strings.TrimSpace(command); rest != ""; rest = strings.TrimSpace(rest) {
		word, end := shellWord(rest)
		if end <= 0 {
			return nil
		}
		words, rest = append(words, word), rest[end:]
	}
	return words
}

// shellPlain gives what a word means; ok is false where the shell replaces something in it.
func shellPlain(word string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(word); {
		n := shellUnit(word[i:])
		if n < 0 {
			return "", false
		}
		unit := word[i : i+n]
		switch {
		case unit[0] == '\'' && n > 1:
			b.WriteString(unit[1 : n-1])
		case unit[0] == '\\' && n > 1:
			b.WriteString(unit[1:])
		case unit[0] == '"' && n > 1 && !strings.ContainsAny(unit[1:n-1], "\\$`"):
			b.WriteString(unit[1 : n-1])
		case n > 1 || strings.Contains("\\'\"`$*?[~<>&#", unit):
			return "", false
		default:
			b.WriteString(unit)
		}
		i += n
	}
	return b.String(), word != ""
}

// shellQuote writes a text as one word.
func shellQuote(text string) string {
	if crontabMatch(`^[\w./=:,@+-]+$`, text) != nil {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// shellGroup takes { …; } or ( … ) off a command that is nothing else.
func shellGroup(command string) (inside string, ok bool) {
	for _, around := range []string{"{}", "()"} {
		if len(command) < 3 || command[0] != around[0] || command[len(command)-1] != around[1] {
			continue
		}
		if inside = command[1 : len(command)-1]; around == "{}" {
			if strings.IndexByte(crontabBlanks, inside[0]) < 0 {
				continue
			}
			inside, ok = strings.CutSuffix(strings.TrimSpace(inside), ";")
			if !ok {
				continue
			}
		}
		parts, comment, whole := shellSplit(inside)
		return strings.TrimSpace(inside), whole && comment == "" && len(parts) > 0
	}
	return "", false
}

// shellIf takes a command apart that is nothing but if COND; then BODY; fi.
func shellIf(command string) (condition, body string, ok bool) {
	inside, isIf := strings.CutPrefix(command, "if ")
	inside, ends := strings.CutSuffix(strings.TrimSpace(inside), "fi")
	if !isIf || !ends {
		return "", "", false
	}
	parts, _, whole := shellSplit(inside)
	for i, p := range parts {
		switch word, _ := crontabWord(p.text); {
		case word == "elif" || word == "else":
			return "", "", false
		case word != "then":
		case i == 0 || condition != "" || parts[i-1].op != ";":
			return "", "", false
		default:
			condition = strings.TrimSpace(inside[:parts[i-1].end-1])
			body = strings.TrimSpace(inside[parts[i-1].end:])
		}
	}
	if !whole || condition == "" || parts[len(parts)-1].op != ";" {
		return "", "", false
	}
	_, body = crontabWord(body)
	return condition, strings.TrimSpace(strings.TrimSuffix(body, ";")), true
}
