// Keeps what a page shows up to date while data changes, and says when the server is not reached.
import { events } from "./events.js";

const PAUSE_MS = 700;
const page = document.body.dataset;
let waiting = null;
let wasDown = false;

export function liveUpdates() {
  if (page.live !== undefined) events(page.user, receive);
}

function receive(event) {
  if (event.kind === "server") return serverIs(event.state);
  if (!concerns(event)) return;
  waiting ??= setTimeout(() => { waiting = null; update(event); }, PAUSE_MS);
}

function concerns(event) {
  if (page.live === "roots") return true;
  if (event.root !== page.root) return false;
  if (event.kind !== "change" || !page.below) return true;
  return event.path === page.below || event.path.startsWith(`${page.below}/`);
}

function serverIs(state) {
  page.stream = state;
  const banner = document.querySelector("#banner");
  banner.textContent = "The server can't be reached. What you see may be old; it is asked again and again.";
  banner.hidden = state === "up";
  if (state === "up" && wasDown) update({});
  wasDown = state === "down";
}

// A part of a page may update itself: it prevents what happens otherwise.
function update(event) {
  const own = new CustomEvent("caterva2:change", { detail: event, cancelable: true });
  if (document.dispatchEvent(own)) refresh();
}

async function refresh() {
  const main = document.querySelector("#main");
  const active = document.activeElement;
  if (main.querySelector("audio, video, iframe, canvas, [data-typed]")
      || (main.contains(active) && active.matches("input, textarea, select"))) return suggest();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) return;
  const made = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#main");
  const opened = [...main.querySelectorAll("details")].map((one) => one.open);
  const focused = main.contains(active) && active.getAttribute("href");
  main.replaceChildren(...made.childNodes);
  main.querySelectorAll("details").forEach((one, n) => { one.open = opened[n] ?? one.open; });
  if (focused) main.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  document.dispatchEvent(new CustomEvent("caterva2:refreshed"));
}

function suggest() {
  const banner = document.querySelector("#banner");
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Load it again";
  banner.replaceChildren("There is something new on this page. ", link);
  banner.hidden = false;
}
