// The shape of the package, held by a test: which room may use which (the table is in doc.go), how long a file and a
// function may be, that no package variable changes, and that what others use is documented. It needs nothing but
// go/parser and go/types: imports are stubs, so that only names of this package are resolved.

package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	layersFileLines = 800
	layersFuncLines = 80
	layersColumns   = 120 // with four for a tab; of tests too, but for their data
	layersMethods   = 60  // of one type
)

// layersLong names the functions that may be longer: tables of what to call, that would not be clearer in pieces.
var layersLong = []string{}

// layersMany names the types that may have more methods, and how many.
var layersMany = map[string]int{"agent": 92, "tui": 99}

// layersRoom is a line of the table of rooms.
type layersRoom struct {
	name string
	uses []string // rooms
}

// layersStub gives an empty package for every import.
type layersStub struct{}

func (layersStub) Import(name string) (*types.Package, error) {
	p := types.NewPackage(name, path.Base(name))
	p.MarkComplete()
	return p, nil
}

// layersSource is the package's own files without its tests, parsed.
type layersSource struct {
	fset  *token.FileSet
	files map[string]*ast.File
}

// layersTexts gives the text of each of these files, by its name.
func layersTexts(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

func layersParse(t *testing.T) layersSource {
	t.Helper()
	src := layersSource{token.NewFileSet(), map[string]*ast.File{}}
	texts := layersTexts(t)
	for _, name := range sortedKeys(texts) {
		file, err := parser.ParseFile(src.fset, name, texts[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		src.files[name] = file
	}
	return src
}

// layersCheck resolves the names of the files that are built for Linux.
func (src layersSource) layersCheck(t *testing.T) (*types.Package, *types.Info) {
	t.Helper()
	linux := build.Default
	linux.GOOS, linux.GOARCH, linux.CgoEnabled = "linux", "amd64", false
	var files []*ast.File
	for _, name := range sortedKeys(src.files) {
		if ok, err := linux.MatchFile(".", name); err != nil {
			t.Fatal(err)
		} else if ok {
			files = append(files, src.files[name])
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
		Types: map[ast.Expr]types.TypeAndValue{}}
	// the stubs are empty: errors are to be expected
	conf := types.Config{Importer: layersStub{}, Error: func(error) {}}
	pkg, _ := conf.Check("main", src.fset, files, info)
	return pkg, info
}

func (src layersSource) file(at token.Pos) string { return src.fset.Position(at).Filename }

// layersTable reads the table of rooms out of the package comment, and checks it: no room uses one above it.
func layersTable(t *testing.T, src layersSource) []layersRoom {
	t.Helper()
	var rooms []layersRoom
	columns := regexp.MustCompile(`\s{2,}`)
	in := false
	for line := range strings.Lines(src.files["doc.go"].Doc.Text()) {
		cells := columns.Split(strings.TrimSpace(line), -1)
		switch {
		case cells[0] == "room" && len(cells) == 3:
			in = true
		case in && !strings.HasPrefix(line, "\t"):
			in = false
		case in && len(cells) == 1 && len(rooms) > 0: // goes on with the line above
			last := &rooms[len(rooms)-1]
			last.uses = append(last.uses, strings.Fields(cells[0])...)
		case in && len(cells) != 3:
			t.Errorf("doc.go: a line of the table of rooms has three columns, two blanks between them: %q", line)
		case in && cells[2] == "-":
			rooms = append(rooms, layersRoom{name: cells[0]})
		case in:
			rooms = append(rooms, layersRoom{name: cells[0], uses: strings.Fields(cells[2])})
		}
	}
	if len(rooms) < 2 {
		t.Fatal("the package comment in doc.go has no table of rooms")
	}
	for i, r := range rooms {
		for _, use := range r.uses {
			if !slices.ContainsFunc(rooms[i+1:], func(below layersRoom) bool { return below.name == use }) {
				t.Errorf("doc.go: room %s uses %s, which is no room below it: use goes down", r.name, use)
			}
		}
		if !slices.IsSorted(r.uses) {
			t.Errorf("doc.go: room %s: sort what it may use", r.name)
		}
		if src.files[r.name+".go"] == nil {
			t.Errorf("doc.go: room %s has no head: write %s.go", r.name, r.name)
		}
	}
	return rooms
}

// layersRoomOf finds the room of a file, which is its first word.
func layersRoomOf(t *testing.T, rooms []layersRoom, file string) layersRoom {
	t.Helper()
	word, _, _ := strings.Cut(strings.TrimSuffix(file, ".go"), "_")
	for _, r := range rooms {
		if r.name == word {
			return r
		}
	}
	t.Errorf("%s: its first word is no room of the table in doc.go", file)
	return layersRoom{name: file}
}

// TestLayers holds the house to its rules, each in a test of its own: go test -run TestLayers/columns.
func TestLayers(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name string
		hold func(*testing.T)
	}{
		{"rooms", layersRooms},
		{"lengths", layersBudgets},
		{"columns", layersLines},
		{"variables", layersVariables},
		{"package comment", layersPackage},
	} {
		t.Run(rule.name, rule.hold)
	}
}

// layersRooms holds use between rooms to the table, in both directions: what the table lacks, and what it has in
// excess.
func layersRooms(t *testing.T) {
	t.Parallel()
	src := layersParse(t)
	rooms := layersTable(t, src)
	roomOf := map[string]layersRoom{}
	for _, name := range sortedKeys(src.files) {
		if name != "doc.go" {
			roomOf[name] = layersRoomOf(t, rooms, name)
		}
	}
	pkg, info := src.layersCheck(t)
	used := map[string]bool{}
	faults := map[string]bool{}
	for id, obj := range info.Uses {
		if !layersOwn(pkg, obj) {
			continue
		}
		from, to := roomOf[src.file(id.Pos())], roomOf[src.file(obj.Pos())]
		used[from.name+" "+to.name] = true
		if from.name != to.name && !slices.Contains(from.uses, to.name) {
			faults[fmt.Sprintf("%s: room %s uses %s of room %s (%s), which the table in doc.go lacks",
				src.fset.Position(id.Pos()), from.name, obj.Name(), to.name, src.file(obj.Pos()))] = true
		}
	}
	for _, fault := range sortedKeys(faults) {
		t.Error(fault)
	}
	for _, r := range rooms {
		for _, use := range r.uses {
			if !used[r.name+" "+use] {
				t.Errorf("doc.go: room %s may use %s, and does not: take it out", r.name, use)
			}
		}
	}
	if used["agent principal"] || used["principal agent"] {
		t.Error("principal and agent meet through proto and wire alone")
	}
}

// layersOwn says whether obj is a package-level name or a method of this package.
func layersOwn(pkg *types.Package, obj types.Object) bool {
	if obj.Pkg() != pkg {
		return false
	}
	if f, ok := obj.(*types.Func); ok && f.Signature().Recv() != nil {
		return true
	}
	return obj.Parent() == pkg.Scope()
}

// layersBudgets holds files and functions to a length that can be read, and types to so many methods.
func layersBudgets(t *testing.T) {
	t.Parallel()
	src := layersParse(t)
	methods := map[string]int{}
	for _, name := range sortedKeys(src.files) {
		if n := src.fset.File(src.files[name].Pos()).LineCount(); n > layersFileLines {
			t.Errorf("%s has %d lines, more than %d: split it by owner or format", name, n, layersFileLines)
		}
		for _, d := range src.files[name].Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv != nil {
				of, _, _ := strings.Cut(layersFuncName(f), ".")
				methods[of]++
			}
			first, last := src.fset.Position(f.Pos()).Line, src.fset.Position(f.End()).Line
			if n := last - first + 1; n > layersFuncLines && !slices.Contains(layersLong, layersFuncName(f)) {
				t.Errorf("%s:%d: %s has %d lines, more than %d", name, first, layersFuncName(f), n, layersFuncLines)
			} else if n <= layersFuncLines && slices.Contains(layersLong, layersFuncName(f)) {
				t.Errorf("%s:%d: %s needs no exception any more", name, first, layersFuncName(f))
			}
		}
	}
	for _, of := range sortedKeys(methods) {
		n, excepted := methods[of], layersMany[of] > 0
		most := max(layersMethods, layersMany[of])
		switch {
		case n > most:
			t.Errorf("type %s has %d methods, more than %d: make a type with a noun of its own of some", of, n, most)
		case n <= layersMethods && excepted:
			t.Errorf("type %s needs no exception any more", of)
		}
	}
}

// layersLines holds each line of the program and of its tests to a width that is read without turning one's head.
func layersLines(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"*.go", "*/*.go", "*/*/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(names), err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data := map[int]bool{}
			if strings.HasSuffix(name, "_test.go") {
				data = layersData(string(text))
			}
			n := 0
			for line := range strings.Lines(string(text)) {
				n++
				if data[n] {
					continue
				}
				line = strings.TrimSuffix(strings.ReplaceAll(line, "\t", "    "), "\n")
				if columns := utf8.RuneCountInString(line); columns > layersColumns {
					t.Errorf("%s:%d: %d columns, more than %d: break the line", name, n, columns, layersColumns)
				}
			}
		}
	}
}

