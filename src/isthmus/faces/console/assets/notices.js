// Says things: short notices that go by themselves, and words for screen readers, not more often than one can hear.

import { button, h } from "/assets/dom.js";
import { tr } from "/assets/words.js";

const STAYS_MS = 6000;
const MOST = 4;
const REST_MS = 5000;
const GATHER_MS = 500;

const place = document.getElementById("notices");
const polite = document.getElementById("said");
const alarm = document.getElementById("alarm");

/** Show a notice for a while; `wrong` ones stay until they are dismissed. */
export function notice(text, wrong = false) {
  const drop = () => card.remove();
  const card = h(
    "div",
    { class: wrong ? "notice wrong" : "notice" },
    h("span", {}, text),
    button("×", drop, { class: "quiet", "aria-label": tr("Dismiss") }),
  );
  place.append(card);
  while (place.children.length > MOST) place.firstElementChild.remove();
  if (!wrong) setTimeout(drop, STAYS_MS);
  (wrong ? alarm : polite).textContent = text;
}

/** Do something that may be refused; the refusal is shown. Returns what it returned, undefined after a refusal. */
export async function tried(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) notice(error.message, true);
    return undefined;
  }
}

let arrivals = 0;
let timer = 0;
let saidAt = -REST_MS;

/** Count arrivals and say them together, at most every few seconds. */
export function arrived(number) {
  arrivals += number;
  if (timer) return;
  timer = setTimeout(
    () => {
      polite.textContent = tr(arrivals === 1 ? "{} new image" : "{} new images", arrivals);
      arrivals = 0;
      timer = 0;
      saidAt = performance.now();
    },
    Math.max(GATHER_MS, saidAt + REST_MS - performance.now()),
  );
}
