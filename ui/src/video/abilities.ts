// What this web view can do with pictures: which codecs it decodes, and what it draws faster where they come raw. Found out
// once, when the first picture is wanted.

import type { Decodes } from "../bindings/Decodes";
import type { RawForm } from "../bindings/RawForm";
import { CODEC_NAMES, type Codec } from "./decoder";
import { i420Surface, rgbaSurface, type Surface } from "./surface";
import type { Picture } from "./wire";

export interface Abilities {
  raw: RawForm;
  decodes: Decodes;
}

/** Large enough that a slow way shows. */
const WIDTH = 960;
const HEIGHT = 540;
/** Enough to tell the ways apart with a clock of milliseconds; a slow way is not waited for so long. */
const DRAWS_MAX = 6;
const MEASURED_MS = 30;

let found: Promise<Abilities> | null = null;

export function abilities(): Promise<Abilities> {
  found ??= find();
  return found;
}

/** A codec that was claimed and did not work is not believed again before the page is loaded anew. */
export function distrust(codec: Codec): void {
  found = abilities().then((before) => ({ ...before, decodes: { ...before.decodes, [codec]: false } }));
}

async function find(): Promise<Abilities> {
  // One after the other, and before any decoder is made: WebKitGTK starts GStreamer at the first question, and does not
  // bear being asked by two threads at once.
  const vp8 = await isSupported("vp8");
  const h264 = await isSupported("h264");
  return { raw: fasterRaw(), decodes: { vp8, h264 } };
}

async function isSupported(codec: Codec): Promise<boolean> {
  if (!("VideoDecoder" in window)) return false;
  try {
    return (await VideoDecoder.isConfigSupported({ codec: CODEC_NAMES[codec] })).supported === true;
  } catch {
    return false;
  }
}

/** Names of graphics processors are masked, and software passes for one; so it is measured. */
function fasterRaw(): RawForm {
  const i420 = i420Surface();
  if (i420 === null) return "rgba";
  const gl = i420.canvas.getContext("webgl");
  const pixel = new Uint8Array(4);
  const byGraphics = drawMs(i420, picture("i420", (WIDTH * HEIGHT * 3) / 2), () =>
    gl?.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel),
  );
  // A page may have only so many of them.
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  const rgba = rgbaSurface();
  const context = rgba.canvas.getContext("2d");
  const byProcessor = drawMs(rgba, picture("rgba", WIDTH * HEIGHT * 4), () => context?.getImageData(0, 0, 1, 1));
  return byGraphics < byProcessor ? "i420" : "rgba";
}

function picture(form: RawForm, length: number): Picture {
  return { form, key: true, width: WIDTH, height: HEIGHT, sequence: 0, rtp: 0, data: new Uint8Array(length) };
}

/** Milliseconds a draw, up to its last pixel: `finish` reads one back. */
function drawMs(surface: Surface, picture: Picture, finish: () => unknown): number {
  const draw = (): void => {
    surface.draw(picture);
    finish();
  };
  // The first one also compiles and allocates.
  draw();
  const began = performance.now();
  let draws = 0;
  let took = 0;
  while (draws < DRAWS_MAX && took < MEASURED_MS) {
    draw();
    draws += 1;
    took = performance.now() - began;
  }
  return took / draws;
}
