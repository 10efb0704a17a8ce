/** What both pages make their elements with. */

type Child = Node | string | false | null | undefined;
type Props = Record<string, string | number | boolean | undefined | ((event: Event) => void)>;

/** Makes an element: functions are handlers of events, `true` is an attribute without a value. */
export function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child): child is Node | string => child !== false && child !== null && child !== undefined));
  return made;
}

/** The element of the page with this id. */
export function by<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as Kind;
}

/** Replaces what an element has, if it is different. */
export function text(element: Element, value: string): void {
  if (element.textContent !== value) element.textContent = value;
}

/** A time of day, as the reader writes it. */
export function clock(at: Date, seconds = false): string {
  return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) });
}

/** Says something once to who listens rather than looks. */
export function say(words: string): void {
  text(by("status"), words);
}

/** One of 360 hues, always the same for a name (FNV-1a). */
export function hue(name: string): number {
  let hash = 0x811c9dc5;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193) >>> 0;
  return (hash >>> 8) % 360;
}
