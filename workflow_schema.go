// workflow_schema.go: the tables of keys as JSON Schema (draft 7, https://json-schema.org/draft-07), which editors use
// to complete keys and to show what they mean. The parser stays the judge: the schema takes everything that it takes,
// and refuses unknown keys and most values of a wrong kind.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// workflowSchemaCommon are the definitions that kinds refer to. A scalar is text whatever it looks like, and null
// counts as not written.
const workflowSchemaCommon = `{
"text":{"type":["string","number","boolean","null"]},
"texts":{"anyOf":[{"$ref":"#/definitions/text"},{"type":"array","items":{"$ref":"#/definitions/text"}}]},
"texts_by_name":{"type":["object","null"],"additionalProperties":{"$ref":"#/definitions/text"}},
"duration":{"type":["string","number","null"],"description":"90s, 30m, 2h30m, 1d, 2w; a bare number is seconds"},
"size":{"type":["string","number","null"],"description":"512K, 10M, 2G; a bare number is bytes"}
}`

// workflowSchema makes the JSON Schema of a workflow file.
func workflowSchema() ([]byte, error) {
	definitions := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(workflowSchemaCommon), &definitions); err != nil {
		return nil, fmt.Errorf("read the common part of the schema: %w", err)
	}
	definitions["param"] = workflowSchemaMap(workflowParamKeys, false)
	definitions["expect"] = workflowSchemaMap(workflowExpectKeys, false)
	definitions["log"] = workflowSchemaMap(workflowLogKeys, false)
	definitions["listener"] = workflowSchemaMap(workflowListenerKeys, false)
	definitions["listen_file"] = workflowSchemaMap(workflowListenFileKeys, false)
	definitions["listen_workflow"] = workflowSchemaMap(workflowListenWorkflowKeys, false)
	definitions["listen_command"] = workflowSchemaMap(workflowListenCommandKeys, false)
	definitions["task"] = workflowSchemaMap(workflowTaskKeys, true)
	definitions["repeat"] = workflowSchemaMap(workflowRepeatKeys, false)
	definitions["limits"] = workflowSchemaMap(workflowLimitsKeys, false)
	definitions["http"] = workflowSchemaMap(workflowHTTPKeys, false)
	definitions["python"] = workflowSchemaMap(workflowPythonKeys, false)
	top := map[string]any{}
	if err := json.Unmarshal(workflowSchemaMap(workflowKeys, true), &top); err != nil {
		return nil, fmt.Errorf("read the schema of the keys at the top: %w", err)
	}
	top["$schema"] = "http://json-schema.org/draft-07/schema#"
	top["title"] = "a workflow of cdktr"
	top["type"] = "object"
	top["definitions"] = definitions
	text, err := jsonText(top)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// workflowSchemaMap makes the schema of a map by the table of its keys. own: it may have keys of the author's own.
func workflowSchemaMap[T any](keys []workflowKey[T], own bool) json.RawMessage {
	properties := map[string]json.RawMessage{}
	for i := range keys {
		properties[keys[i].name] = workflowSchemaValue(keys[i].kind, workflowSchemaHelp(keys[i].does, keys[i].unset))
	}
	object := map[string]any{"type": []string{"object", "null"}, "properties": properties,
		"additionalProperties": false}
	if own {
		object["patternProperties"] = map[string]any{"^" + workflowOwnPrefix: true}
	}
	text, err := jsonText(object)
	if err != nil {
		panic("cdktr: internal error: write the schema: " + err.Error()) // it is made of texts alone
	}
	return text
}

// workflowSchemaValue makes the schema of a value of that kind, with what is said of its key.
func workflowSchemaValue(kind, help string) json.RawMessage {
	value := map[string]any{"description": help}
	words := workflowKindWords(kind)
	lo, hi, isRange := workflowKindRange(kind)
	switch {
	case words != nil:
		choice := make([]any, len(words), len(words)+1)
		for i, word := range words {
			choice[i] = word
		}
		value["enum"] = append(choice, nil)
	case isRange:
		value["type"], value["minimum"], value["maximum"] = []string{"integer", "null"}, lo, hi
	default:
		for _, k := range workflowKinds {
			if k.name == kind {
				value["allOf"] = []json.RawMessage{json.RawMessage(k.schema)}
			}
		}
	}
	text, err := jsonText(value)
	if err != nil {
		panic("cdktr: internal error: write the schema of " + kind + ": " + err.Error()) // each kind is tested
	}
	return text
}

// workflowSchemaHelp makes what an editor shows of a key from the documentation's Markdown. Links within it lead
// nowhere from an editor, so only their words stay.
func workflowSchemaHelp(does, unset string) string {
	var help strings.Builder
	for rest := does; rest != ""; {
		before, link, found := strings.Cut(rest, "[")
		help.WriteString(before)
		if !found {
			break
		}
		words, target, ok := strings.Cut(link, "](")
		_, after, closed := strings.Cut(target, ")")
		if !ok || !closed {
			help.WriteString("[" + link)
			break
		}
		help.WriteString(words)
		rest = after
	}
	if unset != "" && unset != "required" {
		help.WriteString(" Default: " + unset + ".")
	}
	return help.String()
}
