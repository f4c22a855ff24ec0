// Tests of the answer to one HTTP request, and of reading the text of Prometheus.

package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// metricsTestServe has one request answered, and gives the first line of the answer, and all of it.
func metricsTestServe(in io.Reader, ask func() (string, error)) (first, all string) {
	var out bytes.Buffer
	if err := metricsServe(in, &out, ask, func(string) {}); err != nil {
		return err.Error(), ""
	}
	first, _, _ = strings.Cut(out.String(), "\r\n")
	return first, out.String()
}

func metricsTestText() (string, error) { return "up 1\n", nil }

// TestMetricsHTTP: what is answered to what.
func TestMetricsHTTP(t *testing.T) {
	t.Parallel()
	host := "\r\nHost: x\r\n\r\n"
	for in, want := range map[string]string{
		"GET /metrics HTTP/1.1" + host:                      "HTTP/1.1 200 OK",
		"GET /metrics HTTP/1.0\r\n\r\n":                     "HTTP/1.1 200 OK",
		"GET /metrics HTTP/1.0\n\n":                         "HTTP/1.1 200 OK",
		"\r\nGET /metrics?x=%20y HTTP/1.1" + host:           "HTTP/1.1 200 OK",
		"GET http://hub:9464/metrics HTTP/1.1" + host:       "HTTP/1.1 200 OK",
		"GET /metrics HTTP/1.1" + host + "more and more":    "HTTP/1.1 200 OK",
		"HEAD /metrics HTTP/1.1" + host:                     "HTTP/1.1 200 OK",
		"POST /metrics HTTP/1.1" + host:                     "HTTP/1.1 405 Method Not Allowed",
		"get /metrics HTTP/1.1" + host:                      "HTTP/1.1 405 Method Not Allowed",
		"GET / HTTP/1.1" + host:                             "HTTP/1.1 404 Not Found",
		"GET /metrics/ HTTP/1.1" + host:                     "HTTP/1.1 404 Not Found",
		"GET /../metrics HTTP/1.1" + host:                   "HTTP/1.1 404 Not Found",
		"GET metrics HTTP/1.1" + host:                       "HTTP/1.1 400 Bad Request",
		"GET /%zz HTTP/1.1" + host:                          "HTTP/1.1 400 Bad Request",
		"GET /metrics":                                      "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1\r\n":                         "HTTP/1.1 400 Bad Request",
		"GET /metrics\r\n\r\n":                              "HTTP/1.1 400 Bad Request",
		"GET  /metrics HTTP/1.1" + host:                     "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1 " + host:                     "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1\r\n\r\n":                     "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1\r\nHost: x" + host:           "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1\r\nHost : x\r\n\r\n":         "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1\r\n folded" + host:           "HTTP/1.1 400 Bad Request",
		"GET /metrics HTTP/1.1\r\nA: \x00" + host:           "HTTP/1.1 400 Bad Request",
		"GET /met\x1brics HTTP/1.1" + host:                  "HTTP/1.1 400 Bad Request",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n":  "HTTP/1.1 400 Bad Request",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                  "HTTP/1.1 505 HTTP Version Not Supported",
		strings.Repeat("G", metricsHead+1):                  "HTTP/1.1 414 URI Too Long",
		"GET /" + strings.Repeat("x", metricsHead):          "HTTP/1.1 414 URI Too Long",
		"GET / HTTP/1.1\n" + strings.Repeat("A: b\n", 9000): "HTTP/1.1 431 Request Header Fields Too Large",
		"": "",
	} {
		first, all := metricsTestServe(strings.NewReader(in), metricsTestText)
		if first != want {
			t.Errorf("%.60q is answered with %q, want %q", in, first, want)
		}
		if want == "" {
			continue
		}
		head, body, whole := strings.Cut(all, "\r\n\r\n")
		if !whole || !strings.Contains(head, "\r\nConnection: close") ||
			!strings.Contains(head, "\r\nContent-Length: ") {
			t.Errorf("%.60q is answered with the head %q", in, head)
		}
		if bare := strings.HasPrefix(in, "HEAD"); bare != (body == "") {
			t.Errorf("%.60q is answered with the body %q", in, body)
		}
		if strings.HasPrefix(in, "HEAD") && !strings.Contains(head, "Content-Length: 5") {
			t.Errorf("the answer to HEAD has not the length of the one to GET: %q", head)
		}
	}
	_, all := metricsTestServe(strings.NewReader("GET /metrics HTTP/1.1"+host), metricsTestText)
	if !strings.Contains(all, "Content-Type: text/plain; version=0.0.4") || !strings.HasSuffix(all, "\r\n\r\nup 1\n") {
		t.Errorf("the answer is %q", all)
	}
	first, all := metricsTestServe(strings.NewReader("GET /metrics HTTP/1.1"+host),
		func() (string, error) { return "", errors.New("no principal\r\nSet-Cookie: x") })
	if first != "HTTP/1.1 503 Service Unavailable" ||
		!strings.Contains(all, "\r\n\r\nthe principal gives no metrics: no") ||
		strings.Contains(all, "\nSet-Cookie") {
		t.Errorf("without a principal the answer is %q", all)
	}
}

// TestMetricsHTTPSlow: a client that says nothing, or a byte now and then, is answered 408; one that reads nothing is
// left.
func TestMetricsHTTPSlow(t *testing.T) {
	for _, drips := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			go func() {
				for drips {
					if _, err := ours.Write([]byte("G")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			began := time.Now()
			first, _ := metricsTestServe(theirs, metricsTestText)
			if took := time.Since(began); first != "HTTP/1.1 408 Request Timeout" || took != metricsRead {
				t.Errorf("after %v the answer is %q", took, first)
			}
			ours.Close()
			time.Sleep(2 * time.Second) // the client sees it
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		began := time.Now()
		err := metricsServe(strings.NewReader("GET /metrics HTTP/1.0\n\n"), theirs, metricsTestText, func(string) {})
		if took := time.Since(began); err != nil || took != metricsSend {
			t.Errorf("after %v it ends with %v", took, err)
		}
	})
}

// TestMetricsRead: text that is no text of Prometheus is an error, and nothing worse.
func TestMetricsRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"up", "up{", "up{a", "up{a=", `up{a="b`, `up{a="b"`, `up{a="b"}`, `up{a="b"} x`, "up x",
		`up{a="\q"} 1`, "up ", "{"} {
		if err := metricsEach(text, func(metricsSample) error { return nil }); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
