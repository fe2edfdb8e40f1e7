// Asks for an API key and turns it into a session.

import { post } from "/assets/api.js";
import { h, say, show } from "/assets/dom.js";

/** Show the form; `welcome(me)` goes on. */
export function loginView(place, why, welcome) {
  const field = h("input", {
    id: "key",
    type: "password",
    autocomplete: "current-password",
    required: true,
    maxlength: 256,
    spellcheck: "false",
    placeholder: "isk_…",
    "aria-describedby": "key-wrong",
  });
  const wrong = h("p", { id: "key-wrong", class: "wrong-text", role: "alert" }, why);
  const send = h("button", { type: "submit", class: "main" }, "Log in");
  const form = h(
    "form",
    { class: "login" },
    h("img", { src: "/assets/icon.svg", alt: "", width: 36, height: 36 }),
    h("h1", {}, "Isthmus"),
    h("p", { class: "soft" }, "Images from every network, as they arrive."),
    h("input", { type: "text", autocomplete: "username", value: "isthmus", hidden: true, "aria-hidden": "true" }),
    h("label", { for: "key" }, "API key"),
    field,
    wrong,
    send,
    h(
      "p",
      { class: "soft small" },
      "A key of role client, viewer or operator opens this page. ",
      "An operator makes one with ",
      h("code", {}, "isthmus acquire keys add"),
      ". Programs: see ",
      h("a", { href: "/docs" }, "/docs"),
      ".",
    ),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    say(wrong, "");
    try {
      welcome(await post("/v1/session", { key: field.value.trim() }, { ownSession: true }));
    } catch (problem) {
      say(
        wrong,
        problem.status === 401
          ? "This key does not open the page. Look whether it is whole and not revoked."
          : problem.message,
      );
      field.setAttribute("aria-invalid", "true");
      field.select();
    } finally {
      send.disabled = false;
    }
  });
  show(place, form);
  field.focus();
}
