// Makes elements. Texts become text nodes and nothing else, so that no string of a request is ever markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.setAttribute("class", value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  put(node, children);
  return node;
}

/** Make an element: h("a", {href, onclick}, "text", node, …). */
export function h(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

/** The same for SVG. */
export function s(tag, given = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), given, children);
}

/** Append children: nodes as they are, all else as text; nothing for null and false. */
export function put(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** Replace what a node holds. */
export function show(node, ...children) {
  node.replaceChildren();
  return put(node, children);
}

/** Set a text only where it changes, so that nothing is laid out in vain. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A button with an action; while the action runs it cannot be pressed again. */
export function button(label, action, given = {}) {
  const made = h("button", { type: "button", ...given }, label);
  made.addEventListener("click", async (event) => {
    if (made.getAttribute("aria-busy") === "true") return;
    made.setAttribute("aria-busy", "true");
    try {
      await action(event);
    } finally {
      made.removeAttribute("aria-busy");
    }
  });
  return made;
}

/** What a list shows when there is nothing in it: what is so, and what to do. */
export function nothing(title, advice, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, advice), ...more);
}
