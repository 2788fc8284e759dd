"""LangChain: chat, stream, parallel tools with their results returned, structured output, embeddings, an error.

Standard input: {"base_url": …, "model": …, "embedder": …}; standard output: what an application would see of each. What is expected stands in
tests/it/frameworks.rs, which all programs of this folder are held to.
"""

import json
import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Reading(BaseModel):
    city: str
    degrees: int


order = json.load(sys.stdin)
access = {"base_url": order["base_url"], "api_key": "none-needed", "max_retries": 0}
chat = ChatOpenAI(model=order["model"], **access)

conversation = [HumanMessage("How is the weather in Köln and in Bonn?")]
asked = chat.bind_tools([weather]).invoke(conversation)
results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
told = chat.bind_tools([weather]).invoke([*conversation, asked, *results])

reading = chat.with_structured_output(Reading, method="json_schema").invoke("How warm is it?")
embeddings = OpenAIEmbeddings(model=order["embedder"], check_embedding_ctx_length=False, **access)

try:
    ChatOpenAI(model="nobody/knows", **access).invoke("hello")
    error = None
except Exception as raised:
    error = {"class": type(raised).__name__, "status": raised.status_code}

json.dump({
    "chat": chat.invoke("hello").content,
    "stream": "".join(chunk.content for chunk in chat.stream("hello")),
    "calls": [call["args"] for call in asked.tool_calls],
    "told": told.content,
    "structured": reading.model_dump(),
    "vector": embeddings.embed_query("hello"),
    "error": error,
}, sys.stdout)
