"""Does with OpenAI's SDK for Python what the test says, and prints what an application would see.

Standard input: {"base_url": …, "api_key": …, "steps": [{"do": …, "with": {…}}]}; standard output: one object for each step.
What is expected stands in tests/it/sdk.rs, which runs driver.mjs with the same steps.
"""

import json
import sys

import openai


def chat(client, arguments):
    raw = client.chat.completions.with_raw_response.create(**arguments)
    completion = raw.parse()
    return {"completion": seen(completion), "request_id": completion._request_id, "headers": dict(raw.headers)}


def stream(client, arguments):
    chunks = []
    try:
        for chunk in client.chat.completions.create(stream=True, **arguments):
            chunks.append(seen(chunk))
    except openai.OpenAIError as error:
        return {"chunks": chunks, "error": explained(error)}
    return {"chunks": chunks, "error": None}


def accumulate(client, arguments):
    with client.chat.completions.stream(**arguments) as events:
        events.until_done()
        return {"completion": seen(events.get_final_completion())}


def models(client, _):
    return {"models": [seen(model) for model in client.models.list()]}


def model(client, arguments):
    return {"model": seen(client.models.retrieve(arguments["id"]))}


def embed(client, arguments):
    answer = client.embeddings.create(**arguments)
    return {"vectors": [list(one.embedding) for one in answer.data]}


def moderate(client, arguments):
    answer = client.moderations.create(**arguments)
    return {"flagged": [one.flagged for one in answer.results]}


def seen(value):
    return value.model_dump(mode="json", exclude_unset=True)


def explained(error):
    body = getattr(error, "body", None) or {}
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "param": getattr(error, "param", None),
        "type": getattr(error, "type", None),
        "message": body.get("message"),
        "request_id": getattr(error, "request_id", None),
    }


def take(client, step):
    acts = {"chat": chat, "stream": stream, "accumulate": accumulate, "models": models, "model": model,
            "embed": embed, "moderate": moderate}
    try:
        return acts[step["do"]](client, step.get("with", {}))
    except openai.OpenAIError as error:
        return {"error": explained(error)}


order = json.load(sys.stdin)
client = openai.OpenAI(base_url=order["base_url"], api_key=order.get("api_key", "none-needed"))
json.dump([take(client, step) for step in order["steps"]], sys.stdout)
