"""LiteLLM as a client."""

import os

# Otherwise it looks for the prices of the day before it begins.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from pydantic import BaseModel
from scenes import *

litellm.suppress_debug_info = True
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather in a city.", "parameters": CITY}}]


class Reading(BaseModel):
    city: str
    degrees: int


def ask(model, content, retries=0, **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    # Where both are given, it does not try again.
    access = {"api_base": base_url, "api_key": "none-needed"} | ({"max_retries": retries} if retries else {"num_retries": 0, "max_retries": 0})
    return litellm.completion(model=f"openai/{model}", messages=messages, **access, **more)


def streamed(model, content, **more):
    pieces = list(ask(model, content, stream=True, stream_options={"include_usage": True}, **more))
    return litellm.stream_chunk_builder(pieces)


def text(answer):
    return answer.choices[0].message.content


def seen(answer):
    return [text(answer), answer.usage.prompt_tokens, answer.usage.completion_tokens]


def tools_with(name, act):
    conversation = [{"role": "user", "content": QUESTION}]
    asked = act(f"{name}/model", conversation, tools=TOOLS).choices[0].message
    calls = [(call.id, json.loads(call.function.arguments)) for call in asked.tool_calls]
    results = [{"role": "tool", "tool_call_id": id, "content": weather(**given)} for id, given in calls]
    told = act(f"{name}/model", [*conversation, asked.model_dump(exclude={"provider_specific_fields"}), *results], tools=TOOLS)
    return [[given for _, given in calls], text(told)]


def structured(name):
    return Reading.model_validate_json(text(ask(f"{name}/model", WARM, response_format=Reading))).model_dump()


def image(name):
    parts = [{"type": "text", "text": SHOWN}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    return text(ask(f"{name}/model", [{"role": "user", "content": parts}]))


def retried(name):
    model, text_of = busy(name, "chat")
    return text(ask(model, text_of, retries=2))


def embeddings(name):
    access = {"api_base": base_url, "api_key": "none-needed", "num_retries": 0, "max_retries": 0}
    answer = litellm.embedding(model=f"openai/{name}/embedder", input=["hello", "good-bye"], encoding_format="float", **access)
    return [one["embedding"] for one in answer.data]


play({
    "chat": lambda name: seen(ask(f"{name}/model", HELLO)),
    "stream": lambda name: seen(streamed(f"{name}/model", HELLO)),
    "tools": lambda name: tools_with(name, ask),
    "tools, streamed": lambda name: tools_with(name, streamed),
    "structured": structured,
    "image": image,
    "retried": retried,
    "embeddings": embeddings,
}, ask)
