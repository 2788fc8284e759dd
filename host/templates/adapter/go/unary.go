// Package export_pointsman_plugin_unary is where the bindings look for the hook `unary`.
package export_pointsman_plugin_unary

import (
	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/adapter"
	"wit_component/pointsman_plugin_wire"
)

// Encode makes the provider's request.
func Encode(
	operation pointsman_plugin_wire.Operation, target pointsman_plugin_wire.Target, isStream bool, body []uint8,
) types.Result[pointsman_plugin_wire.Outgoing, pointsman_plugin_wire.Failure] {
	outgoing, failure := adapter.Encode(operation, target, isStream, body)
	if failure != nil {
		return types.Err[pointsman_plugin_wire.Outgoing](*failure)
	}
	return types.Ok[pointsman_plugin_wire.Outgoing, pointsman_plugin_wire.Failure](outgoing)
}

// Decode reads a success's body.
func Decode(
	_ pointsman_plugin_wire.Operation, _ pointsman_plugin_wire.Target, body []uint8,
) types.Result[pointsman_plugin_wire.Answer, pointsman_plugin_wire.Failure] {
	answer, failure := adapter.Decode(body)
	if failure != nil {
		return types.Err[pointsman_plugin_wire.Answer](*failure)
	}
	return types.Ok[pointsman_plugin_wire.Answer, pointsman_plugin_wire.Failure](answer)
}

// Explain says what a status that is no success means.
func Explain(status uint16, headers []types.Tuple2[string, string], body []uint8) pointsman_plugin_wire.Failure {
	return adapter.Explain(status, headers, body)
}
