// Hold Space to be heard while muted. Whatever ends it, it ends muted: the key let go, the window left, the page hidden
// or loaded anew, or a key-up that never came.

import { page } from "../state.svelte";

/** A held key repeats some 30 times a second; once it has, a pause this long means that it was let go unseen. */
const LOST_KEY_MS = 1_000;

const HELD = "talking";

class HoldToTalk {
  holding = $state(false);
  #lost: ReturnType<typeof setTimeout> | undefined;
  #focusFromPointer = false;

  constructor() {
    window.addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.holding) return;
      event.preventDefault();
      this.release();
    });
    window.addEventListener("blur", () => this.release());
    window.addEventListener("pagehide", () => this.release());
    document.addEventListener("visibilitychange", () => this.release());
    // A button that was clicked keeps the focus, but Space is then meant for talking; one reached by Tab keeps Space.
    window.addEventListener("pointerdown", () => (this.#focusFromPointer = true), true);
    window.addEventListener("keydown", (event) => event.key === "Tab" && (this.#focusFromPointer = false), true);
  }

  /** Space went down, or repeats, on the call screen. */
  pressed(event: KeyboardEvent): void {
    const call = page.view?.screen;
    if (call?.kind !== "call") return;
    const onControl =
      event.target instanceof Element && event.target.closest("button, input, a, [role='menu']") !== null;
    if (onControl && !this.#focusFromPointer && !this.holding) return;
    event.preventDefault();
    if (event.repeat && this.holding) {
      clearTimeout(this.#lost);
      this.#lost = setTimeout(() => this.release(), LOST_KEY_MS);
    } else if (!event.repeat && call.muted) {
      this.holding = true;
      sessionStorage.setItem(HELD, "yes");
      void page.send({ kind: "setMuted", muted: false });
    }
  }

  /** Muted again, if this is what let the microphone hear. */
  release(): void {
    clearTimeout(this.#lost);
    if (!this.holding) return;
    this.holding = false;
    this.#mute();
  }

  /** After a page that went away while the key was down, in case its last word was lost. */
  releaseAfterReload(): void {
    if (sessionStorage.getItem(HELD) !== null) this.#mute();
  }

  #mute(): void {
    sessionStorage.removeItem(HELD);
    // A call that ended meanwhile has taken its microphone with it.
    if (page.view?.screen.kind === "call") void page.send({ kind: "setMuted", muted: true });
  }
}

export const talk = new HoldToTalk();
