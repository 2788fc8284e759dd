// Package export_pointsman_plugin_describe is where the bindings look for the hook `describe`.
package export_pointsman_plugin_describe

import (
	"wit_component/adapter"
	"wit_component/pointsman_plugin_wire"
)

// Describe is asked once, when the adapter is loaded.
func Describe() pointsman_plugin_wire.Profile { return adapter.Profile() }
