// The table of every bound and period, docs/limits.md, against the program. A test that uses a constant by its name
// passes whatever its value is; here each value stands as a literal, so that a changed one is seen, and has to be
// meant. With
// -update the table is written anew.

package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/constant"
	"go/token"
	"go/types"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const limitsFile = "docs/limits.md"

// limitsHead is what stands above the tables.
const limitsHead = `# Limits

Which bounds and periods are there, and what happens at each? They stand by the room of the source that keeps them; the
table in [doc.go](../doc.go) has the rooms. Sizes are in bytes unless the row says something else. A test holds this
page to the program. The first table has what a user can set; [Settings](command-line.md#settings) says how.
`

// limitsDrawing are the rooms whose numbers are columns and rows of a picture, or fields of a format: no bounds.
var limitsDrawing = []string{"view"}

// limitsFormats are numbers of the other rooms that name something instead of bounding it: bits, codes and lengths that
// a format prescribes.
var limitsFormats = []string{"exit*", "style*", "storeLine*Head", "storeLineBody", "storeSchema", "protoVersion",
	"wireFlag*", "wireName*", "wireGreetingLen",
	"procFionread", "procKernelFlag", "spoolHeaderSize", "termKey*", "watchMask", "watchNames",
	"watchBirth", "cronDaySeconds", "spoolLeap", "logLevelRuns", "procExitBirth", "procSignal*", "curve*",
	"table*"}

// limitsStub gives an empty package for every import but time, whose units periods are made of.
type limitsStub struct{ layersStub }

func (s limitsStub) Import(name string) (*types.Package, error) {
	p, err := s.layersStub.Import(name)
	if name != "time" {
		return p, err
	}
	duration := types.NewTypeName(token.NoPos, p, "Duration", nil)
	named := types.NewNamed(duration, types.Typ[types.Int64], nil)
	p.Scope().Insert(duration)
	for unit, d := range map[string]time.Duration{"Nanosecond": 1, "Microsecond": time.Microsecond,
		"Millisecond": time.Millisecond,
		"Second":      time.Second, "Minute": time.Minute, "Hour": time.Hour} {
		p.Scope().Insert(types.NewConst(token.NoPos, p, unit, named, constant.MakeInt64(int64(d))))
	}
	return p, err
}

// limitsRow is a line of a table.
type limitsRow struct{ name, value, what string }

// limitsCell makes text fit for a cell.
func limitsCell(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "|", "\\|")
}

// limitsConstants gives the numbers of every room, in the order of doc.go and of the source.
func limitsConstants(t *testing.T) (rooms []layersRoom, rows map[string][]limitsRow) {
	t.Helper()
	src := layersParse(t)
	rooms = layersTable(t, src)
	linux := build.Default
	linux.GOOS, linux.GOARCH, linux.CgoEnabled = "linux", "amd64", false
	var files []*ast.File
	var names []string
	for _, name := range sortedKeys(src.files) {
		if ok, err := linux.MatchFile(".", name); err != nil {
			t.Fatal(err)
		} else if ok && name != "doc.go" {
			files, names = append(files, src.files[name]), append(names, name)
		}
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: limitsStub{}, Error: func(error) {}}
	pkg, _ := conf.Check("main", src.fset, files, info)
	rows = map[string][]limitsRow{}
	for i, f := range files {
		room := layersRoomOf(t, rooms, names[i])
		if slices.Contains(limitsDrawing, room.name) {
			continue
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if len(v.Names) == 1 && len(v.Values) == 1 {
					if row, ok := limitsRowOf(t, info.Defs[v.Names[0]].(*types.Const), pkg, g, v); ok {
						rows[room.name] = append(rows[room.name], row)
					}
				}
			}
		}
	}
	return rooms, rows
}

