// Package export_pointsman_plugin_route is the interface `route` of the contract.
package export_pointsman_plugin_route

import (
	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/keyword"
	"wit_component/pointsman_plugin_prompt"
	"wit_component/pointsman_plugin_route"
)

func Decide(_ pointsman_plugin_route.Summary, candidates []pointsman_plugin_route.Candidate) types.Result[pointsman_plugin_route.Verdict, string] {
	verdict := keyword.Decide(pointsman_plugin_prompt.LastUserText(), candidates)
	return types.Ok[pointsman_plugin_route.Verdict, string](verdict)
}
