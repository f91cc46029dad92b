// What every Node driver does: read the wishes, try each, print what the client showed. See drivers/common.py.

import { deflateSync, crc32 } from "node:zlib";
import { text } from "node:stream/consumers";

export async function run(features) {
  const wishes = JSON.parse(await text(process.stdin));
  for (const [feature, kind] of wishes.cells) {
    const wish = { url: wishes.url, key: wishes.keys[kind], feature, words: kind === "mid-stream" ? "drop 3" : "say 5" };
    const shown = await attempt(features[feature], wish);
    process.stdout.write(JSON.stringify({ feature, case: kind, shown }) + "\n");
  }
}

async function attempt(feature, wish) {
  try {
    return String(await feature(wish));
  } catch (failure) {
    const rest = JSON.stringify(failure.httpResponse ?? failure.error ?? "");
    return `raised ${failure.name ?? failure.constructor.name}: ${failure.message} ${rest}`;
  }
}

export function taskUrl(wish, task) {
  const whole = `${wish.url}/hf-inference/models/tests/any-${task}`;
  return ["feature-extraction", "sentence-similarity"].includes(task) ? `${whole}/pipeline/${task}` : whole;
}

// A PNG of one grey pixel.
export function picture() {
  const chunk = (name, data) => {
    const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    const named = Buffer.concat([Buffer.from(name), data]);
    size.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([size, named, sum]);
  };
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
  const pixels = deflateSync(Buffer.from([0, 128]));
  const head = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([head, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

// A tenth of a second of silence as WAV.
export function sound() {
  const wav = Buffer.alloc(44 + 1600);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(36 + 1600, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(8000, 24);
  wav.writeUInt32LE(16000, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(1600, 40);
  return wav;
}

// The first bytes of a file, as text that can be searched.
export async function plain(data) {
  return Buffer.from(data instanceof Blob ? await data.arrayBuffer() : data).subarray(0, 12).toString("latin1");
}
