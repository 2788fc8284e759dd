// The language of the prompt: by its letters where they tell, else by its commonest short words.
const LETTERS = [
  ["ja", /[\u3040-\u30ff]/],
  ["ko", /[\uac00-\ud7af]/],
  ["zh", /[\u4e00-\u9fff]/],
  ["ru", /[\u0400-\u04ff]/],
  ["ar", /[\u0600-\u06ff]/],
];
const WORDS = {
  en: ["the", "and", "is", "of", "to", "what", "how"],
  de: ["der", "die", "und", "ist", "das", "nicht", "wie"],
  fr: ["le", "la", "les", "et", "est", "que", "dans"],
  es: ["el", "los", "y", "es", "que", "una", "como"],
};

function languageOf(text) {
  const letters = LETTERS.find(([, pattern]) => pattern.test(text));
  if (letters) return letters[0];
  const words = text.toLowerCase().split(/[^a-zà-ÿ]+/);
  let best = ["unknown", 1];
  for (const [language, common] of Object.entries(WORDS)) {
    const count = words.filter((word) => common.includes(word)).length;
    if (count > best[1]) best = [language, count];
  }
  return best[0];
}

export function decide(request) {
  const language = languageOf(request.lastUserText().slice(0, 2000));
  return { prefer: `tag:lang:${language}`, labels: { language } };
}
