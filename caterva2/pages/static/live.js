// Keeps what a page shows up to date while data changes, and says when the server is not reached.
import { events } from "./events.js";

const PAUSE_MS = 700;
const AGAIN_MS = 2000;
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
  if (page.live === "failure") return event.kind === "roots";
  if (event.kind !== "change" || !page.below) return true;
  return event.path === page.below || event.path.startsWith(`${page.below}/`);
}

function serverIs(state) {
  page.stream = state;
  const banner = document.querySelector("#banner");
  banner.textContent = "The server can't be reached. What you see may be old; it is asked again and again.";
  banner.hidden = state === "up";
  if (state === "up" && wasDown) update({});
  else if (state === "up" && page.live !== "failure") missed();
  wasDown = state === "down";
}

// What has changed since the server made this page, while nothing was heard of it.
async function missed() {
  const answer = await fetch(`${location.pathname}?part=revision`, { headers: { Accept: "text/html" } }).catch(() => null);
  const now = answer?.ok ? await answer.text() : "";
  if (!answer || now === page.revision) return;
  page.revision = now;
  update({});
}

// A part of a page may update itself: it prevents what happens otherwise.
function update(event) {
  if (page.live === "failure") return location.reload();
  const own = new CustomEvent("caterva2:change", { detail: event, cancelable: true });
  if (document.dispatchEvent(own)) refresh();
}

// A page that says that more is on its way is looked at again.
export function again() {
  if (document.querySelector("#main [data-again]")) setTimeout(() => isInUse() ? again() : refresh(), AGAIN_MS);
}

function isTyped(form) {
  return form.closest("details[open]") || [...form.elements].some((one) => "defaultValue" in one && one.value !== one.defaultValue);
}

function isInUse() {
  const main = document.querySelector("#main");
  const active = document.activeElement;
  return Boolean(main.querySelector("audio, video, iframe, canvas"))
    || [...main.querySelectorAll("[data-typed]")].some(isTyped)
    || (main.contains(active) && active.matches("input, textarea, select"));
}

async function refresh() {
  const main = document.querySelector("#main");
  const active = document.activeElement;
  if (isInUse()) return suggest();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) return;
  const made = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#main");
  const opened = [...main.querySelectorAll("details")].map((one) => one.open);
  const focused = main.contains(active) && active.getAttribute("href");
  const kept = main.querySelector("[data-upload]"); // with what it says of files on their way
  main.replaceChildren(...made.childNodes);
  const place = main.querySelector("[data-upload]");
  if (kept && place) place.replaceWith(kept);
  else if (kept && "busy" in kept.dataset) main.append(kept);
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
