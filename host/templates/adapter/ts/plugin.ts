// Speaks to a provider of OpenAI's chat completions that calls the limit of tokens `max_output_tokens`.
// Bodies are bytes; an engine without TextDecoder reads and writes them with what stands at the end.

import type { DescribeExports } from "pointsman:plugin/describe@0.1.0";
import type { StreamingExports } from "pointsman:plugin/streaming@0.1.0";
import type { UnaryExports } from "pointsman:plugin/unary@0.1.0";
import type { Chunk, Failure, Kind, Usage } from "pointsman:plugin/wire@0.1.0";

// What only some engines have.
declare const TextDecoder: (new () => { decode(data: Uint8Array): string }) | undefined;
declare const TextEncoder: (new () => { encode(text: string): Uint8Array }) | undefined;

// A value that came as JSON.
type Json = any;
type Tag = Exclude<Kind["tag"], "other">;

const JSON_TYPE: [string, string][] = [["content-type", "application/json"]];

export const describe: DescribeExports = {
  describe: () => ({
    operations: ["chat"],
    framing: "server-sent-events",
    authentication: { tag: "bearer" },
    // A provider that takes OpenAI's requests as they are would say `openaiChat: true`; then nothing is translated.
    speaks: {},
    baseUrl: "https://api.example.com/v1",
    paths: [],
    headers: [],
    limitHeaders: [],
    extras: [],
  }),
};

export const unary: UnaryExports = {
  encode(operation, target, isStream, body) {
    if (operation !== "chat") throw failure("invalid-request", `${operation} is not offered by this provider`);
    const request = parse(body, "invalid-request", "the request");
    const { max_tokens, max_completion_tokens = max_tokens, ...rest } = request;
    const encoded = { ...rest, model: target.model };
    if (max_completion_tokens != null) encoded.max_output_tokens = max_completion_tokens;
    if (isStream) Object.assign(encoded, { stream: true, stream_options: { include_usage: true } });
    return { method: "POST", path: "/chat/completions", headers: JSON_TYPE, body: bytes(JSON.stringify(encoded)) };
  },

  decode(_operation, _target, body) {
    return { body, usage: usageOf(parse(body, "upstream", "the provider's answer").usage) };
  },

  explain(status, headers, body) {
    let error: Json = {};
    try {
      error = parse(body, "upstream", "the error").error ?? {};
    } catch {
      // Not JSON: the status says enough.
    }
    const wait = Number(headers.find(([name]) => name === "retry-after")?.[1]);
    return {
      kind: { tag: kindOf(status) },
      message: typeof error.message === "string" ? error.message : `the provider answered with status ${status}`,
      code: typeof error.code === "string" ? error.code : undefined,
      retryAfterMs: wait >= 0 ? Math.min(Math.ceil(wait * 1000), 0xffffffff) : undefined,
    };
  },
};

// An instance serves one stream.
let hasEnded = false;

export const streaming: StreamingExports = {
  begin(_operation, _target) {
    hasEnded = false;
  },

  push(events) {
    const chunks: Chunk[] = [];
    for (const { data } of events) {
      if (text(data).trim() === "[DONE]") {
        hasEnded = true;
        continue;
      }
      const chunk = parse(data, "upstream", "an event");
      if (chunk.error) throw failure("upstream", String(chunk.error.message ?? "the provider broke off"));
      if (chunk.choices?.some?.((choice: Json) => choice?.finish_reason != null)) hasEnded = true;
      chunks.push({ data: bytes(JSON.stringify(chunk)), usage: usageOf(chunk.usage) });
    }
    return chunks;
  },

  finish() {
    if (!hasEnded) throw failure("upstream", "the provider's stream broke off");
    return [];
  },
};

function failure(kind: Tag, message: string): Failure {
  return { kind: { tag: kind }, message, code: undefined, retryAfterMs: undefined };
}

function parse(body: Uint8Array, kind: Tag, what: string): Json {
  let value: Json;
  try {
    value = JSON.parse(text(body));
  } catch (error) {
    throw failure(kind, `${what} is not JSON: ${error}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw failure(kind, `${what} is not an object`);
  return value;
}

function usageOf(usage: Json): Usage | undefined {
  if (usage == null) return undefined;
  // QuickJS wants numbers for counts of 64 bits; with engine = "starlingmonkey" they are BigInts.
  const count = (value: Json) => (Number.isSafeInteger(value) && value > 0 ? value : 0);
  const cacheRead = count(usage.prompt_tokens_details?.cached_tokens);
  const prompt = count(usage.prompt_tokens);
  return {
    input: prompt > cacheRead ? prompt - cacheRead : 0,
    cacheRead,
    cacheWrite: 0,
    output: count(usage.completion_tokens),
    reasoning: count(usage.completion_tokens_details?.reasoning_tokens),
    extras: [],
  };
}

function kindOf(status: number): Tag {
  const known: Record<number, Tag> = {
    401: "authentication",
    402: "quota-exhausted",
    403: "permission",
    404: "not-found",
    408: "timed-out",
    429: "rate-limited",
    503: "overloaded",
    504: "timed-out",
  };
  return known[status] ?? (status >= 400 && status < 500 ? "invalid-request" : "upstream");
}

/** UTF-8 in; what is not becomes U+FFFD. */
function text(data: Uint8Array): string {
  if (typeof TextDecoder === "function") return new TextDecoder().decode(data);
  const parts: string[] = [];
  for (let at = 0; at < data.length; ) {
    // Most of what is sent is ASCII, and goes in runs.
    let end = at;
    while (end < data.length && end - at < 4096 && data[end]! < 0x80) end++;
    if (end > at) {
      parts.push(String.fromCharCode.apply(null, data.subarray(at, end) as unknown as number[]));
      at = end;
      continue;
    }
    const lead = data[at++]!;
    const more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    let code = more === 0 ? lead : lead & (0x3f >> more);
    let left = lead >= 0x80 && (lead < 0xc2 || lead > 0xf4) ? -1 : more;
    for (; left > 0 && (data[at]! & 0xc0) === 0x80; left--) code = (code << 6) | (data[at++]! & 0x3f);
    const isChar = left === 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    parts.push(String.fromCodePoint(isChar ? code : 0xfffd));
  }
  return parts.join("");
}

/** UTF-8 out. */
function bytes(string: string): Uint8Array {
  if (typeof TextEncoder === "function") return new TextEncoder().encode(string);
  const data = new Uint8Array(string.length * 3);
  let end = 0;
  for (const char of string) {
    const code = char.codePointAt(0)!;
    if (code < 0x80) data[end++] = code;
    else if (code < 0x800) data.set([0xc0 | (code >> 6), 0x80 | (code & 0x3f)], (end += 2) - 2);
    else if (code < 0x10000)
      data.set([0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)], (end += 3) - 3);
    else
      data.set(
        [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)],
        (end += 4) - 4,
      );
  }
  return data.subarray(0, end);
}
