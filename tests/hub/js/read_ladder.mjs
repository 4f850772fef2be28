// What zarrita reads of a ladder: kept weights on every level. A weight is kept on level n if its round of death is >= n.
// Use: [HF_TOKEN=...] node read_ladder.mjs URL|FILE.zip|FOLDER     prints JSON
import { openAsBlob } from "node:fs";
import { FileSystemStore } from "@zarrita/storage";
import ZipFileStore from "@zarrita/storage/zip";
import * as zarr from "zarrita";

function opened(source) {
  const headers = process.env.HF_TOKEN ? { Authorization: `Bearer ${process.env.HF_TOKEN}` } : {};
  if (source.startsWith("http")) return ZipFileStore.fromUrl(source, { overrides: { headers } });
  return source.endsWith(".zip") ? openAsBlob(source).then((blob) => ZipFileStore.fromBlob(blob)) : new FileSystemStore(source);
}

const [source, ...names] = process.argv.slice(2);
const root = zarr.root(await opened(source));
const { attrs } = await zarr.open(root, { kind: "group" });
const kept = new Array(attrs.rounds + 1).fill(0);
for (const name of names) {
  const { data } = await zarr.get(await zarr.open(root.resolve(`death/${name}`), { kind: "array" }));
  for (const death of data) for (let level = 0; level <= death; level += 1) kept[level] += 1;
}
console.log(JSON.stringify({ format: attrs.format, rounds: attrs.rounds, digest: attrs.digest, kept }));
