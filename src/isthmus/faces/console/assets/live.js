// One stream of server-sent events for the whole page. The browser resumes it with Last-Event-ID; where the server
// refused it, it is opened again after the last event that was seen. Events are handed on together, a few times a
// second, so that a thousand a second cost no more than ten.

import { at, get } from "/assets/api.js";

const GATHER_MS = 250;
const AGAIN_MS = 4000;
const RATE_S = 5;
const KINDS = ["done", "failed", "cancelled", "expired"];

export class Live {
  constructor() {
    this.listeners = new Set();
    this.last = "";
    this.source = null;
    this.waiting = [];
    this.timer = 0;
    this.state = "off";
    this.told = () => {};
    this.arrivals = [];
  }

  /** Begin to listen. `told(state)` learns "on", "waiting" or "off". */
  start(told) {
    this.told = told;
    this.open();
  }

  stop() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.again);
    clearTimeout(this.timer);
    this.timer = 0;
    this.waiting = [];
    this.last = "";
    this.become("off");
  }

  /** Hand events on to `listener(events)`; an empty list says that some may have been missed. Returns how to end. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Images that came in a second, over the last few. */
  rate() {
    const since = Date.now() - RATE_S * 1000;
    while (this.arrivals.length && this.arrivals[0][0] < since) this.arrivals.shift();
    return this.arrivals.reduce((sum, [, number]) => sum + number, 0) / RATE_S;
  }

  open() {
    const source = new EventSource(at("/v1/events", { after: this.last }));
    this.source = source;
    source.onopen = () => {
      const anew = this.state === "waiting" && this.last === "";
      this.become("on");
      if (anew) this.tell([]);
    };
    source.onerror = () => {
      this.become("waiting");
      if (source.readyState !== EventSource.CLOSED) return;
      clearTimeout(this.again);
      this.again = setTimeout(() => this.reopen(source), AGAIN_MS);
    };
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.take(event));
  }

  async reopen(refused) {
    if (this.source !== refused) return;
    try {
      await get("/v1/me"); // where the session is over, this leads to the login
    } catch (problem) {
      if (problem.status === 401) return;
    }
    if (this.source === refused) this.open();
  }

  take(event) {
    this.last = event.lastEventId;
    this.waiting.push(JSON.parse(event.data));
    if (!this.timer) {
      this.timer = setTimeout(() => {
        this.timer = 0;
        const events = this.waiting;
        this.waiting = [];
        this.arrivals.push([Date.now(), events.filter((one) => one.kind === "done").length]);
        this.tell(events);
      }, GATHER_MS);
    }
  }

  tell(events) {
    for (const listener of [...this.listeners]) listener(events);
  }

  become(state) {
    this.state = state;
    this.told(state);
  }
}
