// What the server refuses is said on the page, in its own words (RFC 9457), and never swapped into it.

const LASTS_MS = 12_000;

function say(text) {
  let region = document.querySelector(".notices");
  if (!region) {
    region = document.createElement("div");
    region.className = "notices";
    region.setAttribute("role", "alert");
    document.body.append(region);
  }
  const notice = document.createElement("div");
  notice.className = "notice";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "quiet";
  close.textContent = "×";
  close.setAttribute("aria-label", document.querySelector("#keys form button")?.textContent ?? "×");
  close.addEventListener("click", () => notice.remove());
  notice.append(words, close);
  region.append(notice);
  setTimeout(() => notice.remove(), LASTS_MS);
}

function told(ctx) {
  try {
    const problem = JSON.parse(ctx.text);
    return [problem.title, problem.detail, problem.hint].filter(Boolean).join(" · ");
  } catch {
    const page = new DOMParser().parseFromString(ctx.text ?? "", "text/html");
    return page.querySelector("main, .page, body")?.innerText?.trim().slice(0, 500) || `${ctx.response.status}`;
  }
}

export function notices() {
  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    ctx.refused = true;
    if (!ctx.sourceElement?.closest?.("[data-live]")) say(told(ctx));
  });
  document.addEventListener("htmx:before:swap", (event) => {
    if (event.detail.ctx?.refused) event.preventDefault();
  });
}
