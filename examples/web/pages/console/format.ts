/** Numbers as people read them. */

export function count(value: unknown): string {
  return typeof value === "number" ? value.toLocaleString() : "–";
}

export function rate(value: number): string {
  return value >= 10_000 ? `${(value / 1000).toFixed(1)}k` : value >= 100 || value === 0 ? String(Math.round(value)) : value.toFixed(1);
}

/** How often a second, where that is known. */
export function often(value: unknown): string {
  return typeof value === "number" ? rate(value) : "–";
}

export function octets(value: unknown): string {
  if (typeof value !== "number") return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), 4);
  const amount = value / 1024 ** step;
  return `${step && amount < 100 ? amount.toFixed(1) : Math.round(amount)} ${units[step]}`;
}

/** Seconds as days, hours, minutes: the two largest. */
export function span(seconds: unknown): string {
  if (typeof seconds !== "number") return "–";
  const parts: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = Math.max(0, parts.findIndex(([size]) => seconds >= size));
  const [size, unit] = seconds < 1 ? parts[3]! : parts[at]!;
  const smaller = parts[at + 1];
  const rest = smaller && Math.floor((seconds % size) / smaller[0]);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${smaller[1]}` : ""}`;
}

export function micros(value: unknown): string {
  if (typeof value !== "number") return "–";
  return value < 1000 ? `${value} µs` : `${(value / 1000).toFixed(1)} ms`;
}

/** How long ago a time is. */
export function ago(at: unknown): string {
  const time = Date.parse(String(at));
  return Number.isNaN(time) ? "–" : `${span(Math.max(0, Math.floor((Date.now() - time) / 1000)))} ago`;
}

export function word(value: unknown): string {
  return value === null || value === undefined || value === "" ? "–" : String(value);
}
