/** The admin HTTP API. */

/** What the server tells of itself. */
export interface Info {
  name: string;
  version: string;
  started: string;
  uptime_s: number;
  node?: string | null;
  draining?: boolean;
  sessions: number;
  connected: number;
  subscriptions: number;
  rooms: number;
  members: number;
  retained: number;
  queued: number;
  queued_bytes: number;
  memory_bytes?: number | null;
  counters: Record<string, number>;
  dialects?: Record<string, number>;
}

export type Row = Record<string, unknown>;

export interface List {
  rows: Row[];
  next: string | null;
  total: number | undefined;
}

/** Fails with what the server says is wrong. */
async function checked(answer: Response): Promise<Response> {
  if (answer.ok) return answer;
  const body = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new Error(body.error ?? `the server answers ${answer.status}`);
}

export async function get<Body>(path: string): Promise<Body> {
  return (await checked(await fetch(`/api/${path}`, { cache: "no-store" }))).json() as Promise<Body>;
}

/** A page of a list. What is looked for has these words in it, or begins with them where a star is behind. */
export async function list(name: string, search: string, sort: string, after: string | null, limit = 50): Promise<List> {
  const wanted = search.endsWith("*") ? { prefix: search.slice(0, -1) } : search && { search };
  const query = new URLSearchParams({ limit: String(limit), sort, ...wanted, ...(after && { after }) });
  const body = await get<Record<string, unknown> & { next: string | null; total?: number }>(`${name}?${query}`);
  return { rows: body[name] as Row[], next: body.next, total: body.total };
}

/** Disconnects a session, or ends it. */
export async function disconnect(id: string, forget: boolean): Promise<void> {
  await checked(await fetch(`/api/sessions/${encodeURIComponent(id)}${forget ? "?forget=true" : ""}`, { method: "DELETE", headers: { "Bowline-Admin": "1" } }));
}

/** Switches a plugin on or off. */
export async function switchPlugin(name: string, enabled: boolean): Promise<void> {
  await checked(await fetch(`/api/plugins/${encodeURIComponent(name)}?enabled=${String(enabled)}`, { method: "POST", headers: { "Bowline-Admin": "1" } }));
}
