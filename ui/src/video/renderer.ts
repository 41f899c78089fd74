// Draws whatever comes, in the form in which it comes, and answers for each picture. The canvas changes with the form.

import type { PageMessage } from "../bindings/PageMessage";
import { Decoder, type Codec, type DecoderListener } from "./decoder";
import { i420Surface, rgbaSurface, type Surface } from "./surface";
import { readPicture, type Picture } from "./wire";

/** Where it draws, and whom it tells. */
export interface RendererListener {
  /** This one is to be seen from now on. */
  canvas(canvas: HTMLCanvasElement): void;
  say(message: PageMessage): void;
  /** Pictures of this codec cannot be drawn here after all. */
  cannotDecode(codec: Codec): void;
}

export class Renderer {
  readonly #listener: RendererListener;
  #surface: { form: "rgba" | "i420"; surface: Surface } | null = null;
  #decoder: Decoder | null = null;
  #shown: HTMLCanvasElement | null = null;

  constructor(listener: RendererListener) {
    this.#listener = listener;
  }

  receive(message: ArrayBuffer): void {
    const picture = readPicture(message);
    if (picture === null) return;
    const { form } = picture;
    switch (form) {
      case "rgba":
      case "i420":
        this.#closeDecoder();
        this.#drawRaw(form, picture);
        break;
      case "vp8":
      case "h264":
        this.#surface = null;
        if (this.#decoder?.codec !== form) {
          this.#closeDecoder();
          this.#decoder = new Decoder(form, this.#answers(form));
        }
        this.#decoder.push(picture);
        break;
    }
  }

  close(): void {
    this.#closeDecoder();
    this.#surface = null;
  }

  #drawRaw(form: "rgba" | "i420", picture: Picture): void {
    const { sequence, rtp } = picture;
    if (this.#surface?.form !== form) {
      const surface = form === "rgba" ? rgbaSurface() : i420Surface();
      this.#surface = surface === null ? null : { form, surface };
    }
    if (this.#surface === null) {
      this.#listener.say({ kind: "skipped", sequence });
      return;
    }
    this.#surface.surface.draw(picture);
    this.#drawn(this.#surface.surface.canvas, sequence, rtp);
  }

  #answers(codec: Codec): DecoderListener {
    const { say } = this.#listener;
    return {
      drawn: (canvas, sequence, rtp) => this.#drawn(canvas, sequence, rtp),
      skipped: (sequence) => say({ kind: "skipped", sequence }),
      keyFrameWanted: () => say({ kind: "keyFrameWanted" }),
      gaveUp: () => this.#listener.cannotDecode(codec),
    };
  }

  #drawn(canvas: HTMLCanvasElement, sequence: number, rtp: number): void {
    // So that whoever looks at the pixels from outside knows which picture they are of.
    canvas.dataset["rtp"] = String(rtp);
    if (canvas !== this.#shown) {
      this.#shown = canvas;
      this.#listener.canvas(canvas);
    }
    this.#listener.say({ kind: "drawn", sequence });
  }

  #closeDecoder(): void {
    this.#decoder?.close();
    this.#decoder = null;
  }
}
