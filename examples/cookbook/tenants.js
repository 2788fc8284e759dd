// Per tenant: each has models of its own, and one that nobody has heard of gets no answer.
let tenants;

export function configure(settings) {
  tenants = new Map(Object.entries(settings.tenants));
}

export function decide(request, candidates) {
  const tenant = request.header("x-pointsman-tenant");
  const models = tenants.get(tenant);
  if (!models) {
    return { reject: { status: 403, code: "unknown_tenant", message: "name your tenant in the header x-pointsman-tenant" } };
  }
  const allowed = candidates.filter(({ id, tags }) => models.includes(id) || tags.some((tag) => models.includes(`tag:${tag}`)));
  if (allowed.length === 0) {
    return { reject: { status: 503, code: "no_candidate", message: `none of the models of ${tenant} is there` } };
  }
  return { steps: allowed, labels: { tenant } };
}
