// proto_text.go: texts that would not arrive as they are sent. A JSON decoder makes U+FFFD of a byte that is no UTF-8
// and of half of a surrogate pair, without a word: two values that differ would be one. NUL is sound JSON, but no
// process can be given it. Such texts are refused before anything is made of them; a refusal names the field and the
// byte.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// protoText refuses a body of sound JSON when the decoder would change one of its texts, or one has a NUL in it.
func protoText(body []byte) error {
	if at, _ := protoTextFault(body); at < 0 {
		return nil
	}
	var path []string      // for each object or list that is open: the key that it is at, "" for a list
	var object, key []bool // whether it is an object, and whether what comes next in it is a key
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		begin := int(d.InputOffset())
		token, err := d.Token()
		if err != nil {
			return refuse(codeInvalid, "read request: %v", err)
		}
		top := len(path) - 1
		isKey := top >= 0 && key[top]
		if at, fault := protoTextFault(body[begin:d.InputOffset()]); at >= 0 {
			what := "field"
			if isKey {
				path, what = path[:top], "a name in field"
			}
			return refuse(codeInvalid, "%s %q %s, at byte %d of the request", what,
				textHead(strings.Join(path, "."), protoMaxName), fault, begin+at+1)
		}
		switch name, _ := token.(string); {
		case token == json.Delim('{'), token == json.Delim('['):
			begins := token == json.Delim('{')
			path, object, key = append(path, ""), append(object, begins), append(key, begins)
			continue
		case token == json.Delim('}'), token == json.Delim(']'):
			path, object, key = path[:top], object[:top], key[:top]
			top--
		case isKey:
			path[top], key[top] = name, false
			continue
		}
		if top >= 0 {
			key[top] = object[top] // behind a value
		}
	}
}

// protoPlain looks at a sound JSON object and says whether nothing can be wrong with its text: no key is there twice,
// and the decoder changes none. It is false where it would take a closer look to know: with other objects in it, with
// many keys, with anything but ASCII. Most requests are plain.
func protoPlain(body []byte) bool {
	var keys [12][]byte
	n := 0
	for i := 1; i < len(body); i++ {
		switch c := body[i]; {
		case c == '{', c == '[', c == '\\', c >= utf8.RuneSelf:
			return false
		case c != '"':
			continue
		}
		length := bytes.IndexAny(body[i+1:], "\"\\")
		text := body[i+1 : i+1+max(length, 0)]
		if i += 1 + length; length < 0 || body[i] != '"' || protoNotASCII(text) {
			return false
		}
		if next := bytes.TrimLeft(body[i+1:], " \t\r\n"); len(next) == 0 || next[0] != ':' {
			continue // a value
		}
		same := func(key []byte) bool { return bytes.EqualFold(key, text) }
		if n == len(keys) || slices.ContainsFunc(keys[:n], same) {
			return false
		}
		keys[n] = text
		n++
	}
	return true
}

// protoNotASCII says whether a text has other characters too.
func protoNotASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// protoTextFault looks through JSON for the first byte of a text that cannot be taken. It gives where that is, from 0,
// and what is wrong with it, to be read behind the name of the text; at is -1 when there is none.
func protoTextFault(text []byte) (at int, fault string) {
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				return i, fmt.Sprintf("is not UTF-8: it has 0x%02x", text[i])
			}
			i += size
			continue
		}
		switch r := protoEscape(text[i:]); {
		case r < 0:
			i += 2
		case r == 0:
			return i, "has a NUL in it"
		case !utf16.IsSurrogate(r):
			i += 6
		case utf16.DecodeRune(r, protoEscape(text[i+6:])) == utf8.RuneError:
			return i, fmt.Sprintf("has half of a character in it: %s", text[i:i+6])
		default:
			i += 12
		}
	}
	return -1, ""
}

// protoEscape gives the rune of an escape such as \u00e9 at the beginning of text; -1 when there is none.
func protoEscape(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// protoAsk makes a message of a request, of at most most bytes. All requests go out through it (TestLayersRequests), so
// that none leaves that would not arrive as it is. The error is a *protoError.
func protoAsk(req Request, id string, most int) ([]byte, error) {
	req.V, req.ID = protoVersion, id
	if err := protoTexts(&req); err != nil {
		return nil, err
	}
	body := protoEncode(req)
	if len(body) > most {
		return nil, refuse(codeInvalid,
			"the request has %d bytes and may have %d: give large data in a file, and its name as a parameter",
			len(body), most)
	}
	return body, nil
}

// protoTexts refuses a request with a text that is too long, or that would not arrive as it is: the encoder makes
// U+FFFD of what is no UTF-8.
func protoTexts(req *Request) error {
	if err := protoBounds(req); err != nil {
		return err
	}
	fields := reflect.ValueOf(req).Elem()
	for i := range fields.NumField() {
		field := fields.Type().Field(i)
		if field.Type.Kind() != reflect.String {
			continue
		}
		if err := textFault(fields.Field(i).String()); err != nil {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			e := refuse(codeInvalid, "%s %v", name, err)
			e.field, e.fault = name, err.Error()
			return e
		}
	}
	for _, arg := range req.Args {
		if err := textFault(arg); err != nil {
			return refuse(codeInvalid, "argument %q %v", textHead(arg, protoMaxName), err)
		}
	}
	for _, name := range sortedKeys(req.Params) {
		if err := textFault(name); err != nil {
			return refuse(codeInvalid, "the name of parameter %q %v", textHead(name, protoMaxName), err)
		}
		if err := textFault(req.Params[name]); err != nil {
			return refuse(codeInvalid, "parameter %s %v", textHead(name, protoMaxName), err)
		}
	}
	return nil
}
