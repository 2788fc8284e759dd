// A kill switch: what is named here gets no request from the moment that the file is saved.
// Names are models, providers, or tags as `tag:beta`.
const OFF = [
  // "openai/gpt-next",
  "acme",
  "tag:beta",
];

export function decide(request, candidates) {
  const isOff = ({ id, provider, tags }) =>
    OFF.includes(id) || OFF.includes(provider) || tags.some((tag) => OFF.includes(`tag:${tag}`));
  const left = candidates.filter((candidate) => !isOff(candidate));
  if (left.length === candidates.length) return;
  if (left.length === 0) {
    return { reject: { status: 503, code: "switched_off", message: "all models for this are switched off for now" } };
  }
  return { steps: left, reason: `${candidates.length - left.length} switched off` };
}
