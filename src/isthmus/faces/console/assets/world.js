// The outline of the world as an SVG group, drawn once; the map only moves it. Its origin stands in world.md.

import { get } from "/assets/api.js";
import { s } from "/assets/dom.js";
import { project } from "/assets/projection.js";

const SIDE = 1000;
let loading = null;

function line(numbers, unit, closed) {
  let [longitude, latitude] = numbers;
  const points = [];
  for (let at = 0; at < numbers.length; at += 2) {
    if (at) {
      longitude += numbers[at];
      latitude += numbers[at + 1];
    }
    const [x, y] = project(longitude / unit, latitude / unit);
    points.push(`${(x * SIDE).toFixed(2)} ${(y * SIDE).toFixed(2)}`);
  }
  return `M${points.join("L")}${closed ? "Z" : ""}`;
}

function net() {
  const [top, bottom] = [project(0, 84)[1] * SIDE, project(0, -84)[1] * SIDE];
  const lines = [];
  for (let longitude = -150; longitude <= 150; longitude += 30) {
    const x = project(longitude, 0)[0] * SIDE;
    lines.push(`M${x} ${top}V${bottom}`);
  }
  for (let latitude = -60; latitude <= 60; latitude += 30)
    lines.push(`M0 ${project(0, latitude)[1] * SIDE}H${SIDE}`);
  return lines.join("");
}

/** Return a group to be placed in an SVG; `move(group, view, width, height)` shows a view of it. */
export async function world() {
  loading ??= get("/assets/world.json");
  const {
    land,
    borders,
    per_degree: unit,
  } = await loading.catch((problem) => {
    loading = null;
    throw problem;
  });
  return s(
    "g",
    {},
    s("path", { class: "net", d: net() }),
    s("path", { class: "land", d: land.map((ring) => line(ring, unit, true)).join("") }),
    s("path", { class: "borders", d: borders.map((one) => line(one, unit, false)).join("") }),
  );
}

export function move(group, view, width, height) {
  const scale = view.scale / SIDE;
  const [x, y] = [width / 2 - view.x * view.scale, height / 2 - view.y * view.scale];
  group.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
}
