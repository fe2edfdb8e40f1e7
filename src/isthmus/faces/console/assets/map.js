// Where images were taken, on a map that needs no network. Images that would lie on each other are one circle with
// their number; choosing a circle lists its images beside the map.

import { images } from "/assets/api.js";
import { button, h, nothing, s, say, show } from "/assets/dom.js";
import { address, filterBar, lets, remember } from "/assets/filters.js";
import { Grid } from "/assets/grid.js";
import { hands } from "/assets/hands.js";
import { Marks, nameOf } from "/assets/marks.js";
import { tried } from "/assets/notices.js";
import { picture } from "/assets/picture.js";
import { around, clusters, onScreen, project, scaleBar, within, zoomed } from "/assets/projection.js";
import { count, located, many, tr } from "/assets/words.js";
import { move, world } from "/assets/world.js";

const PAGE = 1000;
const AT_ONCE = 5000;
const MOST = 50000;
const CELL = 56;
const MOST_SHOWN = 120;
const REST_MS = 1000;
let kept = null; // the view, while one looks at something else

class WorldMap {
  constructor(place, parameters, { live }) {
    this.parameters = parameters;
    this.filters = filterBar("map", parameters);
    this.total = h("span", { class: "soft" });
    this.more = button(tr("Load older"), () => this.load(), { class: "quiet", hidden: true });
    this.svg = s("svg", { class: "world", "aria-hidden": "true" });
    this.marks = new Marks((cluster) => this.choose(cluster));
    this.scale = h("div", { class: "scale", "aria-hidden": "true" }, h("i"), h("span"));
    this.empty = h("div", { class: "over" });
    this.pane = h(
      "div",
      {
        class: "map",
        role: "group",
        tabindex: 0,
        "aria-label": tr("Map. Arrow keys move it, plus and minus zoom, 0 shows all."),
      },
      this.svg,
      this.marks.element,
      this.scale,
      h(
        "div",
        { class: "zoom" },
        button("+", () => this.zoom(2), { "aria-label": tr("Zoom in") }),
        button("−", () => this.zoom(0.5), { "aria-label": tr("Zoom out") }),
        button("⤢", () => this.fit(), { "aria-label": tr("Show all images") }),
      ),
      this.empty,
    );
    this.aside = h("section", { class: "side", hidden: true, "aria-label": tr("Images of the chosen place") });
    place.append(
      h("div", { class: "bar" }, this.filters.bar, h("div", { class: "bar-end" }, this.total, this.more)),
      h("div", { class: "stage map-stage" }, this.pane, this.aside),
    );
    this.view = kept;
    this.stays = hands(this.pane, this);
    this.sizes = new ResizeObserver(() => this.measure());
    this.sizes.observe(this.pane);
    this.deaf = live.listen((events) => this.hear(events));
    this.clear();
    tried(async () => {
      this.group = await world();
      this.svg.append(this.group);
      this.draw();
    });
    this.load();
  }

  end() {
    kept = this.view;
    this.deaf();
    this.stays();
    this.sizes.disconnect();
    this.filters.end();
    this.grid?.end();
    this.asked?.abort();
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
  }

  changed(parameters) {
    this.parameters = parameters;
    this.filters.set(parameters);
    this.asked?.abort();
    this.view = null;
    this.clear();
    this.load();
  }

  clear() {
    this.points = [];
    this.nowhere = 0;
    this.known = new Set();
    this.before = 0;
    this.choose(null);
  }

  /** Load the next few thousand positions, newest first. */
  async load() {
    const asked = new AbortController();
    this.asked = asked;
    this.more.hidden = true;
    for (let loaded = 0, full = true; full && loaded < AT_ONCE && this.known.size < MOST; loaded += PAGE) {
      const found = await tried(() => images(this.parameters, this.before, PAGE, asked.signal));
      if (asked.signal.aborted) return;
      if (!found) {
        this.more.hidden = false;
        break;
      }
      full = found.length === PAGE;
      this.more.hidden = !full || this.known.size + PAGE >= MOST;
      if (found.length) this.before = found.at(-1).request;
      this.add(found);
      if (!this.touched) this.fit();
      this.later();
    }
  }

  add(images) {
    remember(images);
    for (const one of images) {
      if (!one.filed || this.known.has(one.request)) continue;
      this.known.add(one.request);
      if (!located(one.filed)) {
        this.nowhere += 1;
        continue;
      }
      const [x, y] = project(one.filed.longitude, one.filed.latitude);
      this.points.push({ x, y, item: one });
    }
  }

