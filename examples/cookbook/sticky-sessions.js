// Sticky sessions: a conversation stays with the model that it began with, whose cache of the prompt is warm, until that
// model fails too often. Needs grants = ["state"].
const KEEP = 60 * 60 * 1000;

// Clients name sessions as they like, and a key has 256 bytes: two FNV-1a hashes make one of any name. The caller's own key is
// part of it, so that nobody moves another's session.
function keyOf({ keyId, session }) {
  const name = `${keyId}\n${session.slice(0, 1000)}`;
  let [one, two] = [0x811c9dc5, 0x2f0b4c37];
  for (let i = 0; i < name.length; i += 1) {
    one = Math.imul(one ^ name.charCodeAt(i), 0x01000193);
    two = Math.imul(two ^ name.charCodeAt(i), 0x5bd1e995);
  }
  return `session:${(one >>> 0).toString(16)}-${(two >>> 0).toString(16)}`;
}

export function decide(request, candidates) {
  if (!request.session) return;
  const key = keyOf(request);
  const isWell = ({ health }) => health.coolingMs === undefined && health.errorPermille < 300;
  const known = candidates.find(({ id }) => id === state.get(key));
  const chosen = known && isWell(known) ? known : candidates.find(isWell) ?? candidates[0];
  state.set(key, chosen.id, KEEP);
  return { prefer: chosen, labels: { session: known === chosen ? "kept" : "new" } };
}
