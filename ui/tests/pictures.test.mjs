// The page's half of the pictures in Chromium: what is drawn for each form, what is answered, and what happens with a codec
// that does not work and a socket that does not open. In the window itself, the tests of the app do so.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";
import { build } from "vite";

import { chromiumPath } from "./browser.mjs";

const executablePath = chromiumPath();
const skip = executablePath === null ? "no Chromium is installed (Debian's package is chromium)" : false;

let browser, server;

before(async () => {
  if (skip) return;
  const source = (name) => fileURLToPath(new URL(`../src/video/${name}.ts`, import.meta.url));
  const lib = { entry: { renderer: source("renderer"), feed: source("feed") }, formats: ["es"] };
  const built = await build({ configFile: false, logLevel: "error", build: { lib, write: false, minify: false } });
  const files = new Map(built[0].output.map(({ fileName, code }) => [`/${fileName}`, code]));
  server = createServer((request, response) => {
    const code = files.get(request.url);
    response.writeHead(200, { "content-type": code === undefined ? "text/html" : "text/javascript" });
    response.end(code ?? "<!doctype html><title>pictures</title>");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--enable-unsafe-swiftshader"] });
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Runs `script` in a new page that has `message(form, key, width, height, sequence, rtp, data)` and `until(condition)`. */
async function inPage(script) {
  const page = await browser.newPage();
  try {
    page.setDefaultTimeout(20_000);
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.evaluate(() => {
      window.message = (form, key, width, height, sequence, rtp, data) => {
        const bytes = new Uint8Array(16 + data.length);
        const header = new DataView(bytes.buffer);
        bytes.set([0xaf, 1, form, key ? 1 : 0]);
        header.setUint16(4, width);
        header.setUint16(6, height);
        header.setUint32(8, sequence);
        header.setUint32(12, rtp);
        bytes.set(data, 16);
        return bytes.buffer;
      };
      window.until = async (condition) => {
        const deadline = performance.now() + 15_000;
        while (!condition()) {
          if (performance.now() > deadline) throw new Error(`never came to ${condition}`);
          await new Promise((next) => setTimeout(next, 5));
        }
      };
      /** A renderer with all that it says. */
      window.render = async () => {
        const { Renderer } = await import("/renderer.js");
        const heard = { said: [], canvas: null, cannot: [] };
        heard.renderer = new Renderer({
          canvas: (canvas) => (heard.canvas = canvas),
          say: (said) => heard.said.push(said),
          cannotDecode: (codec) => heard.cannot.push(codec),
        });
        return heard;
      };
      window.pixel = (canvas, x, y) => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(x, y, 1, 1).data];
      };
    });
    return await page.evaluate(script);
  } finally {
    await page.close();
  }
}

const near = (pixel, wanted, tolerance = 3) =>
  assert.ok(
    pixel.every((value, at) => Math.abs(value - wanted[at]) <= tolerance),
    `${pixel} instead of ${wanted}`,
  );

test("an RGBA picture is drawn as it is and answered", { skip }, async () => {
  const { pixels, said, rtp } = await inPage(async () => {
    const heard = await render();
    const red = [200, 10, 20, 255];
    const blue = [0, 30, 220, 255];
    heard.renderer.receive(message(0, true, 2, 1, 41, 9000, [...red, ...blue]));
    const { canvas, said } = heard;
    return { pixels: [pixel(canvas, 0, 0), pixel(canvas, 1, 0)], said, rtp: canvas.dataset.rtp };
  });
  near(pixels[0], [200, 10, 20, 255], 0);
  near(pixels[1], [0, 30, 220, 255], 0);
  assert.deepEqual(said, [{ kind: "drawn", sequence: 41 }]);
  assert.equal(rtp, "9000");
});

test("an I420 picture has the colours of video", { skip }, async () => {
  const drawn = await inPage(async () => {
    const heard = await render();
    const plain = (y, u, v) => [...Array(64).fill(y), ...Array(16).fill(u), ...Array(16).fill(v)];
    return [
      [235, 128, 128],
      [16, 128, 128],
      [81, 90, 240],
    ].map(([y, u, v], at) => {
      heard.renderer.receive(message(1, true, 8, 8, at, at, plain(y, u, v)));
      return { pixel: pixel(heard.canvas, 4, 4), said: heard.said.at(-1) };
    });
  });
  near(drawn[0].pixel, [255, 255, 255, 255]);
  near(drawn[1].pixel, [0, 0, 0, 255]);
  near(drawn[2].pixel, [255, 0, 0, 255]);
  assert.deepEqual(drawn.map(({ said }) => said), [0, 1, 2].map((sequence) => ({ kind: "drawn", sequence })));
});

test("VP8 is decoded from the first key frame on, and every picture is answered once", { skip }, async () => {
  const { said, pixel: middle, cannot } = await inPage(async () => {
    const chunks = [];
    const encoder = new VideoEncoder({
      output: (chunk) => {
        const data = new Uint8Array(chunk.byteLength);
        chunk.copyTo(data);
        chunks.push({ key: chunk.type === "key", data });
      },
      error: (error) => chunks.push(error),
    });
    encoder.configure({ codec: "vp8", width: 64, height: 64, latencyMode: "realtime" });
    const source = new OffscreenCanvas(64, 64);
    const pen = source.getContext("2d");
    for (let at = 0; at < 6; at += 1) {
      pen.fillStyle = "rgb(20, 200, 40)";
      pen.fillRect(0, 0, 64, 64);
      const frame = new VideoFrame(source, { timestamp: at * 33_000 });
      encoder.encode(frame, { keyFrame: at === 0 });
      frame.close();
    }
    await encoder.flush();
    const heard = await render();
    heard.renderer.receive(message(2, false, 0, 0, 0, 100, chunks[1].data));
    chunks.forEach(({ key, data }, at) => heard.renderer.receive(message(2, key, 0, 0, at + 1, 200 + at, data)));
    await until(() => heard.said.length >= 7);
    return { said: heard.said, pixel: pixel(heard.canvas, 32, 32), cannot: heard.cannot };
  });
  const drawn = [1, 2, 3, 4, 5, 6].map((sequence) => ({ kind: "drawn", sequence }));
  assert.deepEqual(said, [{ kind: "skipped", sequence: 0 }, ...drawn]);
  // Encoder and decoder may take the colours by different tables.
  near(middle, [20, 200, 40, 255], 20);
  assert.deepEqual(cannot, []);
});

test("a codec that does not work is given up after three key frames, and raw pictures are drawn then", { skip }, async () => {
  const { said, cannot, drawn } = await inPage(async () => {
    const heard = await render();
    const garbage = Array(50).fill(0xff);
    for (let sequence = 0; sequence < 3; sequence += 1) {
      heard.renderer.receive(message(2, true, 0, 0, sequence, 0, garbage));
      await until(() => heard.said.some((said) => said.sequence === sequence));
    }
    await until(() => heard.cannot.length > 0);
    heard.renderer.receive(message(2, true, 0, 0, 3, 0, garbage));
    heard.renderer.receive(message(0, true, 1, 1, 4, 0, [1, 2, 3, 255]));
    return { said: heard.said, cannot: heard.cannot, drawn: heard.said.at(-1) };
  });
  assert.deepEqual(cannot, ["vp8"]);
  assert.equal(said.filter(({ kind }) => kind === "keyFrameWanted").length, 2);
  const skipped = said.filter(({ kind }) => kind === "skipped").map(({ sequence }) => sequence);
  assert.deepEqual(skipped, [0, 1, 2, 3], "each is answered, or the program would wait for it");
  assert.deepEqual(drawn, { kind: "drawn", sequence: 4 });
});

test("a socket that does not open soon gives way to the channel", { skip }, async () => {
  const { asked, took, heard } = await inPage(async () => {
    window.WebSocket = class {
      close() {}
    };
    const calls = [];
    let callback;
    window.__TAURI_INTERNALS__ = {
      transformCallback: (called) => {
        callback = called;
        return 1;
      },
      unregisterCallback: () => {},
      invoke: async (command, payload) => {
        calls.push({ command, payload: JSON.parse(JSON.stringify(payload)) });
        return { view: "remote", number: 7 };
      },
    };
    const place = document.body.appendChild(document.createElement("div"));
    place.style.cssText = "width: 320px; height: 200px";
    const { showPictures } = await import("/feed.js");
    const began = performance.now();
    const stop = showPictures(place, "remote", { port: 1, token: "ab" });
    await until(() => calls.length > 0);
    const took = performance.now() - began;
    callback({ index: 0, message: message(0, true, 1, 1, 0, 0, [1, 2, 3, 255]) });
    await until(() => calls.length > 1);
    const heard = calls[1];
    stop();
    return { asked: calls[0], took, heard };
  });
  assert.equal(asked.command, "frames_by_channel");
  assert.equal(asked.payload.view, "remote");
  assert.deepEqual([asked.payload.showing.widthPx, asked.payload.showing.heightPx], [320, 200]);
  assert.ok(took < 3_000, `${took} ms, finding out what the browser can do included`);
  const line = { view: "remote", number: 7 };
  assert.deepEqual(heard, { command: "frames_hear", payload: { line, message: { kind: "drawn", sequence: 0 } } });
});

test("a view's pictures go to who asked last, and back when that one is gone", { skip }, async () => {
  const { opened, hello, open } = await inPage(async () => {
    const sockets = [];
    window.WebSocket = class {
      sent = [];
      closed = false;
      constructor() {
        sockets.push(this);
        setTimeout(() => this.onopen());
      }
      send(text) {
        this.sent.push(JSON.parse(text));
      }
      close() {
        this.closed = true;
      }
    };
    const place = (width) => {
      const made = document.body.appendChild(document.createElement("div"));
      made.style.cssText = `width: ${width}px; height: 100px`;
      return made;
    };
    const { showPictures } = await import("/feed.js");
    const opened = (count) => until(() => sockets.filter(({ sent }) => sent.length > 0).length === count);
    const stopFirst = showPictures(place(100), "local", { port: 1, token: "ab" });
    await opened(1);
    const stopSecond = showPictures(place(200), "local", { port: 1, token: "ab" });
    await opened(2);
    const open = [sockets.map(({ closed }) => !closed)];
    stopSecond();
    await opened(3);
    open.push(sockets.map(({ closed }) => !closed));
    stopFirst();
    open.push(sockets.map(({ closed }) => !closed));
    return { opened: sockets.map(({ sent }) => sent[0].showing.widthPx), hello: sockets[0].sent[0], open };
  });
  assert.deepEqual(opened, [100, 200, 100]);
  assert.deepEqual([hello.token, hello.view, hello.showing.decodes.vp8], ["ab", "local", true]);
  assert.deepEqual(open, [[false, true], [false, false, true], [false, false, false]]);
});
