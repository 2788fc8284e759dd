// Routes by words, as the policy `keyword` in the box does, with that part of its configuration that README.md names.

import type { Candidate } from "pointsman:plugin/catalog@0.1.0";
import { lastUserText } from "pointsman:plugin/prompt@0.1.0";
import type { Summary } from "pointsman:plugin/request@0.1.0";
import type { Verdict } from "pointsman:plugin/route@0.1.0";

interface Action {
  label?: string;
  prefer: string[];
}

interface Rule extends Action {
  any: string[];
  all: string[];
}

interface Config {
  rules: Rule[];
  default?: Action;
  whole_words: boolean;
  ignore_case: boolean;
}

/** What the configuration may leave out. */
interface Given extends Partial<Omit<Config, "rules" | "default">> {
  rules?: Partial<Rule>[];
  default?: Partial<Action>;
}

const LETTER = /[\p{Alphabetic}\p{N}_]/u;
// Thai, Lao, Myanmar, Khmer, Chinese, Japanese: written without spaces between words.
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}]/u;

const WORDS = { type: "array", items: { type: "string" } };
const ACTION = { label: { type: "string" }, prefer: WORDS };
const RULE = { any: WORDS, all: WORDS, ...ACTION };
const SCHEMA = {
  type: "object",
  additionalProperties: false,
  properties: {
    rules: { type: "array", items: { type: "object", additionalProperties: false, properties: RULE } },
    default: { type: "object", additionalProperties: false, properties: ACTION },
    whole_words: { type: "boolean" },
    ignore_case: { type: "boolean" },
  },
};

// Set by `load`; every call begins with the memory that `load` left.
let config: Config;

export const configure = {
  load(text: string): string[] {
    const given: Given = JSON.parse(text);
    known(given, SCHEMA.properties, "");
    const { rules = [], default: otherwise, whole_words = true, ignore_case = true } = given;
    config = { rules: [], whole_words, ignore_case };
    config.rules = rules.map((rule, index) => read(rule, `rules[${index}]`));
    if (otherwise) {
      known(otherwise, ACTION, "default.");
      config.default = { label: otherwise.label, prefer: otherwise.prefer ?? [] };
    }
    return [];
  },

  schema: (): string => JSON.stringify(SCHEMA),
};

export const route = {
  decide(_summary: Summary, candidates: Candidate[]): Verdict {
    const text = folded(lastUserText());
    for (const [index, rule] of config.rules.entries()) {
      if (!rule.all.every((word) => has(text, word))) continue;
      const found = rule.any.length ? rule.any.find((word) => has(text, word)) : rule.all[0];
      if (found !== undefined) return plan(rule, candidates, `rule ${index + 1} found \`${found}\``);
    }
    return config.default ? plan(config.default, candidates, "no rule matches") : { tag: "pass" };
  },
};

function read(rule: Partial<Rule>, where: string): Rule {
  known(rule, RULE, `${where}.`);
  const { any = [], all = [], label, prefer = [] } = rule;
  if (!any.length && !all.length) throw `\`${where}\` looks for nothing, expected \`any\` or \`all\``;
  if ([...any, ...all].some((word) => !word.trim())) throw `\`${where}\` has an empty word`;
  return { any: any.map(folded), all: all.map(folded), label, prefer };
}

function known(given: object, keys: object, where: string): void {
  const unknown = Object.keys(given).find((key) => !(key in keys));
  if (unknown !== undefined) throw `\`${where}${unknown}\` is not known here`;
}

function folded(text: string): string {
  return config.ignore_case ? text.toLowerCase() : text;
}

/** Whether the text has the word; where whole words are wanted, with no letter or digit that touches it. */
function has(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (!config.whole_words) return true;
    const before = [...text.slice(Math.max(at - 2, 0), at)].at(-1);
    const after = [...text.slice(at + word.length, at + word.length + 2)][0];
    if (!(touches(before) && touches([...word][0])) && !(touches(after) && touches([...word].at(-1)))) return true;
  }
  return false;
}

function touches(letter: string | undefined): boolean {
  return letter !== undefined && LETTER.test(letter) && !UNSPACED.test(letter);
}

/** The preferred candidates first, in the order of the names, and the others behind them as fallbacks. */
function plan({ label, prefer }: Action, candidates: Candidate[], reason: string): Verdict {
  const meant = (name: string) =>
    candidates.filter(({ id, tags }) => id === name || tags.some((tag) => name === `tag:${tag}`));
  const preferred = prefer.flatMap(meant);
  const order = preferred.length ? new Set([...preferred, ...candidates]) : new Set<Candidate>();
  const steps = [...order].map(({ id }) => ({ candidate: id }));
  const labels: [string, string][] = label === undefined ? [] : [["class", label]];
  return { tag: "plan", val: { steps, edits: [], labels, reason, review: false } };
}
