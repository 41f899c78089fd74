// The page's half of the format of pictures, against bytes that the test of the program's half writes too
// (`crates/app/src/frames/wire.rs`).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";

import ts from "typescript";

const source = await readFile(new URL("../src/video/wire.ts", import.meta.url), "utf8");
const { outputText } = ts.transpileModule(source, { compilerOptions: { module: "esnext", target: "es2022" } });
const { readPicture } = await import(`data:text/javascript,${encodeURIComponent(outputText)}`);

const HEADER = [0xaf, 1, 1, 1, 0x05, 0x00, 0x02, 0xd0, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc];

/** A message with some bytes of the header changed, and a picture of this length. */
function message(changes, length) {
  const bytes = new Uint8Array(16 + length);
  bytes.set(HEADER);
  for (const [at, value] of Object.entries(changes)) bytes[at] = value;
  bytes.fill(7, 16);
  return bytes.buffer;
}

test("a header is read as the program writes it", () => {
  const { data, ...rest } = readPicture(message({}, (1280 * 720 * 3) / 2));
  const wanted = { form: "i420", key: true, width: 1280, height: 720, sequence: 0x01020304, rtp: 0xfffefdfc };
  assert.deepEqual(rest, wanted);
  assert.equal(data.length, (1280 * 720 * 3) / 2);
  assert.ok(data.every((byte) => byte === 7), "the header is no part of the picture");
});

test("each form is read, and encoded pictures have any length", () => {
  assert.equal(readPicture(message({ 2: 0 }, 1280 * 720 * 4)).form, "rgba");
  assert.equal(readPicture(message({ 2: 2 }, 99)).form, "vp8");
  assert.equal(readPicture(message({ 2: 3, 3: 0 }, 99)).form, "h264");
  assert.equal(readPicture(message({ 2: 3, 3: 0 }, 99)).key, false);
});

test("what is no picture is refused", () => {
  const whole = (1280 * 720 * 3) / 2;
  assert.equal(readPicture(message({ 0: 0xae }, whole)), null, "another first byte");
  assert.equal(readPicture(message({ 1: 2 }, whole)), null, "another version");
  assert.equal(readPicture(message({ 2: 4 }, whole)), null, "a form that there is not");
  assert.equal(readPicture(message({}, whole - 1)), null, "too short");
  assert.equal(readPicture(message({ 2: 0 }, whole)), null, "too short for RGBA");
  assert.equal(readPicture(new ArrayBuffer(15)), null, "not even a header");
});
