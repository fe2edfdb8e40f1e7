// Batches as they go: how far, how fast, what fails, and the buttons that steer them.

import { get, steer } from "/assets/api.js";
import { asking } from "/assets/asking.js";
import { button, h, nothing, say, show } from "/assets/dom.js";
import { address } from "/assets/filters.js";
import { notice, tried } from "/assets/notices.js";
import { sure } from "/assets/sure.js";
import { count, lasting, many, minute, rate, STATES } from "/assets/words.js";

const PAGE = 50;
const EVERY_MS = 2000;
const SMOOTH = 0.35;
const LIVE = ["queued", "waiting", "following", "leased", "paused"];
const DONE_SAID = { cancel: "cancelled", pause: "paused", resume: "queued again", retry: "queued again" };

const sum = (counts, states) => states.reduce((all, state) => all + (counts[state] ?? 0), 0);

class Batches {
  constructor(place, _, { live, steers }) {
    this.steers = steers;
    this.cards = new Map();
    this.after = [];
    this.list = h("ol", { class: "batches", role: "list" });
    this.rest = h("div", { class: "over-list" });
    this.older = button("Show older batches", () => this.next(), { class: "quiet", hidden: true });
    const ask = steers ? button("Ask for images", () => this.ask(), { class: "main" }) : null;
    place.append(
      h(
        "div",
        { class: "bar" },
        h("div", { class: "bar-title", "aria-hidden": "true" }, "Batches"),
        h("div", { class: "bar-end" }, ask),
      ),
      h("div", { class: "scroller page" }, this.list, this.rest, this.older),
    );
    this.deaf = live.listen(() => this.soon());
    this.read();
  }

  end() {
    this.over = true;
    this.deaf();
    clearTimeout(this.timer);
  }

  changed() {}

  ask() {
    asking((batch) => {
      this.read(batch);
    });
  }

  /** Read again within the usual time, sooner than the next round where something happened. */
  soon() {
    if (this.due - Date.now() > EVERY_MS / 2) this.plan(EVERY_MS / 2);
  }

  plan(wait) {
    clearTimeout(this.timer);
    this.due = Date.now() + wait;
    this.timer = setTimeout(() => this.read(), wait);
  }

  async read(reveal = "") {
    if (document.hidden && this.read_once) {
      this.plan(EVERY_MS);
      return;
    }
    let found = null;
    try {
      found = await get("/v1/batches", { most: PAGE });
      for (const name of this.after) found.push(...(await get("/v1/batches", { most: PAGE, after: name })));
    } catch (problem) {
      if (!this.over && !this.read_once && problem.status !== 401) {
        show(
          this.rest,
          nothing(
            "The batches could not be loaded",
            problem.message,
            button("Try again", () => this.read(), { class: "main" }),
          ),
        );
      }
    }
    if (this.over) return;
    if (found) {
      this.read_once = true;
      this.draw(found);
      if (reveal) this.cards.get(reveal)?.element.scrollIntoView({ block: "nearest" });
    }
    const busy = found?.some((one) => !one.ended);
    this.plan(busy || !found ? EVERY_MS : EVERY_MS * 5);
  }

  async next() {
    const last = this.list.lastElementChild?.dataset.batch;
    if (last) this.after.push(last);
    await this.read();
  }

  draw(found) {
    const names = new Set(found.map((one) => one.batch));
    for (const [name, card] of this.cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.cards.delete(name);
    }
    let before = null;
    for (const batch of found) {
      const card = this.cards.get(batch.batch) ?? new Card(batch, this);
      this.cards.set(batch.batch, card);
      card.draw(batch);
      const should = before ? before.nextElementSibling : this.list.firstElementChild;
      if (should !== card.element) this.list.insertBefore(card.element, should);
      before = card.element;
    }
    this.older.hidden = found.length < PAGE * (this.after.length + 1);
    show(
      this.rest,
      found.length
        ? null
        : nothing(
            "No batches yet",
            this.steers
              ? "Drop a table of addresses here, or type a few."
              : "They appear here when somebody asks for images.",
            this.steers ? button("Ask for images", () => this.ask(), { class: "main" }) : null,
          ),
    );
  }
}

