// Playback through a stack: the next place once the last one is drawn, at most ten a second.
const PAUSE = 100;

export class Playback {
  // `step(axis)` goes one place on, to the first after the last; `ready()` says whether that is drawn.
  constructor(form, step, ready) {
    Object.assign(this, { step, ready, axis: null, timer: null });
    for (const button of form.querySelectorAll("[data-play]")) {
      const axis = Number(button.closest("[data-axis]").dataset.axis);
      button.hidden = false;
      button.addEventListener("click", () => (this.axis === axis ? this.stop() : this.start(axis, button)));
    }
  }

  start(axis, button) {
    this.stop();
    [this.axis, this.button] = [axis, button];
    this.label("Stop", true);
    this.tick();
  }

  stop() {
    clearTimeout(this.timer);
    if (this.axis !== null) this.label("Play", false);
    this.axis = null;
  }

  label(text, pressed) {
    this.button.textContent = text;
    this.button.setAttribute("aria-pressed", String(pressed));
  }

  tick() {
    if (this.button.closest("[hidden]")) {
      this.stop();
      return;
    }
    if (this.ready()) this.step(this.axis);
    this.timer = setTimeout(() => this.tick(), PAUSE);
  }
}
