"""Does with OpenAI's and Anthropic's SDKs for Python what the test says, and prints what an application would see.

Standard input: {"base_url": …, "api_key": …, "steps": [{"do": …, "with": {…}, "on": "azure"}]}; standard output: one object for each step.
What is expected stands in tests/it/sdk.rs, which runs driver.mjs with the same steps.
"""

import base64
import json
import sys

import anthropic
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


def complete(client, arguments):
    whole = client.completions.create(**arguments)
    pieces = client.completions.create(stream=True, **arguments)
    return {"text": whole.choices[0].text, "streamed": "".join(piece.choices[0].text for piece in pieces if piece.choices)}


def respond(client, arguments):
    return {"response": seen(client.responses.create(**arguments))}


def respond_stream(client, arguments):
    events = []
    try:
        with client.responses.stream(**arguments) as stream:
            events.extend(seen(event) for event in stream)
            return {"events": events, "response": seen(stream.get_final_response()), "error": None}
    except openai.OpenAIError as error:
        return {"events": events, "error": explained(error)}


def kept(client, arguments):
    return {"response": seen(client.responses.retrieve(arguments["id"]))}


def forget(client, arguments):
    client.responses.delete(arguments["id"])
    return {}


def image(client, arguments):
    return {"images": seen(client.images.generate(**arguments))}


def image_events(client, arguments):
    return {"events": [seen(event) for event in client.images.generate(stream=True, **arguments)]}


def edit(client, arguments):
    arguments["image"] = file(arguments["image"], "image/png")
    return {"images": seen(client.images.edit(**arguments))}


def speak(client, arguments):
    with client.audio.speech.with_streaming_response.create(**arguments) as answer:
        return {"sound": base64.b64encode(b"".join(answer.iter_bytes())).decode()}


def hear(client, arguments):
    return heard(client.audio.transcriptions, arguments)


def translate(client, arguments):
    return heard(client.audio.translations, arguments)


def hear_events(client, arguments):
    arguments["file"] = file(arguments["file"], "audio/mpeg")
    return {"events": [seen(event) for event in client.audio.transcriptions.create(stream=True, **arguments)]}


def heard(listener, arguments):
    arguments["file"] = file(arguments["file"], "audio/mpeg")
    answer = listener.create(**arguments)
    return {"heard": answer if isinstance(answer, str) else seen(answer)}


def file(text, kind):
    return ("a file", base64.b64decode(text), kind)


def message(client, arguments):
    raw = client.messages.with_raw_response.create(**arguments)
    answer = raw.parse()
    return {"message": seen(answer), "request_id": answer._request_id, "headers": dict(raw.headers)}


def message_stream(client, arguments):
    events = []
    try:
        with client.messages.stream(**arguments) as stream:
            events.extend(event.type for event in stream)
            return {"events": events, "message": seen(stream.get_final_message()), "error": None}
    except anthropic.AnthropicError as error:
        return {"events": events, "error": explained(error)}


def count(client, arguments):
    return {"tokens": client.messages.count_tokens(**arguments).input_tokens}


def seen(value):
    return value.model_dump(mode="json", exclude_unset=True)


def explained(error):
    body = getattr(error, "body", None) or {}
    # Anthropic's SDK has the whole body here, OpenAI's what stands in `error`.
    body = body.get("error") or body
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None) or body.get("code"),
        "param": getattr(error, "param", None),
        "type": body.get("type") or getattr(error, "type", None),
        "message": body.get("message"),
        "request_id": getattr(error, "request_id", None),
    }


def take(client, claude, azure, step):
    acts = {"chat": chat, "stream": stream, "accumulate": accumulate, "models": models, "model": model,
            "embed": embed, "moderate": moderate, "complete": complete, "respond": respond, "respond_stream": respond_stream,
            "kept": kept, "forget": forget, "image": image, "image_events": image_events, "edit": edit, "speak": speak, "hear": hear, "hear_events": hear_events,
            "translate": translate, "message": message, "message_stream": message_stream, "count": count}
    is_claude = step["do"] in ("message", "message_stream", "count")
    if step.get("on") == "azure":
        client = azure
    try:
        return acts[step["do"]](claude if is_claude else client, step.get("with", {}))
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        return {"error": explained(error)}


order = json.load(sys.stdin)
client = openai.OpenAI(base_url=order["base_url"], api_key=order.get("api_key", "none-needed"))
azure = openai.AzureOpenAI(azure_endpoint=order["base_url"].removesuffix("/v1"), api_key=client.api_key, api_version="2024-10-21")
claude = anthropic.Anthropic(base_url=order["base_url"].removesuffix("/v1"), api_key=order.get("api_key", "none-needed"))
json.dump([take(client, claude, azure, step) for step in order["steps"]], sys.stdout)
