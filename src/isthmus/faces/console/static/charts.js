// Line charts: what a figure's data-chart holds, drawn by uPlot, which is loaded only where there is one.

const HEIGHT = 240;
const SERIES = 6;
let library;

const here = (name) => new URL(name, import.meta.url).href;

function load() {
  library ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = here("uplot.min.css");
    const script = document.createElement("script");
    script.src = here("uplot.min.js");
    script.addEventListener("load", () => resolve(window.uPlot));
    script.addEventListener("error", reject);
    document.head.append(style, script);
  });
  return library;
}

// 24-hour clock, in the site's time zone; days where the ticks are days apart
const two = (number) => `${number}`.padStart(2, "0");
const clock = (date, seconds) => `${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(date.getSeconds())}` : ""}`;
const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

function zoned(UPlot) {
  const { zone } = document.documentElement.dataset;
  return (seconds) => UPlot.tzDate(new Date(seconds * 1000), zone || "UTC");
}

function ticks(at) {
  return (_, splits, __, ___, step) => splits.map((seconds, place) => {
    const date = at(seconds);
    if (step >= 86_400) return day(date);
    const text = clock(date, step < 60);
    return place === 0 || day(at(splits[place - 1])) !== day(date) ? `${text}\n${day(date)}` : text;
  });
}

function options(UPlot, told, width, colour) {
  const at = zoned(UPlot);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
  return {
    width, height: HEIGHT,
    scales: { x: { time: told.time } },
    cursor: { drag: { x: true, y: false } },
    tzDate: at,
    axes: [told.time ? { ...axis, values: ticks(at) } : { ...axis }, { ...axis, size: 62 }],
    series: [{ label: told.x || "x", ...(told.time && { value: (_, value) => (value == null ? "–" : `${day(at(value))} ${clock(at(value), true)}`) }) }, ...told.series.map((one, at) => ({
      label: one.label, stroke: colour(`--series-${(at % SERIES) + 1}`), width: 1.5, spanGaps: false,
      points: { show: told.xs.length < 60, size: 5 }, dash: at >= SERIES ? [6, 4] : undefined,
      value: (_, value) => (value == null ? "–" : `${+value.toPrecision(5)} ${told.unit}`.trim()),
    }))],
  };
}

async function draw(plot) {
  const UPlot = await load();
  if (!plot.isConnected) return;
  const told = JSON.parse(plot.dataset.chart);
  const style = getComputedStyle(plot);
  // light-dark() is resolved by asking an element for the colour
  const probe = document.createElement("i");
  plot.append(probe);
  const colour = (name) => { probe.className = `colour${name}`; return getComputedStyle(probe).color || style.color; };
  const made = options(UPlot, told, Math.max(280, plot.clientWidth), colour);
  plot.replaceChildren();
  const chart = new UPlot(made, [told.xs, ...told.series.map((one) => one.values)], plot);
  new ResizeObserver(() => {
    const width = Math.max(280, plot.clientWidth);
    if (Math.abs(width - chart.width) > 2) chart.setSize({ width, height: HEIGHT });
  }).observe(plot);
}

export function charts(root) {
  for (const plot of root.querySelectorAll("[data-chart]")) {
    if (plot.dataset.drawn === plot.dataset.chart) continue;
    plot.dataset.drawn = plot.dataset.chart;
    draw(plot);
  }
}
