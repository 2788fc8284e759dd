"""What all programs of this folder do: an application's program plays its scenes with every provider, and prints a line for each.

Standard input: {"base_url": …, "providers": [names]}; standard output: {"provider": …, "scene": …, "seen": …} in lines. Which models and routes a provider
has, and what it says to these words, is in tests/src/conversation; what is expected of every program, in tests/it/clients.rs.
"""

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor

HELLO = "Hello?"
QUESTION = "How is the weather in Köln and in Bonn?"
WARM = "How warm is it? Answer in JSON, with the city and its degrees."
SHOWN = "What is it?"
# One white dot.
PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==")
PICTURE_URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
FAILURES = ["wrong key", "no such model", "too many requests", "too long", "no room"]

order = json.load(sys.stdin)
base_url = order["base_url"]
root_url = base_url.removesuffix("/v1")


def weather(city):
    return f"sunny in {city}"


def status_of(error):
    """The status of an error, or of the SDK's that it was made of."""
    found = (getattr(one, name, None) for one in (error, error.__cause__) for name in ("status_code", "code"))
    return next((status for status in found if isinstance(status, int)), None)


def attempt(act, *arguments):
    """What a scene shows, or the error that it ends in, as an application tells it from others: by its class, and its status."""
    try:
        return act(*arguments)
    except Exception as error:
        name, status = type(error).__name__, status_of(error)
        return {"error": [name, status]} if status else {"raised": f"{name}: {error}"[:2000]}


def play(scenes, fail=None, surface=None):
    """Plays scenes, functions of a provider's name, by what they are called; and failures, with a function of a model and a text.

    With several providers at one time: SDKs wait before they try again."""
    suffix = f", {surface}" if surface else ""

    def played(name):
        seen = [(scene, attempt(act, name)) for scene, act in scenes.items()]
        for failure in FAILURES if fail else []:
            model = f"limited-{name}" if failure == "too many requests" else f"failing-{name}"
            seen.append((failure, attempt(fail, model, f"Fail: {failure}")))
        return [json.dumps({"provider": name, "scene": scene + suffix, "seen": what}) for scene, what in seen]

    with ThreadPoolExecutor(8) as pool:
        for lines in pool.map(played, order["providers"]):
            print("\n".join(lines))


def busy(name, who):
    """The model that has room when it is asked for the second time, and what it is asked."""
    return f"busy-{name}", f"Busy once: {who}"
