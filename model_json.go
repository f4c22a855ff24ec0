// model_json.go: JSON of this program's types, as encoding/json writes and reads it. That package prepares for a type,
// and for all types that it leads to, when it first meets it: 0.6 ms for the messages, of which most processes need a
// small part. Here a struct is looked at when a value of it is there. What is rare is left to encoding/json, as are all
// errors.

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// jsonHow is how values of a type are written, or read.
type jsonHow uint8

const (
	jsonByOther jsonHow = iota // encoding/json does it
	jsonByOwn                  // the type has a method for it
	jsonByKind                 // as its kind says
)

// jsonField is a field of a struct.
type jsonField struct {
	name      string
	quoted    string // "name":
	index     []int  // the way to it; longer than one through embedded structs
	omitEmpty bool
	omitZero  bool
	zeroer    bool // its type says what is zero
	write     jsonHow
	read      jsonHow
}

// jsonPlan is what is known of a struct: its fields, in the order in which they are written. nil: encoding/json does
// it.
type jsonPlan struct{ fields []jsonField }

// jsonPlans has the plans by type. It only saves work.
var jsonPlans = sync.OnceValue(func() *sync.Map { return &sync.Map{} })

// jsonFieldsMost is how many fields a struct has at most that is written and read here; encoding/json does larger ones.
const jsonFieldsMost = 64

// jsonText writes v as JSON for the wire, the spool and for people: without the escapes for HTML, which make six bytes
// of one, and which nobody here needs.
func jsonText(v any) ([]byte, error) {
	if value := reflect.ValueOf(v); value.IsValid() {
		write, _ := jsonHows(value.Type())
		if b, ok := jsonAppend(make([]byte, 0, 256), value, write); ok {
			return b, nil
		}
	}
	return jsonTextOther(v)
}

// jsonTextOther is jsonText by encoding/json.
func jsonTextOther(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// jsonRead reads text into v, as json.Unmarshal does. v points to a value that is zero, but for structs that its
// pointers lead to.
func jsonRead(text []byte, v any) error {
	if jsonReadPlain(text, v) {
		return nil
	}
	return json.Unmarshal(text, v)
}

// jsonReadPlain reads text into v, as jsonRead does, if it is sound and simple: each key is that of a field, as it is
// written, and none is there twice. Else it leaves a zero value, and encoding/json is to say what is wrong.
func jsonReadPlain(text []byte, v any) bool {
	into := reflect.ValueOf(v).Elem()
	_, read := jsonHows(into.Type())
	r := jsonReader{rest: text}
	r.value(into, read)
	r.blanks()
	if r.bad || len(r.rest) > 0 {
		into.SetZero()
		return false
	}
	return true
}

// jsonHows says how values of a type are written and read.
func jsonHows(t reflect.Type) (write, read jsonHow) {
	write, read = jsonByKind, jsonByKind
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64, reflect.String, reflect.Struct,
		reflect.Pointer:
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 { // base64, or JSON as it is
			return jsonByOther, jsonByOther
		}
	case reflect.Map:
		if t.Key() != reflect.TypeFor[string]() {
			return jsonByOther, jsonByOther
		}
	default:
		return jsonByOther, jsonByOther
	}
	if t.PkgPath() == "" || t.Kind() == reflect.Pointer {
		return write, read
	}
	to := reflect.PointerTo(t)
	switch ours := t.PkgPath() == reflect.TypeFor[jsonPlan]().PkgPath(); {
	case ours && t.Implements(reflect.TypeFor[json.Marshaler]()): // ours write no blanks
		write = jsonByOwn
	case to.Implements(reflect.TypeFor[json.Marshaler]()), to.Implements(reflect.TypeFor[textMarshaler]()):
		write = jsonByOther
	}
	switch {
	case to.Implements(reflect.TypeFor[json.Unmarshaler]()):
		read = jsonByOwn
	case to.Implements(reflect.TypeFor[textUnmarshaler]()):
		read = jsonByOther
	}
	return write, read
}

// textMarshaler and textUnmarshaler are those of package encoding.
type (
	textMarshaler   interface{ MarshalText() ([]byte, error) }
	textUnmarshaler interface{ UnmarshalText([]byte) error }
	jsonZeroer      interface{ IsZero() bool }
)

