// Package export_pointsman_plugin_configure accepts every configuration, and never comes to an end with those that say `loop`.
package export_pointsman_plugin_configure

import (
	"strings"

	"go.bytecodealliance.org/pkg/wit/types"
)

func Load(config string) types.Result[[]string, string] {
	for strings.Contains(config, "loop") {
	}
	return types.Ok[[]string, string](nil)
}

func Schema() string { return "{}" }
