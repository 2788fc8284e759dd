// Package export_pointsman_plugin_streaming is where the bindings look for the hook `streaming`.
package export_pointsman_plugin_streaming

import (
	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/adapter"
	"wit_component/pointsman_plugin_wire"
)

// An instance serves one stream.
var stream adapter.Stream

// Begin is called once, before any event.
func Begin(
	_ pointsman_plugin_wire.Operation, _ pointsman_plugin_wire.Target,
) types.Result[types.Unit, pointsman_plugin_wire.Failure] {
	stream = adapter.Stream{}
	return types.Ok[types.Unit, pointsman_plugin_wire.Failure](types.Unit{})
}

// Push is called with all the events that one read brought.
func Push(events []pointsman_plugin_wire.Event) types.Result[[]pointsman_plugin_wire.Chunk, pointsman_plugin_wire.Failure] {
	return result(stream.Push(events))
}

// Finish is called at the end of the body.
func Finish() types.Result[[]pointsman_plugin_wire.Chunk, pointsman_plugin_wire.Failure] {
	return result(nil, stream.Finish())
}

func result(
	chunks []pointsman_plugin_wire.Chunk, failure *pointsman_plugin_wire.Failure,
) types.Result[[]pointsman_plugin_wire.Chunk, pointsman_plugin_wire.Failure] {
	if failure != nil {
		return types.Err[[]pointsman_plugin_wire.Chunk](*failure)
	}
	return types.Ok[[]pointsman_plugin_wire.Chunk, pointsman_plugin_wire.Failure](chunks)
}
