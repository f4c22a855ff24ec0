// Package cases stands in for golang.org/x/text/cases, of which zmq4 uses one function, for the names of ZMTP's
// properties (RFC 37: letters, digits and - _ . +). The real package brings the case tables of all languages with it,
// 250 KB of the program.
package cases

import "golang.org/x/text/language"

// Option says how letters are treated.
type Option int

// NoLower leaves letters in the middle of a word as they are. Here they always are.
const NoLower Option = 1

// Caser writes text in another case.
type Caser struct{}

// Title gives the Caser that begins each word with a capital.
func Title(language.Tag, ...Option) Caser { return Caser{} }

// String writes a text of ASCII; what is no letter of ASCII stays as it is, and begins a word.
func (Caser) String(text string) string {
	out := []byte(text)
	begins := true
	for i, c := range out {
		if begins && 'a' <= c && c <= 'z' {
			out[i] = c - 'a' + 'A'
		}
		begins = !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '\'')
	}
	return string(out)
}