// limitsRowOf makes the row of a constant, if it is a bound or a period.
func limitsRowOf(t *testing.T, c *types.Const, pkg *types.Package, g *ast.GenDecl, v *ast.ValueSpec) (limitsRow, bool) {
	t.Helper()
	if slices.ContainsFunc(limitsFormats, func(pattern string) bool {
		ok,
			_ := path.Match(pattern, c.Name())
		return ok
	}) {
		return limitsRow{}, false
	}
	named, _ := types.Unalias(c.Type()).(*types.Named)
	period := named != nil && strings.HasSuffix(named.Obj().Name(), "Duration")
	letter := types.Identical(c.Type(), types.Typ[types.UntypedRune])
	if named != nil && !period || letter || c.Val().Kind() == constant.String || limitsIota(v.Values[0]) {
		return limitsRow{}, false // an enumeration, or no number
	}
	comment := v.Comment.Text()
	if comment == "" {
		comment = v.Doc.Text()
	}
	if comment == "" && len(g.Specs) == 1 {
		comment = g.Doc.Text()
	}
	n, exact := constant.Int64Val(constant.ToInt(c.Val()))
	if !exact {
		t.Errorf("%s: its value is not known here; is it an expression over another package?", c.Name())
		return limitsRow{}, false
	}
	if comment == "" {
		t.Errorf("%s has no comment: what does it bound, and what happens at it?", c.Name())
	}
	value := fmt.Sprint(n)
	if period {
		value = Duration(n).String()
	}
	return limitsRow{c.Name(), value, strings.Join(strings.Fields(comment), " ")}, true
}

// limitsIota says whether an expression counts.
func limitsIota(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == "iota"
		return true
	})
	return found
}

// limitsSettings gives the settings whose default is the same on every machine.
func limitsSettings(t *testing.T) (rows []limitsRow) {
	t.Helper()
	c, err := configLoad(t.Context(), nil, os.DevNull, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range configKeys {
		switch v := c.values[key.name]; {
		case slices.Contains([]string{"state", "socket", "workflows", "name", "capacity", "timezone", "principal"},
			key.name):
			// as the machine is
		case v.Value != "":
			rows = append(rows, limitsRow{key.name, v.Value, key.help})
		}
	}
	return rows
}

// limitsConnections gives the defaults of wireOptions, with the words that stand beside its fields up to the default.
func limitsConnections(t *testing.T) (rows []limitsRow) {
	t.Helper()
	what := map[string]string{}
	for _, f := range layersParse(t).files {
		ast.Inspect(f, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && len(field.Names) == 1 && field.Comment != nil {
				text, _, _ := strings.Cut(strings.TrimSpace(field.Comment.Text()), ";")
				what[field.Names[0].Name] = text
			}
			return true
		})
	}
	var add func(v reflect.Value)
	add = func(v reflect.Value) {
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch f := v.Field(i); {
			case v.Type().Field(i).Anonymous:
				add(f)
			case f.Type() == reflect.TypeFor[time.Duration]() && f.Int() > 0:
				rows = append(rows, limitsRow{name, Duration(f.Int()).String(), what[name]})
			case f.CanInt() && f.Int() > 0, f.CanUint() && f.Uint() > 0:
				rows = append(rows, limitsRow{name, fmt.Sprint(f.Interface()), what[name]})
			}
		}
	}
	add(reflect.ValueOf(wireOptions{}.withDefaults()))
	return rows
}

// TestLimits compares docs/limits.md with the program.
func TestLimits(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(limitsHead)
	table := func(title string, rows []limitsRow) {
		if len(rows) == 0 {
			return
		}
		fmt.Fprintf(&text, "\n## %s\n\n| Name | Value | What |\n|---|---|---|\n", title)
		for _, r := range rows {
			fmt.Fprintf(&text, "| `%s` | %s | %s |\n", r.name, r.value, limitsCell(r.what))
		}
	}
	table("Settings", limitsSettings(t))
	rooms, rows := limitsConstants(t)
	rows["wire"] = append(limitsConnections(t), rows["wire"]...)
	for _, room := range rooms {
		table(room.name, rows[room.name])
	}
	if *protocolUpdate {
		if err := os.WriteFile(limitsFile, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if had := docsRead(t, limitsFile); had != text.String() {
		t.Errorf("%s is not what the program does. If a bound is meant to be another one: go test -run TestLimits "+
			"-update . First difference: %s", limitsFile, limitsDifference(had, text.String()))
	}
}

// limitsDifference gives the first line in which two texts differ.
func limitsDifference(had, want string) string {
	a, b := strings.Split(had, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is\n  %s\nand should be\n  %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, and should be %d", len(a), len(b))
}