// layersData gives the lines of a test on which a long literal stands, or one between backquotes.
func layersData(text string) map[int]bool {
	lines := map[int]bool{}
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), nil, 0)
	for {
		at, tok, literal := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.STRING && (literal[0] == '`' || len(literal) > layersColumns/2) {
			first := file.Line(at)
			for n := range strings.Count(literal, "\n") + 1 {
				lines[first+n] = true
			}
		}
	}
}

// layersFuncName writes "name", or "Type.name" for a method.
func layersFuncName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	typ := f.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

// layersVariables allows package variables of the kinds that never change, and finds whatever writes to one.
func layersVariables(t *testing.T) {
	t.Parallel()
	src := layersParse(t)
	pkg, info := src.layersCheck(t)
	for _, name := range sortedKeys(src.files) {
		if name == "main.go" {
			continue
		}
		for _, d := range src.files[name].Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || layersBuilt(g) {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, id := range v.Names {
					if id.Name != "_" && (len(v.Values) <= i || !layersConstant(v.Values[i])) {
						t.Errorf("%s: package variable %s is not an error, a table or a compiled table: give it an "+
							"owner", src.fset.Position(id.Pos()), id.Name)
					}
				}
			}
		}
	}
	for _, name := range sortedKeys(src.files) {
		ast.Inspect(src.files[name], func(n ast.Node) bool {
			for _, target := range layersWrites(n) {
				if id := layersRoot(target); id != nil {
					if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == pkg.Scope() {
						t.Errorf("%s: package variable %s is written to", src.fset.Position(id.Pos()), id.Name)
					}
				}
			}
			return true
		})
	}
}

