// Package keyword routes by words, as the policy `keyword` in the box does, with that part of its configuration that
// README.md names.
package keyword

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/pointsman_plugin_route"
)

type action struct {
	Label  *string
	Prefer []string
}

type rule struct {
	Any, All []string
	action
}

type config struct {
	Rules      []rule
	Default    *action
	WholeWords *bool `json:"whole_words"`
	IgnoreCase *bool `json:"ignore_case"`
}

// Set by Load; every call begins with the memory that Load left.
var settings config

// Thai, Lao, Myanmar, Khmer, Chinese, Japanese: written without spaces between words.
var unspaced = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x0e00, Hi: 0x0eff, Stride: 1}, {Lo: 0x1000, Hi: 0x109f, Stride: 1}, {Lo: 0x1780, Hi: 0x17ff, Stride: 1}, {Lo: 0x2e80, Hi: 0x9fff, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x20000, Hi: 0x3ffff, Stride: 1}},
}

const words = `{ "type": "array", "items": { "type": "string" } }`
const does = `"label": { "type": "string" }, "prefer": ` + words

// Schema is the JSON Schema of the configuration.
const Schema = `{ "type": "object", "additionalProperties": false, "properties": {
	"rules": { "type": "array", "items": { "type": "object", "additionalProperties": false,
		"properties": { "any": ` + words + `, "all": ` + words + `, ` + does + ` } } },
	"default": { "type": "object", "additionalProperties": false, "properties": { ` + does + ` } },
	"whole_words": { "type": "boolean" }, "ignore_case": { "type": "boolean" } } }`

// Load reads the configuration; the error is for the person who wrote it.
func Load(text string) error {
	yes := true
	given := config{WholeWords: &yes, IgnoreCase: &yes}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return err
	}
	for index, rule := range given.Rules {
		if len(rule.Any) == 0 && len(rule.All) == 0 {
			return fmt.Errorf("`rules[%d]` looks for nothing, expected `any` or `all`", index)
		}
		for _, words := range [][]string{rule.Any, rule.All} {
			for place, word := range words {
				if strings.TrimSpace(word) == "" {
					return fmt.Errorf("`rules[%d]` has an empty word", index)
				}
				if *given.IgnoreCase {
					words[place] = strings.ToLower(word)
				}
			}
		}
	}
	settings = given
	return nil
}

// Decide routes a request by the last text of its user.
func Decide(text string, candidates []pointsman_plugin_route.Candidate) pointsman_plugin_route.Verdict {
	if *settings.IgnoreCase {
		text = strings.ToLower(text)
	}
	isThere := func(word string) bool { return has(text, word) }
	for index, rule := range settings.Rules {
		if found := 0; !slices.ContainsFunc(rule.All, func(word string) bool { return !isThere(word) }) {
			words := rule.All
			if len(rule.Any) > 0 {
				words, found = rule.Any, slices.IndexFunc(rule.Any, isThere)
			}
			if found >= 0 {
				return plan(rule.action, candidates, fmt.Sprintf("rule %d found `%s`", index+1, words[found]))
			}
		}
	}
	if settings.Default != nil {
		return plan(*settings.Default, candidates, "no rule matches")
	}
	return pointsman_plugin_route.MakeVerdictPass()
}

// has says whether the text has the word; where whole words are wanted, with no letter or digit that touches it.
func has(text, word string) bool {
	first, _ := utf8.DecodeRuneInString(word)
	last, _ := utf8.DecodeLastRuneInString(word)
	for at := 0; ; at++ {
		next := strings.Index(text[at:], word)
		if next < 0 {
			return false
		}
		at += next
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(word):])
		if !*settings.WholeWords || !(touches(first) && touches(before)) && !(touches(last) && touches(after)) {
			return true
		}
	}
}

// touches is false for what is decoded where there is nothing.
func touches(letter rune) bool {
	isWord := unicode.In(letter, unicode.L, unicode.N, unicode.Other_Alphabetic) || letter == '_'
	return isWord && !unicode.Is(unspaced, letter)
}

// plan has the preferred candidates first, in the order of the names, and the others behind them as fallbacks.
func plan(does action, candidates []pointsman_plugin_route.Candidate, reason string) pointsman_plugin_route.Verdict {
	plan := pointsman_plugin_route.Plan{Reason: reason}
	add := func(id string) {
		if !slices.ContainsFunc(plan.Steps, func(step pointsman_plugin_route.Step) bool { return step.Candidate == id }) {
			plan.Steps = append(plan.Steps, pointsman_plugin_route.Step{Candidate: id})
		}
	}
	for _, name := range does.Prefer {
		tag, isTag := strings.CutPrefix(name, "tag:")
		for _, candidate := range candidates {
			if candidate.Id == name || isTag && slices.Contains(candidate.Tags, tag) {
				add(candidate.Id)
			}
		}
	}
	if len(plan.Steps) > 0 {
		for _, candidate := range candidates {
			add(candidate.Id)
		}
	}
	if does.Label != nil {
		plan.Labels = []types.Tuple2[string, string]{{F0: "class", F1: *does.Label}}
	}
	return pointsman_plugin_route.MakeVerdictPlan(plan)
}
