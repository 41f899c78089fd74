// What the page knows: the last snapshot, the meters, and which commands were refused. It keeps nothing of its own
// about calls or people; after a reload Rust sends the whole again.

import type { Component } from "svelte";

import type { Backend, PictureProps } from "./backend";
import type { AppView } from "./bindings/AppView";
import type { Command } from "./bindings/Command";
import type { CommandError } from "./bindings/CommandError";
import type { FramesAddress } from "./bindings/FramesAddress";
import type { Meters } from "./bindings/Meters";

/** A refused command's sentence stays this long. */
const REFUSAL_MS = 8_000;

/** What the page itself shows above its screens. */
export type Overlay = "settings" | "keys";

class Page {
  view = $state.raw<AppView | null>(null);
  meters = $state.raw<Meters>({ microphone: 0, speaker: 0, talkingWhileMuted: false });
  refusals = $state<{ id: number; text: string }[]>([]);
  overlay = $state<Overlay | null>(null);
  Picture = $state.raw<Component<PictureProps> | null>(null);
  frames = $state.raw<FramesAddress | null>(null);
  version = $state("");
  platform = $state("");

  #backend: Backend | null = null;
  #refused = 0;

  /** Attaches to what is behind the page. An error means that there is no app behind it. */
  async start(backend: Backend): Promise<void> {
    this.#backend = backend;
    const attached = await backend.attach((event) => {
      switch (event.kind) {
        case "view":
          this.view = event.view;
          break;
        case "meters":
          this.meters = event.meters;
          break;
      }
    });
    this.version = attached.version;
    this.platform = attached.platform;
    this.frames = attached.frames;
    this.Picture = backend.Picture;
    // An event that overtook the answer is newer than it.
    this.view ??= attached.view;
  }

  /** Sends a command whose refusal the caller shows where it belongs. */
  async ask(command: Command): Promise<CommandError | null> {
    return this.#backend === null ? null : this.#backend.send(command);
  }

  /** Sends a command; a refusal is shown as a notice. */
  async send(command: Command): Promise<void> {
    const error = await this.ask(command);
    if (error !== null) this.refuse(error.message);
  }

  refuse(text: string): void {
    const id = ++this.#refused;
    this.refusals = [...this.refusals.slice(-2), { id, text }];
    setTimeout(() => this.forget(id), REFUSAL_MS);
  }

  forget(id: number): void {
    this.refusals = this.refusals.filter((refusal) => refusal.id !== id);
  }
}

export const page = new Page();
