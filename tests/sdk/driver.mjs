// Does with OpenAI's and Anthropic's SDKs for Node what the test says, and prints what an application would see.
//
// Standard input: {"base_url": …, "steps": [{"do": …, "with": {…}, "on": "azure"}]}; standard output: one object for each step.
// What is expected stands in tests/it/sdk.rs, which runs driver.py with the same steps.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

// The SDKs are installed where the test starts this, not beside it.
const installed = createRequire(`${process.cwd()}/`);
const { AzureOpenAI, OpenAI, OpenAIError, toFile } = installed("openai");
const { Anthropic, AnthropicError } = installed("@anthropic-ai/sdk");

const acts = {
  async chat(client, args, options) {
    const { data, response } = await client.chat.completions.create(args, options).withResponse();
    return { completion: data, request_id: data._request_id, headers: Object.fromEntries(response.headers) };
  },

  async stream(client, args) {
    const chunks = [];
    try {
      for await (const chunk of await client.chat.completions.create({ ...args, stream: true })) chunks.push(chunk);
    } catch (error) {
      return { chunks, error: explained(error) };
    }
    return { chunks, error: null };
  },

  async accumulate(client, args) {
    return { completion: await client.chat.completions.stream(args).finalChatCompletion() };
  },

  async models(client) {
    const models = [];
    for await (const model of client.models.list()) models.push(model);
    return { models };
  },

  async model(client, args) {
    return { model: await client.models.retrieve(args.id) };
  },

  async complete(client, args) {
    const whole = await client.completions.create(args);
    let streamed = "";
    for await (const piece of await client.completions.create({ ...args, stream: true })) streamed += piece.choices[0]?.text ?? "";
    return { text: whole.choices[0].text, streamed };
  },

  async respond(client, args) {
    return { response: await client.responses.create(args) };
  },

  async respond_stream(client, args) {
    const events = [];
    try {
      const stream = client.responses.stream(args);
      for await (const event of stream) events.push(event);
      return { events, response: await stream.finalResponse(), error: null };
    } catch (error) {
      return { events, error: explained(error) };
    }
  },

  async kept(client, args) {
    return { response: await client.responses.retrieve(args.id) };
  },

  async forget(client, args) {
    await client.responses.delete(args.id);
    return {};
  },

  async embed(client, args) {
    const { data } = await client.embeddings.create(args);
    return { vectors: data.map((one) => one.embedding) };
  },

  async moderate(client, args) {
    const { results } = await client.moderations.create(args);
    return { flagged: results.map((one) => one.flagged) };
  },

  async image(client, args) {
    return { images: await client.images.generate(args) };
  },

  async image_events(client, args) {
    const events = [];
    for await (const event of await client.images.generate({ ...args, stream: true })) events.push(event);
    return { events };
  },

  async edit(client, args) {
    return { images: await client.images.edit({ ...args, image: await file(args.image, "image/png") }) };
  },

  async speak(client, args) {
    const answer = await client.audio.speech.create(args);
    return { sound: Buffer.from(await answer.arrayBuffer()).toString("base64") };
  },

  async hear(client, args) {
    return { heard: await client.audio.transcriptions.create({ ...args, file: await file(args.file, "audio/mpeg") }) };
  },

  async hear_events(client, args) {
    const events = [];
    const listening = { ...args, file: await file(args.file, "audio/mpeg"), stream: true };
    for await (const event of await client.audio.transcriptions.create(listening)) events.push(event);
    return { events };
  },

  async translate(client, args) {
    return { heard: await client.audio.translations.create({ ...args, file: await file(args.file, "audio/mpeg") }) };
  },
};

const claudes = {
  async message(client, args, options) {
    const { data, response } = await client.messages.create(args, options).withResponse();
    return { message: data, request_id: data._request_id, headers: Object.fromEntries(response.headers) };
  },

  async message_stream(client, args) {
    const events = [];
    try {
      const stream = client.messages.stream(args);
      for await (const event of stream) events.push(event.type);
      return { events, message: await stream.finalMessage(), error: null };
    } catch (error) {
      return { events, error: explained(error) };
    }
  },

  async count(client, args) {
    return { tokens: (await client.messages.countTokens(args)).input_tokens };
  },
};

function file(text, type) {
  return toFile(Buffer.from(text, "base64"), "a file", { type });
}

function explained(error) {
  if (!(error instanceof OpenAIError || error instanceof AnthropicError)) throw error;
  const { status, requestID } = error;
  // Anthropic's SDK has the whole body here, OpenAI's what stands in `error`.
  const body = error.error?.error ?? error.error ?? error;
  const { code, param, type } = body;
  return {
    class: error.constructor.name,
    status: status ?? null,
    code: code ?? null,
    param: param ?? null,
    type: type ?? null,
    message: body === error ? null : body.message ?? null,
    request_id: requestID ?? null,
  };
}

async function take(clients, step) {
  // Python's SDK needs a place of its own for fields that it does not know; this one takes them as they are. Headers
  // have a place of their own in both.
  const { extra_body, extra_headers, ...args } = step.with ?? {};
  try {
    const [client, act] = step.do in acts ? [clients[step.on ?? "openai"], acts[step.do]] : [clients.claude, claudes[step.do]];
    return await act(client, { ...args, ...extra_body }, { headers: extra_headers });
  } catch (error) {
    return { error: explained(error) };
  }
}

const order = JSON.parse(readFileSync(0, "utf8"));
const apiKey = order.api_key ?? "none-needed";
const openai = new OpenAI({ baseURL: order.base_url, apiKey });
const claude = new Anthropic({ baseURL: order.base_url.replace(/\/v1$/, ""), apiKey });
const azure = new AzureOpenAI({ endpoint: order.base_url.replace(/\/v1$/, ""), apiKey, apiVersion: "2024-10-21" });
const results = [];
for (const step of order.steps) results.push(await take({ openai, claude, azure }, step));
process.stdout.write(JSON.stringify(results));
