// @huggingface/inference with `endpointUrl`: /v1 for chats, the whole address for any other task.

import { createRequire } from "node:module";
import { picture, plain, run, sound, taskUrl } from "./common.mjs";

const require = createRequire(process.env.CLIENTS_NODE + "/");
const { InferenceClient } = require("@huggingface/inference");
const model = "tests/any-conversational";
const text = "pay the toll";
const table = { road: ["toll", "free"] };
const image = new Blob([picture()], { type: "image/png" });
const audio = new Blob([sound()], { type: "audio/wav" });

const client = (wish, endpointUrl) => new InferenceClient(wish.key, { endpointUrl, retry_on_error: false });
const chats = (wish) => client(wish, `${wish.url}/v1`);
const messages = (wish) => [{ role: "user", content: wish.words }];

// Each task's method and what it is called with.
const tasks = {
  "audio-classification": ["audioClassification", { data: audio }],
  "audio-to-audio": ["audioToAudio", { data: audio }],
  "automatic-speech-recognition": ["automaticSpeechRecognition", { data: audio }],
  "document-question-answering": ["documentQuestionAnswering", { inputs: { question: "what?", image } }],
  "feature-extraction": ["featureExtraction", { inputs: text }],
  "fill-mask": ["fillMask", { inputs: "pay the [MASK]" }],
  "image-classification": ["imageClassification", { data: image }],
  "image-segmentation": ["imageSegmentation", { inputs: image }],
  "image-to-image": ["imageToImage", { inputs: image, parameters: { prompt: text } }],
  "object-detection": ["objectDetection", { data: image }],
  "question-answering": ["questionAnswering", { inputs: { question: "what?", context: text } }],
  "sentence-similarity": ["sentenceSimilarity", { inputs: { source_sentence: text, sentences: ["a", "b"] } }],
  summarization: ["summarization", { inputs: text }],
  "table-question-answering": ["tableQuestionAnswering", { inputs: { query: "what?", table } }],
  "tabular-classification": ["tabularClassification", { inputs: { data: table } }],
  "text-classification": ["textClassification", { inputs: text }],
  "text-to-image": ["textToImage", { inputs: text }],
  "text-to-speech": ["textToSpeech", { inputs: text }],
  "token-classification": ["tokenClassification", { inputs: text }],
  translation: ["translation", { inputs: text }],
  "visual-question-answering": ["visualQuestionAnswering", { inputs: { question: "what?", image } }],
  "zero-shot-classification": ["zeroShotClassification", { inputs: [text], parameters: { candidate_labels: ["toll", "free"] } }],
  "zero-shot-image-classification": ["zeroShotImageClassification", { inputs: { image }, parameters: { candidate_labels: ["toll booth", "bridge"] } }],
};

async function shown(answer) {
  return answer instanceof Blob ? plain(answer) : JSON.stringify(answer);
}

const features = Object.fromEntries(
  Object.entries(tasks).map(([task, [method, args]]) => [
    task,
    async (wish) => shown(await client(wish, taskUrl(wish, task))[method](args)),
  ]),
);

await run({
  ...features,
  chat: async (wish) => (await chats(wish).chatCompletion({ model, messages: messages(wish), max_tokens: 9 })).choices[0].message.content,
  stream: async (wish) => {
    let whole = "";
    for await (const chunk of chats(wish).chatCompletionStream({ model, messages: messages(wish), max_tokens: 9 })) {
      whole += chunk.choices[0]?.delta.content ?? "";
    }
    return whole;
  },
  "text-generation": async (wish) => {
    const url = taskUrl(wish, "text-generation");
    return JSON.stringify(await client(wish, url).textGeneration({ inputs: text, model: "tests/any-text-generation" }));
  },
  "text-generation stream": async (wish) => {
    let whole = "";
    const url = taskUrl(wish, "text-generation");
    for await (const piece of client(wish, url).textGenerationStream({ inputs: wish.words, model: "tests/any-text-generation" })) {
      whole += piece.token?.text ?? piece.choices?.[0]?.text ?? JSON.stringify(piece);
    }
    return whole;
  },
});
