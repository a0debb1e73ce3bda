// The line through a place of the plane, along another axis: drawn below the plot.

export class Through {
  constructor(section, options) {
    Object.assign(this, { section, ...options, plot: null });
    this.select = section.querySelector("[data-along]");
    this.select.addEventListener("change", () => this.onChange(Number(this.select.value)));
    section.querySelector("[data-close]").addEventListener("click", () => this.onChange(null));
  }

  // `place` has a place on each axis, or is null; `along` is one of them, or null for the first that
  // the plane does not show.
  show(place, along, state, version) {
    this.section.hidden = place === null;
    if (place === null) {
      this.plot?.unmount();
      this.plot = null;
      return;
    }
    const axes = this.axes(state);
    const axis = axes.includes(along) ? along : axes[0];
    this.select.replaceChildren(...axes.map((one) => new Option(this.label(one), one, false, one === axis)));
    this.section.querySelector("[data-place]").textContent = `[${place.map((at, n) => (n === axis ? ":" : at)).join(", ")}]`;
    const line = {
      kind: "line", axes: { x: axis, y: null }, index: Object.fromEntries(place.entries()), zoom: null,
      scale: state.scale, lo: null, hi: null, field: state.field, part: state.part,
    };
    if (this.plot) this.plot.update(line, version);
    else this.plot = this.mount(this.section.querySelector("[data-line]"), line);
  }

  // First the axes that the plane does not show, then those that it does.
  axes(state) {
    const shown = [state.axes.x, state.axes.y];
    const axes = this.shape.map((_, axis) => axis).filter((axis) => this.shape[axis] > 1 || shown.includes(axis));
    return axes.sort((a, b) => shown.includes(a) - shown.includes(b) || a - b);
  }
}
