// What changes while one looks: the server tells which works changed; figures are asked for only while they are seen.

const AGAIN_MS = 3000;

function shown(element) {
  const box = element.getBoundingClientRect();
  return !document.hidden && box.bottom >= 0 && box.top <= innerHeight && box.width > 0;
}

export function live() {
  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    const polls = ctx?.sourceEvent?.type === "every";
    if (polls && ctx.sourceElement.matches("[data-live]") && !shown(ctx.sourceElement)) event.preventDefault();
  });
  const lamp = document.getElementById("live");
  if (lamp && "EventSource" in window) listen(lamp);
}

function listen(lamp) {
  const mark = (state) => {
    if (lamp.dataset.state === state) return;
    lamp.dataset.state = state;
    lamp.title = lamp.dataset[state];
    lamp.querySelector(".unseen").textContent = lamp.dataset[state];
  };
  const heard = (event) => {
    let told;
    try { told = JSON.parse(event.data); } catch { return; }
    for (const row of document.querySelectorAll(`[id="work-${CSS.escape(told.work?.id ?? "")}"]`)) row.dispatchEvent(new CustomEvent("changed"));
    document.body.dispatchEvent(new CustomEvent("works", { detail: told }));
  };
  let source;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource("/v1/events");
    source.addEventListener("open", () => mark("on"));
    source.addEventListener("error", () => {
      mark("off");
      if (source?.readyState === EventSource.CLOSED) { close(); setTimeout(open, AGAIN_MS); }
    });
    for (const kind of ["state", "progress", "said", "ended"]) source.addEventListener(kind, heard);
  };
  const close = () => { source?.close(); source = undefined; };
  // a browser has few connections to one server: a page that nobody sees holds none
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}
