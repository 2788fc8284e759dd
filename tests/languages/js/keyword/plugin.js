// Routes by words, as the policy `keyword` in the box does, with that part of its configuration that README.md names.

import { lastUserText } from "pointsman:plugin/prompt@0.1.0";

const LETTER = /[\p{Alphabetic}\p{N}_]/u;
// Thai, Lao, Myanmar, Khmer, Chinese, Japanese: written without spaces between words.
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}]/u;

const SCHEMA = {
  type: "object",
  additionalProperties: false,
  properties: {
    rules: {
      type: "array",
      items: {
        type: "object",
        additionalProperties: false,
        properties: {
          any: { type: "array", items: { type: "string" } },
          all: { type: "array", items: { type: "string" } },
          label: { type: "string" },
          prefer: { type: "array", items: { type: "string" } },
        },
      },
    },
    default: {
      type: "object",
      additionalProperties: false,
      properties: { label: { type: "string" }, prefer: { type: "array", items: { type: "string" } } },
    },
    whole_words: { type: "boolean" },
    ignore_case: { type: "boolean" },
  },
};

// Set by `load`; every call begins with the memory that `load` left.
let settings;

export const configure = {
  load(text) {
    const { rules = [], default: otherwise, whole_words = true, ignore_case = true, ...unknown } = JSON.parse(text);
    refuse(unknown, "");
    settings = { rules: rules.map((rule, index) => read(rule, index, ignore_case)), whole_words, ignore_case };
    if (otherwise) {
      const { label, prefer = [], ...unknown } = otherwise;
      refuse(unknown, "default.");
      settings.otherwise = { label, prefer };
    }
    return [];
  },

  schema: () => JSON.stringify(SCHEMA),
};

export const route = {
  decide(_summary, candidates) {
    const text = settings.ignore_case ? lastUserText().toLowerCase() : lastUserText();
    for (const [index, rule] of settings.rules.entries()) {
      if (!rule.all.every((word) => has(text, word))) continue;
      const found = rule.any.length ? rule.any.find((word) => has(text, word)) : rule.all[0];
      if (found !== undefined) return plan(rule, candidates, `rule ${index + 1} found \`${found}\``);
    }
    return settings.otherwise ? plan(settings.otherwise, candidates, "no rule matches") : { tag: "pass" };
  },
};

function read({ any = [], all = [], label, prefer = [], ...unknown }, index, ignoreCase) {
  refuse(unknown, `rules[${index}].`);
  if (!any.length && !all.length) throw `\`rules[${index}]\` looks for nothing, expected \`any\` or \`all\``;
  const words = (list) => list.map((word) => (ignoreCase ? word.toLowerCase() : word));
  if ([...any, ...all].some((word) => !word.trim())) throw `\`rules[${index}]\` has an empty word`;
  return { any: words(any), all: words(all), label, prefer };
}

function refuse(unknown, where) {
  for (const key in unknown) throw `\`${where}${key}\` is not known here`;
}

/** Whether the text has the word; where whole words are wanted, with no letter or digit that touches it. */
function has(text, word) {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (!settings.whole_words) return true;
    const before = [...text.slice(Math.max(at - 2, 0), at)].at(-1);
    const after = [...text.slice(at + word.length, at + word.length + 2)][0];
    if (!(touches(before) && touches([...word][0])) && !(touches(after) && touches([...word].at(-1)))) return true;
  }
  return false;
}

function touches(letter) {
  return letter !== undefined && LETTER.test(letter) && !UNSPACED.test(letter);
}

/** The preferred candidates first, in the order of the names, and the others behind them as fallbacks. */
function plan({ label, prefer }, candidates, reason) {
  const meant = (name) => candidates.filter(({ id, tags }) => id === name || tags.some((tag) => name === `tag:${tag}`));
  const preferred = [...new Set(prefer.flatMap(meant))];
  const order = preferred.length ? new Set([...preferred, ...candidates]) : [];
  const steps = [...order].map(({ id }) => ({ candidate: id }));
  const labels = label === undefined ? [] : [["class", label]];
  return { tag: "plan", val: { steps, edits: [], labels, reason, review: false } };
}
