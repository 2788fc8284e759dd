// Routes by words, as the policy `keyword` in the box does, with that part of its configuration that README.md names.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "json.h"
#include "plugin.h"

typedef exports_pointsman_plugin_route_list_candidate_t candidates_t;
typedef exports_pointsman_plugin_route_verdict_t verdict_t;

struct word {
  char *text;
  size_t length;
};

struct rule {
  struct word *any, *all;
  size_t any_count, all_count;
  struct json *label, *prefer;
};

// Set by `load`; every call begins with the memory that `load` left.
static struct rule *rules, *otherwise;
static size_t rule_count;
static bool whole_words, ignore_case;

#define WORDS "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define ACTION "\"label\":{\"type\":\"string\"},\"prefer\":" WORDS
static const char SCHEMA[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"rules\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
    "\"properties\":{\"any\":" WORDS ",\"all\":" WORDS "," ACTION "}}},"
    "\"default\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" ACTION "}},"
    "\"whole_words\":{\"type\":\"boolean\"},\"ignore_case\":{\"type\":\"boolean\"}}}";

// The letter that begins at `at`, which moves behind it. The text is the host's or JSON's, and good UTF-8.
static wint_t next_letter(const char **at) {
  const unsigned char *in = (const unsigned char *)*at;
  unsigned length = in[0] < 0x80 ? 1 : in[0] < 0xe0 ? 2 : in[0] < 0xf0 ? 3 : 4;
  wint_t letter = length == 1 ? in[0] : in[0] & (0x7f >> length);
  for (unsigned more = 1; more < length; more++) letter = letter << 6 | (in[more] & 0x3f);
  *at += length;
  return letter;
}

static char *put_letter(char *out, wint_t letter) {
  if (letter < 0x80) {
    *out++ = letter;
    return out;
  }
  static const unsigned char LEAD[] = {0, 0xc0, 0xe0, 0xf0};
  unsigned more = letter < 0x800 ? 1 : letter < 0x10000 ? 2 : 3;
  *out++ = LEAD[more] | letter >> 6 * more;
  while (more--) *out++ = 0x80 | (letter >> 6 * more & 0x3f);
  return out;
}

// In lower case where case is ignored.
static struct word folded(const char *text, size_t length) {
  // No letter of two bytes or more becomes more than half as long again.
  struct word word = {malloc(length * 2 + 1), 0};
  char *out = word.text;
  for (const char *at = text; at < text + length;) {
    wint_t letter = next_letter(&at);
    out = put_letter(out, ignore_case ? towlower(letter) : letter);
  }
  word.length = out - word.text;
  return word;
}

// Whether the letter is part of words with spaces between them: not in Thai, Lao, Myanmar, Khmer, Chinese, Japanese.
static bool touches(wint_t letter) {
  if (letter < 0x80) return iswalnum(letter) || letter == '_';
  bool is_unspaced = (letter >= 0xe00 && letter <= 0xeff) || (letter >= 0x1000 && letter <= 0x109f) ||
                     (letter >= 0x1780 && letter <= 0x17ff) || (letter >= 0x2e80 && letter <= 0x9fff) ||
                     (letter >= 0xf900 && letter <= 0xfaff) || (letter >= 0x20000 && letter <= 0x3ffff);
  return !is_unspaced && iswalnum(letter);
}

static bool touches_after(const char *at, const char *end) { return at < end && touches(next_letter(&at)); }

static bool touches_before(const char *at, const char *begin) {
  if (at == begin) return false;
  do at--;
  while (((unsigned char)*at & 0xc0) == 0x80);
  return touches(next_letter(&at));
}

// Where whole words are wanted, no letter or digit may touch the word.
static bool has(struct word text, struct word word) {
  const char *end = text.text + text.length, *word_end = word.text + word.length;
  for (const char *at = text.text; at + word.length <= end; at++) {
    if (memcmp(at, word.text, word.length)) continue;
    if (!whole_words) return true;
    bool is_part = (touches_after(word.text, word_end) && touches_before(at, text.text)) ||
                   (touches_before(word_end, word.text) && touches_after(at + word.length, end));
    if (!is_part) return true;
  }
  return false;
}

static bool fails(plugin_string_t *err, const char *what, const char *name) {
  char text[256];
  snprintf(text, sizeof text, what, name);
  plugin_string_dup(err, text);
  return false;
}

static bool is_known(const struct json *object, const char *keys, plugin_string_t *err) {
  if (object->kind != JSON_OBJECT) return fails(err, "%s", "expected an object");
  for (struct json *member = object->first; member; member = member->next) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, " %s ", member->key);
    if (!strstr(keys, wanted)) return fails(err, "`%s` is not known here", member->key);
  }
  return true;
}

static bool read_words(const struct json *list, struct word **words, size_t *count, plugin_string_t *err) {
  for (struct json *item = list ? list->first : NULL; item; item = item->next) {
    if (item->kind != JSON_STRING || !item->length || strspn(item->text, " \t\r\n") == item->length)
      return fails(err, "%s", "a rule has an empty word");
    *words = realloc(*words, (*count + 1) * sizeof **words);
    (*words)[(*count)++] = folded(item->text, item->length);
  }
  return true;
}

