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
    lamp.dataset.state = state;
    lamp.title = lamp.dataset[state];
    lamp.querySelector(".unseen").textContent = lamp.dataset[state];
  };
  const heard = (event) => {
    let told;
    try { told = JSON.parse(event.data); } catch { return; }
    const work = told.id ?? told.work;
    if (work) document.getElementById(`work-${work}`)?.dispatchEvent(new CustomEvent("changed"));
    document.body.dispatchEvent(new CustomEvent("works", { detail: told }));
  };
  const open = () => {
    const source = new EventSource("/v1/events");
    source.addEventListener("open", () => mark("on"));
    source.addEventListener("error", () => {
      mark("off");
      if (source.readyState === EventSource.CLOSED) setTimeout(open, AGAIN_MS);
    });
    for (const kind of ["message", "begun", "progress", "said", "changed", "ended", "work"]) source.addEventListener(kind, heard);
  };
  open();
  addEventListener("pagehide", () => mark("off"));
}
