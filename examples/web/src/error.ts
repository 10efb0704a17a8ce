import type { Envelope } from "./wire";

/** What went wrong, by the server's codes or these: `closed`, `disconnected`, `left`, `queue_full`, `timeout`. */
export class BowlineError extends Error {
  /** Which rule failed, for programs. */
  readonly code: string;
  /** When to try again, where the server said so. */
  readonly retryAfter: number | undefined;

  constructor(code: string, message = code, retryAfter?: number) {
    super(message);
    this.name = "BowlineError";
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** What an `$error` says. */
  static from({ payload = {} }: Envelope): BowlineError {
    const { code, message, retry_after_ms: after } = payload;
    return new BowlineError(
      typeof code === "string" ? code : "error",
      typeof message === "string" ? message : undefined,
      typeof after === "number" ? after : undefined,
    );
  }

  /** True for what may work later, unchanged. */
  get later(): boolean {
    return ["rate_limited", "busy", "store", "draining"].includes(this.code);
  }
}
