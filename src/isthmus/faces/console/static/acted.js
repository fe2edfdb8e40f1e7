// What was started here stays in its corner until it is closed; what went well goes by itself after a while.

const LASTS_MS = 15_000;

export function acted() {
  const corner = document.getElementById("acted");
  if (!corner) return;
  const words = document.querySelector("#keys form button")?.textContent ?? "×";
  document.addEventListener("htmx:after:swap", () => {
    for (const row of corner.querySelectorAll(".work")) {
      if (!row.querySelector(".close")) {
        const close = document.createElement("button");
        close.type = "button";
        close.className = "quiet close";
        close.textContent = "×";
        close.setAttribute("aria-label", words);
        close.addEventListener("click", () => row.remove());
        row.querySelector("header")?.append(close);
      }
      if (row.dataset.state === "done" && !row.dataset.leaving) {
        row.dataset.leaving = "yes";
        setTimeout(() => { if (!row.matches(":hover, :focus-within")) row.remove(); }, LASTS_MS);
      }
    }
  });
}
