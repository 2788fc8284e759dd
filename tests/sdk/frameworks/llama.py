"""LlamaIndex: see langchain.py for what is read and written."""

import json
import sys

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Reading(BaseModel):
    city: str
    degrees: int


def of(model):
    return OpenAILike(
        model=model, api_base=order["base_url"], api_key="none-needed", max_retries=0, is_chat_model=True,
        is_function_calling_model=True, should_use_structured_outputs=True, context_window=8192,
    )


order = json.load(sys.stdin)
chat = of(order["model"])
hello = [ChatMessage(role=MessageRole.USER, content="hello")]

tool = FunctionTool.from_defaults(weather)
conversation = [ChatMessage(role=MessageRole.USER, content="How is the weather in Köln and in Bonn?")]
asked = chat.chat_with_tools([tool], chat_history=conversation, allow_parallel_tool_calls=True)
calls = chat.get_tool_calls_from_response(asked)
results = [
    ChatMessage(role=MessageRole.TOOL, content=weather(**call.tool_kwargs), additional_kwargs={"tool_call_id": call.tool_id})
    for call in calls
]
told = chat.chat([*conversation, asked.message, *results])

reading = chat.as_structured_llm(Reading).chat(hello).raw
embeddings = OpenAILikeEmbedding(model_name=order["embedder"], api_base=order["base_url"], api_key="none-needed")

try:
    of("nobody/knows").chat(hello)
    error = None
except Exception as raised:
    error = {"class": type(raised).__name__, "status": raised.status_code}

json.dump({
    "chat": chat.chat(hello).message.content,
    "stream": "".join(chunk.delta for chunk in chat.stream_chat(hello)),
    "calls": [call.tool_kwargs for call in calls],
    "told": told.message.content,
    "structured": reading.model_dump(),
    "vector": embeddings.get_text_embedding("hello"),
    "error": error,
}, sys.stdout)
