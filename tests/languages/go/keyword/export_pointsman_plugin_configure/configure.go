// Package export_pointsman_plugin_configure is the interface `configure` of the contract.
package export_pointsman_plugin_configure

import (
	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/keyword"
)

func Load(config string) types.Result[[]string, string] {
	if err := keyword.Load(config); err != nil {
		return types.Err[[]string](err.Error())
	}
	return types.Ok[[]string, string](nil)
}

func Schema() string { return keyword.Schema }
