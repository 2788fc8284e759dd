"""OpenAI's SDK for Python: chat completions, and responses."""

import json

import openai
from pydantic import BaseModel
from scenes import *

client = openai.OpenAI(base_url=base_url, api_key="none-needed", max_retries=0)
patient = openai.OpenAI(base_url=base_url, api_key="none-needed", max_retries=2)


class Reading(BaseModel):
    city: str
    degrees: int


def user(content):
    return [{"role": "user", "content": content}]


class Chat:
    tools = [{"type": "function", "function": {"name": "weather", "description": "The weather in a city.", "parameters": CITY}}]

    def ask(name, messages, **more):
        return client.chat.completions.create(model=f"{name}/model", messages=messages, **more)

    def streamed(name, messages, **more):
        options = {"include_usage": True}
        with client.chat.completions.stream(model=f"{name}/model", messages=messages, stream_options=options, **more) as events:
            events.until_done()
            return events.get_final_completion()

    def seen(answer):
        return [answer.choices[0].message.content, answer.usage.prompt_tokens, answer.usage.completion_tokens]

    def chat(name):
        return Chat.seen(Chat.ask(name, user(HELLO)))

    def stream(name):
        return Chat.seen(Chat.streamed(name, user(HELLO)))

    def tools_with(name, act):
        asked = act(name, user(QUESTION), tools=Chat.tools)
        message = asked.choices[0].message
        assert asked.choices[0].finish_reason == "tool_calls", asked
        calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]
        results = [{"role": "tool", "tool_call_id": id, "content": weather(**given)} for id, _, given in calls]
        # What is streamed is put together by the SDK, which adds members of its own.
        again = {"role": "assistant", "content": message.content, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": tool, "arguments": json.dumps(given)}} for id, tool, given in calls]}
        told = act(name, [*user(QUESTION), again, *results], tools=Chat.tools)
        return [[given for _, _, given in calls], told.choices[0].message.content]

    def tools_whole(name):
        return Chat.tools_with(name, Chat.ask)

    def tools_streamed(name):
        return Chat.tools_with(name, Chat.streamed)

    def structured(name):
        answer = client.chat.completions.parse(model=f"{name}/model", messages=user(WARM), response_format=Reading)
        return answer.choices[0].message.parsed.model_dump()

    def image(name):
        content = [{"type": "text", "text": SHOWN}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
        return Chat.ask(name, user(content)).choices[0].message.content

    def fail(model, text):
        client.chat.completions.create(model=model, messages=user(text))

    def retried(name):
        model, text = busy(name, "chat")
        return patient.chat.completions.create(model=model, messages=user(text)).choices[0].message.content


class Responses:
    tools = [{"type": "function", "name": "weather", "description": "The weather in a city.", "parameters": CITY, "strict": True}]

    def ask(name, given, **more):
        return client.responses.create(model=f"{name}/model", input=given, **more)

    def streamed(name, given, **more):
        with client.responses.stream(model=f"{name}/model", input=given, **more) as stream:
            stream.until_done()
            return stream.get_final_response()

    def seen(answer):
        return [answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens]

    def chat(name):
        return Responses.seen(Responses.ask(name, HELLO))

    def stream(name):
        return Responses.seen(Responses.streamed(name, HELLO))

    def tools_with(name, act):
        asked = act(name, user(QUESTION), tools=Responses.tools)
        calls = [item for item in asked.output if item.type == "function_call"]
        given = [json.loads(call.arguments) for call in calls]
        again = [{"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments} for call in calls]
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": weather(**one)} for call, one in zip(calls, given)]
        told = act(name, [*user(QUESTION), *again, *results], tools=Responses.tools)
        return [given, told.output_text]

    def tools_whole(name):
        return Responses.tools_with(name, Responses.ask)

    def tools_streamed(name):
        return Responses.tools_with(name, Responses.streamed)

    def structured(name):
        return client.responses.parse(model=f"{name}/model", input=WARM, text_format=Reading).output_parsed.model_dump()

    def image(name):
        content = [{"type": "input_text", "text": SHOWN}, {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"}]
        return Responses.ask(name, user(content)).output_text

    def fail(model, text):
        client.responses.create(model=model, input=text)

    def retried(name):
        model, text = busy(name, "responses")
        return patient.responses.create(model=model, input=text).output_text


def embeddings(name):
    answer = client.embeddings.create(model=f"{name}/embedder", input=["hello", "good-bye"])
    return [one.embedding for one in answer.data]


def models(name):
    return client.models.retrieve(f"{name}/model").id == f"{name}/model"


def scenes(surface):
    return {"chat": surface.chat, "stream": surface.stream, "tools": surface.tools_whole, "tools, streamed": surface.tools_streamed,
            "structured": surface.structured, "image": surface.image, "retried": surface.retried}


play(scenes(Chat) | {"embeddings": embeddings, "models": models}, Chat.fail)
play(scenes(Responses), Responses.fail, "responses")
