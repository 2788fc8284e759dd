"""LiteLLM as a client: see ../langchain.py for what is read and written."""

import json
import sys

import litellm
from pydantic import BaseModel


class Reading(BaseModel):
    city: str
    degrees: int


order = json.load(sys.stdin)
access = {"api_base": order["base_url"], "api_key": "none-needed", "num_retries": 0, "max_retries": 0}
litellm.suppress_debug_info = True


def completion(content, model=order["model"], **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return litellm.completion(model=f"openai/{model}", messages=messages, **access, **more)


tools = [{"type": "function", "function": {"name": "weather", "description": "The weather in a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
conversation = [{"role": "user", "content": "How is the weather in Köln and in Bonn?"}]
asked = completion(conversation, tools=tools).choices[0].message
calls = [(call.id, json.loads(call.function.arguments)) for call in asked.tool_calls]
results = [{"role": "tool", "tool_call_id": id, "content": f"sunny in {call['city']}"} for id, call in calls]
told = completion([*conversation, asked.model_dump(), *results], tools=tools)

reading = completion("How warm is it?", response_format=Reading)
vector = litellm.embedding(model=f"openai/{order['embedder']}", input=["hello"], encoding_format="float", **access)

try:
    completion("hello", "nobody/knows")
    error = None
except Exception as raised:
    error = {"class": type(raised).__name__, "status": raised.status_code}

text = lambda answer: answer.choices[0].message.content
json.dump({
    "chat": text(completion("hello")),
    "stream": "".join(chunk.choices[0].delta.content or "" for chunk in completion("hello", stream=True)),
    "calls": [call for _, call in calls],
    "told": text(told),
    "structured": Reading.model_validate_json(text(reading)).model_dump(),
    "vector": vector.data[0]["embedding"],
    "error": error,
}, sys.stdout)
