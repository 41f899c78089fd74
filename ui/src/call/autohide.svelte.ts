// Controls that go away while nobody moves, and come back at once. They stay while somebody points at them, has come to
// them by keyboard, or has a menu open, and whenever there is no picture to look at (WCAG 2.4.11).

const STILL_MS = 5_000;

export class AutoHide {
  shown = $state(true);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stay: () => boolean;

  constructor(stay: () => boolean) {
    this.#stay = stay;
  }

  /** Somebody moved, pressed or touched. */
  moved = (): void => {
    this.shown = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#stay()) this.moved();
      else this.shown = false;
    }, STILL_MS);
  };

  stop(): void {
    clearTimeout(this.#timer);
  }
}
