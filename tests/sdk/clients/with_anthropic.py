"""Anthropic's SDK for Python."""

import anthropic
from pydantic import BaseModel
from scenes import *

client = anthropic.Anthropic(base_url=root_url, api_key="none-needed", max_retries=0)
patient = anthropic.Anthropic(base_url=root_url, api_key="none-needed", max_retries=2)
TOOLS = [{"name": "weather", "description": "The weather in a city.", "input_schema": CITY}]


class Reading(BaseModel):
    city: str
    degrees: int


def user(content):
    return [{"role": "user", "content": content}]


def ask(name, messages, **more):
    return client.messages.create(model=f"{name}/model", max_tokens=100, messages=messages, **more)


def streamed(name, messages, **more):
    with client.messages.stream(model=f"{name}/model", max_tokens=100, messages=messages, **more) as stream:
        return stream.get_final_message()


def said(message):
    return "".join(block.text for block in message.content if block.type == "text")


def seen(message):
    return [said(message), message.usage.input_tokens, message.usage.output_tokens]


def tools_with(name, act):
    asked = act(name, user(QUESTION), tools=TOOLS)
    assert asked.stop_reason == "tool_use", asked
    calls = [block for block in asked.content if block.type == "tool_use"]
    again = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input} for call in calls]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": weather(**call.input)} for call in calls]
    told = act(name, [*user(QUESTION), {"role": "assistant", "content": again}, *user(results)], tools=TOOLS)
    return [[call.input for call in calls], said(told)]


def structured(name):
    answer = client.messages.parse(model=f"{name}/model", max_tokens=100, messages=user(WARM), output_format=Reading)
    return answer.parsed_output.model_dump()


def image(name):
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE).decode()}
    return said(ask(name, user([{"type": "image", "source": source}, {"type": "text", "text": SHOWN}])))


def count(name):
    return client.messages.count_tokens(model=f"{name}/model", messages=user(HELLO)).input_tokens > 0


def models(name):
    return client.models.retrieve(f"{name}/model").id == f"{name}/model"


def retried(name):
    model, text = busy(name, "messages")
    return said(patient.messages.create(model=model, max_tokens=100, messages=user(text)))


play({
    "chat": lambda name: seen(ask(name, user(HELLO))),
    "stream": lambda name: seen(streamed(name, user(HELLO))),
    "tools": lambda name: tools_with(name, ask),
    "tools, streamed": lambda name: tools_with(name, streamed),
    "structured": structured,
    "image": image,
    "retried": retried,
    "count": count,
    "models": models,
}, lambda model, text: client.messages.create(model=model, max_tokens=100, messages=user(text)))