// layersBuilt says whether the build gives a variable its value: by go:embed, or by -X of the linker.
func layersBuilt(g *ast.GenDecl) bool {
	return g.Doc != nil && slices.ContainsFunc(g.Doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ") || strings.Contains(c.Text, "-X main.")
	})
}

// layersConstant says whether the value of a package variable is of a kind that is made once and read ever after.
func layersConstant(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.CompositeLit: // a table
		return true
	case *ast.UnaryExpr:
		return x.Op == token.AND && layersConstant(x.X)
	case *ast.CallExpr:
		return slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile", "crc32.MakeTable",
			"strings.NewReplacer", "append", "slices.Concat", "sync.OnceValue", "sync.OnceValues"},
			types.ExprString(x.Fun))
	}
	return false
}

// layersWrites gives the expressions that a node writes to, or variables whose address it takes.
func layersWrites(n ast.Node) []ast.Expr {
	switch x := n.(type) {
	case *ast.AssignStmt:
		if x.Tok != token.DEFINE {
			return x.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{x.X}
	case *ast.RangeStmt:
		if x.Tok == token.ASSIGN {
			return []ast.Expr{x.Key, x.Value}
		}
	case *ast.UnaryExpr:
		if id, ok := x.X.(*ast.Ident); ok && x.Op == token.AND { // of an entry of a table it is for reading
			return []ast.Expr{id}
		}
	case *ast.CallExpr:
		if id, ok := x.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") &&
			len(x.Args) > 0 {
			return x.Args[:1]
		}
	}
	return nil
}

// layersRoot finds the variable at the left end of a.b[c].
func layersRoot(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// TestLayersWalks follows the walks through the source in docs/architecture.md: each names functions that are there,
// has at most 14 hops, and goes up the table of rooms only where something is sent.
func TestLayersWalks(t *testing.T) {
	t.Parallel()
	const hops = 14
	src := layersParse(t)
	rooms := layersTable(t, src)
	defined := map[string]bool{}
	for name, f := range src.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				defined[name+": "+layersFuncName(fn)] = true
			}
		}
	}
	row := regexp.MustCompile(`^\| [a-z]+ \| ?(sent|called|) ?\| .([a-z_]+\.go): ([A-Za-z.]+). \| .+ \|$`)
	walks, n, above := 0, 0, 0
	for line := range strings.Lines(docsRead(t, "docs/architecture.md")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "| In | How |") {
			walks, n, above = walks+1, 0, 0
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			if strings.Contains(line, ".go: ") {
				t.Errorf("docs/architecture.md: this is no row of a walk: %q", line)
			}
			continue
		}
		room := layersRoomOf(t, rooms, m[2])
		at := slices.IndexFunc(rooms, func(r layersRoom) bool { return r.name == room.name })
		n++
		switch {
		case !defined[m[2]+": "+m[3]]:
			t.Errorf("docs/architecture.md: %s has no function %s", m[2], m[3])
		case n > hops:
			t.Errorf("docs/architecture.md: %s: a walk has at most %d hops", m[3], hops)
		case m[1] == "called" && at < above:
			t.Errorf("docs/architecture.md: %s: a call goes down the table of rooms, not up to %s", m[3], room.name)
		}
		above = at
	}
	if walks != 2 {
		t.Errorf("docs/architecture.md has %d walks, want 2", walks)
	}
}

