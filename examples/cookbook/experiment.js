// An experiment: a share of the users gets the new model, and the label `arm` tells the two apart in the metrics.
let settings;

export function configure(given) {
  settings = { name: "experiment", share: 0.1, ...given };
}

// FNV-1a, so that a user is in the same arm everywhere and always.
function fraction(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

export function decide(request) {
  const user = request.get("/user") ?? request.session ?? request.keyId;
  const arm = fraction(`${settings.name}/${user}`) < settings.share ? "trial" : "control";
  return { prefer: settings[arm], labels: { arm } };
}