  hear(events) {
    if (!events.length) {
      this.changed(this.parameters);
      return;
    }
    const images = events.filter((one) => one.kind === "done" && one.filed && lets(this.parameters, one));
    if (!images.length || this.known.size >= MOST) return;
    const none = !this.points.length;
    this.add(images);
    this.timer ||= setTimeout(
      () => {
        this.timer = 0;
        if (none && !this.touched) this.fit();
        this.later();
      },
      none ? 0 : REST_MS,
    );
  }

  measure() {
    this.width = this.pane.clientWidth;
    this.height = this.pane.clientHeight;
    this.view = this.view
      ? within(this.view, this.width, this.height)
      : around(this.points, this.width, this.height);
    this.later();
  }

  fit() {
    this.touched = false;
    if (this.width) this.view = around(this.points, this.width, this.height);
    this.later();
  }

  /** Zoom around a pixel of the pane, its middle if none is given. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    this.touched = true;
    this.view = zoomed(this.view, factor, x, y, this.width, this.height);
    this.later();
  }

  /** Move what is shown by pixels. */
  pan(x, y) {
    this.touched = true;
    const { scale } = this.view;
    this.view = within({ scale, x: this.view.x - x / scale, y: this.view.y - y / scale }, this.width, this.height);
    this.later();
  }

  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.width || !this.view) return;
    if (this.group) move(this.group, this.view, this.width, this.height);
    const found = clusters(this.points, this.view, this.width, this.height, CELL).slice(0, MOST_SHOWN);
    this.marks.draw(found, this.view, this.width, this.height, this.chosen);
    const { text, pixels } = scaleBar(this.view);
    this.scale.firstElementChild.style.width = `${pixels}px`;
    say(this.scale.lastElementChild, text);
    this.tell();
  }

  /** List the images of a cluster beside the map; of none: close the list. */
  choose(cluster) {
    this.chosen = cluster?.key ?? null;
    this.grid?.end();
    this.grid = null;
    this.aside.hidden = !cluster;
    this.later();
    if (!cluster) {
      show(this.aside);
      return;
    }
    const items = cluster.points.map((point) => point.item).sort((one, other) => other.request - one.request);
    const title = h("h2", { tabindex: -1 }, nameOf(cluster));
    const slugs = new Set(items.map((one) => one.filed.place));
    this.grid = new Grid({ label: tr("Images of this place"), open: (item) => this.large(item, items) });
    show(
      this.aside,
      h(
        "div",
        { class: "side-head" },
        h("div", {}, title, h("p", { class: "soft" }, many(items.length, "image"))),
        button(tr("Zoom in"), () => this.closer(cluster), { class: "quiet" }),
        slugs.size === 1
          ? h(
              "a",
              {
                class: "button quiet",
                href: address("wall", { ...this.parameters, place: items[0].filed.place }),
              },
              tr("Wall"),
            )
          : null,
        button(
          "×",
          () => {
            this.choose(null);
            this.pane.focus();
          },
          { class: "quiet", "aria-label": tr("Close the list") },
        ),
      ),
      this.grid.element,
    );
    this.grid.show(items);
    requestAnimationFrame(() => this.keepInView(cluster));
    title.focus({ preventScroll: true });
  }

  /** Where the list has covered the circle it belongs to, move the map. */
  keepInView(cluster) {
    this.measure();
    const [x, y] = onScreen(cluster, this.view, this.width, this.height);
    if (x > 40 && x < this.width - 40 && y > 40 && y < this.height - 40) return;
    this.pan(this.width / 2 - x, this.height / 2 - y);
  }

  closer(cluster) {
    this.touched = true;
    this.view = around(cluster.points, this.width, this.height);
    this.later();
  }

  large(item, items) {
    const { grid } = this;
    picture(item, {
      step: (request, by) => items[items.findIndex((one) => one.request === request) + by],
      closed: (request) => grid.focus(request),
    });
  }

  tell() {
    const placed = tr("{} on the map", many(this.points.length, "image"));
    const missing = this.nowhere ? tr(", {} without a position", count(this.nowhere)) : "";
    say(this.total, this.known.size ? placed + missing : "");
    const why = tr(this.nowhere ? "None of the images has a position" : "No image to place");
    const advice = tr(
      Object.keys(this.parameters).length
        ? "Widen or clear the filters."
        : "Images that know where they were taken appear here by themselves.",
    );
    if (this.points.length) show(this.empty);
    else if (!this.empty.firstChild || this.empty.dataset.why !== why + advice)
      show(this.empty, nothing(why, advice));
    this.empty.dataset.why = this.points.length ? "" : why + advice;
  }
}

export const open = (place, parameters, context) => new WorldMap(place, parameters, context);
