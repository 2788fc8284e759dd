"""What recorded answers cost, by other means than the gateway's: in exact fractions, from the list of models.dev as it was published and
from a view of each answer that was made independently of the gateway.

    costs.py FOLDER     the folder with wire/fixtures/ and catalog/models.json

Prints a line of JSON for each answer that has a usage and a price: who serves it, where its bytes are, and its cost in nano-dollars.
"""

import json
import re
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

# The folder of the recordings: the provider in models.dev's list, its name in the catalog, the adapter that speaks to it.
PROVIDERS = {
    "anthropic": ("anthropic", "anthropic", "anthropic"),
    "azure": ("azure", "azure", "openai"),
    "cerebras": ("cerebras", "cerebras", "openai"),
    "cohere": ("cohere", "cohere", "cohere"),
    "deepseek": ("deepseek", "deepseek", "openai"),
    "gemini": ("google", "gemini", "gemini"),
    "groq": ("groq", "groq", "openai"),
    "mistral": ("mistral", "mistral", "openai"),
    "moonshot": ("moonshotai", "moonshot", "openai"),
    "openai": ("openai", "openai", "openai"),
    "openrouter": ("openrouter", "openrouter", "openai"),
    "perplexity": ("perplexity", "perplexity", "openai"),
    "qwen": ("alibaba", "qwen", "openai"),
    "vertex": ("google-vertex", "vertex", "gemini"),
    "vertex-anthropic": ("google-vertex-anthropic", "vertex-anthropic", "anthropic"),
    "xai": ("xai", "xai", "openai"),
    "zhipu": ("zhipuai", "zhipu", "openai"),
}

# What models.dev's list does not say: nano-dollars for a search, as the provider's own price list has it.
SEARCHES = {"rerank-v3.5": 2_000_000, "rerank-english-v3.0": 2_000_000, "rerank-multilingual-v3.0": 2_000_000}

WIRES = {"openai-chat", "anthropic-messages", "gemini-generate", "cohere-v2-chat", "cohere-rerank"}


def rate(cost, *names):
    """US dollars per million tokens, to the nano-dollar; nothing for a 0 beside input that has a price."""
    for name in names:
        value = cost.get(name)
        if value is not None:
            nano = int(Fraction(value) * 10**9 + Fraction(1, 2))
            if nano or not cost.get("input") or name in ("input", "output"):
                return nano
    return None


def rates(cost, below=None):
    """Nano-dollars per million tokens of each kind."""
    base_input = rate(cost, "input")
    base_output = rate(cost, "output")
    if below:
        base_input = below["input"] if base_input is None else base_input
        base_output = below["output"] if base_output is None else base_output

    def or_else(stated, kind, usual):
        if stated is not None:
            return stated
        return max(usual, below[kind]) if below else usual

    read = rate(cost, "cache_read", "cached_input", "cache_input")
    write = rate(cost, "cache_write", "cached_write")
    heard = rate(cost, "input_audio")
    usual_write = base_input if write is None else write
    for_an_hour = max(usual_write, 2 * base_input) if usual_write > base_input else usual_write
    usual_sound = max(base_output, base_input if heard is None else heard)
    return {
        "input": base_input,
        "output": base_output,
        "read": or_else(read, "read", base_input),
        "write": or_else(write, "write", base_input),
        "hour": or_else(None, "hour", for_an_hour),
        "reasoning": or_else(rate(cost, "reasoning"), "reasoning", base_output),
        "heard": or_else(heard, "heard", base_input),
        "spoken": or_else(rate(cost, "output_audio"), "spoken", usual_sound),
    }


def rates_of_call(cost, size):
    """Those of the highest tier that a call of this size is in."""
    chosen = rates(cost)
    for tier in sorted(cost.get("tiers", []), key=lambda tier: tier["tier"]["size"]):
        above = rates(tier, chosen)
        if size > tier["tier"]["size"]:
            chosen = above
    return chosen


def objects(body):
    """All JSON objects of an answer, streamed or not."""
    lines = [line[5:] for line in body.splitlines() if line.startswith("data:")] or [body]
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def told_beside(body):
    """What the view does not have: sound, and cache writes that are kept for an hour."""
    heard = spoken = hour = 0
    for answer in objects(body):
        if not isinstance(answer, dict):
            continue
        usage = answer.get("usage") or (answer.get("message") or {}).get("usage") or {}
        if isinstance(usage, dict):
            heard = (usage.get("prompt_tokens_details") or {}).get("audio_tokens") or heard
            spoken = (usage.get("completion_tokens_details") or {}).get("audio_tokens") or spoken
            hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or hour
        parts = (answer.get("usageMetadata") or {}).get("promptTokensDetails")
        if parts:
            heard = sum(part.get("tokenCount", 0) for part in parts if part.get("modality") == "AUDIO")
    return heard, spoken, hour


