// Does what the user's last message says, and counts its calls; `tests/it/languages/misbehaving.rs` asks for each.

import { lastUserText } from "pointsman:plugin/prompt@0.1.0";
import type { Verdict } from "pointsman:plugin/route@0.1.0";

let calls = 0;
const kept: Uint8Array[] = [];

export const configure = {
  load(config: string): string[] {
    while (config.includes("loop"));
    return [];
  },
  schema: () => "{}",
};

export const route = {
  decide(): Verdict {
    calls += 1;
    switch (lastUserText()) {
      case "loop":
        for (;;);
      case "exhaust":
        for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
      case "recurse":
        return plan([String(deeper(0))]);
      case "throw":
        throw new Error("on purpose");
      case "invent":
        return plan(["moon"]);
      case "flood":
        return plan(new Array<string>(1_000_000).fill("moon"));
      case "leak":
        kept.push(new Uint8Array(8 << 20).fill(1));
    }
    return plan([]);
  },
};

function deeper(depth: number): number {
  return deeper(depth + 1) + 1;
}

function plan(ids: string[]): Verdict {
  const steps = ids.map((candidate) => ({ candidate }));
  return { tag: "plan", val: { steps, edits: [], labels: [], reason: `call ${calls}`, review: false } };
}
