// Asks whether something that cannot be undone is meant.

import { button, h } from "/assets/dom.js";

/** Ask whether something is meant. */
export function sure(title, text, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const dialog = h(
      "dialog",
      { class: "sure", "aria-labelledby": "sure-title" },
      h("h2", { id: "sure-title" }, title),
      h("p", {}, text),
      h(
        "div",
        { class: "steps" },
        button("No", () => dialog.close(), { class: "quiet" }),
        button(
          yes,
          () => {
            answer = true;
            dialog.close();
          },
          { class: "main danger" },
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
