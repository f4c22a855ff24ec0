// agent_secret.go: secrets of tasks. They lie on the agent's machine, in files of their names: in the folder secrets of
// the agent's state, or in the one that systemd makes of credentials. They go into the environment of the tasks that
// ask for them, and nowhere else: what such a task writes, and what is said of it, has *** in their place.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

const (
	secretMax = 16 << 10 // bytes of a secret; the attempt that asks for a longer one fails
	// lines of all secrets of an attempt: each is hidden by itself, in some dozen ways of writing it, and what the task
	// writes is held against them all. An attempt whose secrets have more fails.
	secretMaxLines = 500
)

// secretStore is where an agent looks for secrets. Any goroutine may use it, but no loop: the files may hang.
type secretStore struct {
	folder      string // of the agent's own; "" where its state is gone with it
	credentials string // $CREDENTIALS_DIRECTORY of the agent, "" when it is not set
}

// secretsOf gives the store of an agent.
func secretsOf(cfg *agentConfig) secretStore {
	s := secretStore{credentials: cfg.Credentials}
	if !cfg.Fresh {
		s.folder = cfg.folder("secrets")
	}
	return s
}

// read reads a secret: the text of its file, without the newline at the end. An error says where it was looked for, and
// has nothing of the text.
func (s *secretStore) read(name string) (string, error) {
	fault := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("secret "+name+": "+format, args...)
	}
	var looked []string
	var text []byte
	err := fs.ErrNotExist
	file := ""
	if s.folder != "" {
		file = filepath.Join(s.folder, name)
		looked = append(looked, file)
		text, err = fileReadPrivate(s.folder, name, secretMax)
	}
	if errors.Is(err, fs.ErrNotExist) && s.credentials != "" {
		file = filepath.Join(s.credentials, name)
		looked = append(looked, file)
		text, _, err = fileRead(file, secretMax)
	}
	if s.credentials == "" {
		looked = append(looked, "$CREDENTIALS_DIRECTORY/"+name+" (which is not set)")
	}
	switch tooLarge := (*fileSizeError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		hint := "write it there with mode 0600"
		if s.folder == "" {
			hint = "set CREDENTIALS_DIRECTORY to a folder that has it"
		}
		return fault("it is not on this agent, which has looked for %s: %s", strings.Join(looked, " and "), hint)
	case errors.As(err, &tooLarge):
		return fault("%s is larger than %d KiB", file, secretMax>>10)
	case err != nil:
		return fault("read %s: %w", file, pathCause(err))
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if value == "" {
		return fault("%s is empty", file)
	}
	if err := textFault(value); err != nil {
		return fault("the text in %s %w", file, err)
	}
	return value, nil
}

// secretValues are the secrets of an attempt.
type secretValues struct{ names, values []string }

// secretsFor reads the secrets that a task asks for, by the workflow and by itself. nil: none. guards: they are for its
// `if`, which has those that can be read: a task that is skipped needs none. Else an error is a hopelessError.
func (s *secretStore) secretsFor(w *Workflow, task *Task, guards bool, at func(string)) (*secretValues, error) {
	if len(w.Secrets)+len(task.Secrets) == 0 {
		return nil, nil
	}
	v, lines := &secretValues{}, 0
	for _, name := range slices.Concat(w.Secrets, task.Secrets) {
		if slices.Contains(v.names, name) {
			continue
		}
		at("read the secret " + name)
		value, err := s.read(name)
		its := 1 + strings.Count(value, "\n")
		if err == nil && lines+its > secretMaxLines {
			err = fmt.Errorf("secret %s: it has %d lines, and the secrets of a task may have %d together: leave out "+
				"what is not secret", name, its, secretMaxLines)
		}
		switch {
		case err == nil:
			v.names, v.values, lines = append(v.names, name), append(v.values, value), lines+its
		case !guards:
			return nil, hopelessError{err}
		}
	}
	return v, nil
}

// into puts the secrets into an environment. They replace what is there.
func (v *secretValues) into(env *environ) {
	if v == nil {
		return
	}
	for i, name := range v.names {
		env.set(name, v.values[i])
	}
}

// mask hides the secrets; nil where there are none.
func (v *secretValues) mask() *procMask {
	if v == nil {
		return nil
	}
	return newProcMask(v.values)
}

// secretOutputs says which output of a task has a secret in it: outputs are kept in the record of the run.
func secretOutputs(mask *procMask, outputs map[string]string) error {
	if mask == nil {
		return nil
	}
	for _, key := range sortedKeys(outputs) {
		if mask.text(outputs[key]) != outputs[key] {
			return fmt.Errorf("the output %s has a secret in it, and outputs are stored: name the secret in secrets "+
				"of "+
				"the task that needs it", key)
		}
	}
	return nil
}

// secretLeft gives what is told of processes that cannot be ended without the secrets on their command lines.
func secretLeft(mask *procMask, tell func([]procLeft)) func([]procLeft) {
	if mask == nil {
		return tell
	}
	return func(left []procLeft) {
		left = slices.Clone(left)
		for i := range left {
			left[i].Command = mask.cut(left[i].Command, procCommandCut)
		}
		tell(left)
	}
}
