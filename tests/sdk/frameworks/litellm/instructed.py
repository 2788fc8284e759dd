"""Instructor, which asks for objects by a forced tool: see ../langchain.py for what is read and written."""

import json
import sys

import instructor
import openai
from pydantic import BaseModel


class Reading(BaseModel):
    city: str
    degrees: int


order = json.load(sys.stdin)
client = instructor.from_openai(openai.OpenAI(base_url=order["base_url"], api_key="none-needed", max_retries=0))
ask = [{"role": "user", "content": "How warm is it?"}]
reading = client.chat.completions.create(model=order["model"], messages=ask, response_model=Reading, max_retries=0)
json.dump({"structured": reading.model_dump()}, sys.stdout)
