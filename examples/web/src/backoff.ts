/** Waits between attempts: full jitter, so that clients cut at the same time do not come back at the same time. */
export class Backoff {
  #tries = 0;

  constructor(
    private readonly random: () => number,
    private readonly base = 100,
    private readonly cap = 30_000,
  ) {}

  /** The next wait, in milliseconds: anything below a bound that doubles. */
  next(): number {
    const bound = Math.min(this.cap, this.base * 2 ** this.#tries);
    this.#tries = Math.min(this.#tries + 1, 20);
    return this.random() * bound;
  }

  /** What was tried lasts: the next failure is a first one. */
  reset(): void {
    this.#tries = 0;
  }
}
