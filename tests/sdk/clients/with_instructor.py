"""Instructor, which asks for objects by a forced tool, whole and streamed, and by a schema."""

import instructor
import openai
from pydantic import BaseModel
from scenes import *


class Reading(BaseModel):
    city: str
    degrees: int


def client_with(mode, retries=0):
    return instructor.from_openai(openai.OpenAI(base_url=base_url, api_key="none-needed", max_retries=retries), mode=mode).chat.completions


def user(text):
    return [{"role": "user", "content": text}]


by_tool, by_schema = client_with(instructor.Mode.TOOLS), client_with(instructor.Mode.JSON_SCHEMA)
patient = client_with(instructor.Mode.JSON_SCHEMA, 2)


def object_of(client, model, text=WARM):
    return client.create(model=model, messages=user(text), response_model=Reading, max_retries=0).model_dump()


def streamed(name):
    pieces = by_tool.create_partial(model=f"{name}/model", messages=user(WARM), response_model=Reading, max_retries=0)
    return list(pieces)[-1].model_dump()


play({
    "structured": lambda name: object_of(by_schema, f"{name}/model"),
    "tools": lambda name: object_of(by_tool, f"{name}/model"),
    "tools, streamed": streamed,
    "retried": lambda name: object_of(patient, *busy(name, "chat")),
}, lambda model, text: object_of(by_schema, model, text))