// TestLayersDocs wants a comment at the top of each file, on each type, and on each function that another file uses.
func TestLayersDocs(t *testing.T) {
	t.Parallel()
	src := layersParse(t)
	pkg, info := src.layersCheck(t)
	abroad := map[string]bool{} // file:line of definitions that another file uses
	for id, obj := range info.Uses {
		if layersOwn(pkg, obj) && src.file(id.Pos()) != src.file(obj.Pos()) {
			abroad[src.fset.Position(obj.Pos()).String()] = true
		}
	}
	for _, name := range sortedKeys(src.files) {
		f := src.files[name]
		if !slices.ContainsFunc(f.Comments, func(c *ast.CommentGroup) bool {
			return c.Pos() < f.Package &&
				layersProse(c)
		}) {
			t.Errorf("%s does not say at its top what it is for", name)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if at := src.fset.Position(d.Name.Pos()); d.Doc == nil && abroad[at.String()] && !layersPlain(d) {
					t.Errorf("%s: %s is used from another file and has no comment", at, layersFuncName(d))
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						t.Errorf("%s: type %s has no comment", src.fset.Position(s.Pos()), s.Name.Name)
					}
				}
			}
		}
	}
}

// layersPackage keeps the package comment to doc.go: go doc shows one that any other file has in front of it.
func layersPackage(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if has, may := f.Doc != nil, name == "doc.go"; has != may {
			t.Errorf("%s: a package comment: %v, want %v (a blank line parts a file's own comment from package)", name,
				has, may)
		}
	}
}

// TestLayersRequests lets requests out through protoAsk alone: what would not arrive as it is is refused there.
func TestLayersRequests(t *testing.T) {
	src := layersParse(t)
	_, info := src.layersCheck(t)
	seen := 0
	for _, name := range sortedKeys(src.files) {
		for _, d := range src.files[name].Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 || !slices.Contains([]string{"protoEncode", "json.Marshal", "jsonText"},
					types.ExprString(call.Fun)) {
					return true
				}
				if of := info.TypeOf(call.Args[0]); of == nil || strings.TrimPrefix(of.String(),
					"*") != "main.Request" {
					return true
				}
				seen++
				if fn.Name.Name != "protoAsk" {
					t.Errorf("%s: a request goes out by protoAsk", src.fset.Position(call.Pos()))
				}
				return true
			})
		}
	}
	if seen == 0 {
		t.Error("no request is encoded anywhere: this test looks for something else")
	}
}

// layersProse says whether a comment is more than a build constraint.
func layersProse(c *ast.CommentGroup) bool { return strings.TrimSpace(c.Text()) != "" }

// layersPlain names the methods whose meaning their interface fixes.
func layersPlain(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String", "Set", "MarshalJSON",
		"UnmarshalJSON"}, d.Name.Name)
}

// TestLayersSleeps lets tests sleep on a false clock only, and skip themselves only where harness.Lacks has looked
// whether this is CI.
func TestLayersSleeps(t *testing.T) {
	t.Parallel()
	var names []string
	for _, pattern := range []string{"*_test.go", "e2e/*_test.go", "e2e/harness/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		clock := slices.ContainsFunc(f.Imports,
			func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
		ast.Inspect(f, func(n ast.Node) bool {
			if d, ok := n.(*ast.FuncDecl); ok && d.Name.Name == "Lacks" {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch name := types.ExprString(call.Fun); {
			case name == "time.Sleep" && !clock:
				t.Errorf("%s: a test that sleeps hopes: wait for the event, or use testing/synctest",
					fset.Position(call.Pos()))
			case strings.HasSuffix(name, ".Skip"), strings.HasSuffix(name, ".Skipf"),
				strings.HasSuffix(name, ".SkipNow"):
				t.Errorf("%s: CI skips nothing: use harness.Lacks", fset.Position(call.Pos()))
			}
			return true
		})
	}
}
