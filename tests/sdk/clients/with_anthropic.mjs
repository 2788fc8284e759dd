// Anthropic's SDK for Node.

import { CITY, HELLO, PICTURE, QUESTION, READING, SHOWN, WARM, busy, installed, play, rootUrl, weather } from "./scenes.mjs";

const { Anthropic } = installed("@anthropic-ai/sdk");
const client = new Anthropic({ baseURL: rootUrl, apiKey: "none-needed", maxRetries: 0 });
const patient = new Anthropic({ baseURL: rootUrl, apiKey: "none-needed", maxRetries: 2 });
const user = (content) => [{ role: "user", content }];
const tools = [{ name: "weather", description: "The weather in a city.", input_schema: CITY }];
const max_tokens = 100;

const ask = (name, messages, more) => client.messages.create({ model: `${name}/model`, max_tokens, messages, ...more });
const streamed = (name, messages, more) => client.messages.stream({ model: `${name}/model`, max_tokens, messages, ...more }).finalMessage();
const said = ({ content }) => content.filter((block) => block.type === "text").map((block) => block.text).join("");
const seen = (message) => [said(message), message.usage.input_tokens, message.usage.output_tokens];

async function toolsWith(name, act) {
  const asked = await act(name, user(QUESTION), { tools });
  if (asked.stop_reason !== "tool_use") throw new Error(`stopped by ${asked.stop_reason}`);
  const calls = asked.content.filter((block) => block.type === "tool_use");
  const again = calls.map(({ id, name, input }) => ({ type: "tool_use", id, name, input }));
  const results = calls.map(({ id, input }) => ({ type: "tool_result", tool_use_id: id, content: weather(input.city) }));
  const told = await act(name, [...user(QUESTION), { role: "assistant", content: again }, ...user(results)], { tools });
  return [calls.map((call) => call.input), said(told)];
}

await play({
  chat: async (name) => seen(await ask(name, user(HELLO))),
  stream: async (name) => seen(await streamed(name, user(HELLO))),
  tools: (name) => toolsWith(name, ask),
  "tools, streamed": (name) => toolsWith(name, streamed),
  structured: async (name) => {
    const output_config = { format: { type: "json_schema", schema: READING } };
    return JSON.parse(said(await ask(name, user(WARM), { output_config })));
  },
  image: async (name) => {
    const source = { type: "base64", media_type: "image/png", data: PICTURE };
    return said(await ask(name, user([{ type: "image", source }, { type: "text", text: SHOWN }])));
  },
  retried: async (name) => {
    const [model, text] = busy(name, "messages");
    return said(await patient.messages.create({ model, max_tokens, messages: user(text) }));
  },
  count: async (name) => (await client.messages.countTokens({ model: `${name}/model`, messages: user(HELLO) })).input_tokens > 0,
  models: async (name) => (await client.models.retrieve(`${name}/model`)).id === `${name}/model`,
}, (model, text) => client.messages.create({ model, max_tokens, messages: user(text) }));