// jsonPlanOf gives the plan of a struct, nil when encoding/json is to do it.
func jsonPlanOf(t reflect.Type) *jsonPlan {
	if known, ok := jsonPlans().Load(t); ok {
		return known.(*jsonPlan)
	}
	plan := &jsonPlan{}
	if !plan.add(t, nil) || len(plan.fields) > jsonFieldsMost {
		plan = nil
	}
	jsonPlans().Store(t, plan)
	return plan
}

// add adds the fields of a struct, and of those that are embedded in it. It is false for what is rare.
func (p *jsonPlan) add(t reflect.Type, way []int) bool {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("json")
		index := append(slices.Clone(way), i)
		if sf.Anonymous && tag == "" {
			inner := sf.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() != reflect.Struct || !p.add(inner, index) {
				return false
			}
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !sf.IsExported() || tag == "-" {
			continue
		}
		f := jsonField{name: orDefault(name, sf.Name), index: index, omitEmpty: options == "omitempty",
			omitZero: options == "omitzero"}
		rare := options != "" && !f.omitEmpty && !f.omitZero || f.omitZero && sf.Type.Kind() == reflect.Pointer
		if rare || strings.Trim(f.name, jsonNameBytes) != "" {
			return false
		}
		f.quoted = `"` + f.name + `":`
		f.zeroer = f.omitZero && sf.Type.Implements(reflect.TypeFor[jsonZeroer]())
		f.write, f.read = jsonHows(sf.Type)
		if same := slices.IndexFunc(p.fields, func(o jsonField) bool { return o.name == f.name }); same < 0 {
			p.fields = append(p.fields, f)
		} else if o := len(p.fields[same].index); o == len(index) {
			return false
		} else if o > len(index) { // the outer one counts
			p.fields = append(slices.Delete(p.fields, same, same+1), f)
		}
	}
	return true
}

// jsonNameBytes is what the names of fields are made of.
const jsonNameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// jsonAppend appends a value. It is false when encoding/json is to write all of it.
func jsonAppend(b []byte, v reflect.Value, how jsonHow) (out []byte, ok bool) {
	switch how {
	case jsonByOwn:
		own := v
		if v.CanAddr() {
			own = v.Addr() // so that it need not be copied
		}
		if s, ok := own.Interface().(*Stamp); ok {
			return s.appendJSON(b), true
		}
		text, err := own.Interface().(json.Marshaler).MarshalJSON()
		return append(b, text...), err == nil
	case jsonByOther:
		text, err := jsonTextOther(v.Interface())
		return append(b, text...), err == nil
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), true
	case reflect.String:
		return jsonAppendString(b, v.String()), true
	case reflect.Float64:
		f := v.Float()
		if size := math.Abs(f); size != 0 && !(size >= 1e-6 && size < 1e21) {
			return b, false
		}
		return strconv.AppendFloat(b, f, 'f', -1, 64), true
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), true
		}
		write, _ := jsonHows(v.Type().Elem())
		return jsonAppend(b, v.Elem(), write)
	case reflect.Slice:
		return jsonAppendSlice(b, v)
	case reflect.Map:
		return jsonAppendMap(b, v)
	case reflect.Struct:
		plan := jsonPlanOf(v.Type())
		if plan == nil {
			return b, false
		}
		return plan.append(b, v)
	}
	if v.CanInt() {
		return strconv.AppendInt(b, v.Int(), 10), true
	}
	return strconv.AppendUint(b, v.Uint(), 10), true
}

