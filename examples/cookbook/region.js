// Region: a request that says where it belongs stays there, and is turned down rather than sent elsewhere.
export function decide(request, candidates) {
  const region = request.header("x-pointsman-region");
  if (!region) return;
  const inside = candidates.filter((candidate) => candidate.tags.includes(`region:${region}`));
  if (inside.length === 0) {
    return { reject: { status: 403, code: "no_candidate_in_region", message: "no model in this region can serve the request" } };
  }
  return { steps: inside, labels: { region }, reason: `stays in ${region}` };
}
