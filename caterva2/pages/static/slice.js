// Sliders and links that change the window of values in place; the address follows.
import { copyButtons } from "./copy.js";

const LATE_MS = 400; // after which the page says that it reads
const form = document.querySelector("#plane");
const wait = document.querySelector("#wait");
const CANCELLED = new Error("cancelled");
let running = null;

// Puts the window of a query in place of the one that is shown. What is newer ends what is older.
async function load(query, history) {
  running?.abort();
  const mine = running = new AbortController();
  const old = document.querySelector("#window");
  old.setAttribute("aria-busy", "true");
  const late = setTimeout(() => say("Reading…", true), LATE_MS);
  const asked = new URLSearchParams(query);
  asked.set("part", "window");
  try {
    const answer = await fetch(`${location.pathname}?${asked}`, { signal: mine.signal });
    if (!answer.ok) return location.assign(`${location.pathname}?${query}`); // shows the error
    place(await answer.text(), old, history);
    say("", false);
  } catch (error) {
    if (error.name === "AbortError") return;
    old.removeAttribute("aria-busy");
    say(error === CANCELLED ? "It was not read: you cancelled it." : "It could not be read: the server can't be reached.", false);
  } finally {
    clearTimeout(late);
  }
}

function say(text, cancellable) {
  wait.hidden = !text;
  wait.querySelector("[role=status]").textContent = text;
  wait.querySelector("[data-cancel]").hidden = !cancellable;
}

function cancel() {
  if (wait.querySelector("[data-cancel]").hidden || wait.hidden) return;
  running?.abort(CANCELLED);
}

function place(html, old, history) {
  const made = new DOMParser().parseFromString(html, "text/html").querySelector("#window");
  const [was, now] = [old.querySelector(".use"), made.querySelector(".use")];
  if (was && now) now.open = was.open;
  const before = old.querySelector(".cells");
  const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
  const at = before && [before.scrollLeft, before.scrollTop];
  old.replaceWith(made);
  const after = made.querySelector(".cells");
  if (before && after) [after.scrollLeft, after.scrollTop] = at;
  if (focused) made.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  if (history === "push") window.history.pushState(null, "", made.dataset.query);
  if (history === "replace") window.history.replaceState(null, "", made.dataset.query);
  for (const field of document.querySelectorAll('input[name="slice"]')) field.value = made.dataset.slice;
}

function reload() {
  return load(document.querySelector("#window").dataset.query.slice(1), "");
}

function sliders() {
  for (const range of form.querySelectorAll("input[data-for]")) {
    const number = form.querySelector(`#${range.dataset.for}`);
    const moved = (history) => load(new URLSearchParams(new FormData(form)), history);
    range.addEventListener("input", () => { number.value = range.value; moved("replace"); });
    number.addEventListener("input", () => {
      if (number.value === "" || !number.checkValidity()) return;
      range.value = number.value;
      moved("replace");
    });
  }
  form.addEventListener("change", (event) => { if ("submit" in event.target.dataset) form.submit(); });
}

if (form) sliders();
wait.querySelector("[data-cancel]").addEventListener("click", cancel);
document.addEventListener("keydown", (event) => event.key === "Escape" && cancel());
copyButtons();
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-go]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  load(link.search.slice(1), "push");
});
document.addEventListener("caterva2:change", (event) => {
  event.preventDefault();
  reload();
});
window.addEventListener("popstate", () => location.reload());
