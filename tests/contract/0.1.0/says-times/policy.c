// A policy that leaves the candidates as they are, and says both times of the first of them.

#include <stdlib.h>
#include <string.h>

#include "plugin.h"

bool exports_pointsman_plugin_configure_load(plugin_string_t *config, plugin_list_string_t *ret, plugin_string_t *err) {
  (void)config, (void)err;
  memset(ret, 0, sizeof *ret);
  return true;
}

void exports_pointsman_plugin_configure_schema(plugin_string_t *ret) { plugin_string_dup(ret, "{\"type\":\"object\"}"); }

bool exports_pointsman_plugin_route_decide(exports_pointsman_plugin_route_summary_t *summary,
                                           exports_pointsman_plugin_route_list_candidate_t *candidates,
                                           exports_pointsman_plugin_route_verdict_t *ret, plugin_string_t *err) {
  (void)summary;
  if (!candidates->len) {
    plugin_string_dup(err, "a request without a candidate");
    return false;
  }
  pointsman_plugin_timeouts_connect(&candidates->ptr[0].id, 250);
  pointsman_plugin_timeouts_gap(&candidates->ptr[0].id, 1);
  pointsman_plugin_timeouts_gap(&candidates->ptr[0].id, 750);
  memset(ret, 0, sizeof *ret);
  ret->tag = EXPORTS_POINTSMAN_PLUGIN_ROUTE_VERDICT_PLAN;
  plugin_string_dup(&ret->val.plan.reason, "in a hurry");
  return true;
}
