// Spend pacing: the day's money is spread over the day; whoever is ahead of the clock gets the cheapest model.
// What counts is the estimate of the model that is tried first. Needs grants = ["state"].
const DAY = 86_400_000;
let limitUsd;

export function configure(settings) {
  if (!(settings.usdPerDay > 0)) throw new Error("settings.usdPerDay is missing: dollars, more than 0");
  limitUsd = settings.usdPerDay;
}

export function decide(request, candidates) {
  const today = Math.floor(request.nowMs / DAY);
  const spentUsd = (state.get(`micros:${today}`) ?? 0) / 1e6;
  // A tenth of the day's money may be ahead of the clock, so that the morning has something to spend.
  const allowedUsd = limitUsd * Math.min(1, (request.nowMs % DAY) / DAY + 0.1);
  const cost = (candidate) => candidate.estimatedCostUsd ?? Infinity;
  const isAhead = spentUsd >= allowedUsd;
  const steps = isAhead ? candidates.toSorted((a, b) => cost(a) - cost(b)) : candidates;
  if (Number.isFinite(cost(steps[0]))) state.add(`micros:${today}`, Math.ceil(cost(steps[0]) * 1e6), 2 * DAY);
  return { steps, labels: { pace: isAhead ? "ahead" : "within" }, reason: `$${spentUsd.toFixed(4)} of $${allowedUsd.toFixed(4)} by now` };
}