def billed_by_cohere(body):
    """Cohere charges for fewer tokens than the model read, and says for how many."""
    for answer in objects(body):
        usage = answer.get("usage") or (answer.get("delta") or {}).get("usage") or {}
        units = usage.get("billed_units")
        if units:
            return {"prompt": int(units["input_tokens"]), "completion": int(units["output_tokens"])}
    return None


def is_one_answer(body):
    """Some recordings hold several streams, one after the other, or a stream in a form that nobody asks for."""
    return body.count("event: message_start") <= 1 and not body.startswith("[")


def cost_of(cost, usage, body):
    """Nano-dollars."""
    prompt, output = usage["prompt"], usage.get("completion") or 0
    read = min(usage.get("cached") or 0, prompt)
    written = min(usage.get("cache_write") or 0, prompt - read)
    plain = prompt - read - written
    reasoning = usage.get("reasoning") or 0
    # xAI counts reasoning beside the completion, which its total shows.
    if usage.get("total") == prompt + output + reasoning:
        output += reasoning
    reasoning = min(reasoning, output)
    heard, spoken, hour = told_beside(body)
    heard, hour, spoken = min(heard, plain), min(hour, written), min(spoken, output - reasoning)
    of = rates_of_call(cost, prompt)
    millionths = (
        (plain - heard) * of["input"]
        + heard * of["heard"]
        + read * of["read"]
        + (written - hour) * of["write"]
        + hour * of["hour"]
        + (output - reasoning - spoken) * of["output"]
        + reasoning * of["reasoning"]
        + spoken * of["spoken"]
    )
    return int(Fraction(millionths, 10**6) + Fraction(1, 2))


def ranking(entry, case, fixtures):
    """A reranking, which is billed by the search and by nothing else."""
    model = case["request"]["body"]["model"]
    units = json.loads((fixtures / entry["body"]).read_text())["meta"]["billed_units"]["search_units"]
    return {
        "id": entry["id"],
        "provider": "cohere",
        "adapter": "cohere",
        "model": model,
        "is_streamed": False,
        "finish": "ranked",
        "body": entry["body"],
        "usage": {"searches": units},
        "nanodollars": units * SEARCHES[model],
    }


def model_of(entry, case, body, models):
    """The model as it was asked for, else as it says who it is, if it has a price."""
    request = case.get("request") or {}
    in_path = re.search(r"models/([^:/?]+)", request.get("path") or "")
    told = re.search(r'"(?:model|modelVersion)"\s*:\s*"([^"]+)"', body)
    names = [
        entry.get("model"),
        (request.get("body") or {}).get("model"),
        in_path and in_path.group(1),
        told and told.group(1),
    ]
    return next((name for name in names if name in models and "cost" in models[name]), None)


def main():
    shared = Path(sys.argv[1])
    fixtures = shared / "wire" / "fixtures"
    catalog = json.loads((shared / "catalog" / "models.json").read_text(), parse_float=Decimal)
    for entry in json.loads((fixtures / "index.json").read_text())["cases"]:
        if entry["status"] != 200 or entry["wire"] not in WIRES or entry["provider"] not in PROVIDERS:
            continue
        listed, name, adapter = PROVIDERS[entry["provider"]]
        case = json.loads((fixtures / entry["case"]).read_text())
        if entry["wire"] == "cohere-rerank":
            print(json.dumps(ranking(entry, case, fixtures)))
            continue
        usage = (case.get("expected") or {}).get("usage") or {}
        body = (fixtures / entry["body"]).read_text()
        model = model_of(entry, case, body, catalog[listed]["models"])
        if entry["provider"] == "cohere":
            usage = billed_by_cohere(body) or usage
        if model is None or usage.get("prompt") is None or not is_one_answer(body):
            continue
        print(
            json.dumps(
                {
                    "id": entry["id"],
                    "provider": name,
                    "adapter": adapter,
                    "model": model,
                    "is_streamed": entry["streamed"],
                    "finish": case["expected"].get("finish"),
                    "body": entry["body"],
                    "usage": {kind: count for kind, count in usage.items() if count},
                    "nanodollars": cost_of(catalog[listed]["models"][model]["cost"], usage, body),
                }
            )
        )


if __name__ == "__main__":
    main()
