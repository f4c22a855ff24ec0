// workflow_http.go: a task that is a request by http.

package main

import (
	"slices"
	"strings"
)

const (
	httpMaxBody    = 64 << 10 // bytes; more are a fault
	httpMaxHeaders = 100      // of a request; more are a fault
)

// workflowHTTPKeys are the keys of http.
var workflowHTTPKeys = []workflowKey[*workflowTask]{
	{
		name: "method", kind: "GET | HEAD | POST | PUT | PATCH | DELETE | OPTIONS",
		unset:   "`POST` with a body, else `GET`",
		does:    "What is asked for.",
		example: "method: POST",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			r.word(p, &t.HTTP.Method, httpMethods...)
		},
	},
	{
		name: "url", kind: "text", unset: "required",
		does:    "An address that begins with `http://` or `https://`; `${…}` is replaced.",
		example: "url: https://hooks.example/x",
		read:    workflowHTTPURL,
	},
	{
		name: "headers", kind: "env",
		does:    "Lines of the head; `${…}` is replaced in their values.",
		example: "headers: {Authorization: \"Bearer ${env.TOKEN}\"}",
		read:    workflowHTTPHeaders,
	},
	{
		name: "body", kind: "text", unset: "none",
		does: "What is sent, up to 64 KiB; `${…}` is replaced. Without a header `Content-Type` it goes as JSON if " +
			"it is " +
			"that, else as text.",
		example: "body: '{\"text\": \"done\"}'",
		read: func(r *workflowReader, t *workflowTask, p workflowPair) {
			t.HTTP.Body = r.expanded(p, "text", &t.texts)
			if len(t.HTTP.Body) > httpMaxBody {
				r.errorf(p.value, "body: %d bytes are more than %d: send a file, with run: curl", len(t.HTTP.Body),
					httpMaxBody)
			}
		},
	},
	{
		name: "expect", kind: "statuses", unset: "`2xx`",
		does:    "The status, or the kind of status, with which the task has succeeded.",
		example: "expect: [200, 404]",
		read:    workflowHTTPExpect,
	},
}

// workflowHTTP reads the request of a task.
func workflowHTTP(r *workflowReader, t *workflowTask, p workflowPair) {
	t.HTTP = &HTTP{}
	pairs, ok := r.table(p, "a map such as {url: https://example.org}")
	r.within("http", func() { workflowFill(r, t, pairs, workflowHTTPKeys, nil) })
	r.required(ok, p, pairs, "url")
}

// workflowHTTPURL reads an address. Of one that begins with a reference only the run knows whether it is one.
func workflowHTTPURL(r *workflowReader, t *workflowTask, p workflowPair) {
	r.filled(p, "an address such as https://example.org")
	t.HTTP.URL = r.expanded(p, "an address such as https://example.org", &t.texts)
	if text := t.HTTP.URL; strings.TrimSpace(text) != "" && !strings.HasPrefix(text, "${") {
		if err := httpURLFault(text); err != nil {
			r.errorf(p.value, "url %v, as https://example.org/x", err)
		}
	}
}

// workflowHTTPHeaders reads lines of the head of a request. One without a value counts as not written.
func workflowHTTPHeaders(r *workflowReader, t *workflowTask, p workflowPair) {
	pairs, _ := r.table(p, "a map such as {Accept: text/plain}")
	if len(pairs) > httpMaxHeaders {
		r.errorf(p.value, "headers: there are %d, more than %d", len(pairs), httpMaxHeaders)
		return
	}
	for _, v := range pairs {
		switch {
		case v.key == "" || strings.Trim(v.key, workflowInName+"-.") != "":
			r.errorf(v.at, "headers: %s cannot name a header: want letters, digits, - and _", workflowQuote(v.key))
		case !workflowNull(v.value):
			text := r.expanded(workflowPair{"headers: " + v.key, v.at, v.value}, "text", &t.texts)
			if httpBroken(text) {
				r.errorf(v.value, "headers: %s has a line break in it", v.key)
			}
			if t.HTTP.Headers == nil {
				t.HTTP.Headers = make(map[string]string, len(pairs))
			}
			t.HTTP.Headers[v.key] = text
		}
	}
}

// workflowHTTPExpect reads what the status of the answer may be: one or a list of 204 and 2xx and their like.
func workflowHTTPExpect(r *workflowReader, t *workflowTask, p workflowPair) {
	const want = "a status such as 204, or a kind of status such as 2xx, or a list of them"
	items, good := r.texts(p, want, true)
	for _, item := range items {
		text := strings.ToLower(item.text)
		known := len(text) == 3 && text[0] >= '1' && text[0] <= '5' &&
			(text[1:] == "xx" || strings.Trim(text[1:], "0123456789") == "")
		switch {
		case !good: // texts has said what is wrong
		case !known:
			r.errorf(item.at, "expect: want %s, not %s", want, workflowQuote(item.text))
		case !slices.Contains(t.HTTP.Expect, text):
			t.HTTP.Expect = append(t.HTTP.Expect, text)
		}
	}
	if good && len(items) == 0 {
		r.errorf(p.value, "expect: the list is empty: want %s", want)
	}
}

// httpAlone refuses what does nothing in a task that is a request.
func (t *workflowTask) httpAlone(r *workflowReader) {
	if t.HTTP == nil {
		return
	}
	for _, key := range []string{"success_exit", "retry_exit", "stdin", "umask", "working_directory"} {
		if p, has := t.keys[key]; has {
			r.errorf(p.at, "%s does not go with http: expect says which answers are a success, and body is what is "+
				"sent", key)
		}
	}
}
