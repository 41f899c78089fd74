// The pictures of one view, for as long as somebody can see them: tells the program how large they are shown, and puts the
// canvas that they are drawn on in its place.

import type { FramesAddress } from "../bindings/FramesAddress";
import type { View } from "../bindings/View";
import { abilities, distrust, type Abilities } from "./abilities";
import { Connection } from "./connection";
import { Renderer } from "./renderer";

/** A window that is being resized, or a tile that moves, does not need each of its sizes. */
const RESIZE_PAUSE_MS = 150;
/** The wire has 16 bits for it; no picture is larger than a quarter of that. */
const SIDE_MAX_PX = 16_384;

/** Who wants a view's pictures, the last to come last. They are there once, so only that one gets them. */
const wanting: Record<View, Feed[]> = { local: [], remote: [] };

/** Shows a view's pictures in `host` until the function that comes back is called. */
export function showPictures(host: HTMLElement, view: View, address: FramesAddress | null): () => void {
  const feeds = wanting[view];
  const feed = new Feed(host, view, address);
  feeds.at(-1)?.pause();
  feeds.push(feed);
  feed.resume();
  return () => {
    feed.end();
    feeds.splice(feeds.indexOf(feed), 1);
    feeds.at(-1)?.resume();
  };
}

class Feed {
  readonly #host: HTMLElement;
  readonly #connection: Connection;
  readonly #renderer: Renderer;
  readonly #observer = new ResizeObserver(() => this.#resized());
  readonly #visible = (): void => this.#update();
  readonly #moved = (): void => this.#resized();
  #abilities: Abilities | null = null;
  #wanted = false;
  #told = "";
  #resizing: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement, view: View, address: FramesAddress | null) {
    this.#host = host;
    this.#connection = new Connection(view, address, (message) => this.#renderer.receive(message));
    this.#renderer = new Renderer({
      canvas: (canvas) => host.replaceChildren(canvas),
      say: (message) => this.#connection.say(message),
      cannotDecode: (codec) => {
        distrust(codec);
        void this.#find();
      },
    });
    this.#observer.observe(host);
    document.addEventListener("visibilitychange", this.#visible);
    // Another screen may have another density, with the same size in the page's own pixels.
    window.addEventListener("resize", this.#moved);
  }

  resume(): void {
    this.#wanted = true;
    void this.#find();
  }

  pause(): void {
    this.#wanted = false;
    this.#update();
  }

  end(): void {
    this.pause();
    clearTimeout(this.#resizing);
    this.#observer.disconnect();
    document.removeEventListener("visibilitychange", this.#visible);
    window.removeEventListener("resize", this.#moved);
  }

  async #find(): Promise<void> {
    this.#abilities = await abilities();
    this.#update();
  }

  #resized(): void {
    clearTimeout(this.#resizing);
    this.#resizing = setTimeout(() => this.#update(), RESIZE_PAUSE_MS);
  }

  /** Says what has changed since the last time, or hangs up while nobody can see the pictures. */
  #update(): void {
    if (this.#abilities === null) return;
    const side = (length: number): number => Math.min(Math.ceil(length * devicePixelRatio), SIDE_MAX_PX);
    const showing = {
      widthPx: side(this.#host.clientWidth),
      heightPx: side(this.#host.clientHeight),
      ...this.#abilities,
    };
    if (!this.#wanted || document.hidden || showing.widthPx === 0 || showing.heightPx === 0) {
      this.#connection.close();
      this.#renderer.close();
      this.#told = "";
      return;
    }
    const told = JSON.stringify(showing);
    if (told === this.#told) return;
    this.#told = told;
    this.#connection.show(showing);
  }
}
