// Images as they arrive, newest first. Older ones are loaded as one scrolls down; new ones fade in at the top while
// one is there, and wait behind a button while one reads further down or has paused.

import { images } from "/assets/api.js";
import { button, h, nothing, say, show } from "/assets/dom.js";
import { address, filterBar, lets, remember } from "/assets/filters.js";
import { Grid } from "/assets/grid.js";
import { arrived, tried } from "/assets/notices.js";
import { picture } from "/assets/picture.js";
import { count, many, tr } from "/assets/words.js";

const PAGE = 200;
const MOST = 20000;
const REST_MS = 1000;
const BUSY = 24;

class Wall {
  constructor(place, parameters, { live, steers }) {
    this.live = live;
    this.steers = steers;
    this.parameters = parameters;
    this.paused = false;
    this.filters = filterBar("wall", parameters);
    this.grid = new Grid({
      label: tr("Images, newest first"),
      open: (item) => this.large(item),
      more: () => this.older(),
    });
    this.total = h("span", { class: "soft" });
    this.pause = button(tr("Pause"), () => this.halt(), { class: "quiet", "aria-pressed": "false" });
    this.pill = button("", () => this.release(), { class: "pill", hidden: true });
    this.empty = h("div", { class: "over" });
    place.append(
      h("div", { class: "bar" }, this.filters.bar, h("div", { class: "bar-end" }, this.total, this.pause)),
      h("div", { class: "stage" }, this.grid.element, this.pill, this.empty),
    );
    this.clear();
    this.deaf = live.listen((events) => this.hear(events));
    this.older();
  }

  end() {
    this.deaf();
    this.grid.end();
    this.filters.end();
    clearTimeout(this.timer);
    this.asked?.abort();
  }

  changed(parameters) {
    this.parameters = parameters;
    this.filters.set(parameters);
    this.asked?.abort();
    this.clear();
    this.grid.top();
    this.older();
  }

  clear() {
    this.items = [];
    this.known = new Set();
    this.waiting = [];
    this.before = 0;
    this.complete = false;
    this.loading = false;
    show(this.empty);
    this.grid.show(this.items);
    this.tell();
  }

  /** Load the next older images. */
  async older() {
    if (this.loading || this.complete || this.items.length >= MOST) return;
    this.loading = true;
    const asked = new AbortController();
    this.asked = asked;
    const found = await tried(() => images(this.parameters, this.before, PAGE, asked.signal));
    if (asked.signal.aborted) return;
    this.loading = false;
    this.complete = !found || found.length < PAGE;
    if (!found) {
      if (!this.items.length)
        show(
          this.empty,
          nothing(
            tr("The images could not be loaded"),
            tr("The server did not answer as it should."),
            button(tr("Try again"), () => this.changed(this.parameters), { class: "main" }),
          ),
        );
      return;
    }
    if (found.length) this.before = found.at(-1).request;
    const loaded = found.filter((one) => one.filed && !this.known.has(one.request));
    for (const one of loaded) this.known.add(one.request);
    remember(loaded);
    this.items = [...this.items, ...loaded];
    this.draw();
  }

  hear(events) {
    if (!events.length) {
      this.changed(this.parameters);
      return;
    }
    const images = events.filter(
      (one) => one.kind === "done" && one.filed && lets(this.parameters, one) && !this.known.has(one.request),
    );
    if (!images.length) return;
    for (const one of images) this.known.add(one.request);
    remember(images);
    arrived(images.length);
    this.waiting.push(...images);
    if (this.waiting.length > MOST) this.waiting = this.waiting.slice(-MOST);
    if (this.paused || !this.grid.atTop) this.tell();
    else if (images.length > BUSY || this.timer) this.timer ||= setTimeout(() => this.rested(), REST_MS);
    else this.release();
  }

  rested() {
    this.timer = 0;
    if (this.paused || !this.grid.atTop) this.tell();
    else this.release();
  }

  /** Show what waits, and go to the top. */
  release() {
    const fresh = this.waiting.reverse();
    this.waiting = [];
    this.items = [...fresh, ...this.items];
    if (this.items.length > MOST) {
      for (const one of this.items.slice(MOST)) this.known.delete(one.request);
      this.items.length = MOST;
    }
    this.grid.top();
    this.draw(new Set(fresh.map((one) => one.request)));
  }

  halt() {
    this.paused = !this.paused;
    this.pause.setAttribute("aria-pressed", String(this.paused));
    say(this.pause, tr(this.paused ? "Go on" : "Pause"));
    if (!this.paused) this.release();
    else this.tell();
  }

  draw(fresh = new Set()) {
    this.grid.show(this.items, fresh);
    show(this.empty, this.items.length ? null : this.nothing());
    this.tell();
  }

  nothing() {
    if (Object.keys(this.parameters).length) {
      return nothing(
        tr("No image fits these filters"),
        tr("Widen or clear them; new images that fit appear by themselves."),
      );
    }
    return nothing(
      tr("No images yet"),
      tr(this.steers ? "Ask for some; they appear here as they arrive." : "They appear here as they arrive."),
      this.steers ? h("a", { class: "button main", href: address("batches") }, tr("Ask for images")) : null,
    );
  }

  tell() {
    const size = this.items.length;
    const some = `${count(size)}${this.complete ? "" : "+"}`;
    say(this.total, size ? tr(size === 1 ? "{} image" : "{} images", some) : "");
    this.pill.hidden = !this.waiting.length;
    if (this.waiting.length) say(this.pill, `${many(this.waiting.length, "new image")} ↑`);
  }

  large(item) {
    picture(item, {
      step: (request, by) => {
        const at = this.items.findIndex((one) => one.request === request);
        if (by > 0 && at + by >= this.items.length - 1) this.older();
        return at < 0 ? undefined : this.items[at + by];
      },
      closed: (request) => this.grid.focus(request),
    });
  }
}

export const open = (place, parameters, context) => new Wall(place, parameters, context);
