package scenario

import (
	"strings"

	"github.com/stratahq/strata/econ/block"
)

type object = map[string]any

// Schema is the JSON Schema (draft 2020-12) of scenario files, for editors: with
// the embedded blocks, their inputs, units and documentation.
func Schema() map[string]any {
	number := object{"type": []string{"string", "number"}, "description": "a number with its unit: 24.21 USD/h; or a range, 5th to 95th percentile: 2.10 to 2.60 USD/h; or best guess and range: 2.30 (2.10 to 2.60) USD/h; or triangular(..), pert(..), normal(..), uniform(..), lognormal(..), empirical(FILE); or = FORMULA"}
	text := func(description string) object { return object{"type": "string", "description": description} }
	figure := func(description string) object {
		return object{"type": []string{"string", "number"}, "description": description}
	}
	words := object{
		"doc": text("what it is"), "source": text("where the figure comes from"), "note": text("what else there is to say"),
		"reported": figure("the figure that the source states"),
	}
	leaf := object{
		"value": object{"$ref": "#/$defs/number"}, "formula": text("a formula over other quantities"), "unit": text("the unit to show it in"),
		"p5": figure("5th percentile"), "p50": figure("best guess"), "p95": figure("95th percentile"), "shape": object{"enum": []string{"lognormal", "normal", "beta"}},
		"as_reported": text("why the figure is not comparable"), "like_for_like": figure("the comparable figure"), "min": figure("least possible value"), "max": figure("greatest possible value"),
	}
	for k, v := range words {
		leaf[k] = v
	}
	defs := object{
		"number": number,
		"leaf":   object{"type": "object", "properties": leaf, "additionalProperties": false},
		"figure": object{"anyOf": []object{{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/leaf"}}},
		"words":  object{"type": "object", "properties": words, "additionalProperties": false},
	}
	// What is neither an input nor an output of a block is a quantity of one's own:
	// a formula, or a block inside.
	own := object{"anyOf": []object{{"type": "string", "pattern": "^="}, {"allOf": []object{{"$ref": "#/$defs/leaf"}}, "required": []string{"formula"}}, {"type": "object", "required": []string{"block"}}}}
	kinds := []object{{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/leaf"}}
	var names []string
	for _, b := range block.All() {
		names = append(names, b.Name)
		properties := object{"block": object{"const": b.Name, "description": b.Doc}}
		var required = []string{"block"}
		for _, in := range b.Inputs {
			description := in.Doc
			if in.Unit.Text != "" {
				description += ", in " + in.Unit.Text
			}
			if in.HasDefault {
				description += "; default " + strings.TrimSpace(in.Default)
			} else {
				required = append(required, in.Name)
			}
			properties[in.Name] = object{"description": description, "anyOf": []object{{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/leaf"}}}
		}
		for _, out := range b.Outputs {
			properties[out.Name] = object{"description": out.Doc + " (computed)", "$ref": "#/$defs/words"}
		}
		defs["block_"+b.Name] = object{"type": "object", "properties": properties, "required": required, "additionalProperties": own}
		kinds = append(kinds, object{"$ref": "#/$defs/block_" + b.Name})
	}
	// A file's own blocks are not known here; any mapping with their name passes.
	kinds = append(kinds, object{"type": "object", "properties": object{"block": object{"type": "string", "not": object{"enum": names}}}, "patternProperties": object{`^[a-z][a-z0-9_.]*$`: object{"anyOf": []object{{"$ref": "#/$defs/entry"}, {"type": "string"}}}}, "additionalProperties": false})
	defs["entry"] = object{"anyOf": kinds}
	blockInput := object{"type": "object", "properties": object{"unit": text("unit"), "default": figure("a number, or = FORMULA"), "min": figure("least possible"), "max": figure("greatest possible"), "doc": text("what it is"), "source": text("where the default comes from"), "kind": object{"enum": []string{"number", "text"}}, "count": text("what a plain number counts")}, "required": []string{"doc"}, "additionalProperties": false}
	blockOutput := object{"type": "object", "properties": object{"unit": text("unit"), "formula": figure("formula"), "min": figure("least possible"), "max": figure("greatest possible"), "mend": text("what to do when it is beyond"), "doc": text("what it is"), "source": text("where the formula comes from")}, "required": []string{"doc", "formula"}, "additionalProperties": false}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "Strata scenario",
		"type":    "object",
		"properties": object{
			"title": text("a name for people"), "about": text("what it asks"), "source": text("where its figures come from"),
			"include": object{"description": "files whose quantities come first", "anyOf": []object{{"type": "string"}, {"type": "array", "items": object{"type": "string"}}}},
			"seed":    object{"type": "integer", "minimum": 0}, "samples": object{"type": "integer", "minimum": 16, "maximum": MaxSamples}, "months": object{"type": "integer", "minimum": 1, "maximum": MaxMonths},
			"catalog":    text("a catalog file whose entries stand over the embedded ones"),
			"show":       object{"type": "array", "items": object{"type": "string"}, "description": "the quantities that matter most"},
			"quantities": object{"type": "object", "patternProperties": object{`^[a-z][a-z0-9_.]*$`: object{"$ref": "#/$defs/entry"}}, "additionalProperties": false},
			"variants":   object{"type": "object", "additionalProperties": object{"type": "object", "properties": object{"about": text("what it changes")}, "additionalProperties": object{"$ref": "#/$defs/figure"}}},
			"blocks":     object{"type": "object", "additionalProperties": object{"type": "object", "properties": object{"doc": text("what it computes"), "source": text("where it comes from"), "inputs": object{"type": "object", "additionalProperties": blockInput}, "outputs": object{"type": "object", "additionalProperties": blockOutput}}, "required": []string{"doc"}, "additionalProperties": false}},
		},
		"additionalProperties": false,
		"$defs":                defs,
	}
}
