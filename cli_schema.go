// cli_schema.go: the verb schema, which prints what a workflow file may have, for editors.

package main

import "context"

// schemaVerb is the entry of `schema`.
func schemaVerb() cliVerb {
	return cliVerb{name: "schema", help: "print the JSON Schema of workflow files, for editors",
		run: doSchema,
		more: `
An editor with it completes keys, shows what they mean, and marks those that are not known. With the YAML language
server (VS Code, Neovim, Helix, Emacs) the first line of a workflow file names it:
  # yaml-language-server: $schema=/path/to/cdktr-schema.json`,
		examples: []string{
			"cdktr schema >cdktr-schema.json",
			"cdktr schema | jq '.definitions.task.properties | keys'",
		}}
}

func doSchema(_ context.Context, c *cli, args []string) error {
	if len(args) > 0 {
		return usageError("schema takes no argument")
	}
	schema, err := workflowSchema()
	if err != nil {
		return err
	}
	_, err = c.out.Write(append(schema, '\n'))
	return err
}
