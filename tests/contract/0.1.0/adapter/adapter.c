// Speaks to a provider of OpenAI's chat completions that calls the limit of tokens `max_output_tokens`.
// Bodies are copied member by member, so that what nobody knows passes as it is. Whatever is handed to the gateway is freed
// by the bindings, so it has to come from malloc.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "plugin.h"

typedef pointsman_plugin_wire_failure_t failure;
typedef plugin_list_u8_t bytes;

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) abort();
  return memory;
}

static void append(bytes *out, const char *text, size_t length) {
  out->ptr = realloc(out->ptr, out->len + length + 1);
  if (!out->ptr) abort();
  memcpy(out->ptr + out->len, text, length);
  out->len += length;
}

static void append_text(bytes *out, const char *text) { append(out, text, strlen(text)); }

static void append_string(bytes *out, plugin_string_t string) {
  append_text(out, "\"");
  for (size_t index = 0; index < string.len; index++) {
    unsigned char c = string.ptr[index];
    char escaped[8];
    if (c == '"' || c == '\\' || c < 0x20) {
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      append_text(out, escaped);
    } else {
      append(out, (const char *)&c, 1);
    }
  }
  append_text(out, "\"");
}

static bool fail(failure *out, uint8_t kind, const char *message) {
  memset(out, 0, sizeof *out);
  out->kind.tag = kind;
  plugin_string_dup(&out->message, message);
  return false;
}

static bool parse(bytes *body, json *value) {
  return json_parse((const char *)body->ptr, body->len, value) && json_is(*value, '{');
}

void exports_pointsman_plugin_describe_describe(pointsman_plugin_wire_profile_t *profile) {
  memset(profile, 0, sizeof *profile);
  profile->operations.ptr = allocate(1, sizeof(pointsman_plugin_wire_operation_t));
  profile->operations.ptr[0] = POINTSMAN_PLUGIN_WIRE_OPERATION_CHAT;
  profile->operations.len = 1;
  profile->framing = POINTSMAN_PLUGIN_WIRE_FRAMING_SERVER_SENT_EVENTS;
  profile->authentication.tag = POINTSMAN_PLUGIN_WIRE_AUTHENTICATION_BEARER;
  // A provider that takes OpenAI's requests as they are would set `speaks` to ..._DIALECTS_OPENAI_CHAT.
  profile->base_url.is_some = true;
  plugin_string_dup(&profile->base_url.val, "https://api.example.com/v1");
}

bool exports_pointsman_plugin_unary_encode(pointsman_plugin_wire_operation_t operation,
                                           pointsman_plugin_wire_target_t *target, bool is_stream, bytes *body,
                                           pointsman_plugin_wire_outgoing_t *outgoing, failure *error) {
  static const char *const replaced[] = {"model", "max_tokens", "max_completion_tokens"};
  static const char *const in_streams[] = {"stream", "stream_options"};
  json request, key, value;
  if (operation != POINTSMAN_PLUGIN_WIRE_OPERATION_CHAT)
    return fail(error, POINTSMAN_PLUGIN_WIRE_KIND_INVALID_REQUEST, "this provider offers chat alone");
  if (!parse(body, &request))
    return fail(error, POINTSMAN_PLUGIN_WIRE_KIND_INVALID_REQUEST, "the request is not a JSON object");
  bytes out = {0};
  append_text(&out, "{\"model\":");
  append_string(&out, target->model);
  for (json rest = request; json_next(&rest, &key, &value);) {
    bool is_ours = false;
    for (int name = 0; name < 3; name++) is_ours |= json_equals(key, replaced[name]);
    for (int name = 0; name < 2; name++) is_ours |= is_stream && json_equals(key, in_streams[name]);
    if (is_ours) continue;
    append_text(&out, ",");
    append(&out, key.at, (size_t)(key.end - key.at));
    append_text(&out, ":");
    append(&out, value.at, (size_t)(value.end - value.at));
  }
  bool has_limit = json_member(request, "max_completion_tokens", &value) && !json_is(value, 'n');
  if (has_limit || (json_member(request, "max_tokens", &value) && !json_is(value, 'n'))) {
    append_text(&out, ",\"max_output_tokens\":");
    append(&out, value.at, (size_t)(value.end - value.at));
  }
  append_text(&out, is_stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}" : "}");
  memset(outgoing, 0, sizeof *outgoing);
  plugin_string_dup(&outgoing->method, "POST");
  plugin_string_dup(&outgoing->path, "/chat/completions");
  outgoing->headers = (plugin_list_tuple2_string_string_t){allocate(1, sizeof(plugin_tuple2_string_string_t)), 1};
  plugin_string_dup(&outgoing->headers.ptr->f0, "content-type");
  plugin_string_dup(&outgoing->headers.ptr->f1, "application/json");
  outgoing->body = out;
  return true;
}

static uint64_t count_of(json object, const char *name) {
  json value;
  return json_member(object, name, &value) ? json_count(value) : 0;
}

static uint64_t detail_of(json object, const char *details, const char *name) {
  json value;
  return json_member(object, details, &value) ? count_of(value, name) : 0;
}

// The contract counts cached input apart.
static pointsman_plugin_wire_option_usage_t usage_of(json answer) {
  pointsman_plugin_wire_option_usage_t usage = {0};
  json seen;
  if (!json_member(answer, "usage", &seen) || !json_is(seen, '{')) return usage;
  uint64_t prompt = count_of(seen, "prompt_tokens");
  uint64_t cached = detail_of(seen, "prompt_tokens_details", "cached_tokens");
  usage.is_some = true;
  usage.val.input = prompt > cached ? prompt - cached : 0;
  usage.val.cache_read = cached;
  usage.val.output = count_of(seen, "completion_tokens");
  usage.val.reasoning = detail_of(seen, "completion_tokens_details", "reasoning_tokens");
  return usage;
}

