// Three cuts through one point of a stack: a slider, or a click into a cut, moves the point.
const form = document.querySelector(".tomography");
const cuts = [...form.querySelectorAll(".cut")];
const controls = form.elements;
const place = (axis) => Number(controls[`i${axis}`].value);
let bounds = null;

function slice(cut) {
  const axis = Number(cut.dataset.axis);
  return cut.dataset.slice.split(",").map((_, n) => (n === axis ? place(axis) : ":")).join(",");
}

function source(cut) {
  const params = new URLSearchParams({ slice_: slice(cut), size: 512 });
  for (const name of ["map", "lo", "hi"]) {
    const value = controls[name]?.value || (bounds && name !== "map" ? bounds[name] : "");
    if (controls[name] && value !== "") params.set(name, value);
  }
  return `${form.dataset.image}?${params}`;
}

// The next picture is asked for once the last one is there, so that sliding never queues up.
async function draw(cut) {
  const image = cut.querySelector("img");
  cut.wanted = source(cut);
  if (cut.busy) return;
  cut.busy = true;
  while (image.getAttribute("src") !== cut.wanted) {
    image.src = cut.wanted;
    await image.decode().catch(() => {});
  }
  cut.busy = false;
  cut.dataset.slice = slice(cut);
}

function cross(cut) {
  for (const [name, axis, side] of [["across", cut.dataset.rows, "top"], ["down", cut.dataset.columns, "left"]]) {
    const line = cut.querySelector(`.${name}`);
    const size = Number(cuts[axis].dataset.size);
    line.hidden = false;
    line.style[side] = `${((place(axis) + 0.5) / size) * 100}%`;
  }
}

function show(how) {
  for (const cut of cuts) {
    draw(cut);
    cross(cut);
    cut.querySelector('input[type="range"]').value = place(cut.dataset.axis);
  }
  if (!how) return;
  const params = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  history[how](null, "", `${location.pathname}?${params}`);
}

function move(axis, value) {
  const end = Number(cuts[axis].dataset.size) - 1;
  controls[`i${axis}`].value = Math.min(Math.max(Math.round(value), 0), end);
}

// Contrast for all cuts alike: percentiles of the whole stack, of a sample if it is large.
async function contrast() {
  if (!controls.map) return;
  const answer = await fetch(`${form.dataset.stats}?exact=0`);
  if (!answer.ok) return;
  const { min, max, p1, p99 } = await answer.json();
  if (min === null || min === max) return;
  bounds = p1 === p99 ? { lo: min, hi: max } : { lo: p1, hi: p99 };
  for (const name of ["lo", "hi"]) controls[name].placeholder = Number(bounds[name].toPrecision(6));
  const [level, width] = [form.querySelector("[data-level]"), form.querySelector("[data-width]")];
  const now = () => [Number(controls.lo.value || bounds.lo), Number(controls.hi.value || bounds.hi)];
  const [low, high] = now();
  Object.assign(level, { min, max, value: (low + high) / 2 });
  Object.assign(width, { min: 0, max: max - min, value: max - min - (high - low) });
  const slide = () => {
    const half = Math.max(max - min - Number(width.value), (max - min) / 1000) / 2;
    controls.lo.value = Number((Number(level.value) - half).toPrecision(6));
    controls.hi.value = Number((Number(level.value) + half).toPrecision(6));
    show("replaceState");
  };
  level.addEventListener("input", slide);
  width.addEventListener("input", slide);
  for (const label of form.querySelectorAll("[data-window]")) label.hidden = false;
  show();
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", ({ target }) => {
  const cut = target.closest(".cut");
  if (!cut) return;
  if (target.value !== "") move(cut.dataset.axis, Number(target.value));
  show("replaceState");
});
form.addEventListener("change", ({ target }) => {
  if (target.name) show("pushState");
});
for (const cut of cuts) {
  cut.querySelector('input[type="range"]').hidden = false;
  cut.querySelector(".cut-plane").addEventListener("click", ({ offsetX, offsetY, target }) => {
    const { clientWidth, clientHeight } = target;
    move(cut.dataset.columns, Math.floor((offsetX / clientWidth) * cuts[cut.dataset.columns].dataset.size));
    move(cut.dataset.rows, Math.floor((offsetY / clientHeight) * cuts[cut.dataset.rows].dataset.size));
    show("pushState");
  });
}
addEventListener("popstate", () => location.reload());
document.addEventListener("caterva2:change", (event) => {
  event.preventDefault();
  location.reload(); // the address has the state
});
show();
await contrast();
