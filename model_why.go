// model_why.go: what a schedule says of one instant, for `why`.

package main

// WhySchedule is what one expression says of an instant.
type WhySchedule struct {
	Schedule string     `json:"schedule"`
	Zone     string     `json:"zone"`
	Clock    string     `json:"clock"` // what the clock in the zone shows at the instant
	Fires    bool       `json:"fires"`
	Against  []WhyField `json:"against,omitempty"` // which of its fields say no
	Before   Stamp      `json:"before,omitzero"`   // the fire before the instant
	After    Stamp      `json:"after,omitzero"`    // and the one after it
	Notes    []string   `json:"notes,omitempty"`   // what a change of the clock does to it
	Others   []string   `json:"others,omitempty"`  // what other programs do differently at the instant
}

// reason says in short why the expression does not fire then.
func (s *WhySchedule) reason() string {
	if len(s.Against) == 0 {
		return "the clock shows this time twice"
	}
	return s.Against[0].text()
}

// text says what does not match.
func (f WhyField) text() string {
	text := f.Field + ": " + f.Has + " is not " + f.Wants
	if f.Here != "" {
		text += ", which is " + f.Here + " here"
	}
	if f.Or != "" {
		text += " (the " + f.Or + " alone would do)"
	}
	return text
}

// WhyField is a field of an expression that does not match an instant.
type WhyField struct {
	Field string `json:"field"`
	Has   string `json:"has"`            // what the clock shows
	Wants string `json:"wants"`          // what is written
	Here  string `json:"here,omitempty"` // the values that H or ~ stands for
	Or    string `json:"or,omitempty"`   // the field that would do alone
}
