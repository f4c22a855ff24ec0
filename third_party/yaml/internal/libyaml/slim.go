// This file is not from the module: it stands for what the copied files refer to, and what is left out of the copy.

package libyaml

import (
	"fmt"
	"io"
)

// Options is what of the options the copied files read.
type Options struct {
	AliasData       AliasDataPlugin
	IndentConfig    *IndentConfig
	FormatLoadError func(*LoadError) string
	DepthCheck      func(depth int, ctx *DepthContext) error
}

// DefaultOptions are those of a reader that has none.
var DefaultOptions = &Options{DepthCheck: DefaultDepthCheck}

// DefaultDepthCheck is the check of a reader that has no other.
var DefaultDepthCheck = DepthMost(10000)

// DepthKind, and DepthContext, say what is nested.
type DepthKind string

const (
	DepthKindFlow  DepthKind = "flow"
	DepthKindBlock DepthKind = "block"
)

type DepthContext struct{ Kind DepthKind }

// DepthMost gives a check that allows so many levels.
func DepthMost(most int) func(int, *DepthContext) error {
	return func(depth int, _ *DepthContext) error {
		if depth > most {
			return fmt.Errorf("exceeded max depth of %d", most)
		}
		return nil
	}
}

// There are no plugins.

type (
	IndentMode  string
	IndentStyle string
	IndentScope string
)

const (
	IndentModeAuto      IndentMode  = "auto"
	IndentModeTabs      IndentMode  = "tabs"
	IndentStyleAuto     IndentStyle = "auto"
	IndentStyleSpaces   IndentStyle = "spaces"
	IndentStyleTabs     IndentStyle = "tabs"
	IndentScopeDocument IndentScope = "document"
	IndentScopeStream   IndentScope = "stream"
)

type IndentConfig struct {
	Mode      IndentMode
	LoadStyle IndentStyle
	DumpStyle IndentStyle
	Scope     IndentScope
}

type EventReader struct{}

func NewEventReader(io.Reader, *Options) *EventReader { return nil }
func (*EventReader) Parse(*Event) error               { return nil }
func (*EventReader) Delete()                          {}
func hasInputPlugins(*Options) bool                   { return false }

type AliasDataPlugin interface {
	NewAliasDataContext(AliasDataServices) (AliasDataContext, error)
}
type AliasDataServices struct{}
type AliasDataSources struct{}

func aliasDataServices(*Options) AliasDataServices { return AliasDataServices{} }

// AliasDataContext is the anchors of a stream. An anchor is known in its document.
type AliasDataContext = *anchors

type anchors struct{ current map[string]*Node }

func NewAliasDataPolicy(AliasDataSources) AliasDataContext { return &anchors{map[string]*Node{}} }

func (a *anchors) BeginDocument() error {
	a.current = map[string]*Node{}
	return nil
}

func (a *anchors) DefineAnchor(name string, node *Node) error {
	a.current[name] = node
	return nil
}

func (a *anchors) ResolveAlias(name string) (*Node, bool, error) {
	node, found := a.current[name]
	return node, found, nil
}

func (a *anchors) EndDocument() error { return nil }

// Loader reads the documents of a stream as nodes.
type Loader struct {
	composer *Composer
	resolver *Resolver
}

// NewLoader makes a loader. Its documents may be nested so deep.
func NewLoader(r io.Reader, depth int, format func(*LoadError) string) *Loader {
	o := &Options{DepthCheck: DepthMost(depth), FormatLoadError: format}
	return &Loader{NewComposerFromReader(r, o), NewResolver(o)}
}

// Load reads the next document; io.EOF is its error when there is none.
func (l *Loader) Load(out *Node) (err error) {
	defer handleErr(&err)
	node := l.composer.Compose()
	if node == nil {
		return io.EOF
	}
	l.resolver.Resolve(node)
	*out = *node
	return nil
}

// Delete forgets an event.
func (e *Event) Delete() { *e = Event{} }
