// A grid of pictures of which only the visible rows exist as elements: a hundred thousand images cost no more than
// fifty. Tiles are keyed by request and move when others come before them. Arrow keys walk through the grid.

import { thumbnail } from "/assets/api.js";
import { h, say } from "/assets/dom.js";
import { day, town } from "/assets/words.js";

const LEAST_WIDTH = 148;
const CAPTION = 38;
const GAP = 8;
const SPARE_ROWS = 2;
const NEAR_END = 3;

export class Grid {
  /** `open(item)` is called for a tile that is chosen, `more()` when the end comes near. */
  constructor({ label, open, more = () => {} }) {
    this.items = [];
    this.places = new Map();
    this.tiles = new Map();
    this.fresh = new Set();
    this.active = null;
    this.open = open;
    this.more = more;
    this.width = 0;
    this.list = h("ul", { class: "tiles", role: "list", "aria-label": label });
    this.element = h("div", { class: "scroller" }, this.list);
    this.element.addEventListener("scroll", () => this.later(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.walk(event));
    this.sizes = new ResizeObserver(() => this.measure());
    this.sizes.observe(this.element);
  }

  end() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
  }

  get atTop() {
    return this.element.scrollTop < 24;
  }

  /** Show these items; the `fresh` ones (a set of request numbers) fade in. */
  show(items, fresh = new Set()) {
    this.items = items;
    this.fresh = fresh;
    this.places = new Map(items.map((item, at) => [item.request, at]));
    this.later();
  }

  top() {
    this.element.scrollTop = 0;
  }

  /** Put the focus on the tile of a request, scrolling to it. */
  focus(request) {
    const at = this.places.get(request);
    if (at === undefined) return;
    this.active = request;
    this.reveal(at);
    this.draw();
    this.tiles.get(request)?.button.focus({ preventScroll: true });
  }

  measure() {
    const style = getComputedStyle(this.element);
    const width = this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (width <= 0) return;
    this.width = width;
    this.columns = Math.max(2, Math.floor((width + GAP) / (LEAST_WIDTH + GAP)));
    this.tile = (width - GAP * (this.columns - 1)) / this.columns;
    this.high = Math.round(this.tile * 0.75) + CAPTION;
    this.list.style.setProperty("--tile", `${this.tile}px`);
    this.list.style.setProperty("--high", `${this.high}px`);
    this.later();
  }

  later() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
  }

  draw() {
    if (!this.width) return;
    const step = this.high + GAP;
    const rows = Math.ceil(this.items.length / this.columns);
    this.list.style.height = `${Math.max(0, rows * step - GAP)}px`;
    const first = Math.max(0, Math.floor(this.element.scrollTop / step) - SPARE_ROWS);
    const last = Math.ceil((this.element.scrollTop + this.element.clientHeight) / step) + SPARE_ROWS;
    const wanted = new Map();
    const until = Math.min(this.items.length, last * this.columns);
    for (let at = first * this.columns; at < until; at += 1) wanted.set(this.items[at].request, at);
    const held = this.focused();
    if (held !== null && this.places.has(held)) wanted.set(held, this.places.get(held));
    for (const [request, tile] of this.tiles) {
      if (!wanted.has(request)) {
        tile.image.removeAttribute("src"); // stops what is still coming
        tile.element.remove();
        this.tiles.delete(request);
      }
    }
    if (this.active === null || !this.places.has(this.active)) this.active = this.items[0]?.request ?? null;
    const inOrder = [...wanted].sort((one, other) => one[1] - other[1]);
    for (const [request, at] of inOrder) this.place(request, at, step);
    const reachable = wanted.has(this.active) ? this.active : inOrder[0]?.[0];
    for (const [request, tile] of this.tiles) tile.button.tabIndex = request === reachable ? 0 : -1;
    if (last > rows - NEAR_END) this.more();
  }

  place(request, at, step) {
    let tile = this.tiles.get(request);
    if (!tile) {
      tile = this.make(this.items[at]);
      this.tiles.set(request, tile);
      this.list.append(tile.element);
    }
    const column = at % this.columns;
    const row = Math.floor(at / this.columns);
    tile.element.style.transform = `translate(${column * (this.tile + GAP)}px, ${row * step}px)`;
    tile.element.setAttribute("aria-posinset", at + 1);
    tile.element.setAttribute("aria-setsize", this.items.length);
  }

  make(item) {
    const image = h("img", { alt: "", decoding: "async", draggable: "false" });
    image.onload = () => image.classList.add("there");
    image.onerror = () => image.hasAttribute("src") && button.classList.add("bare");
    const where = town(item.filed);
    const when = day(item.filed.taken);
    const button = h(
      "button",
      { type: "button", class: "tile", tabindex: -1, title: item.record },
      image,
      h("span", { class: "caption" }, h("b", {}), h("span", {}, [where, when].filter(Boolean).join(" · "))),
    );
    say(button.querySelector("b"), item.record);
    image.src = thumbnail(item.filed.digest, 256);
    button.addEventListener("click", () => {
      this.active = item.request;
      this.open(item);
    });
    const fresh = this.fresh.delete(item.request);
    return { element: h("li", { class: fresh ? "new" : undefined }, button), button, image };
  }

  focused() {
    for (const [request, tile] of this.tiles) if (tile.button === document.activeElement) return request;
    return null;
  }

  reveal(at) {
    const step = this.high + GAP;
    const top = Math.floor(at / this.columns) * step;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.high > scrollTop + clientHeight)
      this.element.scrollTop = top + this.high - clientHeight + GAP;
  }

  walk(event) {
    const from = this.places.get(this.focused());
    if (from === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / (this.high + GAP))) * this.columns;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -page,
      PageDown: page,
      Home: -from,
      End: this.items.length - 1 - from,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const to = Math.min(this.items.length - 1, Math.max(0, from + steps[event.key]));
    this.focus(this.items[to].request);
  }
}
