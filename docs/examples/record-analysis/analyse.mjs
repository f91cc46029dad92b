// Sort a clinic's notes by what they are about, without training, and find the earlier case most like each.
import { readFile } from "node:fs/promises";

const { TURNPIKE_URL, TURNPIKE_PRO_KEY } = process.env;
const MODEL = `${TURNPIKE_URL}/hf-inference/models/intfloat/multilingual-e5-small`;
const LABELS = ["a heart problem", "a skin problem", "an injury"];

async function run(task, body) {
  const answer = await fetch(`${MODEL}/pipeline/${task}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${TURNPIKE_PRO_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const document = await answer.json();
  if (!answer.ok) {
    // 401, 402, 429: the message says what to do next
    console.error(`${answer.status}: ${document.error}`);
    process.exit(1);
  }
  return document;
}

const records = JSON.parse(await readFile(new URL("records.json", import.meta.url), "utf8"));
for (const record of records) {
  const parameters = { candidate_labels: LABELS };
  const [best] = await run("zero-shot-classification", { inputs: record.text, parameters });
  const others = records.filter((other) => other !== record);
  const sentences = others.map((other) => other.text);
  const scores = await run("sentence-similarity", { inputs: { source_sentence: record.text, sentences } });
  const alike = others[scores.indexOf(Math.max(...scores))];
  console.log(`${record.id}  ${best.label} (${best.score.toFixed(2)})  most like ${alike.id}`);
}
