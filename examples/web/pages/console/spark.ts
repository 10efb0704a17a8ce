/** A small line of how a number went. */

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 40;

export class Spark {
  readonly element = document.createElementNS(NS, "svg");
  readonly #values: number[] = [];
  readonly #line = document.createElementNS(NS, "path");
  readonly #area = document.createElementNS(NS, "path");

  constructor(name: string, private readonly length = 60) {
    const base = document.createElementNS(NS, "path");
    base.setAttribute("class", "base");
    base.setAttribute("d", `M0 ${HEIGHT}H${WIDTH}`);
    this.#area.setAttribute("class", "area");
    this.element.setAttribute("class", "spark");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("role", "img");
    this.element.setAttribute("aria-label", name);
    this.element.append(base, this.#area, this.#line);
  }

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > this.length) this.#values.shift();
    const top = Math.max(...this.#values, 1);
    const step = WIDTH / (this.length - 1);
    const from = WIDTH - (this.#values.length - 1) * step;
    const points = this.#values.map((each, index) => `${(from + index * step).toFixed(1)} ${(HEIGHT - (each / top) * (HEIGHT - 2)).toFixed(1)}`);
    this.#line.setAttribute("d", `M${points.join("L")}`);
    this.#area.setAttribute("d", `M${from.toFixed(1)} ${HEIGHT}L${points.join("L")}L${WIDTH} ${HEIGHT}Z`);
  }
}
