// Routes by what stands in the last message, in a few lines. Save this file while the gateway runs, and the next request
// follows it. docs/policies/script.md has the whole interface.

export function decide(request, candidates) {
  const text = request.lastUserText();

  if (/\b(password|secret key)\b/i.test(text)) {
    return { reject: { status: 400, code: "secret", message: "do not send secrets to a model" } };
  }
  if (/```|\b(python|rust|function|stack trace)\b/i.test(text)) {
    return { prefer: "tag:coder", labels: { class: "coding" }, reason: "looks like code" };
  }
  if (request.estimatedInputTokens < 200 && !request.hasTools) {
    const cheapestFirst = candidates.toSorted((a, b) => (a.estimatedCostUsd ?? Infinity) - (b.estimatedCostUsd ?? Infinity));
    return { steps: cheapestFirst, labels: { class: "short" }, reason: "short, so the cheapest first" };
  }
}
