"""Google's SDK for Python."""

from google import genai
from google.genai import types
from pydantic import BaseModel
from scenes import *


def client_with(attempts):
    retry = types.HttpRetryOptions(attempts=attempts, initial_delay=0.05, jitter=0)
    return genai.Client(api_key="none-needed", http_options=types.HttpOptions(base_url=root_url, retry_options=retry))


client, patient = client_with(1), client_with(3)
models = client.models
declared = types.FunctionDeclaration(name="weather", description="The weather in a city.", parameters_json_schema=CITY)
config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])


class Reading(BaseModel):
    city: str
    degrees: int


def seen(text, answer):
    return [text, answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count]


def chat(name):
    answer = models.generate_content(model=f"{name}/model", contents=HELLO)
    return seen(answer.text, answer)


def stream(name):
    pieces = list(models.generate_content_stream(model=f"{name}/model", contents=HELLO))
    return seen("".join(piece.text or "" for piece in pieces), pieces[-1])


def tools_with(name, ask):
    chat = client.chats.create(model=f"{name}/model", config=config)
    calls = [call for piece in ask(chat, QUESTION) for call in piece.function_calls or []]
    results = [types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": weather(**call.args)})) for call in calls]
    told = ask(chat, results)
    return [[call.args for call in calls], "".join(piece.text or "" for piece in told)]


def structured(name):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Reading)
    return models.generate_content(model=f"{name}/model", contents=WARM, config=config).parsed.model_dump()


def image(name):
    picture = types.Part.from_bytes(data=PICTURE, mime_type="image/png")
    return models.generate_content(model=f"{name}/model", contents=[picture, SHOWN]).text


def retried(name):
    model, text = busy(name, "generateContent")
    return patient.models.generate_content(model=model, contents=text).text


play({
    "chat": chat,
    "stream": stream,
    "tools": lambda name: tools_with(name, lambda chat, given: [chat.send_message(given)]),
    "tools, streamed": lambda name: tools_with(name, lambda chat, given: list(chat.send_message_stream(given))),
    "structured": structured,
    "image": image,
    "retried": retried,
    "count": lambda name: models.count_tokens(model=f"{name}/model", contents=HELLO).total_tokens > 0,
    "models": lambda name: models.get(model=f"{name}/model").name == f"models/{name}/model",
}, lambda model, text: models.generate_content(model=model, contents=text))
