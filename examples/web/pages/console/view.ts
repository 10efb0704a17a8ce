/** A part of the console. */
export interface View {
  readonly element: HTMLElement;
  /** It comes into view. */
  open(): void;
  /** Another comes into view: nothing goes on behind it that need not. */
  close(): void;
}

/** Asks again and again while it runs and the page is seen, and never twice at a time. */
export class Repeat {
  #timer: ReturnType<typeof setInterval> | undefined;
  #busy = false;

  constructor(private readonly every: number, private readonly ask: () => Promise<void>) {}

  start(): void {
    this.stop();
    this.#timer = setInterval(() => void this.now(), this.every);
    void this.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async now(): Promise<void> {
    if (this.#busy || document.visibilityState === "hidden") return;
    this.#busy = true;
    try {
      await this.ask();
    } finally {
      this.#busy = false;
    }
  }
}
