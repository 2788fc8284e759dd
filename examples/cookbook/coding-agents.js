// Coding agents send very different requests under one model name: titles and summaries, quick edits, and real work.
const AGENT = /claude-cli|codex|cursor|aider|cline|opencode/i;
const CHORE = /\b(title|summar|commit message|branch name|is this a new topic)/i;

export function decide(request) {
  const isAgent = AGENT.test(request.header("user-agent") ?? "") || (request.hasTools && /coding (agent|assistant)/i.test(request.systemText()));
  if (!isAgent) return;
  const effort = request.get("/reasoning_effort");
  if (!request.hasTools && (request.maxOutputTokens <= 1024 || CHORE.test(request.systemText()))) {
    return { prefer: "tag:cheap", labels: { class: "chore" } };
  }
  if (effort === "high" || effort === "xhigh" || /\b(plan|design|architect|debug)/i.test(request.lastUserText())) {
    return { prefer: "tag:strong", labels: { class: "planning" } };
  }
  return { prefer: "tag:coder", labels: { class: "editing" } };
}
