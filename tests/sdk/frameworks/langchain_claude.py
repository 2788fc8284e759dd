"""LangChain's Anthropic: chat, stream, parallel tools with their results returned, structured output, an error.

Standard input: {"base_url": …, "model": …}; standard output: what an application would see of each. What is expected stands in
tests/it/frameworks.rs.
"""

import json
import sys

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Reading(BaseModel):
    city: str
    degrees: int


order = json.load(sys.stdin)
access = {"base_url": order["base_url"].removesuffix("/v1"), "api_key": "none-needed", "max_retries": 0}
chat = ChatAnthropic(model=order["model"], max_tokens=100, **access)

conversation = [HumanMessage("How is the weather in Köln and in Bonn?")]
asked = chat.bind_tools([weather]).invoke(conversation)
results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
told = chat.bind_tools([weather]).invoke([*conversation, asked, *results])

reading = chat.with_structured_output(Reading, method="json_schema").invoke("How warm is it?")

try:
    ChatAnthropic(model="nobody/knows", max_tokens=100, **access).invoke("hello")
    error = None
except Exception as raised:
    error = {"class": type(raised).__name__, "status": raised.status_code}

json.dump({
    "chat": chat.invoke("hello").content,
    "stream": "".join(chunk.text if isinstance(chunk.text, str) else chunk.text() for chunk in chat.stream("hello")),
    "calls": [call["args"] for call in asked.tool_calls],
    "told": told.content,
    "structured": reading.model_dump(),
    "error": error,
}, sys.stdout)
