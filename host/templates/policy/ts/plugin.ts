// Routes by words: where the user's last message has one of them, preferred candidates come first.

import type { ConfigureExports } from "pointsman:plugin/configure@0.1.0";
import { lastUserText } from "pointsman:plugin/prompt@0.1.0";
import type { RouteExports } from "pointsman:plugin/route@0.1.0";

interface Config {
  words: string[];
  prefer: string[];
  label?: string;
}

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
let config: Config;

export const configure: ConfigureExports = {
  // What is thrown is the configuration's error; what is returned are warnings.
  load(text) {
    const { words, prefer, label, ...rest }: Record<string, unknown> = JSON.parse(text);
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) throw `\`${unknown}\` is not known here`;
    if (label !== undefined && typeof label !== "string") throw "`label` is not a string";
    config = { words: strings(words, "words").map((word) => word.toLowerCase()), prefer: strings(prefer, "prefer"), label };
    if (config.words.length === 0) throw "`words` is empty, expected at least one";
    return [];
  },

  schema: () => JSON.stringify(SCHEMA),
};

export const route: RouteExports = {
  decide(_summary, candidates) {
    const text = lastUserText().toLowerCase();
    const found = config.words.find((word) => text.includes(word));
    if (found === undefined) return { tag: "pass" };
    const meant = (name: string) =>
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

function strings(list: unknown, key: string): string[] {
  if (!Array.isArray(list) || list.some((item) => typeof item !== "string")) throw `\`${key}\` is not a list of strings`;
  return list;
}
