// What the Hub's own JavaScript client sees of a ticket: every file with its sha256, and the bits of the mask, counted.
// Use: HUB_URL=... HF_TOKEN=... node read_ticket.mjs ORG/NAME [REVISION]     prints JSON
import { createHash } from "node:crypto";
import { downloadFile, listFiles, modelInfo, parseSafetensorsMetadata } from "@huggingface/hub";

const [repo, revision = "main"] = process.argv.slice(2);
const at = { repo, revision, hubUrl: process.env.HUB_URL, accessToken: process.env.HF_TOKEN, xet: false };

async function bytesOf(path) {
  const blob = await downloadFile({ ...at, path });
  return new Uint8Array(await blob.arrayBuffer());
}

// Rows of U8 in a safetensors file, each bit one weight; bits beyond a row's weights are 0.
function keptBits(file) {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const kept = {};
  for (const [key, { data_offsets: [start, end] }] of Object.entries(header).filter(([key]) => key !== "__metadata__")) {
    let count = 0;
    for (const byte of file.subarray(8 + length + start, 8 + length + end)) {
      for (let rest = byte; rest; rest &= rest - 1) count += 1;
    }
    kept[key.replace(/:bits$/, "")] = count;
  }
  return kept;
}

const files = {};
for await (const { path, type, size } of listFiles({ ...at, recursive: true })) {
  if (type !== "file") continue;
  const bytes = await bytesOf(path);
  files[path] = { listed: size, size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}
const info = await modelInfo({ ...at, name: repo, additionalFields: ["sha", "tags"] });
const ticket = JSON.parse(new TextDecoder().decode(await bytesOf("ticket.json")));
const { header } = await parseSafetensorsMetadata({ ...at, path: "mask.safetensors" });
console.log(JSON.stringify({
  files,
  sha: info.sha,
  tags: info.tags,
  ticket: ticket.ticket_id,
  declared: Object.keys(header).length - 1,
  kept: keptBits(await bytesOf("mask.safetensors")),
}));