class Card {
  constructor(batch, view) {
    this.view = view;
    this.speed = null;
    this.seen = null;
    this.title = h("h2", {});
    this.state = h("span", { class: "badge" });
    this.about = h("p", { class: "soft small" });
    this.bar = h(
      "div",
      { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 },
      STATES.map((state) => h("i", { class: `s-${state}` })),
    );
    this.counts = h("ul", { class: "counts", role: "list" });
    this.errors = h("ul", { class: "counts errors", role: "list" });
    this.steps = h("div", { class: "steps" });
    this.element = h(
      "li",
      { class: "batch", "data-batch": batch.batch },
      h("div", { class: "batch-head" }, h("div", {}, this.title, this.about), this.state, this.steps),
      this.bar,
      h("div", { class: "batch-foot" }, this.counts, this.errors),
    );
    this.buttons = view.steers ? this.makeButtons(batch) : {};
  }

  makeButtons(batch) {
    const named = batch.label || batch.batch;
    const act = (step) => async () => {
      if (
        step === "cancel" &&
        !(await sure(
          `Cancel “${named}”?`,
          "What has not come yet is given up. This cannot be undone.",
          "Cancel the batch",
        ))
      )
        return;
      const changed = await tried(() => steer(batch.batch, step));
      if (changed !== undefined) notice(`${many(changed, "request")} ${DONE_SAID[step]}.`);
      await this.view.read();
    };
    const make = (step, label) => {
      const made = button(label, act(step), { class: "quiet", "aria-label": `${label}: ${named}` });
      this.steps.append(made);
      return made;
    };
    return {
      retry: make("retry", "Retry failed"),
      pause: make("pause", "Pause"),
      resume: make("resume", "Resume"),
      cancel: make("cancel", "Cancel"),
    };
  }

  draw(batch) {
    const { counts } = batch;
    const total = sum(counts, STATES);
    const open = sum(counts, LIVE);
    const over = total - open;
    say(this.title, batch.label || batch.batch);
    this.pace(total - open, batch);
    const left =
      this.speed > 0 && open && !batch.paused
        ? ` · ${rate(this.speed)}/s · ${lasting(open / this.speed)} left`
        : "";
    say(
      this.about,
      `${batch.label ? `${batch.batch} · ` : ""}${batch.owner} · ${minute(batch.made)} · ${many(total, "request")}${left}`,
    );
    const word = batch.ended ? "ended" : batch.paused ? "paused" : "running";
    say(this.state, word);
    this.state.dataset.state = word;
    const percent = total ? Math.floor((over / total) * 100) : 0;
    this.bar.setAttribute("aria-valuenow", percent);
    this.bar.setAttribute("aria-label", `${batch.label || batch.batch}: ${percent} % ended`);
    [...this.bar.children].forEach((part, at) => {
      part.style.width = `${total ? ((counts[STATES[at]] ?? 0) / total) * 100 : 0}%`;
    });
    chips(
      this.counts,
      STATES.filter((state) => counts[state]).map((state) => [
        state,
        counts[state],
        state === "done"
          ? address("wall", { batch: batch.batch })
          : state === "failed" || state === "expired"
            ? address("failed", { batch: batch.batch })
            : "",
        `s-${state}`,
      ]),
    );
    chips(
      this.errors,
      Object.entries(batch.failures)
        .sort((one, other) => other[1] - one[1])
        .map(([kind, number]) => [kind, number, address("failed", { batch: batch.batch, kind }), "kind"]),
    );
    this.offer(batch, open);
  }

  pace(over, batch) {
    const now = Date.now();
    if (this.seen && now > this.seen.at + 500) {
      const current = (Math.max(0, over - this.seen.over) / (now - this.seen.at)) * 1000;
      this.speed = this.speed === null ? current : this.speed + (current - this.speed) * SMOOTH;
    }
    if (!this.seen || now > this.seen.at + 500) this.seen = { at: now, over };
    if (batch.ended) this.speed = null;
  }

  offer(batch, open) {
    const { retry, pause, resume, cancel } = this.buttons;
    if (!retry) return;
    retry.hidden = !sum(batch.counts, ["failed", "expired"]);
    pause.hidden = batch.paused || !open;
    resume.hidden = !batch.paused || !open;
    cancel.hidden = !open;
  }
}

/** Draw counted words into a list; nothing moves where only numbers change. */
function chips(list, wanted) {
  const shape = wanted.map(([word]) => word).join(" ");
  if (list.dataset.shape !== shape) {
    list.dataset.shape = shape;
    show(
      list,
      wanted.map(([word, , link, look]) => {
        const inner = [h("i", { class: look, "aria-hidden": "true" }), word, " ", h("b", {})];
        return h(
          "li",
          {},
          link ? h("a", { class: "count", href: link }, inner) : h("span", { class: "count" }, inner),
        );
      }),
    );
  }
  [...list.children].forEach((one, at) => say(one.querySelector("b"), count(wanted[at][1])));
}

export const open = (place, parameters, context) => new Batches(place, parameters, context);
