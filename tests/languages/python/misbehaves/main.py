"""Does what the user's last message says, and counts its calls; `tests/it/languages/misbehaving.rs` asks for each."""

import sys

from wit_world import exports
from wit_world.exports.route import Plan, Step, Verdict, Verdict_Plan
from wit_world.imports import prompt

calls = 0
kept: list[bytearray] = []


class Configure(exports.Configure):
    def load(self, config: str) -> list[str]:
        while "loop" in config:
            pass
        return []

    def schema(self) -> str:
        return "{}"


class Route(exports.Route):
    def decide(self, summary, candidates) -> Verdict:
        global calls
        calls += 1
        match prompt.last_user_text():
            case "loop":
                while True:
                    pass
            case "exhaust":
                while True:
                    kept.append(bytearray(b"1" * (1 << 20)))
            case "recurse":
                sys.setrecursionlimit(1 << 30)
                deeper(0)
            case "throw":
                raise ValueError("on purpose")
            case "exit":
                sys.exit(0)
            case "invent":
                return plan(["moon"])
            case "flood":
                return plan(["moon"] * 1_000_000)
            case "leak":
                kept.append(bytearray(b"1" * (8 << 20)))
        return plan([])


def deeper(depth: int) -> int:
    return deeper(depth + 1) + 1


def plan(ids: list[str]) -> Verdict:
    return Verdict_Plan(Plan([Step(id, None, None, None) for id in ids], [], [], f"call {calls}", False))
