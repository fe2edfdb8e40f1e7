// Plays a drawn scene: moves what the server drew, step by step or in time. And what the page of SQL needs of keys.

const RATES = [0.25, 0.5, 1, 2, 4];
const NEAREST = 0.25;
const FARTHEST = 8;

const between = (one, other, part) => one + (other - one) * part;

function turned(one, other, part) {
  const turn = Math.atan2(Math.sin(other - one), Math.cos(other - one));
  return one + turn * part;
}

// Where an agent is at a moment between two steps; nothing where it is absent.
function standing(agent, moment) {
  const at = moment - agent.first;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  if (low < 0 || high >= agent.x.length || agent.x[low] === null || agent.x[high] === null) return null;
  const part = at - low;
  return {
    x: between(agent.x[low], agent.x[high], part),
    y: -between(agent.y[low], agent.y[high], part),
    degrees: -turned(agent.heading[low], agent.heading[high], part) * 180 / Math.PI,
    speed: between(agent.speed[low] ?? 0, agent.speed[high] ?? 0, part),
  };
}

function points(agent, start, end) {
  const found = [];
  for (let step = Math.max(start, agent.first); step <= Math.min(end, agent.first + agent.x.length - 1); step += 1) {
    const x = agent.x[step - agent.first];
    if (x !== null) found.push(`${x},${-agent.y[step - agent.first]}`);
  }
  return found.join(" ");
}

class Player {
  constructor(root) {
    this.root = root;
    this.told = root.dataset;
    this.moment = Number(this.told.step);
    this.last = Number(this.told.steps) - 1;
    this.dt = Number(this.told.dt);
    this.rate = 1;
    this.follows = true;
    this.zoom = 1;
    this.playing = false;
    this.seen = 0;
    const find = (selector) => root.querySelector(selector);
    [this.road, this.slider, this.clock, this.pace, this.rates] = ["svg.road", "input[type=range]", ".clock", ".pace", "[data-rate]"].map(find);
    [this.before, this.after, this.now, this.speeds, this.trouble] = [".way.before", ".way.after", ".speeds .now", "svg.speeds", "[data-trouble]"].map(find);
    this.shapes = [...root.querySelectorAll("[data-agent]")];
    this.listen();
  }

  async load() {
    try {
      const answer = await fetch(this.told.source, { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      this.scene = await answer.json();
      this.root.dataset.ready = "";
      this.draw();
    } catch {
      this.trouble.textContent = this.told.failed;
    }
  }

  listen() {
    const doing = {
      play: () => this.play(!this.playing), back: () => this.step(-1), on: () => this.step(1), follow: () => this.follow(),
      nearer: () => this.near(1 / 1.4), farther: () => this.near(1.4),
    };
    for (const button of this.root.querySelectorAll("[data-do]")) button.addEventListener("click", doing[button.dataset.do]);
    this.slider.addEventListener("input", () => { this.play(false); this.to(Number(this.slider.value)); });
    this.rates.addEventListener("change", () => { this.rate = Number(this.rates.value); });
    this.speeds.addEventListener("pointerdown", (event) => {
      const box = this.speeds.getBoundingClientRect();
      this.to(Math.round((event.clientX - box.left) / box.width * this.last));
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const within = event.target;
    const slides = within === this.slider;
    if (!slides && within.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
    const pressed = event.key === " " && within.closest?.("button, a, summary");
    const steps = event.shiftKey ? 10 : 1;
    const doing = {
      " ": () => this.play(!this.playing), ArrowLeft: () => this.step(-steps), ArrowRight: () => this.step(steps),
      Home: () => this.to(0), End: () => this.to(this.last), "[": () => this.faster(-1), "]": () => this.faster(1),
      f: () => this.follow(), "+": () => this.near(1 / 1.4), "=": () => this.near(1 / 1.4), "-": () => this.near(1.4),
    }[event.key];
    const scrolls = within.closest?.("[tabindex='0']") && event.key.startsWith("Arrow");
    if (!doing || pressed || scrolls) return;
    event.preventDefault();
    doing();
  }

  play(on) {
    if (!this.scene || on === this.playing) return;
    this.playing = on;
    this.root.dataset.state = on ? "playing" : "";
    const button = this.root.querySelector("[data-do=play]");
    button.setAttribute("aria-label", on ? this.told.pause : this.told.play);
    if (on) {
      if (this.moment >= this.last) this.moment = 0;
      this.seen = 0;
      requestAnimationFrame((now) => this.frame(now));
    } else {
      this.to(Math.round(this.moment));
    }
  }

  frame(now) {
    if (!this.playing || !this.root.isConnected) return;
    const gone = this.seen ? Math.min(now - this.seen, 250) / 1000 : 0;
    this.seen = now;
    this.moment = Math.min(this.moment + gone * this.rate / this.dt, this.last);
    this.draw();
    if (this.moment >= this.last) this.play(false);
    else requestAnimationFrame((later) => this.frame(later));
  }

  step(steps) {
    this.play(false);
    this.to(Math.round(this.moment) + steps);
  }

  to(moment) {
    this.moment = Math.min(Math.max(moment, 0), this.last);
    this.draw();
  }

  faster(steps) {
    const at = Math.min(Math.max(RATES.indexOf(this.rate) + steps, 0), RATES.length - 1);
    this.rate = RATES[at];
    this.rates.value = String(this.rate);
  }

  follow() {
    this.follows = !this.follows;
    this.root.querySelector("[data-do=follow]").setAttribute("aria-pressed", String(this.follows));
    this.draw();
  }

  near(by) {
    this.zoom = Math.min(Math.max(this.zoom * by, NEAREST), FARTHEST);
    this.draw();
  }

  draw() {
    if (!this.scene) return;
    const { agents } = this.scene;
    for (const shape of this.shapes) {
      const place = standing(agents[Number(shape.dataset.agent)], this.moment);
      shape.setAttribute("visibility", place ? "visible" : "hidden");
      if (place) shape.setAttribute("transform", `translate(${place.x.toFixed(2)} ${place.y.toFixed(2)}) rotate(${place.degrees.toFixed(1)})`);
    }
    const ego = standing(agents[0], this.moment);
    const step = Math.round(this.moment);
    this.before.setAttribute("points", points(agents[0], 0, step));
    this.after.setAttribute("points", points(agents[0], step, this.last));
    this.look(ego);
    const at = (1000 * this.moment / Math.max(this.last, 1)).toFixed(1);
    this.now.setAttribute("x1", at);
    this.now.setAttribute("x2", at);
    this.slider.value = String(step);
    const time = `${(this.moment * this.dt).toFixed(1)} s`;
    this.slider.setAttribute("aria-valuetext", time);
    this.clock.textContent = time;
    this.pace.textContent = ego ? `${ego.speed.toFixed(1)} m/s` : "–";
  }

  look(ego) {
    const wide = Number(this.told.wide) * this.zoom;
    const tall = Number(this.told.tall) * this.zoom;
    if (this.follows && ego) this.middle = [ego.x, ego.y];
    const [x, y] = this.middle ?? [0, 0];
    this.road.setAttribute("viewBox", `${(x - wide / 2).toFixed(2)} ${(y - tall / 2).toFixed(2)} ${wide.toFixed(2)} ${tall.toFixed(2)}`);
  }
}

for (const root of document.querySelectorAll("[data-player]")) new Player(root).load();

for (const form of document.querySelectorAll("[data-statement]")) {
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
  });
  for (const example of document.querySelectorAll("[data-example]")) {
    example.addEventListener("click", () => {
      const area = form.querySelector("textarea");
      area.value = example.dataset.example;
      area.focus();
    });
  }
}
