// Package export_pointsman_plugin_route does what the user's last message says, and counts its calls;
// `tests/it/languages/misbehaving.rs` asks for each.
package export_pointsman_plugin_route

import (
	"bytes"
	"fmt"
	"os"

	"go.bytecodealliance.org/pkg/wit/types"
	"wit_component/pointsman_plugin_prompt"
	"wit_component/pointsman_plugin_route"
)

var calls int
var kept [][]byte

func Decide(pointsman_plugin_route.Summary, []pointsman_plugin_route.Candidate) types.Result[pointsman_plugin_route.Verdict, string] {
	calls++
	plan := pointsman_plugin_route.Plan{Reason: fmt.Sprintf("call %d", calls)}
	switch pointsman_plugin_prompt.LastUserText() {
	case "loop":
		for {
		}
	case "exhaust":
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "recurse":
		plan.Reason = fmt.Sprint(deeper(0))
	case "throw":
		panic("on purpose")
	case "exit":
		os.Exit(0)
	case "invent":
		plan.Steps = []pointsman_plugin_route.Step{{Candidate: "moon"}}
	case "flood":
		plan.Steps = make([]pointsman_plugin_route.Step, 1_000_000)
	case "leak":
		kept = append(kept, bytes.Repeat([]byte{1}, 8<<20))
	}
	verdict := pointsman_plugin_route.MakeVerdictPlan(plan)
	return types.Ok[pointsman_plugin_route.Verdict, string](verdict)
}

func deeper(depth int) int { return deeper(depth+1) + 1 }
