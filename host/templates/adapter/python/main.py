"""Speaks to a provider of OpenAI's chat completions that calls the limit of tokens `max_output_tokens`."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.wire import (
    Answer,
    Authentication_Bearer,
    Chunk,
    Dialects,
    Event,
    Failure,
    Framing,
    Kind,
    Kind_Authentication,
    Kind_InvalidRequest,
    Kind_NotFound,
    Kind_Overloaded,
    Kind_Permission,
    Kind_QuotaExhausted,
    Kind_RateLimited,
    Kind_TimedOut,
    Kind_Upstream,
    Operation,
    Outgoing,
    Profile,
    Target,
    Usage,
)


class Describe(exports.Describe):
    def describe(self) -> Profile:
        return Profile(
            operations=[Operation.CHAT],
            framing=Framing.SERVER_SENT_EVENTS,
            authentication=Authentication_Bearer(),
            # A provider that takes OpenAI's requests as they are would say `Dialects.OPENAI_CHAT`: nothing is translated.
            speaks=Dialects(0),
            base_url="https://api.example.com/v1",
            paths=[],
            headers=[],
            limit_headers=[],
            extras=[],
        )


class Unary(exports.Unary):
    def encode(self, operation: Operation, target: Target, is_stream: bool, body: bytes) -> Outgoing:
        if operation != Operation.CHAT:
            raise failed(Kind_InvalidRequest(), f"{operation.name.lower()} is not offered by this provider")
        request = parse(body, Kind_InvalidRequest(), "the request")
        limits = [request.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
        request["model"] = target.model
        for limit in limits:
            if limit is not None:
                request.setdefault("max_output_tokens", limit)
        if is_stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        headers = [("content-type", "application/json")]
        return Outgoing("POST", "/chat/completions", headers, text_of(request))

    def decode(self, operation: Operation, target: Target, body: bytes) -> Answer:
        return Answer(body, usage_of(parse(body, Kind_Upstream(), "the provider's answer").get("usage")))

    def explain(self, status: int, headers: list[tuple[str, str]], body: bytes) -> Failure:
        try:
            error = parse(body, Kind_Upstream(), "the error").get("error")
        except Err:
            error = None  # Not JSON: the status says enough.
        error = error if isinstance(error, dict) else {}
        message, code = error.get("message"), error.get("code")
        return Failure(
            kind_of(status),
            message if isinstance(message, str) else f"the provider answered with status {status}",
            code if isinstance(code, str) else None,
            wait_ms(dict(headers).get("retry-after", "")),
        )


# An instance serves one stream.
has_ended = False


class Streaming(exports.Streaming):
    def begin(self, operation: Operation, target: Target) -> None:
        globals()["has_ended"] = False

    def push(self, events: list[Event]) -> list[Chunk]:
        chunks = []
        for event in events:
            if event.data.strip() == b"[DONE]":
                globals()["has_ended"] = True
                continue
            chunk = parse(event.data, Kind_Upstream(), "an event")
            if error := chunk.get("error"):
                message = error.get("message") if isinstance(error, dict) else None
                raise failed(Kind_Upstream(), str(message or "the provider broke off"))
            choices = chunk.get("choices")
            for choice in choices if isinstance(choices, list) else []:
                if isinstance(choice, dict) and choice.get("finish_reason") is not None:
                    globals()["has_ended"] = True
            chunks.append(Chunk(text_of(chunk), usage_of(chunk.get("usage"))))
        return chunks

    def finish(self) -> list[Chunk]:
        if not has_ended:
            raise failed(Kind_Upstream(), "the provider's stream broke off")
        return []


def failed(kind: Kind, message: str) -> Err:
    return Err(Failure(kind, message, None, None))


def parse(body: bytes, kind: Kind, what: str) -> dict:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise failed(kind, f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise failed(kind, f"{what} is not an object")
    return value


def text_of(value: dict) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def usage_of(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    cache_read = count(usage.get("prompt_tokens_details"), "cached_tokens")
    return Usage(
        input=max(count(usage, "prompt_tokens") - cache_read, 0),
        cache_read=cache_read,
        cache_write=0,
        output=count(usage, "completion_tokens"),
        reasoning=count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        extras=[],
    )


def count(of: object, key: str) -> int:
    value = of.get(key) if isinstance(of, dict) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0


def wait_ms(seconds: str) -> int | None:
    try:
        wait = float(seconds)
    except ValueError:
        return None
    return round(wait * 1000) if 0 <= wait < 4_000_000 else None


def kind_of(status: int) -> Kind:
    match status:
        case 401:
            return Kind_Authentication()
        case 402:
            return Kind_QuotaExhausted()
        case 403:
            return Kind_Permission()
        case 404:
            return Kind_NotFound()
        case 408 | 504:
            return Kind_TimedOut()
        case 429:
            return Kind_RateLimited()
        case 503:
            return Kind_Overloaded()
        case _:
            return Kind_InvalidRequest() if 400 <= status < 500 else Kind_Upstream()
