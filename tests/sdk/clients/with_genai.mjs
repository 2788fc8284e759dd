// Google's SDK for Node.

import { CITY, HELLO, PICTURE, QUESTION, READING, SHOWN, WARM, busy, installed, play, rootUrl, weather } from "./scenes.mjs";

const { GoogleGenAI } = installed("@google/genai");
const of = (attempts) => new GoogleGenAI({ apiKey: "none-needed", httpOptions: { baseUrl: rootUrl, retryOptions: { attempts } } });
const [client, patient] = [of(1), of(3)];
const { models } = client;
const declared = { name: "weather", description: "The weather in a city.", parametersJsonSchema: CITY };
const seen = (text, { usageMetadata }) => [text, usageMetadata.promptTokenCount, usageMetadata.candidatesTokenCount];

async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

async function toolsWith(name, ask) {
  const chat = client.chats.create({ model: `${name}/model`, config: { tools: [{ functionDeclarations: [declared] }] } });
  const calls = (await ask(chat, QUESTION)).flatMap((piece) => piece.functionCalls ?? []);
  const results = calls.map(({ id, name, args }) => ({ functionResponse: { id, name, response: { result: weather(args.city) } } }));
  const told = await ask(chat, results);
  return [calls.map((call) => call.args), told.map((piece) => piece.text ?? "").join("")];
}

await play({
  chat: async (name) => {
    const answer = await models.generateContent({ model: `${name}/model`, contents: HELLO });
    return seen(answer.text, answer);
  },
  stream: async (name) => {
    const pieces = await all(await models.generateContentStream({ model: `${name}/model`, contents: HELLO }));
    return seen(pieces.map((piece) => piece.text ?? "").join(""), pieces.at(-1));
  },
  tools: (name) => toolsWith(name, async (chat, message) => [await chat.sendMessage({ message })]),
  "tools, streamed": (name) => toolsWith(name, async (chat, message) => all(await chat.sendMessageStream({ message }))),
  structured: async (name) => {
    const config = { responseMimeType: "application/json", responseJsonSchema: READING };
    return JSON.parse((await models.generateContent({ model: `${name}/model`, contents: WARM, config })).text);
  },
  image: async (name) => {
    const image = { inlineData: { mimeType: "image/png", data: PICTURE } };
    return (await models.generateContent({ model: `${name}/model`, contents: [image, SHOWN] })).text;
  },
  retried: async (name) => {
    const [model, contents] = busy(name, "generateContent");
    return (await patient.models.generateContent({ model, contents })).text;
  },
  count: async (name) => (await models.countTokens({ model: `${name}/model`, contents: HELLO })).totalTokens > 0,
  models: async (name) => (await models.get({ model: `${name}/model` })).name === `models/${name}/model`,
}, (model, contents) => models.generateContent({ model, contents }));
