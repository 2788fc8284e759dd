// Does with Google's SDK for Node what client.py does with the one for Python, and prints what an application sees of it.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

// The SDK is installed where the test starts this, not beside it.
const installed = createRequire(`${process.cwd()}/`);
const { ApiError, GoogleGenAI, Type } = installed("@google/genai");

async function explained(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { class: error.name, code: error.status };
  }
}

const order = JSON.parse(readFileSync(0, "utf8"));
const { model } = order;
const baseUrl = order.base_url.replace(/\/v1$/, "");
const client = new GoogleGenAI({ apiKey: "none-needed", httpOptions: { baseUrl } });
const { models } = client;
const seen = {};

const answer = await models.generateContent({ model, contents: "Hello?" });
const usage = answer.usageMetadata;
seen.chat = {
  text: answer.text,
  finish: answer.candidates[0].finishReason,
  tokens: [usage.promptTokenCount, usage.cachedContentTokenCount, usage.candidatesTokenCount, usage.thoughtsTokenCount],
};
seen.stream = "";
for await (const piece of await models.generateContentStream({ model, contents: "Hello?" })) seen.stream += piece.text ?? "";

const weather = {
  name: "weather",
  description: "The weather in a city",
  parametersJsonSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const config = { systemInstruction: "Be brief.", tools: [{ functionDeclarations: [weather] }], temperature: 0.5 };
// A streamed answer comes back in as many contents as it had events.
const chat = client.chats.create({ model, config });
const calls = [];
for await (const piece of await chat.sendMessageStream({ message: "Weather in Köln and Bonn?" })) calls.push(...(piece.functionCalls ?? []));
seen.calls = calls.map((call) => [call.name, call.args]);
const result = ({ name, args }) => ({ functionResponse: { name, response: { result: `sunny in ${args.city}` } } });
seen.told = (await chat.sendMessage({ message: calls.map(result) })).text;

const properties = { city: { type: Type.STRING }, degrees: { type: Type.INTEGER } };
const responseSchema = { type: Type.OBJECT, properties, required: ["city", "degrees"] };
const structured = { responseMimeType: "application/json", responseSchema };
seen.structured = JSON.parse((await models.generateContent({ model, contents: "Measure", config: structured })).text);
const image = { inlineData: { mimeType: "image/png", data: "+/++" } };
seen.image = (await models.generateContent({ model, contents: [image, "What is it?"] })).text;
seen.count = (await models.countTokens({ model, contents: "How many?" })).totalTokens > 0;
seen.unknown = await explained(() => models.generateContent({ model: "nobody", contents: "Hello?" }));
seen.limited = await explained(() => models.generateContent({ model: "limited", contents: "Hello?" }));
seen.broken = await explained(async () => {
  for await (const _ of await models.generateContentStream({ model: "broken", contents: "Hello?" }));
});
seen.models = [];
for await (const one of await models.list()) seen.models.push(one.name);
seen.models.sort();
process.stdout.write(JSON.stringify(seen));
