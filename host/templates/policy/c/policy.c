// Routes by words: where the user's last message has one of them, preferred candidates come first.
// Whatever is handed to the gateway is freed by the bindings, so it has to come from malloc; what comes in is ours to free.

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "plugin.h"

typedef plugin_string_t string;
typedef exports_pointsman_plugin_route_step_t step;

static const char SCHEMA[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"words\",\"prefer\"],\"properties\":{"
    "\"words\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1,"
    "\"description\":\"What is looked for, in any case.\"},"
    "\"prefer\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},"
    "\"description\":\"Candidates by id or by tag:NAME, in order of preference.\"},"
    "\"label\":{\"type\":\"string\",\"description\":\"The request's label class.\"}}}";

// Set by `load`; every call begins with the memory that `load` left, and nothing is kept from call to call.
static struct {
  plugin_list_string_t words;
  plugin_list_string_t prefer;
  plugin_option_string_t label;
} config;

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) abort();
  return memory;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

// Whether the text has the word, in any case of ASCII letters.
static bool has(string text, string word) {
  for (size_t at = 0; at + word.len <= text.len; at++) {
    size_t same = 0;
    while (same < word.len && lower((char)text.ptr[at + same]) == lower((char)word.ptr[same])) same++;
    if (same == word.len) return true;
  }
  return false;
}

static bool equals(string a, string b) { return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len); }

static bool is_meant(const pointsman_plugin_catalog_candidate_t *candidate, string name) {
  if (equals(candidate->id, name)) return true;
  if (name.len < 4 || memcmp(name.ptr, "tag:", 4)) return false;
  string tag = {name.ptr + 4, name.len - 4};
  for (size_t index = 0; index < candidate->tags.len; index++)
    if (equals(candidate->tags.ptr[index], tag)) return true;
  return false;
}

// A text of three parts, for messages.
static void say(string *out, const char *before, const char *what, size_t length, const char *after) {
  size_t head = strlen(before), tail = strlen(after);
  out->len = head + length + tail;
  out->ptr = allocate(out->len, 1);
  memcpy(out->ptr, before, head);
  memcpy(out->ptr + head, what, length);
  memcpy(out->ptr + head + length, after, tail);
}

static bool read_string(json value, string *out) {
  out->ptr = (uint8_t *)json_text(value, &out->len);
  return out->ptr != NULL;
}

static bool read_strings(json value, plugin_list_string_t *out) {
  size_t count = 0;
  json rest = value;
  if (!json_is(value, '[')) return false;
  for (json item; json_next(&rest, NULL, &item);) count++;
  out->ptr = allocate(count, sizeof(string));
  out->len = 0;
  rest = value;
  for (json item; json_next(&rest, NULL, &item);)
    if (!read_string(item, &out->ptr[out->len++])) return false;
  return true;
}

bool exports_pointsman_plugin_configure_load(string *text, plugin_list_string_t *warnings, string *error) {
  json whole, key, value;
  memset(&config, 0, sizeof config);
  if (!json_parse((const char *)text->ptr, text->len, &whole) || !json_is(whole, '{')) {
    plugin_string_dup(error, "the configuration is not a JSON object");
    return false;
  }
  while (json_next(&whole, &key, &value)) {
    bool is_right;
    if (json_equals(key, "words")) {
      is_right = read_strings(value, &config.words);
    } else if (json_equals(key, "prefer")) {
      is_right = read_strings(value, &config.prefer);
    } else if (json_equals(key, "label")) {
      is_right = config.label.is_some = read_string(value, &config.label.val);
    } else {
      say(error, "`", key.at + 1, (size_t)(key.end - key.at - 2), "` is not known here");
      return false;
    }
    if (!is_right) {
      say(error, "`", key.at + 1, (size_t)(key.end - key.at - 2), "` is of the wrong type");
      return false;
    }
  }
  if (!config.words.len) {
    plugin_string_dup(error, "`words` is empty, expected at least one");
    return false;
  }
  if (!config.prefer.ptr) {
    plugin_string_dup(error, "`prefer` is missing");
    return false;
  }
  *warnings = (plugin_list_string_t){0};
  return true;
}

void exports_pointsman_plugin_configure_schema(string *schema) { plugin_string_dup(schema, SCHEMA); }

static void add(exports_pointsman_plugin_route_list_step_t *steps, string id) {
  for (size_t index = 0; index < steps->len; index++)
    if (equals(steps->ptr[index].candidate, id)) return;
  plugin_string_dup_n(&steps->ptr[steps->len++].candidate, (const char *)id.ptr, id.len);
}

bool exports_pointsman_plugin_route_decide(exports_pointsman_plugin_route_summary_t *summary,
                                           exports_pointsman_plugin_route_list_candidate_t *candidates,
                                           exports_pointsman_plugin_route_verdict_t *verdict, string *error) {
  (void)error;
  exports_pointsman_plugin_route_summary_free(summary);
  string text;
  pointsman_plugin_prompt_last_user_text(&text);
  size_t found = 0;
  while (found < config.words.len && !has(text, config.words.ptr[found])) found++;
  plugin_string_free(&text);
  memset(verdict, 0, sizeof *verdict);
  if (found == config.words.len) {
    verdict->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PASS;
    exports_pointsman_plugin_route_list_candidate_free(candidates);
    return true;
  }
  verdict->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PLAN;
  exports_pointsman_plugin_route_plan_t *plan = &verdict->val.plan;
  plan->steps.ptr = allocate(candidates->len, sizeof(step));
  for (size_t name = 0; name < config.prefer.len; name++)
    for (size_t index = 0; index < candidates->len; index++)
      if (is_meant(&candidates->ptr[index], config.prefer.ptr[name])) add(&plan->steps, candidates->ptr[index].id);
  // The others stay behind as fallbacks; no steps at all leave the candidates as they are.
  if (plan->steps.len)
    for (size_t index = 0; index < candidates->len; index++) add(&plan->steps, candidates->ptr[index].id);
  if (config.label.is_some) {
    plan->labels = (plugin_list_tuple2_string_string_t){allocate(1, sizeof(plugin_tuple2_string_string_t)), 1};
    plugin_string_dup(&plan->labels.ptr->f0, "class");
    plugin_string_dup_n(&plan->labels.ptr->f1, (const char *)config.label.val.ptr, config.label.val.len);
  }
  string word = config.words.ptr[found];
  say(&plan->reason, "found `", (const char *)word.ptr, word.len, "`");
  exports_pointsman_plugin_route_list_candidate_free(candidates);
  return true;
}
