// Does what the user's last message says, and counts its calls; `tests/it/languages/misbehaving.rs` asks for each.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

static unsigned calls;
// What is allocated is seen from outside, so that no optimisation leaves it out.
static char *volatile kept;

static void allocate(size_t size) {
  char *block = malloc(size);
  if (!block) abort();
  memset(block, 1, size);
  kept = block;
}

static unsigned deeper(volatile unsigned depth) { return deeper(depth + 1) + depth; }

bool exports_pointsman_plugin_configure_load(plugin_string_t *config, plugin_list_string_t *ret, plugin_string_t *err) {
  for (size_t at = 0; at + 4 <= config->len; at++)
    while (!memcmp(config->ptr + at, "loop", 4)) kept = NULL;
  ret->ptr = NULL;
  ret->len = 0;
  return true;
}

void exports_pointsman_plugin_configure_schema(plugin_string_t *ret) { plugin_string_dup(ret, "{}"); }

bool exports_pointsman_plugin_route_decide(exports_pointsman_plugin_route_summary_t *summary,
                                           exports_pointsman_plugin_route_list_candidate_t *candidates,
                                           exports_pointsman_plugin_route_verdict_t *ret, plugin_string_t *err) {
  exports_pointsman_plugin_route_plan_t *plan = &ret->val.plan;
  plugin_string_t text;
  pointsman_plugin_prompt_last_user_text(&text);
#define SAYS(word) (text.len == strlen(word) && !memcmp(text.ptr, word, text.len))
  memset(ret, 0, sizeof *ret);
  ret->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PLAN;
  calls++;
  if (SAYS("loop"))
    for (;;) kept = NULL;
  if (SAYS("exhaust"))
    for (;;) allocate(1 << 20);
  if (SAYS("recurse")) calls = deeper(0);
  if (SAYS("throw")) abort();
  if (SAYS("exit")) exit(0);
  if (SAYS("invent")) {
    plan->steps.ptr = calloc(1, sizeof *plan->steps.ptr);
    plan->steps.len = 1;
    plugin_string_dup(&plan->steps.ptr->candidate, "moon");
  }
  if (SAYS("flood")) {
    plan->steps.len = 1000000;
    plan->steps.ptr = calloc(plan->steps.len, sizeof *plan->steps.ptr);
  }
  // The allocator rounds up to a power of two.
  if (SAYS("leak")) allocate(4 << 20);
  char reason[32];
  snprintf(reason, sizeof reason, "call %u", calls);
  plugin_string_dup(&plan->reason, reason);
  return true;
}
