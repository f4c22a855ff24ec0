// Package yaml is the part of go.yaml.in/yaml/v4 that reads YAML as nodes: see README.md.
package yaml

import (
	"bytes"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4/internal/libyaml"
)

// Unmarshal reads the first document of a text; where there is none, out stays as it is.
func Unmarshal(in []byte, out *Node) error {
	err := libyaml.NewLoader(bytes.NewReader(in), 10000, func(err *LoadError) string {
		if err.Mark.Line == 0 {
			return "yaml: " + err.Message
		}
		return fmt.Sprintf("yaml: line %d: %s", err.Mark.Line, err.Message)
	}).Load(out)
	if err == io.EOF {
		return nil
	}
	return err
}

// NewLoader makes a loader of the documents of a stream, which may be nested so deep.
func NewLoader(r io.Reader, depth int) *Loader { return libyaml.NewLoader(r, depth, nil) }

type (
	Loader    = libyaml.Loader
	LoadError = libyaml.LoadError
)
