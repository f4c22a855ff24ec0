package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHTTPConfig(t *testing.T) {
	values := map[string]string{"params.a": "x\"y\\z\n\t€", "params.url": "http://h/p?q=[1-3]",
		"params.file": "file:///etc",
		"params.two":  "a\r\nX: y", "params.long": strings.Repeat("\n", 60<<10), "params.none": ""}
	lookup := func(ref string) (string, bool) { v, ok := values[ref]; return v, ok }
	for _, c := range []struct {
		http      HTTP
		want, not string
	}{
		{HTTP{URL: "${params.url}"}, "url = \"http://h/p?q=[1-3]\"\n", "data-raw"},
		{HTTP{URL: "http://h"}, "request = \"GET\"\n", "Content-Type"},
		{HTTP{URL: "http://h"}, "globoff\nno-buffer\nproto = \"=http,https\"\nmax-filesize = \"1048576\"\ndump-header = \"/o " +
			"ut\"\n", ""},
		{HTTP{URL: "http://h", Method: "HEAD"}, "head\n", "request"},
		{HTTP{URL: "http://h", Body: "${params.a}"}, `data-raw = "x\"y\\z\n\t€"`, "GET"},
		{HTTP{URL: "http://h", Body: "@/etc/passwd"}, "header = \"Content-Type: text/plain; charset=utf-8\"\n" +
			"data-raw = \"@/etc/passwd\"\n", ""},
		{HTTP{URL: "http://h", Body: "{}"}, "request = \"POST\"\nheader = \"Content-Type: application/json\"\n", ""},
		{HTTP{URL: "http://h", Body: "{}", Method: "PUT", Headers: map[string]string{"content-type": "a/b", "E": ""}},
			"request = \"PUT\"\nheader = \"E;\"\nheader = \"content-type: a/b\"\n", "application/json"},
		{HTTP{URL: "http://h", Headers: map[string]string{"A": "${params.a}"}},
			"!http: header A has a line break in it", ""},
		{HTTP{URL: "http://h", Headers: map[string]string{"A": "${params.two}"}},
			"!http: header A has a line break in it",
			""},
		{HTTP{URL: "${params.file}"}, "!http: url must begin with http:// or https://", "etc"},
		{HTTP{URL: "${params.none}"}, "!http: url must begin with http:// or https://", ""},
		{HTTP{URL: "http://h/${params.two}"}, "!http: url has a blank or a line break in it: write a blank as %20",
			"X: y"},
		{HTTP{URL: "http://h", Body: "${params.long}"},
			"!http: body is longer than 96 KiB with its ${…} replaced: send a file, with run: curl", ""},
	} {
		got, err := httpConfig(&c.http, "/o ut", lookup)
		if err != nil {
			got = "!" + err.Error()
		}
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%+v: %.300s\nwant %s and no %q", c.http, got, c.want, c.not)
		}
	}
}

func TestHTTPAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "head")
	for _, c := range []struct {
		head   string
		expect []string
		want   string
	}{
		{"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", nil, "200"},
		{"HTTP/2 204 \r\n\r\n", nil, "204"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\n", nil, "201"},
		{"HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 503\r\n\r\n", nil, "status 503, want 2xx"},
		{"HTTP/1.1 404 Not Found\r\n\r\n", []string{"2xx", "404"}, "404"},
		{"HTTP/1.1 301 Moved\r\n\r\n", []string{"200", "404"}, "status 301, want 200 or 404"},
		{"HTTP/1.1 200 OK\r\n\r\n", []string{"4xx"}, "status 200, want 4xx"},
		{"", nil, "the answer has no status"},
		{"HTTP/1.1 abc\r\nX: HTTP/1.1 200\r\n", nil, "the answer has no status"},
		{"HTTP/1.1 99999999999999999999\r\n", nil, "the answer has no status"},
	} {
		if err := os.WriteFile(file, []byte(c.head), 0o600); err != nil {
			t.Fatal(err)
		}
		outputs, err := httpAnswer(&HTTP{Expect: c.expect}, file)
		got := outputs["status"]
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.head, got, c.want)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%q: the file is still there", c.head)
		}
	}
	if _, err := httpAnswer(&HTTP{}, file); err == nil || !strings.HasPrefix(err.Error(),
		"read the head of the answer: ") {
		t.Errorf("without a file: %v", err)
	}
}
