// The map's arithmetic: Web Mercator onto a square of side 1, views of it, and clusters. Nothing here touches a page.

const MOST_LATITUDE = 84;
const ZOOMS = [1, 65536];

/** Longitude and latitude in degrees onto x and y, 0 to 1, y growing southward. */
export function project(longitude, latitude) {
  const bound = (Math.max(-MOST_LATITUDE, Math.min(MOST_LATITUDE, latitude)) * Math.PI) / 180;
  return [(longitude + 180) / 360, 0.5 - Math.log(Math.tan(Math.PI / 4 + bound / 2)) / (2 * Math.PI)];
}

/** The heart of what is shown: `scale` is how many pixels the world's side has, (x, y) is in the middle. */
export function within(view, width, height) {
  const least = Math.max(width, height * 0.75, 256);
  const scale = Math.max(least * ZOOMS[0], Math.min(least * ZOOMS[1], view.scale));
  const side = Math.min(0.5, width / 2 / scale);
  const clampX = Math.max(side, Math.min(1 - side, view.x));
  const [, north] = project(0, MOST_LATITUDE);
  const tall = height / 2 / scale;
  const clampY = tall >= 0.5 - north ? 0.45 : Math.max(north + tall, Math.min(1 - north - tall, view.y));
  return { x: clampX, y: clampY, scale };
}

/** Zoom by a factor while the point at pixel (px, py) stays where it is. */
export function zoomed(view, factor, px, py, width, height) {
  const scale = within({ ...view, scale: view.scale * factor }, width, height).scale;
  const x = view.x + (px - width / 2) * (1 / view.scale - 1 / scale);
  const y = view.y + (py - height / 2) * (1 / view.scale - 1 / scale);
  return within({ x, y, scale }, width, height);
}

/** The view that shows all points, with a margin; the whole world for none. */
export function around(points, width, height) {
  if (!points.length) return within({ x: 0.5, y: 0.42, scale: 0 }, width, height);
  let [left, right, top, bottom] = [1, 0, 1, 0];
  for (const { x, y } of points) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  const scale = Math.min(
    (width - 96) / Math.max(right - left, 1e-5),
    (height - 120) / Math.max(bottom - top, 1e-5),
  );
  return within({ x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.max(scale, 1) }, width, height);
}

/**
 * Gather points that would lie on each other: those in one cell of `cell` pixels, cells fixed to the world so that
 * panning changes nothing; then cells whose middles are nearer than that are joined to the larger one. Only what lies
 * in the view counts. Largest first.
 */
export function clusters(points, view, width, height, cell) {
  const cells = new Map();
  const [halfX, halfY] = [(width / 2 + cell) / view.scale, (height / 2 + cell) / view.scale];
  const side = view.scale / cell;
  for (const point of points) {
    if (Math.abs(point.x - view.x) > halfX || Math.abs(point.y - view.y) > halfY) continue;
    const key = `${Math.floor(point.x * side)}:${Math.floor(point.y * side)}`;
    const found = cells.get(key);
    if (found) {
      found.points.push(point);
      found.x += point.x;
      found.y += point.y;
    } else cells.set(key, { key, points: [point], x: point.x, y: point.y });
  }
  const all = [...cells.values()].map((one) => ({
    ...one,
    x: one.x / one.points.length,
    y: one.y / one.points.length,
  }));
  all.sort((one, other) => other.points.length - one.points.length);
  const kept = [];
  for (const one of all) {
    const near = kept.find((other) => Math.hypot(other.x - one.x, other.y - one.y) * view.scale < cell * 0.8);
    if (near) near.points.push(...one.points);
    else kept.push({ ...one, points: [...one.points] });
  }
  return kept;
}

/** Where a point lies on the screen. */
export const onScreen = (point, view, width, height) => [
  (point.x - view.x) * view.scale + width / 2,
  (point.y - view.y) * view.scale + height / 2,
];

const LENGTHS = [1, 2, 5];

/** A round length in metres, and its pixels, for the scale bar at the view's middle. */
export function scaleBar(view, most = 110) {
  const latitude = Math.atan(Math.sinh((0.5 - view.y) * 2 * Math.PI));
  const metres = (40075016.7 * Math.cos(latitude)) / view.scale;
  const ten = 10 ** Math.floor(Math.log10(metres * most));
  const length = ten * LENGTHS.filter((one) => one * ten <= metres * most).at(-1);
  return { text: length >= 1000 ? `${length / 1000} km` : `${length} m`, pixels: length / metres };
}
