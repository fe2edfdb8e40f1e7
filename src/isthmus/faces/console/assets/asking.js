// Asks for images: a table or JSON lines as a file, or a few addresses typed. Mistakes are shown by their lines, and
// nothing is taken until there are none.

import { at, call, get, once, Problem } from "/assets/api.js";
import { button, h, say, show } from "/assets/dom.js";
import { notice, tried } from "/assets/notices.js";
import { many, size } from "/assets/words.js";

const TYPES = {
  csv: "text/csv",
  jsonl: "application/x-ndjson",
  ndjson: "application/x-ndjson",
  json: "application/json",
};
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;
const SHOWN = 4000;

/** Make requests of typed lines: an address each, or a record's id and an address. Returns them with their lines. */
export function wishes(text, environment, tags) {
  const taken = new Set();
  const found = [];
  text.split("\n").forEach((raw, index) => {
    const typed = raw.trim();
    if (!typed) return;
    const parts = SCHEME.test(typed) ? null : /^(\S+)\s+(.+)$/.exec(typed);
    const address = parts ? parts[2] : typed;
    const wanted = parts ? parts[1] : recordOf(address);
    let record = wanted;
    for (let again = 2; !parts && taken.has(record); again += 1) record = `${wanted}-${again}`;
    taken.add(record);
    found.push({ line: index + 1, wish: { address, environment, record, ...(tags.length ? { tags } : {}) } });
  });
  return found;
}

function recordOf(address) {
  const path = address.replace(/[?#].*$/, "").replace(/\/+$/, "");
  const last = path.slice(path.lastIndexOf("/") + 1).replace(/\.[A-Za-z0-9]{1,5}$/, "");
  return last || "image";
}

/** Open the dialog; `taken(batch)` learns the new batch's name. */
export function asking(taken) {
  let file = null;
  let key = once();
  const label = h("input", {
    id: "ask-label",
    maxlength: 200,
    autocomplete: "off",
    placeholder: "For people; may stay empty",
  });
  const environment = h("input", {
    id: "ask-environment",
    list: "ask-environments",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "video",
  });
  const tags = h("input", { id: "ask-tags", autocomplete: "off", placeholder: "road, night" });
  const lines = h("textarea", {
    id: "ask-lines",
    rows: 5,
    spellcheck: "false",
    "aria-describedby": "ask-how",
    placeholder: "https://store.example/2026/a.jpg\nrecord-17 https://store.example/2026/b.jpg",
  });
  const chooser = h("input", {
    type: "file",
    id: "ask-file",
    class: "unseen",
    accept: ".csv,.jsonl,.ndjson,.json,text/csv,application/json",
  });
  const chosen = h("span", {}, "Drop a CSV, JSON or JSON lines file here");
  const remove = button("Remove", () => choose(null), { class: "quiet", hidden: true });
  const drop = h(
    "div",
    { class: "drop" },
    chosen,
    h("label", { class: "button quiet", for: "ask-file" }, "Choose a file"),
    chooser,
    remove,
  );
  const typed = h(
    "fieldset",
    { class: "typed" },
    h("legend", {}, "Or type a few addresses"),
    h("label", { class: "field" }, h("span", {}, "Environment"), environment),
    h("datalist", { id: "ask-environments" }),
    h("label", { class: "field" }, h("span", {}, "Tags"), tags),
    h("label", { class: "field wide" }, h("span", {}, "Addresses"), lines),
    h(
      "p",
      { class: "soft small wide", id: "ask-how" },
      "One a line. A record’s id may stand before the address; else the file’s name is taken.",
    ),
  );
  const wrong = h("div", { class: "mistakes", role: "alert" });
  const send = h("button", { type: "submit", class: "main" }, "Ask");
  const form = h(
    "form",
    {},
    h(
      "div",
      { class: "about-head" },
      h("h2", { id: "ask-title" }, "Ask for images"),
      button("×", () => dialog.close(), { class: "quiet", "aria-label": "Close" }),
    ),
    h("label", { class: "field" }, h("span", {}, "Label"), label),
    drop,
    h(
      "p",
      { class: "soft small" },
      "A table’s columns are those of the API: address, environment, record; and priority, deadline, tags, place, taken … as you like. Up to 100,000 lines.",
    ),
    typed,
    wrong,
    h(
      "div",
      { class: "steps" },
      button("Not now", () => dialog.close(), { class: "quiet" }),
      send,
    ),
  );
  const dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title" }, form);

  function choose(given) {
    file = given;
    key = once();
    say(chosen, file ? `${file.name} · ${size(file.size)}` : "Drop a CSV, JSON or JSON lines file here");
    drop.classList.toggle("full", Boolean(file));
    remove.hidden = !file;
    typed.disabled = Boolean(file);
    chooser.value = ""; // so that the same file, mended, can be chosen again
    show(wrong);
  }
  function mistakes(problem, lineOf) {
    const text = problem.lines?.length ? `${problem.message}. Mend these and ask again.` : problem.message;
    show(
      wrong,
      h("p", {}, text),
      h(
        "ol",
        {},
        (problem.lines ?? []).map((one) =>
          h("li", {}, h("b", {}, lineOf(one.line)), " ", one.what.slice(0, SHOWN)),
        ),
      ),
      problem.more ? h("p", { class: "soft" }, `and ${many(problem.more, "more", "more")}`) : null,
    );
    wrong.scrollIntoView({ block: "nearest" });
  }
  async function ask() {
    const path = at("/v1/acquisitions", { label: label.value.trim() });
    const headers = { "idempotency-key": key };
    if (file) {
      await file
        .slice(0, 1)
        .arrayBuffer()
        .catch(() => {
          throw new Problem(0, "The file was changed or removed since it was chosen: choose it again.");
        });
      const type = TYPES[file.name.toLowerCase().split(".").pop()] ?? file.type;
      return call("POST", path, file, { headers: { ...headers, "content-type": type || "text/csv" } });
    }
    const found = wishes(
      lines.value,
      environment.value.trim(),
      tags.value
        .split(",")
        .map((one) => one.trim())
        .filter(Boolean),
    );
    return call(
      "POST",
      path,
      found.map((one) => one.wish),
      { headers },
    );
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!file && !lines.value.trim()) {
      mistakes({ message: "Choose a file or type an address first." }, String);
      (file ? chooser : lines).focus();
      return;
    }
    send.disabled = true;
    say(send, "Asking …");
    try {
      const told = await ask();
      dialog.close();
      notice(`${many(told.requests, "request")} taken as ${told.batch}${told.again ? ", as before" : ""}.`);
      taken(told.batch);
    } catch (problem) {
      const typedLines = file ? [] : wishes(lines.value, "", []).map((one) => one.line);
      mistakes(problem, (line) => (line ? `Line ${typedLines[line - 1] ?? line}:` : "All of it:"));
      if (problem.status) key = once(); // an answer came: what is sent next is another batch
    } finally {
      send.disabled = false;
      say(send, "Ask");
    }
  });
  chooser.addEventListener("change", () => chooser.files[0] && choose(chooser.files[0]));
  for (const name of ["dragenter", "dragover"])
    dialog.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("near");
    });
  dialog.addEventListener("dragleave", () => drop.classList.remove("near"));
  dialog.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("near");
    if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
  });
  for (const field of [label, environment, tags, lines])
    field.addEventListener("input", () => {
      key = once();
    });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  tried(async () => {
    const known = await get("/v1/environments");
    show(
      dialog.querySelector("#ask-environments"),
      known.map((one) => h("option", { value: one.environment })),
    );
    if (known.length === 1 && !environment.value) environment.value = known[0].environment;
  });
}
