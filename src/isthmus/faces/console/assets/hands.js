// Turns wheel, drag, pinch and keys over the map into panning and zooming.

const STEP = 80;
const WHEEL = 0.0016;
const MOST_WHEEL = 0.5;
const SLOP = 4;

/** Listen on a pane; `map` has zoom(factor, x, y), pan(x, y) and fit(). Returns how to end. */
export function hands(pane, map) {
  const fingers = new Map();
  let moved = 0;
  const ends = new AbortController();
  const on = (name, action, given = {}) => pane.addEventListener(name, action, { signal: ends.signal, ...given });
  const at = (event) => {
    const box = pane.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const spread = () => {
    const [[ax, ay], [bx, by]] = [...fingers.values()];
    return [Math.hypot(ax - bx, ay - by), (ax + bx) / 2, (ay + by) / 2];
  };

  on(
    "wheel",
    (event) => {
      event.preventDefault();
      const turned = event.deltaY * (event.deltaMode ? 30 : 1) * (event.ctrlKey ? 5 : 1) * WHEEL;
      map.zoom(2 ** -Math.max(-MOST_WHEEL, Math.min(MOST_WHEEL, turned)), ...at(event));
    },
    { passive: false },
  );
  on("pointerdown", (event) => {
    if (event.target.closest(".zoom")) return;
    if (!fingers.size) moved = 0;
    fingers.set(event.pointerId, at(event));
  });
  on("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    if (fingers.size === 2) {
      const [wide, x, y] = spread();
      fingers.set(event.pointerId, now);
      const [wider, nowX, nowY] = spread();
      map.pan(nowX - x, nowY - y);
      if (wide > 0) map.zoom(wider / wide, nowX, nowY);
      moved = SLOP + 1;
      return;
    }
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (moved > SLOP) {
      pane.setPointerCapture(event.pointerId);
      map.pan(now[0] - before[0], now[1] - before[1]);
    }
    fingers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) on(name, (event) => fingers.delete(event.pointerId));
  on(
    "click",
    (event) => {
      if (moved <= SLOP) return;
      event.stopPropagation(); // it was a drag that ended on a circle
      moved = 0;
    },
    { capture: true },
  );
  on("dblclick", (event) => !event.target.closest("button") && map.zoom(event.shiftKey ? 0.5 : 2, ...at(event)));
  on("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const actions = {
      ArrowLeft: () => map.pan(STEP, 0),
      ArrowRight: () => map.pan(-STEP, 0),
      ArrowUp: () => map.pan(0, STEP),
      ArrowDown: () => map.pan(0, -STEP),
      "+": () => map.zoom(2),
      "=": () => map.zoom(2),
      "-": () => map.zoom(0.5),
      0: () => map.fit(),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
  return () => ends.abort();
}
