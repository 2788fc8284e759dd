// OpenAI's SDK for Node: chat completions, and responses.

import { CITY, HELLO, PICTURE, QUESTION, READING, SHOWN, WARM, baseUrl, busy, installed, play, weather } from "./scenes.mjs";

const { OpenAI } = installed("openai");
const client = new OpenAI({ baseURL: baseUrl, apiKey: "none-needed", maxRetries: 0 });
const patient = new OpenAI({ baseURL: baseUrl, apiKey: "none-needed", maxRetries: 2 });
const user = (content) => [{ role: "user", content }];
const url = `data:image/png;base64,${PICTURE}`;

const tools = [{ type: "function", function: { name: "weather", description: "The weather in a city.", parameters: CITY } }];
const ask = (name, messages, more) => client.chat.completions.create({ model: `${name}/model`, messages, ...more });
const streamed = (name, messages, more) =>
  client.chat.completions.stream({ model: `${name}/model`, messages, stream_options: { include_usage: true }, ...more }).finalChatCompletion();
const seen = ({ choices, usage }) => [choices[0].message.content, usage.prompt_tokens, usage.completion_tokens];

async function toolsWith(name, act) {
  const asked = (await act(name, user(QUESTION), { tools })).choices[0];
  if (asked.finish_reason !== "tool_calls") throw new Error(`finished by ${asked.finish_reason}`);
  const calls = asked.message.tool_calls.map(({ id, type, function: { name, arguments: text } }) => ({ id, type, function: { name, arguments: text } }));
  const given = calls.map((call) => JSON.parse(call.function.arguments));
  const results = calls.map((call, at) => ({ role: "tool", tool_call_id: call.id, content: weather(given[at].city) }));
  const again = { role: "assistant", content: asked.message.content, tool_calls: calls };
  const told = await act(name, [...user(QUESTION), again, ...results], { tools });
  return [given, told.choices[0].message.content];
}

await play({
  chat: async (name) => seen(await ask(name, user(HELLO))),
  stream: async (name) => seen(await streamed(name, user(HELLO))),
  tools: (name) => toolsWith(name, ask),
  "tools, streamed": (name) => toolsWith(name, streamed),
  structured: async (name) => {
    const response_format = { type: "json_schema", json_schema: { name: "reading", strict: true, schema: READING } };
    return JSON.parse((await ask(name, user(WARM), { response_format })).choices[0].message.content);
  },
  image: async (name) => {
    const content = [{ type: "text", text: SHOWN }, { type: "image_url", image_url: { url } }];
    return (await ask(name, user(content))).choices[0].message.content;
  },
  retried: async (name) => {
    const [model, text] = busy(name, "chat");
    return (await patient.chat.completions.create({ model, messages: user(text) })).choices[0].message.content;
  },
  embeddings: async (name) => {
    const { data } = await client.embeddings.create({ model: `${name}/embedder`, input: ["hello", "good-bye"] });
    return data.map((one) => one.embedding);
  },
  models: async (name) => (await client.models.retrieve(`${name}/model`)).id === `${name}/model`,
}, (model, text) => client.chat.completions.create({ model, messages: user(text) }));

const functions = [{ type: "function", name: "weather", description: "The weather in a city.", parameters: CITY, strict: true }];
const respond = (name, input, more) => client.responses.create({ model: `${name}/model`, input, ...more });
const respondStreamed = (name, input, more) => client.responses.stream({ model: `${name}/model`, input, ...more }).finalResponse();
const response = ({ output_text, usage }) => [output_text, usage.input_tokens, usage.output_tokens];

async function functionsWith(name, act) {
  const asked = await act(name, user(QUESTION), { tools: functions });
  const calls = asked.output.filter((item) => item.type === "function_call");
  const given = calls.map((call) => JSON.parse(call.arguments));
  const again = calls.map(({ call_id, name, arguments: text }) => ({ type: "function_call", call_id, name, arguments: text }));
  const results = calls.map(({ call_id }, at) => ({ type: "function_call_output", call_id, output: weather(given[at].city) }));
  return [given, (await act(name, [...user(QUESTION), ...again, ...results], { tools: functions })).output_text];
}

await play({
  chat: async (name) => response(await respond(name, HELLO)),
  stream: async (name) => response(await respondStreamed(name, HELLO)),
  tools: (name) => functionsWith(name, respond),
  "tools, streamed": (name) => functionsWith(name, respondStreamed),
  structured: async (name) => {
    const text = { format: { type: "json_schema", name: "reading", strict: true, schema: READING } };
    return JSON.parse((await respond(name, WARM, { text })).output_text);
  },
  image: async (name) => {
    const content = [{ type: "input_text", text: SHOWN }, { type: "input_image", image_url: url, detail: "auto" }];
    return (await respond(name, user(content))).output_text;
  },
  retried: async (name) => {
    const [model, input] = busy(name, "responses");
    return (await patient.responses.create({ model, input })).output_text;
  },
}, (model, input) => client.responses.create({ model, input }), "responses");
