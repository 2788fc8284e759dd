// Package export_pointsman_plugin_configure is where the bindings look for the hook `configure`.
package export_pointsman_plugin_configure

import (
	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/policy"
)

// Load reads the configuration: warnings, or an error.
func Load(config string) types.Result[[]string, string] {
	if err := policy.Load(config); err != nil {
		return types.Err[[]string, string](err.Error())
	}
	return types.Ok[[]string, string](nil)
}

// Schema is the JSON Schema of the configuration.
func Schema() string { return policy.Schema }
