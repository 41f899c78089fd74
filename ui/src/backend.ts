// The only file that touches Tauri: two commands and one channel. Everything else of the page knows this interface,
// which `backend.fake.ts` has too, so that every screen runs in a plain browser.

import { Channel, invoke } from "@tauri-apps/api/core";
import type { Component } from "svelte";

import type { Attached } from "./bindings/Attached";
import type { Command } from "./bindings/Command";
import type { CommandError } from "./bindings/CommandError";
import type { PageEvent } from "./bindings/PageEvent";
import VideoCanvas from "./video/VideoCanvas.svelte";

/** A moving picture: whose, whether as in a mirror, and what it is called for those who do not see it. */
export interface PictureProps {
  view: "remote" | "local";
  mirrored: boolean;
  label: string;
}

export interface Backend {
  /** Everything there is to show, and from then on what changes. Called at each load of the page. */
  attach(heard: (event: PageEvent) => void): Promise<Attached>;
  /** Does what a person asked for; `null` when it is done, else why it is not. */
  send(command: Command): Promise<CommandError | null>;
  /** What draws pictures. */
  Picture: Component<PictureProps>;
}

const tauri: Backend = {
  async attach(heard) {
    const events = new Channel<PageEvent>();
    events.onmessage = heard;
    const attached = await invoke<Attached>("attach", { events });
    // The first of these comes before what is drawn now is painted, the second after it.
    requestAnimationFrame(() => requestAnimationFrame(() => void invoke("painted")));
    return attached;
  },

  async send(command) {
    try {
      await invoke("send", { command });
      return null;
    } catch (error) {
      return isCommandError(error) ? error : { code: "failed", message: String(error) };
    }
  },

  Picture: VideoCanvas,
};

function isCommandError(error: unknown): error is CommandError {
  return typeof error === "object" && error !== null && "code" in error && "message" in error;
}

/** The app's own backend inside the app, the fake one in a browser. */
export async function findBackend(): Promise<Backend> {
  if ("__TAURI_INTERNALS__" in window) return tauri;
  const { fakeBackend } = await import("./backend.fake");
  return fakeBackend(new URLSearchParams(location.search));
}
