// What did not come, and why; and the buttons that try it again: one, all of a kind, a whole batch.

import { get, steer } from "/assets/api.js";
import { button, h, nothing, say, show } from "/assets/dom.js";
import { address, filterBar } from "/assets/filters.js";
import { notice, tried } from "/assets/notices.js";
import { count, KINDS, many, minute } from "/assets/words.js";

const PAGE = 100;
const MOST = 1000;
const ALL = 1000;
const STATES = "failed,expired";
const REST_MS = 1500;

class Failed {
  constructor(place, parameters, { live, steers }) {
    this.parameters = parameters;
    this.steers = steers;
    this.filters = filterBar("failed", parameters, Object.keys(KINDS));
    this.total = h("span", { class: "soft" });
    this.all = steers ? button("", () => this.retryAll(), { class: "main", hidden: true }) : null;
    this.body = h("tbody", {});
    this.table = h(
      "table",
      { class: "failures" },
      h("caption", { class: "unseen" }, "Requests that failed or expired, newest first"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Record", "Environment", "Kind", "Reason", "Tries", "When", "Batch"].map((name) =>
            h("th", { scope: "col" }, name),
          ),
          steers ? h("th", { scope: "col" }, h("span", { class: "unseen" }, "Retry")) : null,
        ),
      ),
      this.body,
    );
    this.rest = h("div", { class: "over-list" });
    this.older = button("Show more", () => this.load(), { class: "quiet", hidden: true });
    this.news = button("", () => this.changed(this.parameters), { class: "pill", hidden: true });
    place.append(
      h("div", { class: "bar" }, this.filters.bar, h("div", { class: "bar-end" }, this.total, this.all)),
      h(
        "div",
        { class: "stage" },
        h(
          "div",
          { class: "scroller page", tabindex: 0, role: "region", "aria-label": "Failed requests" },
          this.table,
          this.rest,
          this.older,
        ),
        this.news,
      ),
    );
    this.deaf = live.listen((events) => this.hear(events));
    this.clear();
    this.load();
  }

  end() {
    this.deaf();
    this.filters.end();
    this.asked?.abort();
    clearTimeout(this.timer);
  }

  changed(parameters) {
    this.parameters = parameters;
    this.filters.set(parameters);
    this.clear();
    return this.load();
  }

  clear() {
    this.asked?.abort();
    this.rows = new Map();
    this.before = 0;
    this.missed = 0;
    this.news.hidden = true;
    show(this.body);
    show(this.rest);
    this.table.hidden = true;
    this.older.hidden = true;
    this.tell(true);
  }

  async load() {
    const asked = new AbortController();
    this.asked = asked;
    let found;
    try {
      found = await get(
        "/v1/requests",
        { ...this.parameters, state: STATES, newest: true, most: PAGE, after: this.before || "" },
        { signal: asked.signal },
      );
    } catch (problem) {
      if (!asked.signal.aborted)
        show(
          this.rest,
          nothing(
            "The list could not be loaded",
            problem.message,
            button("Try again", () => this.changed(this.parameters), { class: "main" }),
          ),
        );
      return;
    }
    if (asked.signal.aborted) return;
    for (const line of found) this.add(line);
    this.before = found.at(-1)?.request ?? this.before;
    this.older.hidden = found.length < PAGE || this.rows.size >= MOST;
    this.tell(found.length < PAGE);
  }

  add(line) {
    if (this.rows.has(line.request)) return;
    const kind = line.failure?.kind ?? line.state;
    const again = this.steers
      ? h(
          "td",
          { class: "c-act" },
          button("Retry", () => this.retry(line), { class: "quiet", "aria-label": `Retry ${line.wish.record}` }),
        )
      : null;
    const row = h(
      "tr",
      {},
      h("th", { scope: "row", class: "c-record" }, line.wish.record),
      h("td", { "data-name": "Environment" }, line.wish.environment),
      h(
        "td",
        { "data-name": "Kind" },
        h(
          "a",
          {
            class: "badge",
            "data-state": "failed",
            title: KINDS[kind] ?? "Its deadline passed.",
            href: KINDS[kind] ? address("failed", { ...this.parameters, kind }) : null,
          },
          kind,
        ),
      ),
      h(
        "td",
        { class: "c-reason" },
        line.failure?.reason ?? "Its deadline passed.",
        h("div", { class: "soft small address" }, line.wish.address),
      ),
      h("td", { class: "number", "data-name": "Tries" }, count(line.attempts)),
      h("td", { "data-name": "When", class: "when" }, minute(line.changed)),
      h(
        "td",
        { "data-name": "Batch" },
        h("a", { href: address("failed", { ...this.parameters, batch: line.batch }) }, line.batch),
      ),
      again,
    );
    this.rows.set(line.request, row);
    this.body.append(row);
  }

  tell(complete) {
    const size = this.rows.size;
    const some = size ? `${count(size)}${complete ? "" : "+"}` : "";
    this.complete = complete;
    say(this.total, size ? `${some} failed` : "");
    this.table.hidden = !size;
    const { kind, batch } = this.parameters;
    if (this.all) {
      this.all.hidden = !size;
      say(this.all, `Retry all ${some}${kind ? ` ${kind}` : ""}${batch ? " of the batch" : ""}`);
    }
    if (size || (!this.before && !complete)) show(this.rest);
    else if (!this.asked || this.asked.signal.aborted) show(this.rest);
    else {
      show(
        this.rest,
        Object.keys(this.parameters).length
          ? nothing("Nothing that failed fits these filters", "Widen or clear them.")
          : nothing("Nothing failed", "What cannot be had is listed here, with the reason."),
      );
    }
  }

  hear(events) {
    const { environment, batch, kind } = this.parameters;
    const missed = events.filter(
      (one) =>
        (one.kind === "failed" || one.kind === "expired") &&
        !this.rows.has(one.request) &&
        (!environment || one.environment === environment) &&
        (!batch || one.batch === batch) &&
        (!kind || one.failure?.kind === kind),
    );
    for (const one of events) if (one.kind === "done" || one.kind === "cancelled") this.drop(one.request);
    if (!missed.length) return;
    this.missed += missed.length;
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      if (!this.rows.size) this.changed(this.parameters);
      else if (this.missed) {
        this.news.hidden = false;
        say(this.news, `${many(this.missed, "new failure")} ↑`);
      }
    }, REST_MS);
  }

  drop(request) {
    const row = this.rows.get(request);
    if (!row) return;
    if (row.contains(document.activeElement))
      (row.nextElementSibling ?? row.previousElementSibling)?.querySelector("button")?.focus();
    row.remove();
    this.rows.delete(request);
    this.tell(this.complete);
  }

  async retry(line) {
    const changed = await tried(() => steer(line.batch, "retry", [line.request]));
    if (changed === undefined) return;
    this.drop(line.request);
    notice(changed ? `${line.wish.record} is queued again.` : `${line.wish.record} had been queued before.`);
  }

  /** Try again all that the filters let through, batch by batch, also what is not listed yet. */
  async retryAll() {
    const { kind, environment, place, tag, taken_from: from, taken_until: until, batch } = this.parameters;
    await tried(async () => {
      let changed = 0;
      if (batch && !(kind || environment || place || tag || from || until)) changed = await steer(batch, "retry");
      else for (const [name, requests] of await this.everything()) changed += await steer(name, "retry", requests);
      notice(`${many(changed, "request")} queued again.`);
    });
    await this.changed(this.parameters);
  }

  async everything() {
    const batches = new Map();
    for (let before = 0, full = true; full;) {
      const found = await get("/v1/requests", {
        ...this.parameters,
        state: STATES,
        newest: true,
        most: ALL,
        after: before || "",
      });
      for (const line of found) {
        if (!batches.has(line.batch)) batches.set(line.batch, []);
        batches.get(line.batch).push(line.request);
      }
      full = found.length === ALL;
      before = found.at(-1)?.request;
    }
    return batches;
  }
}

export const open = (place, parameters, context) => new Failed(place, parameters, context);
