// Vercel's AI SDK.

import { HELLO, PICTURE, QUESTION, SHOWN, WARM, baseUrl, busy, installed, play, weather } from "./scenes.mjs";

const { createOpenAICompatible } = installed("@ai-sdk/openai-compatible");
const { embedMany, generateObject, generateText, stepCountIs, streamText, tool } = installed("ai");
const { z } = installed("zod");

const provider = createOpenAICompatible({
  name: "pointsman", baseURL: baseUrl, apiKey: "none-needed", includeUsage: true, supportsStructuredOutputs: true,
});
const of = (name) => ({ model: provider(`${name}/model`), maxRetries: 0 });
const silent = { onError() {} };

function counting() {
  const calls = [];
  const execute = async (input) => {
    calls.push(input);
    return weather(input.city);
  };
  const tools = { weather: tool({ description: "The weather in a city.", inputSchema: z.object({ city: z.string() }), execute }) };
  return { calls, ask: { tools, stopWhen: stepCountIs(2), prompt: QUESTION } };
}

await play({
  chat: async (name) => {
    const { text, usage } = await generateText({ ...of(name), prompt: HELLO });
    return [text, usage.inputTokens, usage.outputTokens];
  },
  stream: async (name) => {
    const { text, usage } = streamText({ ...of(name), ...silent, prompt: HELLO });
    return [await text, (await usage).inputTokens, (await usage).outputTokens];
  },
  tools: async (name) => {
    const { calls, ask } = counting();
    const { text } = await generateText({ ...of(name), ...ask });
    return [calls, text];
  },
  "tools, streamed": async (name) => {
    const { calls, ask } = counting();
    let failure;
    const { text } = streamText({ ...of(name), ...ask, onError: ({ error }) => (failure = error) });
    const told = await text.then((told) => told, () => { throw failure; });
    return [calls, told];
  },
  structured: async (name) => {
    const schema = z.object({ city: z.string(), degrees: z.number() });
    return (await generateObject({ ...of(name), schema, prompt: WARM })).object;
  },
  image: async (name) => {
    const content = [{ type: "text", text: SHOWN }, { type: "image", image: PICTURE, mediaType: "image/png" }];
    return (await generateText({ ...of(name), messages: [{ role: "user", content }] })).text;
  },
  retried: async (name) => {
    const [model, prompt] = busy(name, "chat");
    return (await generateText({ model: provider(model), maxRetries: 2, prompt })).text;
  },
  embeddings: async (name) => {
    const model = provider.textEmbeddingModel(`${name}/embedder`);
    return (await embedMany({ model, maxRetries: 0, values: ["hello", "good-bye"] })).embeddings;
  },
}, (model, prompt) => generateText({ model: provider(model), maxRetries: 0, prompt }));
