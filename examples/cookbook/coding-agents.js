// Coding agents send very different requests under one model name: titles and summaries, quick edits, and real work.
// What the agent says of a request comes first; what can be seen of one that says nothing is a guess.
const AGENT = /claude-cli|codex|cursor|aider|cline|opencode/i;
const CHORE = /\b(title|summar|commit message|branch name|is this a new topic)/i;
const SAID = new Map([["auxiliary", "chore"], ["compaction", "chore"], ["subagent", "editing"], ["workflow", "editing"]]);
const MODELS = { chore: "tag:cheap", editing: "tag:coder", planning: "tag:strong" };

function classOf(request) {
  const said = request.header("x-claude-code-request-class");
  if (SAID.has(said)) return SAID.get(said);
  const isMain = said === "main";
  const isAgent = isMain || AGENT.test(request.header("user-agent") ?? "")
    || (request.hasTools && /coding (agent|assistant)/i.test(request.systemText()));
  if (!isAgent) return undefined;
  const isShort = !request.hasTools && (request.maxOutputTokens <= 1024 || CHORE.test(request.systemText()));
  if (isShort && !isMain) return "chore";
  const effort = request.get("/reasoning_effort");
  const isPlan = effort === "high" || effort === "xhigh" || /\b(plan|design|architect|debug)/i.test(request.lastUserText());
  return isPlan ? "planning" : "editing";
}

export function decide(request) {
  const name = classOf(request);
  return name && { prefer: MODELS[name], labels: { class: name } };
}
