// The page's frame: who is logged in, which view the address names, and whether the stream of events is alive.

import { call, get, whenEnded } from "/assets/api.js";
import { h, say, show } from "/assets/dom.js";
import { Live } from "/assets/live.js";
import { loginView } from "/assets/login.js";
import { notice, tried } from "/assets/notices.js";
import { rate } from "/assets/words.js";
import { read } from "/assets/filters.js";

const VIEWS = {
  wall: ["Wall", () => import("/assets/wall.js")],
  map: ["Map", () => import("/assets/map.js")],
  batches: ["Batches", () => import("/assets/batches.js")],
  failed: ["Failed", () => import("/assets/failed.js")],
  environments: ["Environments", () => import("/assets/environments.js")],
};
const REMEMBERED = "isthmus.signed-in"; // only that somebody did; the session itself is out of scripts' reach
const STEERS = ["client", "operator"];

const main = document.getElementById("main");
const top = document.getElementById("top");
const light = document.getElementById("live");
const live = new Live();
let me = null;
let leave = null;
let turn = 0;

/** What every view gets: who asks, whether they may steer, and the stream. */
const context = () => ({ me, live, steers: STEERS.includes(me.role) });

async function route() {
  if (!me) return;
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = path in VIEWS ? path : "wall";
  const parameters = read(query ?? "");
  const mine = ++turn;
  const [title, load] = VIEWS[name];
  const same = main.dataset.view === name;
  if (same && leave?.changed) {
    leave.changed(parameters);
    return;
  }
  leave?.end();
  leave = null;
  document.title = `${title} · Isthmus`;
  for (const link of top.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const module = await load();
  if (mine !== turn || !me) return;
  main.dataset.view = name;
  show(main, h("h1", { class: "unseen" }, title));
  leave = module.open(main, parameters, context());
  window.scrollTo(0, 0);
}

function welcome(who, fromLogin = false) {
  me = who;
  if (fromLogin) main.focus();
  localStorage.setItem(REMEMBERED, "1");
  top.hidden = false;
  document.body.classList.remove("outside");
  const name = document.getElementById("who");
  show(name, h("b", {}, who.name), " ", h("span", {}, who.role));
  live.start((state) => {
    light.dataset.state = state;
    pulse();
  });
  delete main.dataset.view;
  route();
}

function pulse() {
  const now = live.rate();
  const words = { on: now ? `${rate(now)}/s` : "live", waiting: "reconnecting", off: "off" };
  say(light.lastElementChild, words[live.state]);
}

function outside(why = "") {
  turn += 1;
  leave?.end();
  leave = null;
  me = null;
  live.stop();
  localStorage.removeItem(REMEMBERED);
  top.hidden = true;
  document.body.classList.add("outside");
  document.title = "Log in · Isthmus";
  main.dataset.view = "login";
  loginView(main, why, (who) => welcome(who, true));
}

async function begin() {
  if (!localStorage.getItem(REMEMBERED)) return outside();
  try {
    return welcome(await get("/v1/me", {}, { ownSession: true }));
  } catch (problem) {
    return outside(problem.status === 401 ? "The session is over. Log in again." : problem.message);
  }
}

document.getElementById("leave").addEventListener("click", async () => {
  await tried(() => call("DELETE", "/v1/session"));
  outside();
  notice("Logged out.");
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the view's
  main.focus();
});
whenEnded(() => me && outside("The session is over. Log in again."));
window.addEventListener("hashchange", route);
setInterval(pulse, 1000);
begin();
