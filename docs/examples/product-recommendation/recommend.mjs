// Recommend products from a shop's range: whichever texts lie closest to what somebody is looking for.
import { readFile } from "node:fs/promises";

const { TURNPIKE_URL, TURNPIKE_PRO_KEY } = process.env;
const MODEL = "intfloat/multilingual-e5-small";

// Returns a vector of length 1 for each text: the product of two is how close they are.
async function embed(texts) {
  const answer = await fetch(`${TURNPIKE_URL}/v1/embeddings`, {
    method: "POST",
    headers: { Authorization: `Bearer ${TURNPIKE_PRO_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model: MODEL, input: texts }),
  });
  const document = await answer.json();
  if (!answer.ok) {
    // 401, 402, 429: the message says what to do next
    console.error(`${answer.status}: ${document.error.message}`);
    process.exit(1);
  }
  return document.data.map((row) => row.embedding);
}

const closeness = (one, other) => one.reduce((sum, value, place) => sum + value * other[place], 0);

const wish = process.argv.slice(2).join(" ") || "따뜻한 겨울 코트";
const products = JSON.parse(await readFile(new URL("products.json", import.meta.url), "utf8"));
const [wanted, ...vectors] = await embed([wish, ...products.map(({ name, text }) => `${name}: ${text}`)]);
const ranked = products.map(({ name }, place) => ({ name, score: closeness(wanted, vectors[place]) }));
ranked.sort((one, other) => other.score - one.score);
for (const { name, score } of ranked.slice(0, 3)) console.log(`${score.toFixed(3)}  ${name}`);
