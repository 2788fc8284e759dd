"""Does with Google's SDK for Python what applications do, and prints what they see of it. What is expected stands in tests/it/gemini.rs.

Standard input: {"base_url": …, "model": …}; standard output: one object. client.mjs does the same with Google's SDK for Node.
"""

import json
import sys

from google import genai
from google.genai import errors, types
from pydantic import BaseModel


class Reading(BaseModel):
    city: str
    degrees: int


def explained(act):
    try:
        act()
    except errors.APIError as error:
        return {"class": type(error).__name__, "code": error.code, "status": error.status}


order = json.load(sys.stdin)
options = types.HttpOptions(base_url=order["base_url"].removesuffix("/v1"))
client = genai.Client(api_key="none-needed", http_options=options)
models, model = client.models, order["model"]
seen = {}

answer = models.generate_content(model=model, contents="Hello?")
usage = answer.usage_metadata
seen["chat"] = {
    "text": answer.text,
    "finish": answer.candidates[0].finish_reason.value,
    "tokens": [usage.prompt_token_count, usage.cached_content_token_count, usage.candidates_token_count, usage.thoughts_token_count],
}
seen["stream"] = "".join(piece.text or "" for piece in models.generate_content_stream(model=model, contents="Hello?"))

weather = types.FunctionDeclaration(name="weather", description="The weather in a city", parameters_json_schema={
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
config = types.GenerateContentConfig(
    system_instruction="Be brief.", tools=[types.Tool(function_declarations=[weather])], temperature=0.5)
# A streamed answer comes back in as many contents as it had events.
chat = client.chats.create(model=model, config=config)
calls = [call for piece in chat.send_message_stream("Weather in Köln and Bonn?") for call in piece.function_calls or []]
seen["calls"] = [[call.name, call.args] for call in calls]
results = [types.Part.from_function_response(name=call.name, response={"result": "sunny in " + call.args["city"]}) for call in calls]
seen["told"] = chat.send_message(results).text

config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Reading)
seen["structured"] = models.generate_content(model=model, contents="Measure", config=config).parsed.model_dump()
# These bytes have other letters in the Base64 of addresses.
image = types.Part.from_bytes(data=b"\xfb\xff\xbe", mime_type="image/png")
seen["image"] = models.generate_content(model=model, contents=[image, "What is it?"]).text
seen["count"] = models.count_tokens(model=model, contents="How many?").total_tokens > 0
seen["unknown"] = explained(lambda: models.generate_content(model="nobody", contents="Hello?"))
seen["limited"] = explained(lambda: models.generate_content(model="limited", contents="Hello?"))
seen["broken"] = explained(lambda: list(models.generate_content_stream(model="broken", contents="Hello?")))
seen["models"] = sorted(one.name for one in models.list())
json.dump(seen, sys.stdout)
