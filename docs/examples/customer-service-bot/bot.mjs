// Answer a bank's customer: find the entry of the FAQ that fits the question, and let a model word the answer.
import { readFile } from "node:fs/promises";

const { TURNPIKE_URL, TURNPIKE_PRO_KEY } = process.env;
const EMBEDDER = "intfloat/multilingual-e5-small";
const WRITER = "HuggingFaceTB/SmolLM2-135M-Instruct";

async function call(path, body) {
  const answer = await fetch(`${TURNPIKE_URL}/v1/${path}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${TURNPIKE_PRO_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const document = await answer.json();
  if (!answer.ok) {
    // 401, 402, 429: the message says what to do next
    console.error(`${answer.status}: ${document.error.message}`);
    process.exit(1);
  }
  return document;
}

// Returns the entry whose question lies closest to this one.
async function bestEntry(question, faq) {
  const input = [question, ...faq.map((entry) => entry.question)];
  const { data } = await call("embeddings", { model: EMBEDDER, input });
  const [asked, ...known] = data.map((row) => row.embedding);
  const scores = known.map((vector) => vector.reduce((sum, value, place) => sum + value * asked[place], 0));
  return faq[scores.indexOf(Math.max(...scores))];
}

// Returns the entry's answer in a sentence or two to this customer.
async function worded(question, entry) {
  const system = `You are a bank's friendly customer service. Answer briefly, using only this: ${entry.answer}`;
  const messages = [{ role: "system", content: system }, { role: "user", content: question }];
  const answer = await call("chat/completions", { model: WRITER, messages, max_tokens: 60, temperature: 0 });
  return answer.choices[0].message.content.trim();
}

const question = process.argv.slice(2).join(" ") || "My wallet is gone and my card was in it. What do I do?";
const faq = JSON.parse(await readFile(new URL("faq.json", import.meta.url), "utf8"));
const entry = await bestEntry(question, faq);
console.log("Entry: ", entry.question);
console.log("Answer:", entry.answer);
console.log("Model: ", await worded(question, entry));
