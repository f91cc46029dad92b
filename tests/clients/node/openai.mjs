// The openai package for Node.

import { createRequire } from "node:module";
import { plain, run, sound } from "./common.mjs";

const require = createRequire(process.env.CLIENTS_NODE + "/");
const { OpenAI, toFile } = require("openai");
const model = "tests/any-openai";

const client = (wish) => new OpenAI({ baseURL: `${wish.url}/v1`, apiKey: wish.key, maxRetries: 0, timeout: 60_000 });
const messages = (wish) => [{ role: "user", content: wish.words }];

async function joined(stream, piece) {
  let whole = "";
  for await (const event of stream) whole += piece(event) ?? "";
  return whole;
}

await run({
  chat: async (wish) => (await client(wish).chat.completions.create({ model, messages: messages(wish) })).choices[0].message.content,
  stream: async (wish) =>
    joined(await client(wish).chat.completions.create({ model, messages: messages(wish), stream: true }), (chunk) => chunk.choices[0].delta.content),
  completions: async (wish) => (await client(wish).completions.create({ model, prompt: wish.words })).choices[0].text,
  "completions stream": async (wish) =>
    joined(await client(wish).completions.create({ model, prompt: wish.words, stream: true }), (chunk) => chunk.choices[0].text),
  embeddings: async (wish) => (await client(wish).embeddings.create({ model, input: ["toll", "free"] })).data[1].embedding,
  models: async (wish) => {
    const found = await client(wish).models.retrieve(model); // the slash comes encoded
    if (found.id !== model) throw new Error(found.id);
    return (await client(wish).models.list()).data.map((row) => row.id);
  },
  images: async (wish) => {
    const answer = await client(wish).images.generate({ model, prompt: "a toll booth", response_format: "b64_json" });
    return plain(Buffer.from(answer.data[0].b64_json, "base64"));
  },
  speech: async (wish) =>
    plain(await (await client(wish).audio.speech.create({ model, input: "toll", voice: "alloy" })).blob()),
  transcription: async (wish) =>
    (await client(wish).audio.transcriptions.create({ model, file: await toFile(sound(), "speech.wav") })).text,
  responses: async (wish) => (await client(wish).responses.create({ model, input: wish.words })).output_text,
  "responses stream": async (wish) =>
    joined(await client(wish).responses.create({ model, input: wish.words, stream: true }), (event) =>
      event.type === "response.output_text.delta" ? event.delta : ""),
});
