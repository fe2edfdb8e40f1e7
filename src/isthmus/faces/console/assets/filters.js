// The filters that wall, map and failed list have in common. They live in the address, so that a view can be kept,
// shared, and gone back to. Times are in UTC there and in the browser's zone on the screen.

import { get } from "/assets/api.js";
import { h, show } from "/assets/dom.js";
import { tried } from "/assets/notices.js";
import { minute, tr } from "/assets/words.js";

const NAMES = ["environment", "place", "tag", "batch", "kind", "taken_from", "taken_until"];
const MOST_SUGGESTED = 200;
const TYPED_MS = 350;

const places = new Map();
const tags = new Set();

/** Read the parameters of an address; unknown and empty ones are left out. */
export function read(query) {
  const given = new URLSearchParams(query);
  return Object.fromEntries(NAMES.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
}

/** The address of a view with parameters. */
export function address(view, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/** Tell whether the image of an event is one that the filters let through, as the server would. */
export function lets(parameters, event) {
  const { environment, place, tag, batch, taken_from: from, taken_until: until } = parameters;
  const taken = event.filed?.taken ? Date.parse(event.filed.taken) : NaN;
  return (
    (!environment || event.environment === environment) &&
    (!place || event.filed?.place === place) &&
    (!tag || (event.tags ?? []).includes(tag)) &&
    (!batch || event.batch === batch) &&
    (!from || taken >= Date.parse(from)) &&
    (!until || taken < Date.parse(until))
  );
}

/** Remember the places and tags of images, to suggest them. */
export function remember(images) {
  for (const one of images) {
    if (one.filed && places.size < MOST_SUGGESTED) places.set(one.filed.place, one.filed.place_name);
    for (const tag of one.tags ?? []) if (tags.size < MOST_SUGGESTED) tags.add(tag);
  }
}

const local = (text) => {
  const when = new Date(text);
  if (!text || Number.isNaN(when.getTime())) return "";
  return new Date(when - when.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
};
/** The folder's name of a place that was typed, be it that name already or the one for people. */
function folderOf(typed) {
  const wanted = typed.toLowerCase();
  const names = [...places];
  const found =
    names.find(([, name]) => name?.toLowerCase() === wanted) ??
    names.find(([, name]) => name?.toLowerCase().split(",")[0] === wanted);
  return places.has(typed) || !found ? typed : found[0];
}
const global = (text) => (text ? new Date(text).toISOString().replace(".000", "") : "");

function choice(name, label, everything) {
  const select = h("select", { id: `by-${name}`, name }, h("option", { value: "" }, everything));
  return [select, h("label", { class: "field" }, h("span", {}, label), select)];
}

function typed(name, label, given) {
  const input = h("input", { id: `by-${name}`, name, autocomplete: "off", spellcheck: "false", ...given });
  return [input, h("label", { class: "field" }, h("span", {}, label), input)];
}

function offer(select, options, chosen) {
  const known = options.some(([value]) => value === chosen);
  const first = select.firstElementChild;
  show(
    select,
    first,
    options.map(([value, text]) => h("option", { value }, text)),
    chosen && !known ? h("option", { value: chosen }, chosen) : null,
  );
  select.value = chosen ?? "";
}

/** The bar. `kinds` are offered as one more filter. Changes go into the address; `set` follows it. */
export function filterBar(view, parameters, kinds = []) {
  let current = parameters;
  let timer = 0;
  const [environment, environmentField] = choice("environment", tr("Environment"), tr("All"));
  const [batch, batchField] = choice("batch", tr("Batch"), tr("All"));
  const [kind, kindField] = choice("kind", tr("Kind"), tr("All"));
  const [place, placeField] = typed("place", tr("Place"), { list: "places", placeholder: tr("Any") });
  const [tag, tagField] = typed("tag", tr("Tag"), { list: "tags", placeholder: tr("Any") });
  const [from, fromField] = typed("taken_from", tr("Taken from"), { type: "datetime-local" });
  const [until, untilField] = typed("taken_until", tr("Taken until"), { type: "datetime-local" });
  const clear = h("button", { type: "button", class: "quiet clear" }, tr("Clear"));
  const toggle = h("button", { type: "button", class: "quiet toggle", "aria-expanded": "false" }, tr("Filters"));
  const bar = h(
    "form",
    { class: "filters", role: "search", "aria-label": tr("Filters") },
    toggle,
    h(
      "div",
      { class: "fields" },
      environmentField,
      placeField,
      tagField,
      kinds.length ? kindField : null,
      batchField,
      fromField,
      untilField,
      clear,
      h("datalist", { id: "places" }),
      h("datalist", { id: "tags" }),
    ),
  );

  const apply = () => {
    const chosen = {
      environment: environment.value,
      place: folderOf(place.value.trim()),
      tag: tag.value.trim(),
      batch: batch.value,
      kind: kind.value,
      taken_from: global(from.value),
      taken_until: global(until.value),
    };
    const next = address(view, chosen);
    if (next !== address(view, current)) location.hash = next;
  };
  const suggest = () => {
    show(
      bar.querySelector("#places"),
      [...places].map(([value, name]) => h("option", { value }, name)),
    );
    show(
      bar.querySelector("#tags"),
      [...tags].map((value) => h("option", { value })),
    );
  };
  const set = (given) => {
    current = given;
    offer(
      environment,
      [...environment.options].slice(1).map((one) => [one.value, one.textContent]),
      given.environment,
    );
    offer(
      batch,
      [...batch.options].slice(1).map((one) => [one.value, one.textContent]),
      given.batch,
    );
    offer(
      kind,
      kinds.map((one) => [one, one]),
      given.kind,
    );
    for (const [field, text] of [
      [place, given.place],
      [tag, given.tag],
    ]) {
      if (document.activeElement !== field) field.value = text ?? "";
    }
    from.value = local(given.taken_from);
    until.value = local(given.taken_until);
    const active = Object.keys(given).length;
    clear.disabled = !active;
    toggle.textContent = active ? tr("Filters ({})", active) : tr("Filters");
  };
  const fill = () =>
    tried(async () => {
      const [around, batches] = await Promise.all([get("/v1/environments"), get("/v1/batches", { most: 50 })]);
      offer(
        environment,
        around.map((one) => [one.environment, one.environment]),
        current.environment,
      );
      offer(
        batch,
        batches.map((one) => [one.batch, `${one.label || one.batch} · ${minute(one.made)}`]),
        current.batch,
      );
    });

  bar.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  bar.addEventListener("change", apply);
  bar.addEventListener("focusin", suggest);
  for (const field of [place, tag]) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(apply, TYPED_MS);
    });
  }
  clear.addEventListener("click", () => {
    location.hash = address(view);
    (getComputedStyle(toggle).display === "none" ? environment : toggle).focus();
  });
  toggle.addEventListener("click", () => {
    const open = bar.classList.toggle("open");
    toggle.setAttribute("aria-expanded", String(open));
  });
  set(parameters);
  fill();
  return { bar, set, end: () => clearTimeout(timer) };
}
