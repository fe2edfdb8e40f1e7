// The environments: how much waits in each, for how long, and whether its agents are heard of.

import { get } from "/assets/api.js";
import { button, h, nothing, say, show } from "/assets/dom.js";
import { address } from "/assets/filters.js";
import { ago, count, lasting, second } from "/assets/words.js";

const EVERY_MS = 3000;
const SHOWN = ["queued", "leased", "waiting", "following", "paused"];
const SILENT_S = 90;

class Environments {
  constructor(place, _, { me }) {
    this.me = me;
    this.cards = new Map();
    this.list = h("ul", { class: "environments", role: "list" });
    this.rest = h("div", { class: "over-list" });
    place.append(
      h("div", { class: "bar" }, h("div", { class: "bar-title", "aria-hidden": "true" }, "Environments")),
      h("div", { class: "scroller page" }, this.list, this.rest),
    );
    this.read();
  }

  end() {
    this.over = true;
    clearTimeout(this.timer);
  }

  changed() {}

  async read() {
    clearTimeout(this.timer);
    try {
      if (!document.hidden || !this.cards.size) this.draw(await get("/v1/environments"));
    } catch (problem) {
      if (!this.over && !this.cards.size)
        show(
          this.rest,
          nothing(
            "The environments could not be loaded",
            problem.message,
            button("Try again", () => this.read(), { class: "main" }),
          ),
        );
    }
    if (!this.over) this.timer = setTimeout(() => this.read(), EVERY_MS);
  }

  draw(found) {
    if (this.over) return;
    const names = new Set(found.map((one) => one.environment));
    for (const [name, card] of this.cards)
      if (!names.has(name)) {
        card.element.remove();
        this.cards.delete(name);
      }
    for (const one of found) {
      if (!this.cards.has(one.environment)) {
        const card = make(one.environment);
        this.cards.set(one.environment, card);
        this.list.append(card.element);
      }
      fill(this.cards.get(one.environment), one, this.me);
    }
    show(
      this.rest,
      found.length
        ? null
        : nothing(
            "No environment yet",
            "One appears with its first request; its agent is started there by “isthmus agent --environment NAME”.",
          ),
    );
  }
}

function make(name) {
  const numbers = SHOWN.map((state) => [state, h("dd", {}, "0")]);
  const oldest = h("dd", {});
  const agents = h("ul", { class: "plain agents" });
  const links = h(
    "p",
    { class: "small" },
    h("a", { href: address("wall", { environment: name }) }, "Images"),
    " · ",
    h("a", { href: address("failed", { environment: name }) }, "Failed"),
  );
  const element = h(
    "li",
    { class: "environment" },
    h("div", { class: "environment-head" }, h("h2", {}, name), links),
    h(
      "dl",
      { class: "depths" },
      numbers.map(([state, value]) =>
        h("div", {}, h("dt", {}, h("i", { class: `s-${state}`, "aria-hidden": "true" }), state), value),
      ),
      h("div", {}, h("dt", {}, "oldest"), oldest),
    ),
    agents,
  );
  return { element, numbers, oldest, agents };
}

function fill(card, one, me) {
  for (const [state, value] of card.numbers) say(value, count(one.counts[state] ?? 0));
  say(card.oldest, one.counts.queued ? lasting(one.oldest_s) : "–");
  const shape = JSON.stringify(one.agents.map((agent) => agent.agent));
  if (card.agents.dataset.shape !== shape || !card.agents.firstChild) {
    card.agents.dataset.shape = shape;
    const none =
      me.role === "client"
        ? "Viewers and operators see the agents."
        : "No agent was heard of since this server started.";
    show(
      card.agents,
      one.agents.length
        ? one.agents.map((agent) =>
            h(
              "li",
              {},
              h("i", { class: "dot", "aria-hidden": "true" }),
              h("b", {}, agent.agent),
              " ",
              h("span", { class: "soft" }),
            ),
          )
        : h("li", { class: "soft" }, none),
    );
  }
  one.agents.forEach((agent, at) => {
    const line = card.agents.children[at];
    const silent = (Date.now() - Date.parse(agent.heard)) / 1000 > SILENT_S;
    line.dataset.silent = silent;
    line.title = second(agent.heard);
    say(line.lastElementChild, `${silent ? "silent, last heard" : "heard"} ${ago(agent.heard)}`);
  });
}

export const open = (place, parameters, context) => new Environments(place, parameters, context);
