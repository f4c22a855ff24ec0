// cli_metrics_http.go: one HTTP request, and its answer: what `metrics --http` does for each connection that systemd
// has accepted. It knows HTTP/1.0 and 1.1 as far as a reader of metrics needs them, keeps no connection, and bounds
// what it reads and how long it waits: so there is no HTTP server in the principal, and none that stays.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	metricsHead    = 8 << 10          // bytes of a request's head; one that is longer is refused
	metricsRead    = 5 * time.Second  // how long the head may take; then the answer is 408
	metricsSend    = 10 * time.Second // how long the answer may take to go out; then the process ends
	metricsDrain   = time.Second      // how long what else the peer says is read: a reset could cost it the answer
	metricsDropped = 64 << 10         // bytes of that
)

// metricsType is the Content-Type of the text.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metricsAnswer is a response.
type metricsAnswer struct {
	code        int
	what        string // the words behind the code
	kind        string // Content-Type; "": plain text
	allow, body string
	bare        bool // the answer to HEAD: without its body
}

// metricsServe answers one request. ask gives the text. Its error means that nobody was answered; say tells of what the
// answer cannot say. It leaves goroutines behind when the peer hangs: the process ends after it.
func metricsServe(in io.Reader, out io.Writer, ask func() (string, error), say func(string)) error {
	head := make(chan metricsAnswer, 1)
	go func() { head <- metricsRequest(in) }()
	limit := time.NewTimer(metricsRead)
	defer limit.Stop()
	a := metricsAnswer{code: 408, what: "Request Timeout", body: "no whole request came\n"}
	select {
	case a = <-head:
	case <-limit.C:
	}
	if a.code == 0 { // nothing was asked: a probe that only connects
		return nil
	}
	if a.code == 200 {
		text, err := ask()
		a.body, a.kind = text, metricsType
		if err != nil {
			say(err.Error())
			a = metricsAnswer{code: 503, what: "Service Unavailable", bare: a.bare,
				body: "the principal gives no metrics: " + textSafe(err.Error()) + "\n"}
		}
	}
	sent := make(chan error, 1)
	go func() {
		_, err := out.Write(a.bytes())
		if err == nil {
			metricsEnd(in, out)
		}
		sent <- err
	}()
	limit.Reset(metricsSend)
	select {
	case err := <-sent:
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return nil // the peer has gone
		}
		return err
	case <-limit.C:
		return nil // it reads nothing: the end of the process cuts it
	}
}

// metricsEnd tells a peer that nothing more comes, and reads for a moment what it still says.
func metricsEnd(in io.Reader, out io.Writer) {
	f, ok := out.(interface{ Fd() uintptr })
	if !ok || syscall.Shutdown(int(f.Fd()), syscall.SHUT_WR) != nil { // it is no socket
		return
	}
	rest := make(chan struct{})
	go func() {
		io.CopyN(io.Discard, in, metricsDropped)
		close(rest)
	}()
	select {
	case <-rest:
	case <-time.After(metricsDrain):
	}
}

// metricsRequest reads a request, and gives the answer to it: 200 without a body where the numbers are wanted, code 0
// where nothing came at all.
func metricsRequest(in io.Reader) metricsAnswer {
	r := metricsLines{left: &io.LimitedReader{R: in, N: metricsHead}}
	r.Reader = bufio.NewReaderSize(r.left, metricsHead+1)
	bad := func(why string) metricsAnswer {
		return metricsAnswer{code: 400, what: "Bad Request", body: why + "\n"}
	}
	first, err := r.line()
	if err == nil && first == "" { // some put an empty line in front
		first, err = r.line()
	}
	switch {
	case err == io.EOF && first == "":
		return metricsAnswer{}
	case errors.Is(err, errMetricsLong):
		return metricsAnswer{code: 414, what: "URI Too Long", body: "the first line is too long\n"}
	case err != nil:
		return bad("the request has no end")
	}
	method, rest, _ := strings.Cut(first, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || method == "" || target == "" || strings.ContainsAny(version, " \t") || metricsOdd(first) {
		return bad("the first line is not METHOD PATH HTTP/1.1")
	}
	major, ok := strings.CutPrefix(version, "HTTP/")
	switch {
	case !ok:
		return bad("the first line does not end with HTTP/1.1")
	case major != "1.0" && major != "1.1":
		return metricsAnswer{code: 505, what: "HTTP Version Not Supported", body: "HTTP/1.0 and HTTP/1.1 are\n"}
	}
	hosts := 0
	for {
		line, err := r.line()
		if errors.Is(err, errMetricsLong) {
			return metricsAnswer{code: 431, what: "Request Header Fields Too Large",
				body: fmt.Sprintf("a request may have %d bytes\n", metricsHead)}
		}
		if err != nil {
			return bad("the request has no end")
		}
		if line == "" {
			break
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") || metricsOdd(line) {
			return bad("a header is not NAME: VALUE")
		}
		if strings.EqualFold(name, "Host") {
			hosts++
		}
	}
	if hosts > 1 || hosts == 0 && major == "1.1" {
		return bad("one header Host is wanted")
	}
	return metricsRoute(method, target)
}

// metricsRoute gives the answer for a method and what it asks for.
func metricsRoute(method, target string) metricsAnswer {
	u, err := url.ParseRequestURI(target)
	switch {
	case err != nil:
		return metricsAnswer{code: 400, what: "Bad Request", body: "the path is none\n"}
	case u.Path != "/metrics":
		return metricsAnswer{code: 404, what: "Not Found", body: "there is /metrics\n", bare: method == "HEAD"}
	case method != "GET" && method != "HEAD":
		return metricsAnswer{code: 405, what: "Method Not Allowed", allow: "GET, HEAD", body: "there is GET and HEAD\n"}
	}
	return metricsAnswer{code: 200, what: "OK", bare: method == "HEAD"}
}

// metricsOdd says whether a line has a character in it that a head may not have.
func metricsOdd(line string) bool {
	return strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// errMetricsLong says that a request is longer than is read.
var errMetricsLong = errors.New("too long")

// metricsLines reads the lines of a head.
type metricsLines struct {
	*bufio.Reader
	left *io.LimitedReader
}

// line reads a line, without its end.
func (r *metricsLines) line() (string, error) {
	line, err := r.ReadSlice('\n')
	if err == io.EOF && r.left.N == 0 {
		err = errMetricsLong
	}
	return string(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))), err
}

// bytes gives the response as it goes out.
func (a *metricsAnswer) bytes() []byte {
	var b bytes.Buffer
	kind := orDefault(a.kind, "text/plain; charset=utf-8")
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", a.code, a.what, kind, len(a.body))
	if a.allow != "" {
		fmt.Fprintf(&b, "Allow: %s\r\n", a.allow)
	}
	b.WriteString("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n")
	if !a.bare {
		b.WriteString(a.body)
	}
	return b.Bytes()
}
