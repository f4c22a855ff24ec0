//go:build ignore

// Runs the tests of one room: bash .ci/room NAME [go test flags], for instance bash .ci/room sched -v.
//
// It builds the files of the room and of the rooms below it, by the table in doc.go, and no others. That takes a second
// or two where the whole package takes ten, and shows that the room needs nothing above it. A test that needs a room
// above is left out, and counted in the last line; -left-out names them.
//
// bash .ci/room -list prints the rooms, each with those below it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "room:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	rooms, uses, err := table()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		return errors.New("usage: bash .ci/room NAME [-left-out] [go test flags]")
	case args[0] == "-list":
		for _, name := range rooms {
			fmt.Println(name+":", strings.Join(below(name, rooms, uses)[1:], " "))
		}
		return nil
	case !slices.Contains(rooms, args[0]):
		return fmt.Errorf("%s is no room of the table in doc.go: %s", args[0], strings.Join(rooms, " "))
	}
	name, flags := args[0], args[1:]
	tell := len(flags) > 0 && flags[0] == "-left-out"
	if tell {
		flags = flags[1:]
	}
	b, err := read(below(name, rooms, uses))
	if err != nil {
		return err
	}
	if err := b.trim(); err != nil {
		return err
	}
	err = b.test(name, flags)
	if tell {
		for _, test := range b.leftOut(name) {
			fmt.Println("needs a room above:", test)
		}
	}
	return err
}

// table reads the rooms of doc.go, from the top down, and what each uses. Columns are two blanks apart; a line with one
// cell goes on with the line above.
func table() (rooms []string, uses map[string][]string, err error) {
	doc, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		return nil, nil, err
	}
	uses = map[string][]string{}
	blanks := regexp.MustCompile(`\s{2,}`)
	in := false
	for line := range strings.Lines(doc.Doc.Text()) {
		cells := blanks.Split(strings.TrimSpace(line), -1)
		switch {
		case cells[0] == "room" && len(cells) == 3:
			in = true
		case !in:
		case !strings.HasPrefix(line, "\t"):
			in = false
		case len(cells) == 1 && len(rooms) > 0:
			last := rooms[len(rooms)-1]
			uses[last] = append(uses[last], strings.Fields(cells[0])...)
		case len(cells) == 3:
			rooms = append(rooms, cells[0])
			uses[cells[0]] = strings.Fields(strings.Trim(cells[2], "-"))
		}
	}
	if len(rooms) == 0 {
		return nil, nil, errors.New("doc.go has no table of rooms")
	}
	return rooms, uses, nil
}

// below gives a room and all that it uses, directly or not.
func below(name string, rooms []string, uses map[string][]string) []string {
	in := map[string]bool{name: true}
	var found []string
	for _, room := range rooms { // use goes down
		if in[room] {
			found = append(found, room)
			for _, use := range uses[room] {
				in[use] = true
			}
		}
	}
	return found
}

// roomBuild is what is built: some files of the package, and of their tests those declarations that need no others.
type roomBuild struct {
	fset    *token.FileSet
	files   map[string]*ast.File
	texts   map[string][]byte
	overlay map[string]string // every other file of the package: gone
	dropped map[string][]string
}

// read parses the files of the rooms, with their tests.
func read(rooms []string) (*roomBuild, error) {
	b := &roomBuild{token.NewFileSet(), map[string]*ast.File{}, map[string][]byte{}, map[string]string{},
		map[string][]string{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		word, _, _ := strings.Cut(strings.TrimSuffix(name, ".go"), "_")
		here, err := build.Default.MatchFile(".", name)
		if err != nil {
			return nil, err
		}
		above := !slices.Contains(rooms, word)
		if !here || above && !strings.HasSuffix(name, "_test.go") {
			b.overlay[name] = ""
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(b.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		b.files[name], b.texts[name] = file, text
		if strings.HasSuffix(name, "_test.go") && !slices.Contains(rooms, "main") {
			b.helpers(file, above)
		}
	}
	return b, nil
}

// helpers takes out of a file of tests what starts the test's own binary as another program, which takes the TestMain
// of main_test.go. Of a file of a room above it leaves only what other tests may use.
func (b *roomBuild) helpers(file *ast.File, above bool) {
	for _, d := range slices.Clone(file.Decls) {
		fn, ok := d.(*ast.FuncDecl)
		test := ok && fn.Recv == nil && anyTest.MatchString(fn.Name.Name)
		if above && test || ok && fn.Name.Name == "TestMain" || startsItself(d) {
			b.drop(d.Pos())
		}
	}
}

// itself names what a test finds its own binary by: the TestMain of main_test.go gives it to the harness.
var itself = []string{"os.Executable", "os.Args", "harness.Open", "harness.Site",
	"harness.Bin"}

// startsItself says whether a declaration asks for the path of the running binary.
func startsItself(d ast.Decl) bool {
	found := false
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			found = found || slices.Contains(itself, types.ExprString(n))
		case *ast.BasicLit:
			found = found || strings.Contains(n.Value, "/proc/self/exe")
		}
		return true
	})
	return found
}

