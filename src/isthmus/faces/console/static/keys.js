// Keys: `g` and a letter goes to a page, `/` to the filter, `?` shows them all, Escape closes what is open.

const typing = (element) => element.closest?.("input, textarea, select, [contenteditable]") !== null;
const WITHIN_MS = 1500;

export function keys() {
  const shown = document.getElementById("keys");
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape") {
      for (const open of document.querySelectorAll("details.look[open]")) open.open = false;
      return;
    }
    if (typing(event.target)) return;
    if (event.timeStamp - going < WITHIN_MS && going) {
      const link = document.querySelector(`.tabs a[data-key="${CSS.escape(event.key)}"]`);
      going = 0;
      if (link) { event.preventDefault(); link.click(); return; }
    }
    if (event.key === "g") going = event.timeStamp;
    else if (event.key === "/") {
      const filter = document.querySelector("[data-filter], main input[type=search], .filters input");
      if (filter) { event.preventDefault(); filter.focus(); filter.select?.(); }
    } else if (event.key === "?" && shown && !shown.open) { event.preventDefault(); shown.showModal(); }
  });
}
