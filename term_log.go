// term_text.go: a line of the output of a program, as it is shown: what colours it is taken for that or left out, what
// else is no text is shown and does nothing.

package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	termLogMax = 8 << 10 // bytes that are shown of a line
	termLogTab = 8       // columns
)

// termSpan is a piece of a line in one style.
type termSpan struct {
	style termStyle
	text  string // harmless, see textSafe
}

// termLogPlain gives a line of output as text alone.
func termLogPlain(line string) string {
	var b strings.Builder
	for _, span := range termLogText(line, false) {
		b.WriteString(span.text)
	}
	return b.String()
}

// termLogText gives a line of output as a terminal would show it: what is behind the last carriage return, tabs to the
// next stop, without the sequences that colour it. With color it comes in pieces of the styles that those asked for,
// else in one. Whatever else is no text is shown in caret form; what is beyond termLogMax is cut off, with a ~ in its
// place.
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

// termCutSGR cuts off a sequence that sets colours and attributes: ESC [ parameters m.
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

// termSGR gives the style that a style becomes. A bright colour is the colour and bold. What is not among the eight
// colours, and every background, is left out.
func termSGR(style termStyle, params string) termStyle {
	fields := strings.Split(params, ";")
	for len(fields) > 0 {
		n, err := strconv.ParseUint("0"+fields[0], 10, 16)
		fields = fields[1:]
		switch {
		case err != nil: // 4:3 and its like
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

// termSGRColor takes the parameters of one colour of 256 or of 16 million: 5;NUMBER or 2;RED;GREEN;BLUE. Of the first,
// 16 are ours.
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
