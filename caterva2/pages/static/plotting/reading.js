// Reading for the plot: asks before much is read, says that it reads, and can be cancelled.
import { decoded } from "./values.js";

const LATE = 400; // milliseconds after which the page says that it reads
const SAMPLED = 512e6; // bytes of values from which a sample is drawn first
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function size(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < UNITS.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit && bytes < 99.95 ? bytes.toPrecision(3) : Math.round(bytes)} ${UNITS[unit]}`;
}

function extent(text, length) {
  if (!text.includes(":")) return [Number(text), Number(text) + 1];
  const [start, stop] = text.split(":");
  return [start === "" ? 0 : Number(start), stop === "" ? length : Number(stop)];
}

// About what a slice reads: the chunks that it touches, and the share of all chunks that is not here.
export function cost(slice, { shape, chunks, nchunks, cbytes, chunksize, cached }) {
  let touched = 1;
  slice.split(",").forEach((text, axis) => {
    const [start, stop] = extent(text, shape[axis]);
    touched *= stop > start ? Math.ceil(stop / chunks[axis]) - Math.floor(start / chunks[axis]) : 0;
  });
  const stored = nchunks ? (cbytes * touched) / nchunks : 0;
  const missing = nchunks ? (stored * (nchunks - Math.min(cached, nchunks))) / nchunks : 0;
  return { chunks: touched, stored, missing, values: touched * chunksize };
}

export class Reading {
  // `ask` and `wait` are the page's elements for a question, and for a read that takes long.
  // `again()` lets the plot read anew, after a sample.
  constructor(facts, address, { ask, wait, again }) {
    Object.assign(this, { facts, address, ask, wait, again });
    this.whole = new Set(); // requests whose answer is of all values
    this.agreed = 1; // times `facts.ask`, that the reader agreed to
    this.running = new Set();
    this.wait.querySelector("[data-cancel]").addEventListener("click", () => this.cancel());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.cancel());
  }

  cancel() {
    for (const controller of this.running) controller.abort(new Error("It was not read: you cancelled it."));
  }

  async read(request, signal) {
    const expected = cost(request.slice, this.facts);
    const key = JSON.stringify(request);
    const whole = this.whole.has(key);
    const sample = !whole && expected.values > SAMPLED;
    this.ask.hidden = true;
    if (!whole && !sample) await this.agree(expected, signal);
    const plane = await this.watched(request, whole ? "1" : sample ? "0" : "", signal);
    if (!plane.exact && !whole) this.more(key, expected);
    return plane;
  }

  // After a sample comes the read of all values, by itself unless these are many.
  more(key, expected) {
    const go = () => {
      this.whole.add(key);
      this.again();
    };
    if (this.times(expected) <= this.agreed) go();
    else this.question(expected, go);
  }

  async watched(request, exact, signal) {
    const own = new AbortController();
    const timer = setTimeout(() => this.show(own), LATE);
    try {
      return await this.fetch(request, exact, AbortSignal.any([signal, own.signal]));
    } finally {
      clearTimeout(timer);
      this.running.delete(own);
      this.wait.hidden = this.running.size === 0;
    }
  }

  show(controller) {
    this.running.add(controller);
    this.wait.hidden = false;
  }

  async fetch({ slice, size: bins, reduce, field, part }, exact, signal) {
    const params = new URLSearchParams({ slice_: slice, size: bins, reduce });
    for (const [name, value] of Object.entries({ field, part, exact })) if (value) params.set(name, value);
    const answer = await fetch(`${this.address}?${params}`, { signal });
    if (!answer.ok) throw new Error(await sentence(answer));
    const plane = decoded(await answer.arrayBuffer());
    const widths = plane.full_shape.map((n, axis) =>
      plane.exact ? Math.max(1, Math.ceil(n / bins)) : n / Math.max(1, plane.bins[axis]),
    );
    return { ...plane, widths };
  }

  // How much is read, in units of what is read without a question.
  times({ missing, values }) {
    return Math.max(missing / this.facts.ask, values / this.facts.askValues);
  }

  question(expected, then) {
    const say = (name, text) => { this.ask.querySelector(`[data-${name}]`).textContent = text; };
    say("chunks", `${expected.chunks} ${expected.chunks === 1 ? "chunk" : "chunks"}`);
    say("stored", size(expected.stored));
    say("missing", size(expected.missing));
    this.ask.hidden = false;
    this.ask.querySelector("[data-read]").onclick = (event) => {
      event.preventDefault();
      this.agreed = this.times(expected);
      this.ask.hidden = true;
      then();
    };
  }

  // Waits for the reader's consent if the plot would read more than was agreed to.
  agree(expected, signal) {
    if (this.times(expected) <= this.agreed) return undefined;
    return new Promise((resolve, reject) => {
      this.question(expected, resolve);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  }
}

async function sentence(answer) {
  try {
    const { detail, error } = await answer.json();
    return detail ?? error ?? `The server answered ${answer.status}.`;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}
