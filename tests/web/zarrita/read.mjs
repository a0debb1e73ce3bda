// Reads arrays for the tests: a line of JSON for each read, answered by one.
import { createInterface } from "node:readline";
import * as zarr from "zarrita";

const opened = new Map();

function open(url) {
  if (!opened.has(url)) {
    opened.set(url, zarr.open(new zarr.FetchStore(url), { kind: "array" }));
  }
  return opened.get(url);
}

function bytes(data) {
  const plain = data instanceof zarr.BoolArray ? Uint8Array.from(data, Number) : data;
  return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength).toString("base64");
}

async function read({ url, region }) {
  const array = await open(url);
  const slices = region?.map(([start, stop]) => zarr.slice(start, stop));
  const found = array.shape.length ? await zarr.get(array, slices) : await array.getChunk([]);
  return { bytes: bytes(found.data) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await read(JSON.parse(line)).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify(answer));
}