// trim takes out of the tests, again and again, what does not compile without the rooms above.
func (b *roomBuild) trim() error {
	exports, err := b.exports()
	if err != nil {
		return err
	}
	for {
		var faults []types.Error
		conf := types.Config{Importer: exports, Sizes: types.SizesFor("gc", build.Default.GOARCH),
			Error: func(err error) { faults = append(faults, err.(types.Error)) }}
		var files []*ast.File
		for _, file := range b.files {
			files = append(files, file)
		}
		conf.Check("main", b.fset, files, nil)
		if len(faults) == 0 {
			return nil
		}
		for _, fault := range faults {
			if at := b.fset.Position(fault.Pos); !strings.HasSuffix(at.Filename, "_test.go") {
				return fmt.Errorf("%s: %s", at, fault.Msg)
			}
			b.drop(fault.Pos)
		}
	}
}

// exports compiles what the files import, and reads its types.
func (b *roomBuild) exports() (types.Importer, error) {
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, file := range b.files {
		for _, spec := range file.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); path != "C" && path != "unsafe" &&
				!slices.Contains(args, path) {
				args = append(args, path)
			}
		}
	}
	list := exec.Command("go", args...)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	where := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		where[path] = file
	}
	return importer.ForCompiler(b.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(where[path]) }),
		nil
}

// drop takes out the declaration at pos, or the import. What it leaves in the text are empty lines, so that all others
// keep their numbers.
func (b *roomBuild) drop(pos token.Pos) {
	name := b.fset.Position(pos).Filename
	file := b.files[name]
	for _, d := range file.Decls {
		if pos < d.Pos() || pos > d.End() {
			continue
		}
		gen, ok := d.(*ast.GenDecl)
		if ok && gen.Tok == token.IMPORT && gen.Lparen.IsValid() {
			for i, spec := range gen.Specs {
				if spec.Pos() <= pos && pos <= spec.End() {
					b.blank(name, spec.Pos(), spec.End())
					gen.Specs = slices.Delete(gen.Specs, i, i+1)
					return
				}
			}
			return
		}
		from := d.Pos()
		if fn, ok := d.(*ast.FuncDecl); ok {
			b.dropped[name] = append(b.dropped[name], fn.Name.Name)
			if fn.Doc != nil {
				from = fn.Doc.Pos()
			}
		} else if gen.Doc != nil {
			from = gen.Doc.Pos()
		}
		b.blank(name, from, d.End())
		file.Decls = slices.DeleteFunc(file.Decls, func(other ast.Decl) bool { return other == d })
		return
	}
}

// blank makes a part of a file's text blanks.
func (b *roomBuild) blank(name string, from, to token.Pos) {
	text := b.texts[name]
	for i := b.fset.Position(from).Offset; i < b.fset.Position(to).Offset; i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}

// test runs the tests of the room that are left.
func (b *roomBuild) test(room string, flags []string) error {
	dir, err := os.MkdirTemp("", "cdktr-room")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name := range b.dropped {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, b.texts[name], 0o600); err != nil {
			return err
		}
		b.overlay[name] = at
	}
	if b.files["main.go"] == nil {
		for name, text := range map[string]string{"main.go": roomMain, "main_test.go": roomTestMain} {
			at := filepath.Join(dir, "room_"+name)
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				return err
			}
			b.overlay["room_"+name] = at
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": b.overlay})
	if err != nil {
		return err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return err
	}
	tests, left := b.tests(room), len(b.leftOut(room))
	if len(tests) == 0 {
		return fmt.Errorf("no test of %s stands alone: all %d need a room above", room, left)
	}
	args := append([]string{"test", "-vet=off", "-overlay", overlay, "-run", "^(" + strings.Join(tests, "|") + ")$"},
		flags...)
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	fmt.Printf("note: room %s: %d tests stand alone, %d need a room above\n", room, len(tests), left)
	return err
}

// What stands in for the rooms above. A test that starts the test's own binary as another program would run all tests
// once more in it, and these would start it again: such a process ends at once.
const (
	roomMain = `package main

func main() {}
`
	roomTestMain = `package main

import (
	"os"
	"slices"
	"testing"
)

func TestMain(m *testing.M) {
	if !slices.Contains(os.Args, "-test.paniconexit0") {
		println("room: a test has started its own binary, which .ci/room.go should have left out")
		os.Exit(3)
	}
	os.Exit(m.Run())
}
`
)

var anyTest = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)`)

var testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z_0-9]`)

// tests names the tests of a room that are left.
func (b *roomBuild) tests(room string) (names []string) {
	for name, file := range b.files {
		if !strings.HasPrefix(name, room+"_") || !strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && testName.MatchString(fn.Name.Name) {
				names = append(names, fn.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// leftOut names the tests of a room that need a room above.
func (b *roomBuild) leftOut(room string) (names []string) {
	for name, dropped := range b.dropped {
		for _, fn := range dropped {
			if strings.HasPrefix(name, room+"_") && testName.MatchString(fn) {
				names = append(names, name+": "+fn)
			}
		}
	}
	slices.Sort(names)
	return names
}
