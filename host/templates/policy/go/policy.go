// Package policy routes by words: where the user's last message has one of them, preferred candidates come first.
package policy

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/pointsman_plugin_catalog"
	"wit_component/pointsman_plugin_prompt"
	"wit_component/pointsman_plugin_request"
	"wit_component/pointsman_plugin_route"
)

// Schema is the JSON Schema of the configuration.
const Schema = `{
  "type": "object", "additionalProperties": false, "required": ["words", "prefer"],
  "properties": {
    "words": { "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "What is looked for, in any case." },
    "prefer": { "type": "array", "items": { "type": "string" },
      "description": "Candidates by id or by tag:NAME, in order of preference." },
    "label": { "type": "string", "description": "The request's label class." }
  }
}`

type settings struct {
	Words  []string `json:"words"`
	Prefer []string `json:"prefer"`
	Label  *string  `json:"label"`
}

// Set by Load; every call begins with the memory that Load left, and nothing is kept from call to call.
var config settings

// Load reads the configuration.
func Load(text string) error {
	var given settings
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return err
	}
	if len(given.Words) == 0 {
		return errors.New("`words` is empty, expected at least one")
	}
	if given.Prefer == nil {
		return errors.New("`prefer` is missing")
	}
	for index, word := range given.Words {
		given.Words[index] = strings.ToLower(word)
	}
	config = given
	return nil
}

// Decide says where a request goes.
func Decide(_ pointsman_plugin_request.Summary, candidates []pointsman_plugin_catalog.Candidate) pointsman_plugin_route.Verdict {
	text := strings.ToLower(pointsman_plugin_prompt.LastUserText())
	found := slices.IndexFunc(config.Words, func(word string) bool { return strings.Contains(text, word) })
	if found < 0 {
		return pointsman_plugin_route.MakeVerdictPass()
	}
	plan := pointsman_plugin_route.Plan{
		Steps:  steps(candidates),
		Reason: "found `" + config.Words[found] + "`",
	}
	if config.Label != nil {
		plan.Labels = []types.Tuple2[string, string]{{F0: "class", F1: *config.Label}}
	}
	return pointsman_plugin_route.MakeVerdictPlan(plan)
}

// The preferred candidates, and the others behind them as fallbacks. Without a preferred one there are no steps, which leaves
// the candidates as they are.
func steps(candidates []pointsman_plugin_catalog.Candidate) []pointsman_plugin_route.Step {
	var order []string
	for _, name := range config.Prefer {
		for _, candidate := range candidates {
			tag, isTag := strings.CutPrefix(name, "tag:")
			if candidate.Id == name || isTag && slices.Contains(candidate.Tags, tag) {
				order = append(order, candidate.Id)
			}
		}
	}
	if len(order) == 0 {
		return nil
	}
	for _, candidate := range candidates {
		order = append(order, candidate.Id)
	}
	var steps []pointsman_plugin_route.Step
	seen := map[string]bool{}
	for _, id := range order {
		if !seen[id] {
			seen[id] = true
			steps = append(steps, pointsman_plugin_route.Step{Candidate: id})
		}
	}
	return steps
}
