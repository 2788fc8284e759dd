"""Routes by words: where the user's last message has one of them, preferred candidates come first."""

import json
from dataclasses import dataclass

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.route import Plan, Step, Verdict, Verdict_Pass, Verdict_Plan
from wit_world.imports import prompt
from wit_world.imports.catalog import Candidate
from wit_world.imports.request import Summary

STRINGS = {"type": "array", "items": {"type": "string"}}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["words", "prefer"],
    "properties": {
        "words": {**STRINGS, "minItems": 1, "description": "What is looked for, in any case."},
        "prefer": {**STRINGS, "description": "Candidates by id or by `tag:NAME`, in order of preference."},
        "label": {"type": "string", "description": "The request's label `class`."},
    },
}


@dataclass
class Config:
    words: list[str]
    prefer: list[str]
    label: str | None


# Set by `load`; every call begins with the memory that `load` left, and nothing is kept from call to call.
config = Config([], [], None)


class Configure(exports.Configure):
    def load(self, config: str) -> list[str]:
        """Raises the configuration's error; returns warnings."""
        given = json.loads(config)
        for key in given:
            if key not in SCHEMA["properties"]:
                raise Err(f"`{key}` is not known here")
        words, prefer, label = strings(given, "words"), strings(given, "prefer"), given.get("label")
        if not words:
            raise Err("`words` is empty, expected at least one")
        if label is not None and not isinstance(label, str):
            raise Err("`label` is not a string")
        globals()["config"] = Config([word.lower() for word in words], prefer, label)
        return []

    def schema(self) -> str:
        return json.dumps(SCHEMA)


class Route(exports.Route):
    def decide(self, summary: Summary, candidates: list[Candidate]) -> Verdict:
        text = prompt.last_user_text().lower()
        found = next((word for word in config.words if word in text), None)
        if found is None:
            return Verdict_Pass()
        preferred = [
            candidate.id
            for name in config.prefer
            for candidate in candidates
            if name == candidate.id or name in ["tag:" + tag for tag in candidate.tags]
        ]
        # The others stay behind as fallbacks; no steps at all leave the candidates as they are.
        order = dict.fromkeys(preferred + [candidate.id for candidate in candidates]) if preferred else []
        steps = [Step(id, None, None, None) for id in order]
        labels = [] if config.label is None else [("class", config.label)]
        return Verdict_Plan(Plan(steps, [], labels, f"found `{found}`", False))


def strings(given: dict, key: str) -> list[str]:
    value = given.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Err(f"`{key}` is not a list of strings")
    return value
