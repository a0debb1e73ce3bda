// The state of the plot: in the page's controls, in the address, and as the plot wants it.

const SHARED = ["kind", "x", "y", "field", "fx", "fy", "part", "reduce", "scale", "map", "lo", "hi", "aspect"];
const LAYOUT = ["kind", "x", "y", "aspect"]; // what is usual for one of them depends on the others
const number = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));

export class Form {
  // `facts` are what the page knows of the array; `extra` is what has no control: zoom, pick and along.
  constructor(element, facts, params) {
    this.element = element;
    this.facts = facts;
    this.take(params);
  }

  values() {
    return Object.fromEntries(SHARED.map((name) => [name, this.element.elements[name]?.value ?? ""]));
  }

  // Set the controls from an address; a page that was loaded has them so already.
  take(params) {
    for (const name of SHARED) {
      const control = this.element.elements[name];
      if (control && params.has(name)) control.value = params.get(name);
    }
    (params.get("slice") ?? "").split(",").forEach((text, axis) => {
      if (/^\d+$/.test(text)) this.place(axis, Number(text));
    });
    this.extra = {
      zoom: params.get("zoom")?.split(",").map(Number) ?? null,
      pick: params.get("pick")?.split(",").map(Number) ?? null,
      along: params.has("along") ? Number(params.get("along")) : null,
    };
    if (![2, 4].includes(this.extra.zoom?.length) || this.extra.zoom.some(Number.isNaN)) this.extra.zoom = null;
    if (this.extra.pick?.length !== 2 || this.extra.pick.some(Number.isNaN)) this.extra.pick = null;
    this.tidy();
  }

  place(axis, value) {
    const row = this.row(axis);
    if (!row) return;
    const end = Math.max(this.facts.shape[axis] - 1, 0);
    for (const input of row.querySelectorAll("input")) input.value = Math.min(Math.max(value, 0), end);
  }

  row(axis) {
    return this.element.querySelector(`[data-axis="${axis}"]`);
  }

  // Only the controls that mean something for this kind, and two axes that differ.
  tidy(changed = "") {
    const { x, y, kind } = this.element.elements;
    if (changed === "kind" && y && !this.facts.records) this.turn(kind.value === "scatter");
    if (y && x.value === y.value) {
      const other = changed === "y" ? x : y;
      const free = [...other.options].map((option) => option.value).reverse();
      other.value = free.find((value) => value !== (changed === "y" ? y : x).value);
    }
    for (const part of this.element.querySelectorAll("[data-kinds]")) {
      part.hidden = !part.dataset.kinds.split(" ").includes(kind.value);
    }
    const drawn = this.drawn();
    for (const row of this.element.querySelectorAll("[data-axis]")) {
      row.hidden = drawn.includes(Number(row.dataset.axis));
    }
  }

  // Columns of a scatter plot are usually those of a table, images are drawn over the last axes.
  turn(scatter) {
    const { x, y } = this.element.elements;
    if (scatter) [x.value, y.value] = ["0", "1"];
    else if (this.scatter) [x.value, y.value] = [this.facts.usual.x, this.facts.usual.y || "0"];
    this.scatter = scatter;
  }

  get hasRows() {
    const { y, kind } = this.element.elements;
    return Boolean(y) && kind.value !== "line" && !(kind.value === "scatter" && this.facts.records);
  }

  drawn() {
    const { x, y, kind } = this.element.elements;
    const axes = this.hasRows ? [Number(x.value), Number(y.value)] : [Number(x.value)];
    if (kind.value === "image") axes.push(this.facts.shape.length - 1);
    return axes;
  }

  index() {
    return this.facts.shape.map((_, axis) => Number(this.element.elements[`i${axis}`]?.value ?? 0) || 0);
  }

  slice() {
    const drawn = this.drawn();
    return this.index().map((place, axis) => (drawn.includes(axis) ? ":" : place)).join(",");
  }

  state() {
    const { x, y, kind, field, fx, fy, part, reduce, scale, map, lo, hi, aspect } = this.values();
    const [low, high] = kind === "image" || kind === "histogram" ? ["", ""] : [lo, hi];
    return {
      kind, scale, map, reduce, part, aspect,
      axes: { x: Number(x), y: this.hasRows ? Number(y) : null },
      index: Object.fromEntries(this.index().entries()),
      field, pair: { x: fx, y: fy }, lo: number(low), hi: number(high), zoom: this.extra.zoom,
    };
  }

  // The address: what differs from the usual state, so that it stays short.
  params() {
    const params = new URLSearchParams({ tab: "plot" });
    const values = this.values();
    const differs = (name) => values[name] !== (this.facts.usual[name] ?? "");
    const layout = LAYOUT.some((name) => this.shows(name) && differs(name));
    if (this.index().some(Boolean)) params.set("slice", this.slice());
    for (const name of SHARED) {
      if (this.shows(name) && (LAYOUT.includes(name) ? layout : differs(name))) params.set(name, values[name]);
    }
    const { zoom, pick, along } = this.extra;
    if (zoom) params.set("zoom", zoom.join(","));
    if (pick) params.set("pick", pick.join(","));
    if (pick && along !== null) params.set("along", along);
    return params;
  }

  shows(name) {
    const control = this.element.elements[name];
    return Boolean(control) && !control.closest("[data-kinds][hidden]");
  }
}