bool exports_pointsman_plugin_unary_decode(pointsman_plugin_wire_operation_t operation,
                                           pointsman_plugin_wire_target_t *target, bytes *body,
                                           pointsman_plugin_wire_answer_t *answer, failure *error) {
  (void)operation, (void)target;
  json seen;
  if (!parse(body, &seen))
    return fail(error, POINTSMAN_PLUGIN_WIRE_KIND_UPSTREAM, "the provider's answer is not a JSON object");
  answer->usage = usage_of(seen);
  answer->body = *body;
  return true;
}

static uint8_t kind_of(uint16_t status) {
  switch (status) {
    case 401: return POINTSMAN_PLUGIN_WIRE_KIND_AUTHENTICATION;
    case 402: return POINTSMAN_PLUGIN_WIRE_KIND_QUOTA_EXHAUSTED;
    case 403: return POINTSMAN_PLUGIN_WIRE_KIND_PERMISSION;
    case 404: return POINTSMAN_PLUGIN_WIRE_KIND_NOT_FOUND;
    case 408:
    case 504: return POINTSMAN_PLUGIN_WIRE_KIND_TIMED_OUT;
    case 429: return POINTSMAN_PLUGIN_WIRE_KIND_RATE_LIMITED;
    case 503: return POINTSMAN_PLUGIN_WIRE_KIND_OVERLOADED;
  }
  return status >= 400 && status < 500 ? POINTSMAN_PLUGIN_WIRE_KIND_INVALID_REQUEST
                                       : POINTSMAN_PLUGIN_WIRE_KIND_UPSTREAM;
}

void exports_pointsman_plugin_unary_explain(uint16_t status, plugin_list_tuple2_string_string_t *headers, bytes *body,
                                            failure *out) {
  json seen, error, value;
  char message[64];
  snprintf(message, sizeof message, "the provider answered with status %u", status);
  fail(out, kind_of(status), message);
  if (parse(body, &seen) && json_member(seen, "error", &error)) {
    size_t length;
    char *text = json_member(error, "message", &value) ? json_text(value, &length) : NULL;
    if (text) {
      plugin_string_free(&out->message);
      out->message = (plugin_string_t){(uint8_t *)text, length};
    }
    text = json_member(error, "code", &value) ? json_text(value, &length) : NULL;
    out->code.is_some = text != NULL;
    if (text) out->code.val = (plugin_string_t){(uint8_t *)text, length};
  }
  for (size_t index = 0; index < headers->len; index++) {
    plugin_tuple2_string_string_t header = headers->ptr[index];
    if (header.f0.len != 11 || memcmp(header.f0.ptr, "retry-after", 11) || header.f1.len == 0 || header.f1.len > 6) continue;
    // Whole seconds; a date is left alone, since an adapter has no clock.
    json seconds = {(const char *)header.f1.ptr, (const char *)header.f1.ptr + header.f1.len};
    uint64_t wait = json_count(seconds);
    out->retry_after_ms.is_some = wait > 0;
    out->retry_after_ms.val = (uint32_t)(wait * 1000);
  }
}

// Whether the provider has said that the answer is whole. An instance serves one stream.
static bool has_ended;

bool exports_pointsman_plugin_streaming_begin(pointsman_plugin_wire_operation_t operation,
                                              pointsman_plugin_wire_target_t *target, failure *error) {
  (void)operation, (void)target, (void)error;
  has_ended = false;
  return true;
}

static bool is_done(bytes data) {
  while (data.len && strchr(" \t\r\n", data.ptr[data.len - 1])) data.len--;
  return data.len == 6 && !memcmp(data.ptr, "[DONE]", 6);
}

bool exports_pointsman_plugin_streaming_push(exports_pointsman_plugin_streaming_list_event_t *events,
                                             exports_pointsman_plugin_streaming_list_chunk_t *chunks, failure *error) {
  chunks->ptr = allocate(events->len, sizeof(pointsman_plugin_wire_chunk_t));
  chunks->len = 0;
  for (size_t index = 0; index < events->len; index++) {
    bytes *data = &events->ptr[index].data;
    json chunk, value, choice, reason;
    if (is_done(*data)) {
      has_ended = true;
      continue;
    }
    if (!parse(data, &chunk)) return fail(error, POINTSMAN_PLUGIN_WIRE_KIND_UPSTREAM, "an event is not a JSON object");
    if (json_member(chunk, "error", &value) && !json_is(value, 'n'))
      return fail(error, POINTSMAN_PLUGIN_WIRE_KIND_UPSTREAM, "the provider broke off");
    if (json_member(chunk, "choices", &value) && json_is(value, '['))
      while (json_next(&value, NULL, &choice))
        if (json_member(choice, "finish_reason", &reason) && !json_is(reason, 'n')) has_ended = true;
    pointsman_plugin_wire_chunk_t *out = &chunks->ptr[chunks->len++];
    out->usage = usage_of(chunk);
    append(&out->data, chunk.at, (size_t)(chunk.end - chunk.at));
    // On one line, as an event of the gateway's own has to be; inside strings there are no line ends.
    for (size_t at = 0; at < out->data.len; at++)
      if (out->data.ptr[at] == '\n' || out->data.ptr[at] == '\r') out->data.ptr[at] = ' ';
  }
  return true;
}

bool exports_pointsman_plugin_streaming_finish(exports_pointsman_plugin_streaming_list_chunk_t *chunks, failure *error) {
  memset(chunks, 0, sizeof *chunks);
  return has_ended || fail(error, POINTSMAN_PLUGIN_WIRE_KIND_UPSTREAM, "the provider's stream broke off");
}
