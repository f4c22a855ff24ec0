// term_log.go: a line of a program's output, as it is shown. Sequences for colours become styles, or are left out. All
// else that is no text is shown as text, and does nothing.

package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	termLogMax = 8 << 10 // bytes of a line that are shown
	termLogTab = 8       // columns to the next tab stop, at the most
)

// termSpan is a piece of a line in one style.
type termSpan struct {
	style termStyle
	text  string // harmless, see textSafe
}

// termLogPlain gives a line of output as text, without styles.
func termLogPlain(line string) string {
	var b strings.Builder
	for _, span := range termLogText(line, false) {
		b.WriteString(span.text)
	}
	return b.String()
}

// termLogText gives a line of output as a terminal would show it: what stands behind the last carriage return, with
// blanks for tabs, and without sequences for colours. With color, it comes in pieces of the styles that these asked
// for; else in one piece. All else that is no text is shown in caret form. What is beyond termLogMax is cut off, with a
// ~ in its place.
func termLogText(line string, color bool) (spans []termSpan) {
	line = strings.TrimRight(line, "\r\n")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	cut := len(line) > termLogMax
	if cut {
		end := termLogMax
		for end > termLogMax-utf8.UTFMax && !utf8.RuneStart(line[end]) {
			end--
		}
		line = line[:end]
	}
	style, column := termStyle(0), 0
	var piece []byte // of the style
	add := func(text string) {
		column += textWidth(text)
		piece = append(piece, text...)
	}
	restyle := func(to termStyle) {
		if to != style && len(piece) > 0 {
			spans = append(spans, termSpan{style, string(piece)})
			piece = piece[:0]
		}
		style = to
	}
	for line != "" {
		end := strings.IndexAny(line, "\x1b\t")
		if end < 0 {
			end = len(line)
		}
		add(textSafe(line[:end]))
		line = line[end:]
		if line == "" {
			break
		}
		params, rest, isColor := termCutSGR(line)
		switch {
		case isColor && color:
			restyle(termSGR(style, params))
			line = rest
		case isColor:
			line = rest
		case line[0] == '\t':
			add(strings.Repeat(" ", termLogTab-column%termLogTab))
			line = line[1:]
		default:
			add("^[")
			line = line[1:]
		}
	}
	if cut {
		add("~")
	}
	if len(piece) > 0 {
		spans = append(spans, termSpan{style, string(piece)})
	}
	return spans
}

// termCutSGR cuts a sequence that sets colours and attributes off the start of text: ESC [ parameters m.
func termCutSGR(text string) (params, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "\x1b[")
	if !ok {
		return "", "", false
	}
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= ';' {
		end++
	}
	if end == len(text) || text[end] != 'm' {
		return "", "", false
	}
	return text[:end], text[end+1:], true
}

// termSGR gives what a style becomes by the parameters of such a sequence. A bright colour becomes the colour and bold.
// Colours beyond the eight, and all backgrounds, are left out.
func termSGR(style termStyle, params string) termStyle {
	fields := strings.Split(params, ";")
	for len(fields) > 0 {
		n, err := strconv.ParseUint("0"+fields[0], 10, 16)
		fields = fields[1:]
		switch {
		case err != nil: // such as 4:3
		case n == 0:
			style = 0
		case n == 1:
			style |= styleBold
		case n == 2:
			style |= styleDim
		case n == 4:
			style |= styleUnderline
		case n == 7:
			style |= styleReverse
		case n == 22:
			style &^= styleBold | styleDim
		case n == 24:
			style &^= styleUnderline
		case n == 27:
			style &^= styleReverse
		case n >= 30 && n <= 37:
			style = style&^styleColor | styleBlack + termStyle(n-30)
		case n == 39:
			style &^= styleColor
		case n >= 90 && n <= 97:
			style = style&^styleColor | styleBlack + termStyle(n-90) | styleBold
		case n == 38:
			color, rest := termSGRColor(fields)
			style, fields = style&^styleColor|color, rest
		case n == 48:
			_, fields = termSGRColor(fields)
		}
	}
	return style
}

// termSGRColor reads the parameters of one colour of 256 or of 16 million: 5;NUMBER or 2;RED;GREEN;BLUE. Of the 256 the
// first 16 are known here.
func termSGRColor(fields []string) (color termStyle, rest []string) {
	switch {
	case len(fields) >= 2 && fields[0] == "5":
		if n, err := strconv.ParseUint(fields[1], 10, 8); err == nil && n < 16 {
			color = styleBlack + termStyle(n%8)
		}
		return color, fields[2:]
	case len(fields) >= 4 && fields[0] == "2":
		return 0, fields[4:]
	}
	return 0, nil
}
