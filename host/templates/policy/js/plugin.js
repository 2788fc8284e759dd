// Routes by words: where the user's last message has one of them, preferred candidates come first.

import { lastUserText } from "pointsman:plugin/prompt@0.1.0";

const SCHEMA = {
  type: "object",
  additionalProperties: false,
  required: ["words", "prefer"],
  properties: {
    words: { type: "array", items: { type: "string" }, minItems: 1, description: "What is looked for, in any case." },
    prefer: {
      type: "array",
      items: { type: "string" },
      description: "Candidates by id or by `tag:NAME`, in order of preference.",
    },
    label: { type: "string", description: "The request's label `class`." },
  },
};

// Set by `load`; every call begins with the memory that `load` left, and nothing is kept from call to call.
let config;

export const configure = {
  // What is thrown is the configuration's error; what is returned are warnings.
  load(text) {
    const given = JSON.parse(text);
    const unknown = Object.keys(given).find((key) => !(key in SCHEMA.properties));
    if (unknown !== undefined) throw `\`${unknown}\` is not known here`;
    config = { words: strings(given, "words").map((word) => word.toLowerCase()), prefer: strings(given, "prefer") };
    if (config.words.length === 0) throw "`words` is empty, expected at least one";
    if (given.label !== undefined && typeof given.label !== "string") throw "`label` is not a string";
    config.label = given.label;
    return [];
  },

  schema: () => JSON.stringify(SCHEMA),
};

export const route = {
  decide(_summary, candidates) {
    const text = lastUserText().toLowerCase();
    const found = config.words.find((word) => text.includes(word));
    if (found === undefined) return { tag: "pass" };
    const meant = (name) =>
      candidates.filter(({ id, tags }) => id === name || tags.some((tag) => name === `tag:${tag}`));
    const preferred = config.prefer.flatMap(meant);
    // The others stay behind as fallbacks; no steps at all leave the candidates as they are.
    const order = preferred.length ? [...new Set([...preferred, ...candidates])] : [];
    return {
      tag: "plan",
      val: {
        steps: order.map(({ id }) => ({ candidate: id })),
        edits: [],
        labels: config.label === undefined ? [] : [["class", config.label]],
        reason: `found \`${found}\``,
        review: false,
      },
    };
  },
};

function strings(given, key) {
  const list = given[key];
  if (!Array.isArray(list) || list.some((item) => typeof item !== "string")) throw `\`${key}\` is not a list of strings`;
  return list;
}
