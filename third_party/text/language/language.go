// Package language stands in for golang.org/x/text/language: see the package cases beside it.
package language

// Tag is a language. There is only one here.
type Tag struct{}

// Und is the language that nothing is known of.
var Und Tag
