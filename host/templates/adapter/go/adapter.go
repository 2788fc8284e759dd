// Package adapter speaks to a provider of OpenAI's chat completions that calls the limit of tokens `max_output_tokens`.
package adapter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"go.bytecodealliance.org/pkg/wit/types"
	wire "wit_component/pointsman_plugin_wire"
)

// Profile is what the adapter says of itself.
func Profile() wire.Profile {
	return wire.Profile{
		Operations:     []wire.Operation{wire.Operation_Chat},
		Framing:        wire.Framing_ServerSentEvents,
		Authentication: wire.MakeAuthenticationBearer(),
		// A provider that takes OpenAI's requests as they are would say `wire.Dialects_OpenaiChat`: nothing is translated.
		Speaks:  0,
		BaseUrl: types.Some("https://api.example.com/v1"),
	}
}

// Encode makes the provider's request of a canonical one.
func Encode(operation wire.Operation, target wire.Target, isStream bool, body []byte) (wire.Outgoing, *wire.Failure) {
	if operation != wire.Operation_Chat {
		return wire.Outgoing{}, failure(wire.MakeKindInvalidRequest(), "this provider offers chat alone")
	}
	var request map[string]json.RawMessage
	if err := json.Unmarshal(body, &request); err != nil || request == nil {
		return wire.Outgoing{}, failure(wire.MakeKindInvalidRequest(), fmt.Sprint("the request is not a JSON object: ", err))
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if limit, isGiven := request[name]; isGiven && string(limit) != "null" {
			request["max_output_tokens"] = limit
		}
		delete(request, name)
	}
	request["model"], _ = json.Marshal(target.Model)
	if isStream {
		request["stream"] = json.RawMessage("true")
		request["stream_options"] = json.RawMessage(`{"include_usage":true}`)
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		return wire.Outgoing{}, failure(wire.MakeKindInvalidRequest(), err.Error())
	}
	return wire.Outgoing{
		Method:  "POST",
		Path:    "/chat/completions",
		Headers: []types.Tuple2[string, string]{{F0: "content-type", F1: "application/json"}},
		Body:    encoded,
	}, nil
}

// Decode reads a success's body.
func Decode(body []byte) (wire.Answer, *wire.Failure) {
	var answer struct{ Usage *usage }
	if err := json.Unmarshal(body, &answer); err != nil {
		return wire.Answer{}, failure(wire.MakeKindUpstream(), "the provider's answer cannot be read: "+err.Error())
	}
	return wire.Answer{Body: body, Usage: answer.Usage.told()}, nil
}

// Explain says what a status that is no success means.
func Explain(status uint16, headers []types.Tuple2[string, string], body []byte) wire.Failure {
	var seen struct {
		Error struct {
			Message string
			Code    any
		}
	}
	// What is no JSON is told by its status.
	_ = json.Unmarshal(body, &seen)
	explained := wire.Failure{Kind: kindOf(status), Message: seen.Error.Message}
	if explained.Message == "" {
		explained.Message = fmt.Sprintf("the provider answered with status %d", status)
	}
	if code, isText := seen.Error.Code.(string); isText {
		explained.Code = types.Some(code)
	}
	for _, header := range headers {
		if seconds, err := strconv.ParseFloat(header.F1, 64); header.F0 == "retry-after" && err == nil && seconds >= 0 {
			explained.RetryAfterMs = types.Some(uint32(min(math.Ceil(seconds*1000), math.MaxUint32)))
		}
	}
	return explained
}

// Stream is one streamed answer.
type Stream struct{ hasEnded bool }

// Push translates the events that one read brought.
func (stream *Stream) Push(events []wire.Event) ([]wire.Chunk, *wire.Failure) {
	var chunks []wire.Chunk
	for _, event := range events {
		if string(bytes.TrimSpace(event.Data)) == "[DONE]" {
			stream.hasEnded = true
			continue
		}
		var seen struct {
			Error   *struct{ Message string }
			Choices []struct {
				FinishReason *string `json:"finish_reason"`
			}
			Usage *usage
		}
		if err := json.Unmarshal(event.Data, &seen); err != nil {
			return nil, failure(wire.MakeKindUpstream(), "an event cannot be read: "+err.Error())
		}
		if seen.Error != nil {
			return nil, failure(wire.MakeKindUpstream(), "the provider broke off: "+seen.Error.Message)
		}
		for _, choice := range seen.Choices {
			stream.hasEnded = stream.hasEnded || choice.FinishReason != nil
		}
		// On one line, as an event of the gateway's own has to be.
		var data bytes.Buffer
		_ = json.Compact(&data, event.Data)
		chunks = append(chunks, wire.Chunk{Data: data.Bytes(), Usage: seen.Usage.told()})
	}
	return chunks, nil
}

// Finish is an error unless the provider said that the answer is whole.
func (stream *Stream) Finish() *wire.Failure {
	if !stream.hasEnded {
		return failure(wire.MakeKindUpstream(), "the provider's stream broke off")
	}
	return nil
}

type usage struct {
	Prompt        uint64 `json:"prompt_tokens"`
	Completion    uint64 `json:"completion_tokens"`
	PromptDetails struct {
		Cached uint64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning uint64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// The contract counts cached input apart.
func (seen *usage) told() types.Option[wire.Usage] {
	if seen == nil {
		return types.None[wire.Usage]()
	}
	cached := seen.PromptDetails.Cached
	return types.Some(wire.Usage{
		Input:     seen.Prompt - min(cached, seen.Prompt),
		CacheRead: cached,
		Output:    seen.Completion,
		Reasoning: seen.CompletionDetails.Reasoning,
	})
}

func failure(kind wire.Kind, message string) *wire.Failure {
	return &wire.Failure{Kind: kind, Message: message}
}

func kindOf(status uint16) wire.Kind {
	switch {
	case status == 401:
		return wire.MakeKindAuthentication()
	case status == 402:
		return wire.MakeKindQuotaExhausted()
	case status == 403:
		return wire.MakeKindPermission()
	case status == 404:
		return wire.MakeKindNotFound()
	case status == 408 || status == 504:
		return wire.MakeKindTimedOut()
	case status == 429:
		return wire.MakeKindRateLimited()
	case status == 503:
		return wire.MakeKindOverloaded()
	case status >= 400 && status < 500:
		return wire.MakeKindInvalidRequest()
	default:
		return wire.MakeKindUpstream()
	}
}
