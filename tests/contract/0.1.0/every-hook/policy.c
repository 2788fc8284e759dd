// A policy with every hook and every function that a policy may call without asking anybody outside: it says what it read
// and counted, turns the candidates around, edits the request and asks to see the answer.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

static char configuration[64];

static plugin_string_t text(const char *words) {
  plugin_string_t text;
  plugin_string_set(&text, words);
  return text;
}

static long long count(const char *key, int64_t more) {
  plugin_string_t name = text(key);
  return pointsman_plugin_state_add(&name, more, NULL);
}

static void note(const char *words) {
  plugin_string_t message = text(words);
  pointsman_plugin_log_log(POINTSMAN_PLUGIN_LOG_LEVEL_INFO, &message);
}

bool exports_pointsman_plugin_configure_load(plugin_string_t *config, plugin_list_string_t *ret, plugin_string_t *err) {
  if (config->len >= sizeof configuration) {
    plugin_string_dup(err, "the configuration is too long");
    return false;
  }
  memcpy(configuration, config->ptr, config->len);
  ret->ptr = calloc(1, sizeof *ret->ptr);
  ret->len = 1;
  plugin_string_dup(&ret->ptr[0], "built against 0.1.0");
  return true;
}

void exports_pointsman_plugin_configure_schema(plugin_string_t *ret) { plugin_string_dup(ret, "{\"type\":\"object\"}"); }

bool exports_pointsman_plugin_route_decide(exports_pointsman_plugin_route_summary_t *summary,
                                           exports_pointsman_plugin_route_list_candidate_t *candidates,
                                           exports_pointsman_plugin_route_verdict_t *ret, plugin_string_t *err) {
  plugin_string_t user, system, all, role, first, header = text("user-agent"), agent = text(""), pointer = text("/n");
  plugin_string_t member = text(""), last = text("last");
  plugin_list_u8_t before = {0};
  pointsman_plugin_prompt_last_user_text(&user);
  pointsman_plugin_prompt_system_text(&system);
  pointsman_plugin_prompt_all_text(1 << 16, &all);
  bool has_first = pointsman_plugin_prompt_role(0, &role) && pointsman_plugin_prompt_text(0, &first);
  pointsman_plugin_prompt_header(&header, &agent);
  pointsman_plugin_prompt_get(&pointer, &member);
  bool has_before = pointsman_plugin_state_get(&last, &before);
  plugin_list_u8_t value = {user.ptr, user.len};
  uint64_t hour = 3600000;
  pointsman_plugin_state_set(&last, &value, &hour);
  plugin_string_t gone = text("gone");
  pointsman_plugin_state_delete(&gone);
  if (!has_first) {
    plugin_string_dup(err, "a request without a message");
    return false;
  }
  note("a policy of 0.1.0 decides");

  exports_pointsman_plugin_route_plan_t *plan = &ret->val.plan;
  memset(ret, 0, sizeof *ret);
  ret->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PLAN;
  plan->steps.ptr = calloc(candidates->len, sizeof *plan->steps.ptr);
  for (size_t left = candidates->len; left--;) {
    plugin_string_t id = candidates->ptr[left].id;
    plugin_string_dup_n(&plan->steps.ptr[plan->steps.len++].candidate, (char *)id.ptr, id.len);
  }
  plan->edits.ptr = calloc(1, sizeof *plan->edits.ptr);
  plan->edits.len = 1;
  plugin_string_dup(&plan->edits.ptr->pointer, "/temperature");
  plugin_string_dup(&plan->edits.ptr->value, "0.5");
  plan->labels.ptr = calloc(1, sizeof *plan->labels.ptr);
  plan->labels.len = 1;
  plugin_string_dup(&plan->labels.ptr->f0, "contract");
  plugin_string_dup(&plan->labels.ptr->f1, "0.1.0");
  plan->review = true;
  char reason[512];
  int length = snprintf(
      reason, sizeof reason, "call %lld, ended %lld, config %s, %u messages, first %.*s %.*s, system %.*s, all %zu, n %.*s, before %.*s",
      count("calls", 1), count("ended", 0), configuration, summary->message_count, (int)role.len, role.ptr, (int)first.len,
      first.ptr, (int)system.len, system.ptr, all.len, (int)member.len, member.ptr, has_before ? (int)before.len : 1,
      has_before ? (char *)before.ptr : "-");
  plugin_string_dup_n(&plan->reason, reason, (size_t)length < sizeof reason ? (size_t)length : sizeof reason - 1);
  return true;
}

bool exports_pointsman_plugin_review_review(exports_pointsman_plugin_review_summary_t *summary,
                                            exports_pointsman_plugin_review_answer_t *answer,
                                            exports_pointsman_plugin_review_opinion_t *ret, plugin_string_t *err) {
  if (!answer->candidate.len) {
    plugin_string_dup(err, "an answer of nobody");
    return false;
  }
  ret->tag = EXPORTS_POINTSMAN_PLUGIN_REVIEW_OPINION_ACCEPT;
  if (!answer->text.len) {
    ret->tag = EXPORTS_POINTSMAN_PLUGIN_REVIEW_OPINION_NEXT;
    plugin_string_dup(&ret->val.next, "it is empty");
  }
  return true;
}

void exports_pointsman_plugin_outcome_observe(exports_pointsman_plugin_outcome_ended_t *ended) {
  if (ended->attempts.len && ended->attempts.ptr[0].status == 200) count("ended", 1);
}
