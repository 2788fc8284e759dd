"""Routes by words, as the policy `keyword` in the box does, with that part of its configuration that README.md names."""

import json
from dataclasses import dataclass, field

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.route import Plan, Step, Verdict, Verdict_Pass, Verdict_Plan
from wit_world.imports import prompt
from wit_world.imports.catalog import Candidate
from wit_world.imports.request import Summary

# Thai and Lao, Myanmar, Khmer, Chinese and Japanese: written without spaces between words.
UNSPACED = [
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u2e80", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\U00020000", "\U0003ffff"),
]

WORDS = {"type": "array", "items": {"type": "string"}}
ACTION = {"label": {"type": "string"}, "prefer": WORDS}
RULE = {"any": WORDS, "all": WORDS, **ACTION}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "rules": {"type": "array", "items": {"type": "object", "additionalProperties": False, "properties": RULE}},
        "default": {"type": "object", "additionalProperties": False, "properties": ACTION},
        "whole_words": {"type": "boolean"},
        "ignore_case": {"type": "boolean"},
    },
}


@dataclass
class Rule:
    any: list[str] = field(default_factory=list)
    all: list[str] = field(default_factory=list)
    label: str | None = None
    prefer: list[str] = field(default_factory=list)


@dataclass
class Config:
    rules: list[Rule]
    default: Rule | None
    whole_words: bool
    ignore_case: bool


# Set by `load`; every call begins with the memory that `load` left.
config: Config


class Configure(exports.Configure):
    def load(self, config: str) -> list[str]:
        given = json.loads(config)
        known(given, SCHEMA["properties"], "")
        ignore_case = given.get("ignore_case", True)
        default = given.get("default")
        if default is not None:
            known(default, ACTION, "default.")
            default = Rule(**default)
        rules = [read(rule, f"rules[{index}]", ignore_case) for index, rule in enumerate(given.get("rules", []))]
        globals()["config"] = Config(rules, default, given.get("whole_words", True), ignore_case)
        return []

    def schema(self) -> str:
        return json.dumps(SCHEMA)


class Route(exports.Route):
    def decide(self, summary: Summary, candidates: list[Candidate]) -> Verdict:
        text = prompt.last_user_text()
        text = text.lower() if config.ignore_case else text
        for number, rule in enumerate(config.rules, 1):
            if not all(has(text, word) for word in rule.all):
                continue
            words = (word for word in rule.any if has(text, word)) if rule.any else iter(rule.all)
            if (found := next(words, None)) is not None:
                return plan(rule, candidates, f"rule {number} found `{found}`")
        return plan(config.default, candidates, "no rule matches") if config.default else Verdict_Pass()


def read(given: dict, where: str, ignore_case: bool) -> Rule:
    known(given, RULE, where + ".")
    rule = Rule(**given)
    if not rule.any and not rule.all:
        raise Err(f"`{where}` looks for nothing, expected `any` or `all`")
    if not all(word.strip() for word in rule.any + rule.all):
        raise Err(f"`{where}` has an empty word")
    if ignore_case:
        rule.any = [word.lower() for word in rule.any]
        rule.all = [word.lower() for word in rule.all]
    return rule


def known(given: dict, keys: dict, where: str) -> None:
    for key in given:
        if key not in keys:
            raise Err(f"`{where}{key}` is not known here")


def has(text: str, word: str) -> bool:
    """Whether the text has the word; where whole words are wanted, with no letter or digit that touches it."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        before = touches(word[0]) and at > 0 and touches(text[at - 1])
        after = touches(word[-1]) and end < len(text) and touches(text[end])
        if not config.whole_words or not (before or after):
            return True
        at = text.find(word, at + 1)
    return False


def touches(letter: str) -> bool:
    return (letter.isalnum() or letter == "_") and not any(first <= letter <= last for first, last in UNSPACED)


def plan(action: Rule, candidates: list[Candidate], reason: str) -> Verdict:
    """The preferred candidates first, in the order of the names, and the others behind them as fallbacks."""
    preferred = [
        candidate.id
        for name in action.prefer
        for candidate in candidates
        if name == candidate.id or name in ("tag:" + tag for tag in candidate.tags)
    ]
    order = preferred + [candidate.id for candidate in candidates] if preferred else []
    steps = [Step(id, None, None, None) for id in dict.fromkeys(order)]
    labels = [] if action.label is None else [("class", action.label)]
    return Verdict_Plan(Plan(steps, [], labels, reason, False))
