// The interface of Pointsman's policy `script`, for editors and type checkers. In a script:
//
//   /// <reference path="./script.d.ts" />
//   // @ts-check
//   /** @type {Pointsman.Decide} */
//   export function decide(request, candidates) { … }

declare namespace Pointsman {
  /** Asked for every request. A promise is waited for; nothing here takes time. */
  type Decide = (request: Request, candidates: Candidate[]) => Verdict | Promise<Verdict>;

  /** Called once when the script is loaded. What comes back is shown as warnings; what is thrown refuses the configuration. */
  type Configure = (settings: any) => void | string[] | Promise<void | string[]>;

  /** Asked about an answer whose plan said `review: true`, before the client sees any of it. Nothing accepts. */
  type Review = (request: Request, answer: Answer) => Opinion | Promise<Opinion>;

  interface Request {
    /** As in `x-pointsman-request-id`. */
    readonly id: string;
    /** The route that the client's model name led to. */
    readonly route: string;
    /** As the client named it. */
    readonly model: string;
    readonly surface: "chat-completions" | "completions" | "responses" | "messages" | "embeddings" | "images" | "speech"
      | "transcription" | "moderation" | "rerank" | "other";
    /** `anonymous` where no key is required. */
    readonly keyId: string;
    readonly team?: string;
    /** Set by the policies before this one. */
    readonly labels: Record<string, string>;
    readonly messageCount: number;
    readonly textBytes: number;
    /** An estimate, good enough to compare with a context window. */
    readonly estimatedInputTokens: number;
    /** Absent where the client did not ask. */
    readonly maxOutputTokens?: number;
    readonly isStream: boolean;
    readonly hasTools: boolean;
    readonly hasImages: boolean;
    readonly wantsStructuredOutput: boolean;
    /** A conversation's stable name, where there is one. */
    readonly session?: string;
    /** Milliseconds since 1970; what `Date.now()` says too. */
    readonly nowMs: number;
    /** 64 bits as decimal digits; `Math.random()` follows from them. */
    readonly seed: string;
    readonly extras: Record<string, string>;

    /** The text of the last message of a user; empty where there is none. */
    lastUserText(): string;
    /** The text of all `system` and `developer` messages, joined by line feeds. */
    systemText(): string;
    /** All messages' text, joined by line feeds, cut at so many bytes. */
    allText(atMost?: number): string;
    /** The text of one message, counted from 0. */
    text(index: number): string | undefined;
    role(index: number): string | undefined;
    /** A header that policies may read; never a credential. */
    header(name: string): string | undefined;
    /** What an RFC 6901 pointer finds in the request, `/temperature` say. */
    get(pointer: string): any;
  }

  interface Candidate {
    /** The name in the catalog. */
    readonly id: string;
    readonly provider: string;
    readonly tags: string[];
    /** As the route gives it; 1 unless configured. */
    readonly weight: number;
    /** US dollars per million tokens. Absent where nobody has said: unknown, not free. */
    readonly price?: { input: number; cachedInput: number; cacheWrite: number; output: number };
    /** What this request would cost here, and the most that it can. */
    readonly estimatedCostUsd?: number;
    readonly ceilingCostUsd?: number;
    /** Tokens of input and output together; absent where unknown. */
    readonly contextWindow?: number;
    readonly abilities: ("streaming" | "tools" | "parallel-tools" | "vision" | "audio" | "structured-output" | "reasoning"
      | "prompt-cache")[];
    readonly health: {
      /** Decaying averages; absent until something was seen. */
      firstTokenMs?: number;
      totalMs?: number;
      /** Failed attempts of the last ones, in thousandths. */
      errorPermille: number;
      /** Attempts under way. */
      inFlight: number;
      /** Set while it is taken out after failures. */
      coolingMs?: number;
      /** Room in the provider's own limits, where known. */
      requestsLeft?: number;
      tokensLeft?: number;
    };
    readonly extras: Record<string, string>;
  }

  /** Nothing changes nothing. */
  type Verdict = void | null | Plan | { reject: Rejection };

