// model_http.go: a request by http, as a task of a workflow.

package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// HTTP is a request that the agent's curl makes for a task. References are replaced in the URL, the values of headers
// and the body.
type HTTP struct {
	Method  string            `json:"method,omitempty"` // one of httpMethods; "": see method
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	Expect  []string          `json:"expect,omitempty"` // what the status may be, 204 or 2xx; nil is 2xx
}

// httpMethods are the methods that a request may have.
var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// method gives the method of a request: one with a body is sent, unless the file says otherwise.
func (h *HTTP) method() string {
	switch {
	case h.Method != "":
		return h.Method
	case h.Body != "":
		return "POST"
	}
	return "GET"
}

// expected gives what the status of the answer may be.
func (h *HTTP) expected() []string {
	if len(h.Expect) == 0 {
		return []string{"2xx"}
	}
	return h.Expect
}

// expects says whether the request has succeeded with that status of its answer.
func (h *HTTP) expects(status int) bool {
	text := strconv.Itoa(status)
	return slices.ContainsFunc(h.expected(), func(want string) bool { return want == text || want == text[:1]+"xx" })
}

// httpURLFault says why a text is no address of a request, nil when it is one. The error reads on after what it is of,
// and does not give the text, which may hold a secret.
func httpURLFault(url string) error {
	switch {
	case !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://"):
		return errors.New("must begin with http:// or https://")
	case strings.ContainsFunc(url, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return errors.New("has a blank or a line break in it: write a blank as %20")
	}
	return nil
}

// httpBroken says whether a text has a line break in it, and so would be more than one line of the head of a request.
func httpBroken(text string) bool { return strings.ContainsAny(text, "\r\n") }
