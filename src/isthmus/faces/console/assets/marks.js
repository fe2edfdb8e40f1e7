// The circles on the map: one for each cluster, a button with the number of its images and, where there is room, the
// name of its place. Circles are kept by cluster, so that the focus stays while the map moves.

import { h, say } from "/assets/dom.js";
import { onScreen } from "/assets/projection.js";
import { count, many, placeName, town } from "/assets/words.js";

const LABELLED = 40;
const MOST_LABEL = 180;
const LETTER = 7.8;
const SIDES = { least: 24, most: 52, tenfold: 10 };

/** The name of what most images of a cluster show, and how many other places there are. */
export function nameOf(cluster, naming = placeName) {
  const names = new Map();
  for (const { item } of cluster.points) names.set(naming(item.filed), (names.get(naming(item.filed)) ?? 0) + 1);
  const [[first], ...others] = [...names].sort((one, other) => other[1] - one[1]);
  return others.length ? `${first} +${others.length}` : first;
}

export class Marks {
  /** `choose(cluster)` is called for a circle that is pressed. */
  constructor(choose) {
    this.choose = choose;
    this.element = h("div", { class: "marks" });
    this.marks = new Map();
  }

  /** Show clusters, the largest first, as a view of so many pixels has them. */
  draw(clusters, view, width, height, chosen) {
    const taken = clusters.map((cluster) => circle(cluster, onScreen(cluster, view, width, height)));
    const boxes = [...taken];
    const old = new Map(this.marks);
    clusters.forEach((cluster, at) => {
      const mark = this.marks.get(cluster.key) ?? this.make(cluster.key);
      old.delete(cluster.key);
      const label = nameOf(cluster, town);
      const side = at < LABELLED ? room(label, at, boxes, width) : "";
      place(mark, cluster, taken[at], side ? label : "", side);
      mark.classList.toggle("chosen", cluster.key === chosen);
    });
    for (const [key, mark] of old) {
      mark.remove();
      this.marks.delete(key);
    }
  }

  make(key) {
    const mark = h(
      "button",
      { type: "button", class: "mark" },
      h("span", { class: "circle" }),
      h("span", { class: "label" }),
    );
    mark.addEventListener("click", () => this.choose(mark.cluster));
    this.marks.set(key, mark);
    this.element.append(mark);
    return mark;
  }
}

/** The box that a cluster's circle takes up. */
function circle(cluster, [x, y]) {
  const { least, most, tenfold } = SIDES;
  const side = Math.round(Math.min(most, least + Math.log10(cluster.points.length) * tenfold));
  return { x, y, side, left: x - side / 2, right: x + side / 2, top: y - side / 2, bottom: y + side / 2 };
}

/** On which side of a circle a label has room; its box is added to those that are taken. Empty: on none. */
function room(label, at, boxes, width) {
  const { left, right, y } = boxes[at];
  const wide = Math.min(MOST_LABEL, label.length * LETTER) + 6;
  for (const [side, from, to] of [
    ["right", right, right + wide],
    ["left", left - wide, left],
  ]) {
    const box = { left: from, right: to, top: y - 9, bottom: y + 9 };
    const meets = (other, index) =>
      index !== at &&
      other.left < box.right &&
      other.right > box.left &&
      other.top < box.bottom &&
      other.bottom > box.top;
    if (from < 0 || to > width || boxes.some(meets)) continue;
    boxes.push(box);
    return side;
  }
  return "";
}

function place(mark, cluster, { x, y, side }, label, where) {
  const number = cluster.points.length;
  const name = nameOf(cluster);
  mark.cluster = cluster;
  mark.title = name;
  mark.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
  mark.style.setProperty("--side", `${side}px`);
  mark.classList.toggle("leftward", where === "left");
  mark.setAttribute("aria-label", `${name}: ${many(number, "image")}`);
  say(mark.firstElementChild, number > 9999 ? `${Math.round(number / 1000)}k` : count(number));
  say(mark.lastElementChild, label);
}
