// Package export_pointsman_plugin_route is where the bindings look for the hook `route`.
package export_pointsman_plugin_route

import (
	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/pointsman_plugin_catalog"
	"wit_component/pointsman_plugin_request"
	"wit_component/pointsman_plugin_route"
	"wit_component/policy"
)

// Decide is asked for each request.
func Decide(
	summary pointsman_plugin_request.Summary, candidates []pointsman_plugin_catalog.Candidate,
) types.Result[pointsman_plugin_route.Verdict, string] {
	return types.Ok[pointsman_plugin_route.Verdict, string](policy.Decide(summary, candidates))
}
