// Decodes pictures in the page with WebCodecs and draws them. A web view that only claims to have a codec is found out: the
// first picture has to come, and soon.

import { fit } from "./surface";
import type { Picture } from "./wire";

export type Codec = "vp8" | "h264";

/** What WebCodecs calls them. Of H.264 the constrained baseline profile, as an Annex B stream. */
export const CODEC_NAMES: Readonly<Record<Codec, string>> = { vp8: "vp8", h264: "avc1.42E01F" };

/** What becomes of the pictures. */
export interface DecoderListener {
  drawn(canvas: HTMLCanvasElement, sequence: number, rtp: number): void;
  /** It will not be seen. */
  skipped(sequence: number): void;
  /** Nothing can be decoded before a key frame. */
  keyFrameWanted(): void;
  /** It cannot be made to work. The last word. */
  gaveUp(): void;
}

/** From the first picture in to the first out. Starting GStreamer takes a part of it. */
const FIRST_PICTURE_MS = 2_000;
/** Errors in a row, with no picture between them. */
const ERRORS_MAX = 3;

export class Decoder {
  readonly codec: Codec;
  readonly #canvas = document.createElement("canvas");
  readonly #context: CanvasRenderingContext2D;
  readonly #listener: DecoderListener;
  #decoder: VideoDecoder | null = null;
  /** In the decoder, the oldest first. Its time stamps are the sequence numbers, in milliseconds. */
  #pending: { sequence: number; rtp: number }[] = [];
  #errors = 0;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(codec: Codec, listener: DecoderListener) {
    const context = this.#canvas.getContext("2d", { alpha: false });
    if (context === null) throw new Error("this web view has no canvas");
    this.#context = context;
    this.codec = codec;
    this.#listener = listener;
  }

  push({ key, sequence, rtp, data }: Picture): void {
    if (this.#closed || (this.#decoder === null && !key)) {
      this.#listener.skipped(sequence);
      return;
    }
    this.#pending.push({ sequence, rtp });
    try {
      this.#decoder ??= this.#start();
      this.#decoder.decode(
        new EncodedVideoChunk({ type: key ? "key" : "delta", timestamp: sequence * 1_000, data }),
      );
    } catch {
      this.#failed();
    }
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #start(): VideoDecoder {
    this.#deadline ??= setTimeout(() => this.#giveUp(), FIRST_PICTURE_MS);
    const decoder = new VideoDecoder({
      output: (frame) => (decoder === this.#decoder ? this.#draw(frame) : frame.close()),
      error: () => {
        if (decoder === this.#decoder) this.#failed();
      },
    });
    decoder.configure({ codec: CODEC_NAMES[this.codec], optimizeForLatency: true });
    return decoder;
  }

  #draw(frame: VideoFrame): void {
    clearTimeout(this.#deadline);
    this.#errors = 0;
    fit(this.#canvas, frame.displayWidth, frame.displayHeight);
    this.#context.drawImage(frame, 0, 0);
    const sequence = Math.round(frame.timestamp / 1_000);
    frame.close();
    // What went in before and did not come out never will.
    while (this.#pending.length > 0) {
      const oldest = this.#pending.shift()!;
      if (oldest.sequence === sequence) {
        this.#listener.drawn(this.#canvas, sequence, oldest.rtp);
        return;
      }
      this.#listener.skipped(oldest.sequence);
    }
  }

  #failed(): void {
    this.#stop();
    this.#errors += 1;
    if (this.#errors >= ERRORS_MAX) this.#giveUp();
    else this.#listener.keyFrameWanted();
  }

  #giveUp(): void {
    this.close();
    this.#listener.gaveUp();
  }

  #stop(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    const decoder = this.#decoder;
    this.#decoder = null;
    if (decoder !== null && decoder.state !== "closed") decoder.close();
    for (const { sequence } of this.#pending.splice(0)) this.#listener.skipped(sequence);
  }
}
