// Long documents: the cheapest model whose context has room for the request and its answer, largest first where none has.
const ROOM_FOR_THE_ANSWER = 4096;

export function decide(request, candidates) {
  const needed = request.estimatedInputTokens + (request.maxOutputTokens ?? ROOM_FOR_THE_ANSWER);
  if (needed < 16_000) return;
  const roomy = candidates.filter((candidate) => candidate.contextWindow >= needed * 1.1);
  const cost = (candidate) => candidate.estimatedCostUsd ?? Infinity;
  const size = (candidate) => candidate.contextWindow ?? 0;
  const steps = roomy.length > 0
    ? roomy.toSorted((a, b) => cost(a) - cost(b))
    : candidates.toSorted((a, b) => size(b) - size(a));
  return { steps, labels: { class: "long" }, reason: `${needed} tokens` };
}
