// Sticky sessions: a conversation stays with the model that it began with, whose cache of the prompt is warm, until that
// model fails too often. Needs grants = ["state"].
const KEEP = 60 * 60 * 1000;

export function decide(request, candidates) {
  if (!request.session) return;
  const key = `session:${request.session}`;
  const isWell = ({ health }) => health.coolingMs === undefined && health.errorPermille < 300;
  const known = candidates.find(({ id }) => id === state.get(key));
  const chosen = known && isWell(known) ? known : candidates.find(isWell) ?? candidates[0];
  state.set(key, chosen.id, KEEP);
  return { prefer: chosen, labels: { session: known === chosen ? "kept" : "new" } };
}
