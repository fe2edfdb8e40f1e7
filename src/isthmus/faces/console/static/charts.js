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

function options(told, width, colour) {
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
  return {
    width, height: HEIGHT,
    scales: { x: { time: told.time } },
    cursor: { drag: { x: true, y: false } },
    axes: [{ ...axis }, { ...axis, size: 62 }],
    series: [{}, ...told.series.map((one, at) => ({
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
  const made = options(told, Math.max(280, plot.clientWidth), colour);
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
