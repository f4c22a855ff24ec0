// agent_http.go: a task that is a request by http. The agent's curl makes it, configured through its standard input: so
// nothing of the request is on a command line, where every user of the machine could read it, and no TLS is in this
// program. curl checks the certificate of the other side, and follows no redirect.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	httpMaxAnswer = 1 << 20  // bytes of an answer; a longer one fails the attempt
	httpMaxLine   = 96 << 10 // bytes of a line of curl's configuration, of which it takes 100 KiB
)

// httpTooLong is the reason of an attempt whose answer is longer than httpMaxAnswer.
const httpTooLong = "the answer is longer than 1 MiB"

// httpArgv is the program: without a configuration of the user's, and with one from its standard input.
func httpArgv() []string { return []string{"curl", "-q", "-K", "-"} }

// httpConfig writes a request as curl's configuration. The heads of the answers go to the file head.
func httpConfig(h *HTTP, head string, lookup func(string) (string, bool)) (string, error) {
	c := curlConfig{}
	url, err := workflowExpand(h.URL, lookup)
	if err == nil {
		err = httpURLFault(url)
	}
	if err != nil {
		return "", fmt.Errorf("http: url %w", err)
	}
	c.add("url", url)
	c.text.WriteString("silent\nshow-error\ngloboff\nno-buffer\n")
	c.add("proto", "=http,https")
	c.add("max-filesize", strconv.Itoa(httpMaxAnswer))
	c.add("dump-header", head)
	if method := h.method(); method == "HEAD" {
		c.text.WriteString("head\n")
	} else {
		c.add("request", method)
	}
	typed := false
	for _, name := range sortedKeys(h.Headers) {
		value, err := workflowExpand(h.Headers[name], lookup)
		if err == nil && httpBroken(value) {
			err = errors.New("has a line break in it")
		}
		if err != nil {
			return "", fmt.Errorf("http: header %s %w", name, err)
		}
		typed = typed || strings.EqualFold(name, "Content-Type")
		if value == "" {
			c.add("header", name+";") // curl sends no line for "name:"
		} else {
			c.add("header", name+": "+value)
		}
	}
	if h.Body != "" {
		body, err := workflowExpand(h.Body, lookup)
		if err != nil {
			return "", fmt.Errorf("http: body %w", err)
		}
		switch {
		case typed:
		case json.Valid([]byte(body)):
			c.add("header", "Content-Type: application/json")
		default:
			c.add("header", "Content-Type: text/plain; charset=utf-8")
		}
		c.add("data-raw", body)
	}
	if c.tooLong != "" {
		return "", fmt.Errorf("http: %s is longer than %d KiB with its ${…} replaced: send a file, with run: curl",
			strings.Replace(c.tooLong, "data-raw", "body", 1), httpMaxLine>>10)
	}
	return c.text.String(), nil
}

// curlConfig is a configuration of curl that is being written.
type curlConfig struct {
	text    strings.Builder
	tooLong string // the option that is
}

// curlEscapes writes a text so that curl reads it, between double quotes, as it is.
var curlEscapes = [...]string{`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`}

// add writes an option with its value.
func (c *curlConfig) add(option, value string) {
	line := option + ` = "` + strings.NewReplacer(curlEscapes[:]...).Replace(value) + `"`
	if len(line) > httpMaxLine {
		c.tooLong = option
	}
	c.text.WriteString(line + "\n")
}

// httpBound ends an attempt whose answer is too long. A curl that knows the length beforehand ends by itself; for the
// others we count.
func httpBound(spec *procSpec, s *step) {
	got := 0
	over := func(isErr bool, n int) bool {
		if isErr {
			return false
		}
		got += n
		if got > httpMaxAnswer {
			s.proc.Load().kill(httpTooLong)
		}
		return got > httpMaxAnswer
	}
	output, rest := spec.Output, spec.Rest // calls of both come from one goroutine at a time
	spec.Output = func(l procLines) {
		if !over(l.Err, len(l.Text)) {
			output(l)
		}
	}
	spec.Rest = func(r procRest) {
		if !over(r.Err, len(r.Text)) {
			rest(r)
		}
	}
}

// httpAnswer reads the status of an answer from the heads that curl has written to a file, and removes that. The error
// says that it is not as expected. It may hang with the file system: no loop may call it.
func httpAnswer(h *HTTP, file string) (map[string]string, error) {
	defer outputsDrop(file)
	text, err := outputsText(file)
	if err != nil {
		return nil, fmt.Errorf("read the head of the answer: %w", pathCause(err))
	}
	status := httpStatus(string(text))
	if status == 0 {
		return nil, errors.New("the answer has no status")
	}
	outputs := map[string]string{"status": strconv.Itoa(status)}
	if !h.expects(status) {
		return outputs, fmt.Errorf("status %d, want %s", status, workflowOr(h.expected()))
	}
	return outputs, nil
}

// httpStatus gives the status of the last answer in text, 0 where there is none. Before it may come those of proxies,
// and 100.
func httpStatus(text string) (status int) {
	for line := range strings.Lines(text) {
		version, rest, _ := strings.Cut(line, " ")
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if n, err := strconv.Atoi(digits); err == nil && strings.HasPrefix(version, "HTTP/") && n >= 100 && n < 600 {
			status = n
		}
	}
	return status
}

// curlReasons says what the exit codes of curl mean that people meet.
var curlReasons = []struct {
	exit int
	text string
}{
	{1, "the answer is no HTTP, or curl has no TLS"},
	{3, "the address is malformed"},
	{5, "the name of the proxy has no address"},
	{6, "the name of the host has no address"},
	{7, "the host does not take the connection"},
	{8, "the answer is no HTTP"},
	{18, "the answer was cut off"},
	{23, "the answer could not be written"},
	{28, "timed out"},
	{35, "no TLS could be agreed on"},
	{52, "the host has answered nothing"},
	{55, "the connection broke while it was written to"},
	{56, "the connection broke while it was read from"},
	{60, "the certificate of the host is not trusted"},
	{63, httpTooLong},
}

// httpFailed gives the reason of an attempt in which curl has failed.
func httpFailed(exit int) string {
	for _, r := range curlReasons {
		if r.exit == exit {
			return fmt.Sprintf("%s (curl: exit %d)", r.text, exit)
		}
	}
	return fmt.Sprintf("curl: exit %d", exit)
}

// httpNoCurl words a start that has failed for want of curl.
func httpNoCurl(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("http needs curl, and there is none in PATH of the agent: install it there")
	}
	return err
}
