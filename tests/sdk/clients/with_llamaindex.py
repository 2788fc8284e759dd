"""LlamaIndex."""

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from scenes import *


class Reading(BaseModel):
    city: str
    degrees: int


def known(city: str) -> str:
    """The weather in a city."""
    return weather(city)


tool = FunctionTool.from_defaults(known, name="weather")


def of(model, retries=0):
    return OpenAILike(
        model=model, api_base=base_url, api_key="none-needed", max_retries=retries, is_chat_model=True, is_function_calling_model=True,
        should_use_structured_outputs=True, context_window=8192,
    )


def user(text):
    return [ChatMessage(role=MessageRole.USER, content=text)]


def chat(name):
    answer = of(f"{name}/model").chat(user(HELLO))
    return [answer.message.content, answer.raw.usage.prompt_tokens, answer.raw.usage.completion_tokens]


def stream(name):
    options = {"include_usage": True}
    pieces = list(of(f"{name}/model").stream_chat(user(HELLO), stream_options=options))
    usage = next(piece.raw.usage for piece in reversed(pieces) if piece.raw.usage)
    return ["".join(piece.delta or "" for piece in pieces), usage.prompt_tokens, usage.completion_tokens]


def tools_with(name, ask, tell):
    model = of(f"{name}/model")
    asked = ask(model)
    calls = model.get_tool_calls_from_response(asked)
    results = [
        ChatMessage(role=MessageRole.TOOL, content=known(**call.tool_kwargs), additional_kwargs={"tool_call_id": call.tool_id})
        for call in calls
    ]
    return [[call.tool_kwargs for call in calls], tell(model, [*user(QUESTION), asked.message, *results])]


def tools_whole(name):
    ask = lambda model: model.chat_with_tools([tool], chat_history=user(QUESTION), allow_parallel_tool_calls=True)
    return tools_with(name, ask, lambda model, messages: model.chat(messages).message.content)


def tools_streamed(name):
    ask = lambda model: list(model.stream_chat_with_tools([tool], chat_history=user(QUESTION), allow_parallel_tool_calls=True))[-1]
    return tools_with(name, ask, lambda model, messages: "".join(piece.delta or "" for piece in model.stream_chat(messages)))


def image(name):
    blocks = [TextBlock(text=SHOWN), ImageBlock(image=PICTURE, image_mimetype="image/png")]
    return of(f"{name}/model").chat([ChatMessage(role=MessageRole.USER, blocks=blocks)]).message.content


def retried(name):
    model, text = busy(name, "chat")
    return of(model, 2).chat(user(text)).message.content


def embeddings(name):
    embedder = OpenAILikeEmbedding(model_name=f"{name}/embedder", api_base=base_url, api_key="none-needed", max_retries=0)
    return embedder.get_text_embedding_batch(["hello", "good-bye"])


play({
    "chat": chat,
    "stream": stream,
    "tools": tools_whole,
    "tools, streamed": tools_streamed,
    "structured": lambda name: of(f"{name}/model").as_structured_llm(Reading).chat(user(WARM)).raw.model_dump(),
    "image": image,
    "retried": retried,
    "embeddings": embeddings,
}, lambda model, text: of(model).chat(user(text)))
