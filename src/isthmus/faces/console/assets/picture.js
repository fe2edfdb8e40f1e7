// One image, large, with all that is known of it. Arrow keys go to the next and the previous one.

import { get, image, thumbnail } from "/assets/api.js";
import { button, h, put, show } from "/assets/dom.js";
import { address } from "/assets/filters.js";
import { count, located, placeName, position, second, size, tr, utc } from "/assets/words.js";

const KNOWN = { exif: "from the picture (EXIF)", server: "from the storage server", client: "from the client" };

const from = (who) => (who ? h("span", { class: "soft" }, ` ${KNOWN[who] ? tr(KNOWN[who]) : who}`) : null);
const code = (text) => h("code", {}, text);

/** The rows of facts: what an event tells at once, and the rest when the whole request has come. */
function facts(item, whole) {
  const { filed } = item;
  const wish = whole?.wish ?? {};
  const rows = [
    ["Record", h("b", {}, item.record)],
    ["Environment", h("a", { href: address("wall", { environment: item.environment }) }, item.environment)],
    [
      "Place",
      [
        h("a", { href: address("wall", { place: filed.place }) }, placeName(filed)),
        filed.country ? `, ${filed.country}` : "",
        from(filed.place_from),
      ],
    ],
    [
      "Position",
      located(filed) && [position(filed), " ", h("a", { href: address("map", { place: filed.place }) }, tr("Map"))],
    ],
    [
      "Taken",
      filed.taken
        ? [second(filed.taken), from(filed.taken_from), h("br"), h("span", { class: "soft" }, utc(filed.taken))]
        : tr("Unknown time"),
    ],
    ["Camera", filed.camera],
    [
      "Size",
      `${count(filed.width)} × ${count(filed.height)} px, ${size(filed.size)}, ${String(filed.format).toUpperCase()}`,
    ],
    [
      "Tags",
      item.tags?.length &&
        item.tags.map((tag) => [h("a", { class: "chip", href: address("wall", { tag }) }, tag), " "]),
    ],
    [
      "Left aside",
      filed.flaws?.length &&
        h(
          "ul",
          { class: "plain" },
          filed.flaws.map((flaw) => h("li", {}, flaw)),
        ),
    ],
    ["Path", code(filed.path)],
    ["Digest", code(filed.digest)],
    ["Digest as it came", filed.source_digest !== filed.digest && code(filed.source_digest)],
    ["Looks like", filed.phash && code(filed.phash)],
    ["Address", wish.address && code(wish.address)],
    ["Batch", h("a", { href: address("wall", { batch: item.batch }) }, item.batch)],
    ["Asked by", item.owner],
    ["Arrived", second(whole?.changed ?? item.at ?? item.changed)],
    ["Tries", whole && count(whole.attempts)],
    ["Trace", whole?.trace && code(whole.trace)],
  ];
  return rows.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, tr(name)), put(h("dd", {}), [value])]);
}

/** Show an image. `step(request, by)` returns its neighbour; `closed(request)` learns where it ended. */
export function picture(first, { step, closed }) {
  let item = first;
  let asked = null;
  const shown = h("img", { class: "large", alt: "" });
  const stand = h("img", { class: "large behind", alt: "" });
  const gone = h(
    "p",
    { class: "gone", hidden: true },
    tr("The image cannot be shown; it may have been removed since."),
  );
  const list = h("dl", { class: "facts" });
  const title = h("h2", { id: "picture-title" });
  const original = h("a", { class: "button", target: "_blank", rel: "noopener" }, tr("Open the file"));
  const before = button("‹", () => go(-1), { class: "step before", "aria-label": tr("Previous image") });
  const after = button("›", () => go(1), { class: "step after", "aria-label": tr("Next image") });
  const dialog = h(
    "dialog",
    { class: "picture", "aria-labelledby": "picture-title" },
    h("div", { class: "frame" }, stand, shown, gone, before, after),
    h(
      "section",
      { class: "about", tabindex: 0, "aria-label": tr("Facts") },
      h(
        "div",
        { class: "about-head" },
        title,
        button("×", () => dialog.close(), { class: "quiet", "aria-label": tr("Close") }),
      ),
      list,
      original,
    ),
  );

  function fill(whole) {
    show(list, facts(item, whole));
  }
  async function turn(to) {
    item = to;
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    show(title, item.record);
    gone.hidden = true;
    shown.classList.remove("there");
    shown.alt = tr("Image of record {}, {}", item.record, placeName(item.filed));
    stand.src = thumbnail(item.filed.digest, 256);
    shown.src = image(item.filed.digest);
    original.href = image(item.filed.digest);
    before.disabled = !step(item.request, -1);
    after.disabled = !step(item.request, 1);
    fill(null);
    try {
      const whole = await get(`/v1/requests/${item.request}`, {}, { signal });
      if (!signal.aborted) fill(whole);
    } catch (problem) {
      if (!signal.aborted) put(list, [h("dt", {}, tr("Request")), h("dd", {}, problem.message)]);
    }
  }
  function go(by) {
    const to = step(item.request, by);
    if (to) turn(to);
  }

  shown.onload = () => shown.classList.add("there");
  shown.onerror = () => {
    gone.hidden = false;
  };
  stand.onerror = () => stand.removeAttribute("src");
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.altKey) return;
    event.preventDefault();
    go(by);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("a[href^='#']")) dialog.close();
  });
  dialog.addEventListener("close", () => {
    asked?.abort();
    dialog.remove();
    closed(item.request);
  });
  document.body.append(dialog);
  turn(first);
  dialog.showModal();
}
