// The images of acquiring: the wall and the map of an interface server's page, over the console's doors. The address
// behind # names the view and its filters.

import { get, of, whenEnded } from "/assets/api.js";
import { h, show } from "/assets/dom.js";
import { read } from "/assets/filters.js";
import { speak } from "/assets/words.js";

const VIEWS = { wall: () => import("/assets/wall.js"), map: () => import("/assets/map.js") };
const EVERY_MS = 2000;
const AGAIN_MS = 8000;

/** What ended since, asked for every few seconds while somebody looks. */
class Asked {
  constructor() {
    this.listeners = new Set();
    this.after = null;
    this.ask();
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async ask() {
    let wait = EVERY_MS;
    try {
      if (!document.hidden) {
        const found = await get("/v1/acquired", this.after === null ? {} : { after: this.after });
        this.after = found.after;
        if (found.items.length) for (const listener of [...this.listeners]) listener(found.items);
      }
    } catch {
      wait = AGAIN_MS;
    }
    setTimeout(() => this.ask(), wait);
  }
}

const place = document.getElementById("acquire-images");
speak(JSON.parse(place.dataset.words));
of(place.dataset.site);
whenEnded(() => location.reload());
const live = new Asked();
let leave = null;
let turn = 0;

async function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = path in VIEWS ? path : "wall";
  const parameters = read(query ?? "");
  const mine = ++turn;
  if (place.dataset.view === name && leave?.changed) {
    leave.changed(parameters);
    return;
  }
  leave?.end();
  leave = null;
  for (const link of document.querySelectorAll("[data-view-link]")) {
    if (link.dataset.viewLink === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const module = await VIEWS[name]();
  if (mine !== turn) return;
  place.dataset.view = name;
  show(place, h("h2", { class: "unseen" }, place.dataset[name]));
  leave = module.open(place, parameters, { me: { role: "viewer" }, live, steers: false });
}

window.addEventListener("hashchange", route);
route();
