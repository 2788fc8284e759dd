// Vercel's AI SDK: see langchain.py for what is read and written.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The packages are where this was started, not where this file is.
const require = createRequire(`${process.cwd()}/`);
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const { embed, generateObject, generateText, stepCountIs, streamText, tool } = require("ai");
const { z } = require("zod");

const order = JSON.parse(readFileSync(0, "utf8"));
const provider = createOpenAICompatible({
  name: "pointsman", baseURL: order.base_url, apiKey: "none-needed", includeUsage: true, supportsStructuredOutputs: true,
});
const model = provider(order.model);
const maxRetries = 0;

const calls = [];
const weather = tool({
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async (input) => {
    calls.push(input);
    return `sunny in ${input.city}`;
  },
});
const told = await generateText({
  model, maxRetries, tools: { weather }, stopWhen: stepCountIs(2), prompt: "How is the weather in Köln and in Bonn?",
});
const schema = z.object({ city: z.string(), degrees: z.number() });
const { object } = await generateObject({ model, maxRetries, schema, prompt: "How warm is it?" });
const { embedding } = await embed({ model: provider.textEmbeddingModel(order.embedder), maxRetries, value: "hello" });

let error = null;
try {
  await generateText({ model: provider("nobody/knows"), maxRetries, prompt: "hello" });
} catch (raised) {
  error = { class: raised.name, status: raised.statusCode };
}

const chat = await generateText({ model, maxRetries, prompt: "hello" });
let stream = "";
for await (const piece of streamText({ model, maxRetries, prompt: "hello" }).textStream) stream += piece;
console.log(JSON.stringify({
  chat: chat.text, stream, calls, told: told.text, structured: object, vector: embedding, error,
}));