  /** At most one of `steps`, `only` and `prefer`; none leaves the candidates as they were. */
  interface Plan {
    /** These, in this order; the others are out. As with `only`, leave the key out where all may serve: one that holds nothing is a mistake. */
    steps?: (string | Candidate | Step)[];
    /** Those that the names mean, in the order of the names; the others are out. */
    only?: Name | Name[];
    /** Those that the names mean first; the others behind them. */
    prefer?: Name | Name[];
    /** Added to the request's labels: up to 256 bytes that can be printed. `undefined` adds none. */
    labels?: Record<string, string | number | boolean | undefined>;
    /** By RFC 6901 pointers; `undefined` removes what is there. `/model` and `/stream` are the gateway's. */
    edits?: Record<string, any>;
    /** For people. */
    reason?: string;
    /** Whether `review` is to see the answer. */
    review?: boolean;
  }

  /** An id, `tag:` and a tag, or a candidate. */
  type Name = string | Candidate;

  interface Step {
    candidate: string;
    /** Give up on it if no connection stands by then. */
    connectTimeoutMs?: number;
    /** Give up on it if nothing has come by then. */
    firstTokenTimeoutMs?: number;
    /** Give up on an answer that has begun if nothing more of it has come for so long. */
    gapTimeoutMs?: number;
    /** Give up on it if the answer is not whole by then. */
    timeoutMs?: number;
    /** Start the next step as well if this one has not answered by then. */
    hedgeAfterMs?: number;
  }

  interface Rejection {
    /** 400 to 599; 403 where it is not given. */
    status?: number;
    /** A word for programs: up to 64 letters, digits, `_`, `-` and `.`. */
    code: string;
    /** A sentence for people. */
    message: string;
    retryAfterMs?: number;
  }

  interface Answer {
    readonly candidate: string;
    readonly text: string;
    /** The model's own words where it declined. */
    readonly refusal?: string;
    /** `stop`, `length`, `tool_calls`, …; empty where the provider did not say. */
    readonly finishReason: string;
    /** `arguments` is JSON text as the model wrote it. */
    readonly toolCalls: { name: string; arguments: string }[];
    /** Where the request asked for `logprobs` and got them. */
    readonly meanLogprob?: number;
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly costUsd?: number;
    readonly totalMs: number;
    /** How many of the plan's steps could still follow. */
    readonly stepsLeft: number;
    readonly extras: Record<string, string>;
  }

  /** `next` gives the next step a try and says why. */
  type Opinion = void | null | { next: string };

  /** With `user` a prompt of the script's own; without, the client's own request with `edits`. */
  interface Question {
    /** A model that the policy's configuration allows. */
    model: string;
    user?: string;
    /** With `user` alone. */
    system?: string;
    /** With `user` alone: a schema that the answer has to follow, for models that can. */
    jsonSchema?: object;
    /** Without `user` alone. */
    edits?: Record<string, any>;
    maxOutputTokens?: number;
    timeoutMs?: number;
  }

  interface Reply {
    text: string;
    finishReason: string;
    inputTokens: number;
    outputTokens: number;
    costUsd?: number;
    totalMs: number;
  }

  type Unanswered = { error: "refused" | "timed-out" | "upstream" | "other"; message: string };
}

/** A small store of the policy's own, with `grants = ["state"]`. Values are anything that JSON can say. */
declare const state: {
  get(key: string): any;
  set(key: string, value: any, ttlMs?: number): void;
  /** Adds to a counter, atomically, and returns what it is now. The time to live counts from the counter's beginning. */
  add(key: string, delta: number, ttlMs?: number): number;
  delete(key: string): void;
};

/** Asks models through the gateway, with `grants = ["models"]`. */
declare const models: {
  /** Throws where there is no reply; the error's `code` is as in `Unanswered`. */
  ask(question: Pointsman.Question): Pointsman.Reply;
  /** Side by side; the replies come in the order of the questions. */
  askAll(questions: Pointsman.Question[]): (Pointsman.Reply | Pointsman.Unanswered)[];
};

/** Lines for the gateway's log. */
declare const console: Record<"log" | "debug" | "info" | "warn" | "error", (...words: any[]) => void>;