static bool read_rule(const struct json *given, struct rule *rule, plugin_string_t *err) {
  memset(rule, 0, sizeof *rule);
  rule->label = json_get(given, "label");
  rule->prefer = json_get(given, "prefer");
  return read_words(json_get(given, "any"), &rule->any, &rule->any_count, err) &&
         read_words(json_get(given, "all"), &rule->all, &rule->all_count, err);
}

bool exports_pointsman_plugin_configure_load(plugin_string_t *config, plugin_list_string_t *ret, plugin_string_t *err) {
  struct json *given = json_parse((char *)config->ptr, config->len);
  if (!given) return fails(err, "%s", "the configuration is not JSON");
  if (!is_known(given, " rules default whole_words ignore_case ", err)) return false;
  struct json *whole = json_get(given, "whole_words"), *fold = json_get(given, "ignore_case");
  whole_words = !whole || whole->is_true;
  ignore_case = !fold || fold->is_true;
  struct json *list = json_get(given, "rules"), *action = json_get(given, "default");
  rules = NULL;
  rule_count = 0;
  for (struct json *item = list ? list->first : NULL; item; item = item->next) {
    rules = realloc(rules, (rule_count + 1) * sizeof *rules);
    struct rule *rule = &rules[rule_count++];
    if (!is_known(item, " any all label prefer ", err) || !read_rule(item, rule, err)) return false;
    if (!rule->any_count && !rule->all_count)
      return fails(err, "%s", "a rule looks for nothing, expected `any` or `all`");
  }
  otherwise = NULL;
  if (action) {
    otherwise = malloc(sizeof *otherwise);
    if (!is_known(action, " label prefer ", err) || !read_rule(action, otherwise, err)) return false;
  }
  ret->len = 0;
  ret->ptr = NULL;
  return true;
}

void exports_pointsman_plugin_configure_schema(plugin_string_t *ret) { plugin_string_dup(ret, SCHEMA); }

static bool means(const struct json *name, const pointsman_plugin_catalog_candidate_t *candidate) {
  if (name->length == candidate->id.len && !memcmp(name->text, candidate->id.ptr, name->length)) return true;
  if (name->length < 4 || memcmp(name->text, "tag:", 4)) return false;
  for (size_t tag = 0; tag < candidate->tags.len; tag++) {
    plugin_string_t own = candidate->tags.ptr[tag];
    if (own.len == name->length - 4 && !memcmp(own.ptr, name->text + 4, own.len)) return true;
  }
  return false;
}

// The preferred candidates first, in the order of the names, and the others behind them as fallbacks.
static bool plan(const struct rule *rule, candidates_t *candidates, const char *reason, verdict_t *ret) {
  exports_pointsman_plugin_route_plan_t *plan = &ret->val.plan;
  memset(ret, 0, sizeof *ret);
  ret->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PLAN;
  plugin_string_dup(&plan->reason, reason);
  plan->steps.ptr = calloc(candidates->len + 1, sizeof *plan->steps.ptr);
  bool *is_taken = calloc(candidates->len + 1, sizeof *is_taken);
  struct json *name = rule->prefer ? rule->prefer->first : NULL;
  // Once for each name, and at last for those that no name means.
  for (bool is_last = false; !is_last; name = name ? name->next : NULL) {
    is_last = !name;
    if (is_last && !plan->steps.len) break;
    for (size_t index = 0; index < candidates->len; index++) {
      if (is_taken[index] || (name && !means(name, &candidates->ptr[index]))) continue;
      is_taken[index] = true;
      plugin_string_t *id = &candidates->ptr[index].id;
      plugin_string_dup_n(&plan->steps.ptr[plan->steps.len++].candidate, (char *)id->ptr, id->len);
    }
  }
  if (rule->label) {
    plan->labels.ptr = calloc(1, sizeof *plan->labels.ptr);
    plan->labels.len = 1;
    plugin_string_dup(&plan->labels.ptr->f0, "class");
    plugin_string_dup_n(&plan->labels.ptr->f1, rule->label->text, rule->label->length);
  }
  return true;
}

bool exports_pointsman_plugin_route_decide(exports_pointsman_plugin_route_summary_t *summary, candidates_t *candidates,
                                           verdict_t *ret, plugin_string_t *err) {
  plugin_string_t prompt;
  pointsman_plugin_prompt_last_user_text(&prompt);
  struct word text = folded((char *)prompt.ptr, prompt.len);
  for (size_t index = 0; index < rule_count; index++) {
    struct rule *rule = &rules[index];
    bool has_all = true;
    for (size_t at = 0; at < rule->all_count && has_all; at++) has_all = has(text, rule->all[at]);
    if (!has_all) continue;
    struct word *found = rule->any_count ? NULL : rule->all;
    for (size_t at = 0; at < rule->any_count && !found; at++)
      if (has(text, rule->any[at])) found = &rule->any[at];
    if (!found) continue;
    char reason[512];
    snprintf(reason, sizeof reason, "rule %zu found `%.*s`", index + 1, (int)found->length, found->text);
    return plan(rule, candidates, reason, ret);
  }
  if (otherwise) return plan(otherwise, candidates, "no rule matches", ret);
  ret->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PASS;
  return true;
}
