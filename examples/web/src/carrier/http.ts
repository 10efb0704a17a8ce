import { SECOND, type Envelope, type Welcome } from "../wire";
import type { Carrier, CarrierName, Ground } from "./carrier";
import type { Ask, Receive } from "./receive";

/** A POST that takes longer has failed. */
const POST_LIMIT = 15 * SECOND;

/** What an answer with an error says about when to come back. */
async function retryAfter(answer: Response): Promise<number | undefined> {
  const body = (await answer.json().catch(() => undefined)) as { retry_after_ms?: number } | undefined;
  const header = Number(answer.headers.get("retry-after") ?? NaN) * SECOND;
  return body?.retry_after_ms ?? (header >= 0 ? header : undefined);
}

/** Makes a session by POST, sends by POST, one after the other, and receives as `receive` does it. */
export function http(name: CarrierName, receive: Receive, { base, hello, sink, fetch }: Ground): Carrier {
  const abort = new AbortController();
  const waiting: Envelope[] = [];
  let live = true;
  let posting = false;
  let session: Welcome | undefined;

  const drop = (tell: () => void): void => {
    if (!live) return;
    live = false;
    abort.abort();
    tell();
  };
  const failed = (error: unknown): void => drop(() => sink.closed(String(error instanceof Error ? error.message : error)));
  const ask: Ask = async (path, init, limit, use, passes = []) => {
    const headers: Record<string, string> = { ...(init.headers as Record<string, string>) };
    if (session) headers["Bowline-Secret"] = session.secret;
    if (init.body) headers["Content-Type"] = "application/json";
    const own = new AbortController();
    const end = (): void => own.abort();
    const timer = setTimeout(end, limit);
    abort.signal.addEventListener("abort", end);
    try {
      const answer = await fetch(base + path, { ...init, headers, signal: own.signal, credentials: "same-origin", cache: "no-store" });
      clearTimeout(timer);
      if (!answer.ok && !passes.includes(answer.status)) {
        const after = await retryAfter(answer);
        drop(() => (answer.status === 401 ? sink.refused("unauthorized") : sink.closed(`status ${answer.status}`, after)));
      }
      if (!live) throw new Error("closed");
      sink.heard();
      return await use(answer);
    } finally {
      clearTimeout(timer);
      abort.signal.removeEventListener("abort", end);
    }
  };

  /** Sends messages; what the server does not take of many is sent one by one, to know which it is. */
  const post = async (part: Envelope[]): Promise<void> => {
    const { session: id } = session!;
    const bodies = part.map((envelope) => ({ ...envelope, session_id: id }));
    const body = JSON.stringify(bodies.length > 1 ? bodies : bodies[0]);
    const refusal = await ask("/send", { method: "POST", body }, POST_LIMIT, async (answer) => {
      if (answer.ok) return undefined;
      const { error } = (await answer.json().catch(() => ({}))) as { error?: string };
      return { code: answer.status === 413 ? "too_large" : "malformed", message: error };
    }, [400, 413]);
    if (!refusal) return;
    if (part.length > 1) for (const each of part) await post([each]);
    else sink.message({ type: "$error", kind: "error", ...(part[0]!.id && { ref: part[0]!.id }), payload: refusal });
  };
  const flush = async (): Promise<void> => {
    if (posting) return;
    posting = true;
    // What is said in one go leaves in one request.
    await undefined;
    while (waiting.length) await post(waiting.splice(0, session?.batch ?? 1));
    posting = false;
  };

  const run = async (): Promise<void> => {
    const body = hello && { body: JSON.stringify(hello) };
    const welcome = await ask("/session", { method: "POST", ...body }, POST_LIMIT, async (answer) => (answer.ok ? ((await answer.json()) as Welcome) : undefined), [403, 404]);
    if (!welcome) return drop(() => sink.refused("the session is gone"));
    session = welcome;
    await receive(welcome.session, ask, {
      alive: () => live,
      ready: () => sink.welcome(welcome),
      heard: () => sink.heard(),
      message: (envelope) => live && sink.message(envelope),
    });
  };
  run().catch(failed);

  return {
    name,
    send(envelope) {
      if (!live) return;
      waiting.push(envelope);
      flush().catch(failed);
    },
    close(end) {
      if (!live) return;
      live = false;
      abort.abort();
      if (end && session) {
        const path = `/session?session_id=${encodeURIComponent(session.session)}`;
        // `keepalive`: the page may be going.
        fetch(base + path, { method: "DELETE", keepalive: true, headers: { "Bowline-Secret": session.secret }, credentials: "same-origin" }).catch(() => {});
      }
    },
  };
}
