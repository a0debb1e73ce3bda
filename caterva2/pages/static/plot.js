// The Plot tab: controls, address and plot show one state.
import { Form } from "./plotting/form.js";
import { Playback } from "./plotting/playback.js";
import { Reading } from "./plotting/reading.js";
import { Through } from "./plotting/through.js";

const area = document.getElementById("plot");
const facts = JSON.parse(area.dataset.facts);
const form = new Form(document.getElementById("plot-form"), facts, new URLSearchParams(location.search));
const reading = new Reading(facts, area.dataset.overview, {
  ask: document.getElementById("plot-ask"),
  wait: document.getElementById("plot-wait"),
  again: () => setTimeout(readAgain), // once the sample is drawn
});
const controls = form.element;
const label = (axis) => controls.elements.x.options[axis].text;
let plot = null;
let version = 0;
let plane = null; // that is drawn

function draw() {
  const state = form.state();
  plot?.update(state, version);
  const { pick, along } = form.extra;
  const pickable = pick && state.axes.y !== null && plot?.isCanvas;
  through.show(pickable ? placeOf(pick, state) : null, along, state, version);
}

// What is drawn stays, with its zoom, until the new values are there.
function readAgain() {
  version += 1;
  draw();
}

function placeOf([x, y], { axes, index }) {
  return facts.shape.map((_, axis) => (axis === axes.x ? x : axis === axes.y ? y : index[axis]));
}

// Show the state in the address: as a new entry for what a reader goes back from.
function remember(how) {
  const params = String(form.params()).replaceAll("%2C", ",").replaceAll("%3A", ":");
  const address = `${location.pathname}?${params}`;
  if (address === location.pathname + location.search) return;
  if (how === "push") history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

function change(how) {
  remember(how);
  draw();
}

const options = {
  shape: facts.shape,
  dims: facts.dims,
  read: (request, signal) => reading.read(request, signal),
};
let mount = null;
const through = new Through(document.getElementById("plot-through"), {
  shape: facts.shape,
  label,
  mount: (element, state) => mount(element, { ...options, title: `Line of ${area.dataset.name}`, state }),
  onChange(axis) {
    if (axis === null) form.extra.pick = null;
    form.extra.along = axis;
    change("push");
  },
});

function shown(drawn) {
  plane = drawn;
  const number = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(6))));
  const [low, high] = drawn.p1 === drawn.p99 || form.state().kind !== "heatmap" ? [drawn.min, drawn.max] : [drawn.p1, drawn.p99];
  for (const [name, value] of [["lo", low], ["hi", high]]) {
    controls.elements[name].placeholder = value === null ? "automatic" : number(value);
  }
  document.getElementById("plot-read").textContent =
    `[${form.slice()}]: least ${number(drawn.min)}, greatest ${number(drawn.max)}, mean ${number(drawn.mean)}` +
    `${drawn.nan ? `, ${drawn.nan} NaN` : ""}${drawn.exact ? "" : ", from a sample"}`;
}

// Without WebGL: pictures that the server draws.
function picture() {
  const image = document.createElement("img");
  const note = Object.assign(document.createElement("p"), { className: "empty" });
  image.className = "plot-picture";
  area.after(image, note);
  area.hidden = true;
  return {
    isCanvas: false,
    update(state) {
      const drawable = state.kind === "heatmap" || state.kind === "image";
      image.hidden = !drawable;
      note.textContent = drawable ? "" : "This browser can't draw curves: it has no WebGL 2. The values are in the Data tab.";
      if (!drawable) return;
      const params = { slice_: form.slice(), size: 1024, map: state.map, lo: state.lo, hi: state.hi, field: state.field, part: state.part };
      if (state.kind === "heatmap" && state.scale === "log") params.scale = "log";
      const given = Object.entries(params).filter(([, value]) => value !== null && value !== "");
      image.src = `${area.dataset.image}?${new URLSearchParams(given)}`;
      image.alt = `${area.dataset.name}[${form.slice()}] as a picture`;
    },
  };
}

function step(axis) {
  const place = (form.index()[axis] + 1) % facts.shape[axis];
  form.place(axis, place);
  change("replace");
}

function listen() {
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", ({ target }) => {
    const row = target.closest("[data-axis]");
    if (!row) return;
    form.place(Number(row.dataset.axis), Number(target.value));
    change("replace");
  });
  controls.addEventListener("change", ({ target }) => {
    if (["kind", "x", "y"].includes(target.name)) Object.assign(form.extra, { zoom: null, pick: null });
    form.tidy(target.name);
    change("push");
  });
  for (const button of controls.querySelectorAll("[data-range]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const all = button.dataset.range === "all" && plane && plane.min !== null;
      controls.elements.lo.value = all ? plane.min : "";
      controls.elements.hi.value = all ? plane.max : "";
      change("push");
    });
  }
  for (const slider of controls.querySelectorAll('input[type="range"]')) slider.hidden = false;
  addEventListener("popstate", () => {
    controls.reset();
    for (const [name, value] of Object.entries(facts.usual)) {
      if (controls.elements[name] && value) controls.elements[name].value = value;
    }
    for (const name of ["lo", "hi"]) controls.elements[name].value = "";
    facts.shape.forEach((_, axis) => form.place(axis, 0));
    form.take(new URLSearchParams(location.search));
    draw();
  });
}

// After a change of the dataset: the values are read anew, unless it is another array now.
async function renew() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = JSON.parse(page.getElementById("plot")?.dataset.facts ?? "null");
  if (JSON.stringify([now?.shape, now?.usual]) !== JSON.stringify([facts.shape, facts.usual])) {
    location.reload();
    return;
  }
  Object.assign(facts, now);
  document.querySelector(".head").replaceWith(page.querySelector(".head"));
  readAgain();
}

async function start() {
  listen();
  document.addEventListener("caterva2:change", (event) => {
    event.preventDefault();
    renew();
  });
  const drawn = () => area.dataset.state !== "loading";
  new Playback(controls, step, drawn);
  if (!document.createElement("canvas").getContext("webgl2")) {
    plot = picture();
    draw();
    return;
  }
  ({ mount } = await import(area.dataset.plots));
  const made = mount(area, {
    ...options,
    title: area.dataset.name,
    state: form.state(),
    onState({ zoom }) {
      form.extra.zoom = zoom;
      remember("replace");
    },
    onPick(x, y) {
      form.extra.pick = [x, y];
      change("push");
    },
    onPlane: shown,
  });
  plot = { ...made, isCanvas: true };
  if (form.extra.pick) draw();
}

await start();