func jsonAppendSlice(b []byte, v reflect.Value) (out []byte, ok bool) {
	if v.IsNil() {
		return append(b, "null"...), true
	}
	write, _ := jsonHows(v.Type().Elem())
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		b, ok = jsonAppend(b, v.Index(i), write)
		if !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

// jsonAppendMap appends a map, sorted by key.
func jsonAppendMap(b []byte, v reflect.Value) (out []byte, ok bool) {
	if v.IsNil() {
		return append(b, "null"...), true
	}
	write, _ := jsonHows(v.Type().Elem())
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonAppendString(b, key.String()), ':')
		b, ok = jsonAppend(b, v.MapIndex(key), write)
		if !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// append appends a struct.
func (p *jsonPlan) append(b []byte, v reflect.Value) (out []byte, ok bool) {
	b = append(b, '{')
	from := len(b)
	for i := range p.fields {
		f := &p.fields[i]
		field, there := f.of(v)
		if !there || f.omitEmpty && jsonEmpty(field) || f.omitZero && f.zero(field) {
			continue
		}
		if len(b) > from {
			b = append(b, ',')
		}
		b, ok = jsonAppend(append(b, f.quoted...), field, f.write)
		if !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// of gives the field of a struct. It is not there when it is in an embedded struct that is nil.
func (f *jsonField) of(v reflect.Value) (field reflect.Value, there bool) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// zero says whether omitzero leaves a value out.
func (f *jsonField) zero(v reflect.Value) bool {
	switch {
	case !f.zeroer:
		return v.IsZero()
	case v.CanAddr():
		return v.Addr().Interface().(jsonZeroer).IsZero()
	}
	return v.Interface().(jsonZeroer).IsZero()
}

// jsonEmpty says whether omitempty leaves a value out.
func jsonEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// jsonPlainText gives how many bytes at the front of a text stand in JSON as they are.
func jsonPlainText(text string) (n int) {
	for n < len(text) {
		switch c := text[n]; {
		case c < ' ' || c == '"' || c == '\\':
			return n
		case c < utf8.RuneSelf:
			n++
		default:
			r, size := utf8.DecodeRuneInString(text[n:])
			if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
				return n
			}
			n += size
		}
	}
	return n
}

func jsonAppendString(b []byte, text string) []byte {
	if jsonPlainText(text) == len(text) {
		return append(append(append(b, '"'), text...), '"')
	}
	quoted, _ := jsonTextOther(text) // a text cannot fail
	return append(b, quoted...)
}

// jsonReader reads simple JSON. Once it is bad it reads no more.
type jsonReader struct {
	rest []byte
	bad  bool
}

// fail gives up.
func (r *jsonReader) fail() { r.bad, r.rest = true, nil }

// blanks passes over white space.
func (r *jsonReader) blanks() {
	for len(r.rest) > 0 && (r.rest[0] == ' ' || r.rest[0] == '\n' || r.rest[0] == '\t' || r.rest[0] == '\r') {
		r.rest = r.rest[1:]
	}
}

// has passes over a byte, with the white space before it, if it comes next.
func (r *jsonReader) has(c byte) bool {
	r.blanks()
	if len(r.rest) == 0 || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// hasWord does so for a word.
func (r *jsonReader) hasWord(word string) bool {
	r.blanks()
	if len(r.rest) < len(word) || string(r.rest[:len(word)]) != word {
		return false
	}
	r.rest = r.rest[len(word):]
	return true
}

// want passes over a byte that must come next.
func (r *jsonReader) want(c byte) {
	if !r.has(c) {
		r.fail()
	}
}

// text reads a string. The bytes that it gives are a part of what is read, if nothing in them is escaped.
func (r *jsonReader) text() []byte {
	raw := r.rawText()
	switch {
	case r.bad:
		return nil
	case bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw):
		return raw[1 : len(raw)-1]
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		r.fail()
	}
	return []byte(text)
}

// rawText reads a string as it is written, with its quotes.
func (r *jsonReader) rawText() []byte {
	r.blanks()
	for i := 1; i < len(r.rest) && r.rest[0] == '"'; i++ {
		switch c := r.rest[i]; {
		case c == '\\':
			i++
		case c == '"':
			raw := r.rest[:i+1]
			r.rest = r.rest[i+1:]
			return raw
		case c < ' ':
			r.fail()
			return nil
		}
	}
	r.fail()
	return nil
}

// number reads a number as it is written.
func (r *jsonReader) number() string {
	r.blanks()
	n := 0
	for n < len(r.rest) && strings.IndexByte("0123456789+-.eE", r.rest[n]) >= 0 {
		n++
	}
	number := r.rest[:n]
	if !json.Valid(number) {
		r.fail()
		return ""
	}
	r.rest = r.rest[n:]
	return string(number)
}

// raw reads a value of any kind as it is written.
func (r *jsonReader) raw() []byte {
	r.blanks()
	from := r.rest
	for depth := 0; !r.bad && len(r.rest) > 0; {
		switch r.rest[0] {
		case '"':
			r.rawText()
		case '{', '[':
			depth++
			r.rest = r.rest[1:]
		case '}', ']':
			depth--
			r.rest = r.rest[1:]
		default:
			n := bytes.IndexAny(r.rest, `"{}[],`+" \t\r\n")
			switch {
			case n < 0:
				n = len(r.rest)
			case n == 0: // a blank or a comma in a list or an object
				n = 1
			}
			r.rest = r.rest[n:]
		}
		if depth <= 0 {
			break
		}
	}
	raw := from[:len(from)-len(r.rest)]
	if r.bad || !json.Valid(raw) {
		r.fail()
		return nil
	}
	return raw
}

// value reads a value into a zero one, which can be set.
func (r *jsonReader) value(v reflect.Value, how jsonHow) {
	r.blanks()
	switch {
	case how == jsonByKind && len(r.rest) > 0 && r.rest[0] == 'n': // it leaves the value as it is
		if !r.hasWord("null") {
			r.fail()
		}
		return
	case how == jsonByOwn:
		raw := r.raw()
		if !r.bad && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw) != nil {
			r.fail()
		}
		return
	case how == jsonByOther:
		raw := r.raw()
		if !r.bad && json.Unmarshal(raw, v.Addr().Interface()) != nil {
			r.fail()
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		is := r.hasWord("true")
		if !is && !r.hasWord("false") {
			r.fail()
		}
		v.SetBool(is)
	case reflect.String:
		v.SetString(string(r.text()))
	case reflect.Float64:
		f, err := strconv.ParseFloat(r.number(), 64)
		if err != nil {
			r.fail()
		}
		v.SetFloat(f)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		_, read := jsonHows(v.Type().Elem())
		r.value(v.Elem(), read)
	case reflect.Slice:
		r.slice(v)
	case reflect.Map:
		r.mapping(v)
	case reflect.Struct:
		r.object(v)
	default:
		r.integer(v)
	}
}

// integer reads a whole number.
func (r *jsonReader) integer(v reflect.Value) {
	if v.CanInt() {
		n, err := strconv.ParseInt(r.number(), 10, v.Type().Bits())
		if err != nil {
			r.fail()
		}
		v.SetInt(n)
		return
	}
	n, err := strconv.ParseUint(r.number(), 10, v.Type().Bits())
	if err != nil {
		r.fail()
	}
	v.SetUint(n)
}

func (r *jsonReader) slice(v reflect.Value) {
	r.want('[')
	_, read := jsonHows(v.Type().Elem())
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	if r.has(']') {
		return
	}
	for i := 0; !r.bad; i++ {
		if i == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(i + 1)
		v.Index(i).SetZero()
		r.value(v.Index(i), read)
		if r.has(']') {
			return
		}
		r.want(',')
	}
}

func (r *jsonReader) mapping(v reflect.Value) {
	r.want('{')
	_, read := jsonHows(v.Type().Elem())
	v.Set(reflect.MakeMap(v.Type()))
	if r.has('}') {
		return
	}
	for !r.bad {
		key := string(r.text())
		r.want(':')
		value := reflect.New(v.Type().Elem()).Elem()
		r.value(value, read)
		if !r.bad {
			v.SetMapIndex(reflect.ValueOf(key), value)
		}
		if r.has('}') {
			return
		}
		r.want(',')
	}
}

// object reads a struct. A key that is there twice is bad: encoding/json would put two values into one.
func (r *jsonReader) object(v reflect.Value) {
	plan := jsonPlanOf(v.Type())
	if plan == nil {
		r.fail()
		return
	}
	r.want('{')
	if r.has('}') {
		return
	}
	seen, next := uint64(0), 0
	for !r.bad {
		key := r.text()
		i := plan.find(key, next)
		if i < 0 || seen>>i&1 != 0 {
			r.fail()
			return
		}
		seen, next = seen|1<<i, i+1
		r.want(':')
		f := &plan.fields[i]
		r.value(f.into(v), f.read)
		if r.has('}') {
			return
		}
		r.want(',')
	}
}

// find gives the place of a field, and looks at the place next first. -1: there is none of that name.
func (p *jsonPlan) find(name []byte, next int) int {
	for k := range p.fields {
		i := (next + k) % len(p.fields)
		if p.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

// into gives the field of a struct, and makes the embedded structs on the way to it.
func (f *jsonField) into(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
