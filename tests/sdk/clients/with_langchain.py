"""LangChain, in OpenAI's words or, where the arguments say so, in Anthropic's."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from scenes import *

is_anthropic = sys.argv[1:] == ["anthropic"]
if is_anthropic:
    from langchain_anthropic import ChatAnthropic

    def of(model, retries=0):
        return ChatAnthropic(model=model, max_tokens=100, base_url=root_url, api_key="none-needed", max_retries=retries)
else:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    def of(model, retries=0):
        return ChatOpenAI(model=model, base_url=base_url, api_key="none-needed", max_retries=retries, stream_usage=True)


class Reading(BaseModel):
    city: str
    degrees: int


@tool("weather")
def known(city: str) -> str:
    """The weather in a city."""
    return weather(city)


def seen(message):
    text = message.text if isinstance(message.text, str) else message.text()
    return [text, message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]


def whole(model, messages):
    return model.invoke(messages)


def streamed(model, messages):
    pieces = list(model.stream(messages))
    return sum(pieces[1:], pieces[0])


def tools_with(name, ask):
    model = of(f"{name}/model").bind_tools([known])
    conversation = [HumanMessage(QUESTION)]
    asked = ask(model, conversation)
    results = [ToolMessage(known.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
    return [[call["args"] for call in asked.tool_calls], seen(ask(model, [*conversation, asked, *results]))[0]]


def structured(name):
    return of(f"{name}/model").with_structured_output(Reading, method="json_schema").invoke(WARM).model_dump()


def image(name):
    content = [{"type": "text", "text": SHOWN}, {"type": "image", "base64": base64.b64encode(PICTURE).decode(), "mime_type": "image/png"}]
    return seen(of(f"{name}/model").invoke([HumanMessage(content)]))[0]


def retried(name):
    model, text = busy(name, "chat")
    return seen(of(model, 2).invoke(text))[0]


def embeddings(name):
    return OpenAIEmbeddings(
        model=f"{name}/embedder", check_embedding_ctx_length=False, base_url=base_url, api_key="none-needed", max_retries=0,
    ).embed_documents(["hello", "good-bye"])


scenes = {
    "chat": lambda name: seen(whole(of(f"{name}/model"), HELLO)),
    "stream": lambda name: seen(streamed(of(f"{name}/model"), HELLO)),
    "tools": lambda name: tools_with(name, whole),
    "tools, streamed": lambda name: tools_with(name, streamed),
    "structured": structured,
    "image": image,
    "retried": retried,
}
play(scenes if is_anthropic else scenes | {"embeddings": embeddings}, lambda model, text: of(model).invoke(text))
