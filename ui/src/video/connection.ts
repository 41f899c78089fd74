// Keeps a line for one view open while somebody looks: the socket first, the channel where it does not open or does not
// last, again and again with pauses that grow.

import type { FramesAddress } from "../bindings/FramesAddress";
import type { PageMessage } from "../bindings/PageMessage";
import type { Showing } from "../bindings/Showing";
import type { View } from "../bindings/View";
import { openChannel, openSocket, type Line, type Listener } from "./line";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4_000;
/** A socket that broke so often without a single picture gives way to the channel. */
const SOCKET_TRIES = 3;

export class Connection {
  readonly #view: View;
  readonly #address: FramesAddress | null;
  readonly #receive: (message: ArrayBuffer) => void;
  #line: Line | null = null;
  /** Said while the line was opening: over a channel, pictures can come before the line does. */
  #early: PageMessage[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** How often in a row there was a line, or none, and no picture. */
  #tries = 0;
  #socketFailed = false;
  /** Counts what was opened, so that the end of an earlier line means nothing. */
  #opened = 0;
  #showing: Showing | null = null;

  constructor(view: View, address: FramesAddress | null, receive: (message: ArrayBuffer) => void) {
    this.#view = view;
    this.#address = address;
    this.#receive = receive;
  }

  /** Says how pictures are shown from now on; opens the line for the first time. */
  show(showing: Showing): void {
    const first = this.#showing === null;
    this.#showing = showing;
    if (first) void this.#open();
    else this.say({ kind: "showing", showing });
  }

  /** Says something, as soon as there is somebody to hear it. */
  say(message: PageMessage): void {
    if (this.#line === null) this.#early.push(message);
    else this.#line.say(message);
  }

  close(): void {
    this.#opened += 1;
    clearTimeout(this.#retry);
    this.#line?.close();
    this.#line = null;
    this.#showing = null;
  }

  async #open(): Promise<void> {
    const showing = this.#showing;
    if (showing === null) return;
    const number = ++this.#opened;
    this.#early = [];
    const listener: Listener = {
      picture: (message) => {
        if (number !== this.#opened) return;
        this.#tries = 0;
        this.#receive(message);
      },
      lost: () => this.#lost(number),
    };
    try {
      const line = await this.#dial(showing, listener);
      if (number !== this.#opened) return line.close();
      this.#line = line;
      for (const message of this.#early.splice(0)) line.say(message);
    } catch {
      this.#lost(number);
    }
  }

  async #dial(showing: Showing, listener: Listener): Promise<Line> {
    if (this.#address !== null && !this.#socketFailed && this.#tries < SOCKET_TRIES) {
      try {
        return await openSocket(this.#address, this.#view, showing, listener);
      } catch {
        this.#socketFailed = true;
      }
    }
    return openChannel(this.#view, showing, listener);
  }

  #lost(number: number): void {
    if (number !== this.#opened) return;
    this.#line = null;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#tries, LONGEST_PAUSE_MS);
    this.#tries += 1;
    this.#retry = setTimeout(() => void this.#open(), pause);
  }
}
