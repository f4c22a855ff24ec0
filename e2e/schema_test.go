// The JSON Schema of workflow files, held by a validator that is not ours.

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// schemaCheck reads the schema and a folder of files. It prints FILE: MESSAGE for each file that the schema refuses.
const schemaCheck = `
import json, os, re, sys, warnings
warnings.simplefilter("ignore")
import jsonschema, yaml
class Loader(yaml.SafeLoader): pass
Loader.add_multi_constructor("!", lambda loader, tag, node: loader.construct_mapping(node))
Loader.yaml_implicit_resolvers = {c: [r for r in rs if r[0].split(":")[-1] not in ("timestamp", "bool")]
                                  for c, rs in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), "tf") # on is a key
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
for name in sorted(os.listdir(sys.argv[2])):
    for fault in validator.iter_errors(yaml.load(open(os.path.join(sys.argv[2], name)), Loader)):
        print(name + ": " + fault.message)
`

// TestSchema has a validator of Python read the schema: it takes every example, and refuses what a typing error or a
// wrong kind of value makes of a file.
func TestSchema(t *testing.T) {
	harness.Need(t, "apt install python3-jsonschema python3-yaml", clientsPython, "-c", "import jsonschema, yaml")
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	for _, folder := range []string{good, bad} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	examples, err := filepath.Glob("../examples/*.yml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("examples: %v, %v", examples, err)
	}
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		put(filepath.Join(good, filepath.Base(file)), string(text))
	}
	put(good+"/own.yml", "x-a: {b: c}\nparams: {p: {choices: [a, 1]}}\ntasks: {a: {run: x, x-b: [1]}}\n")
	put(good+"/null.yml", "schedule:\nenv: {A: null, B: 1, C: true}\nparams: {day: 3}\ntasks: {a: {run: x, retries: "+
		"~}}\n")
	faults := map[string]string{
		"key.yml":      "taskz: {}\ntasks: {a: {run: x}}\n",
		"task-key.yml": "tasks: {a: {run: x, dependz: [b]}}\n",
		"word.yml":     "overlap: maybe\ntasks: {a: {run: x}}\n",
		"range.yml":    "tasks: {a: {run: x, retries: 1001}}\n",
		"kind.yml":     "tasks: {a: {cmd: x, args: {b: c}}}\n",
		"within.yml":   "log: {size: 10M}\ntasks: {a: {run: x}}\n",
	}
	for name, text := range faults {
		put(filepath.Join(bad, name), text)
	}
	schema, err := exec.CommandContext(t.Context(), harness.Bin(), "schema").Output()
	if err != nil {
		t.Fatal(err)
	}
	put(dir+"/schema.json", string(schema))
	check := func(folder string) string {
		out, err := exec.CommandContext(t.Context(), clientsPython, "-c", schemaCheck, dir+"/schema.json",
			folder).Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if refused := check(good); refused != "" {
		t.Errorf("the schema refuses what the program takes:\n%s", refused)
	}
	refused := check(bad)
	for name := range faults {
		if !strings.Contains(refused, name+": ") {
			t.Errorf("%s: the schema takes it; it refuses\n%s", name, refused)
		}
	}
}
