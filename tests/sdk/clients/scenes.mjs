// What all programs of this folder do: see scenes.py.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Packages are installed where the test starts a program, not beside it.
export const installed = createRequire(`${process.cwd()}/`);

export const HELLO = "Hello?";
export const QUESTION = "How is the weather in Köln and in Bonn?";
export const WARM = "How warm is it? Answer in JSON, with the city and its degrees.";
export const SHOWN = "What is it?";
// One white dot.
export const PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==";
export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
export const READING = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "integer" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};
const FAILURES = ["wrong key", "no such model", "too many requests", "too long", "no room"];

const order = JSON.parse(readFileSync(0, "utf8"));
export const baseUrl = order.base_url;
export const rootUrl = baseUrl.replace(/\/v1$/, "");

export const weather = (city) => `sunny in ${city}`;
export const busy = (name, who) => [`busy-${name}`, `Busy once: ${who}`];

async function attempt(act, ...args) {
  try {
    return await act(...args);
  } catch (error) {
    const status = error.status ?? error.statusCode;
    // Google's errors all have one constructor; the AI SDK's have names of their own.
    const name = error.constructor.name.length > 2 ? error.constructor.name : error.name;
    if (Number.isInteger(status)) return { error: [error.name?.startsWith("AI_") ? error.name : name, status] };
    return { raised: `${error.stack ?? error}`.slice(0, 2000) };
  }
}

export async function play(scenes, fail, surface) {
  const suffix = surface ? `, ${surface}` : "";
  // All providers at one time: SDKs wait before they try again.
  await Promise.all(order.providers.map(async (name) => {
    for (const [scene, act] of Object.entries(scenes)) show(name, scene + suffix, await attempt(act, name));
    for (const failure of fail ? FAILURES : []) {
      const model = failure === "too many requests" ? `limited-${name}` : `failing-${name}`;
      show(name, failure + suffix, await attempt(fail, model, `Fail: ${failure}`));
    }
  }));
}

function show(provider, scene, seen) {
  process.stdout.write(`${JSON.stringify({ provider, scene, seen })}\n`);
}
