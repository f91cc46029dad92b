// A tutor for a school: answers are written while you read, and it remembers what was said.
import { createInterface } from "node:readline/promises";

const { TURNPIKE_URL, TURNPIKE_PRO_KEY } = process.env;
const MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct";
const SYSTEM = "You are a patient school tutor. Answer in two short sentences.";
const LONGEST_HISTORY = 8; // messages; each is sent, and paid, again with every question

function fail(words) {
  console.error(words);
  process.exit(1);
}

// Yields the JSON objects of a stream of server-sent events; lines that start with a colon keep it alive.
async function* events(body) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

// Prints the tutor's answer as it comes, with what it used, and returns it.
async function reply(history) {
  const messages = [{ role: "system", content: SYSTEM }, ...history.slice(-LONGEST_HISTORY)];
  const options = { max_tokens: 80, temperature: 0, stream: true, stream_options: { include_usage: true } };
  const answer = await fetch(`${TURNPIKE_URL}/v1/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${TURNPIKE_PRO_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model: MODEL, messages, ...options }),
  });
  // 401, 402, 429: the message says what to do next
  if (!answer.ok) fail(`${answer.status}: ${(await answer.json()).error.message}`);
  let text = "";
  for await (const event of events(answer.body)) {
    if (event.error) fail(`\n${event.error.message}`); // broke off: what came so far is all there is
    const piece = event.choices[0]?.delta?.content ?? "";
    process.stdout.write(piece);
    text += piece;
    if (event.usage) console.log(`\n[${event.usage.prompt_tokens} tokens in, ${event.usage.completion_tokens} out]`);
  }
  return text;
}

const asked = process.argv.slice(2);
const history = [];
for await (const question of asked.length ? asked : createInterface({ input: process.stdin })) {
  console.log(`> ${question}`);
  history.push({ role: "user", content: question });
  history.push({ role: "assistant", content: await reply(history) });
}
