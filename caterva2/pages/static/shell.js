// What every page has: the choice of the scheme, keys, and dates in the reader's time.
import { again, liveUpdates } from "./live.js";
import { fileTree } from "./tree.js";

function scheme() {
  const button = document.querySelector("[data-theme-switch]");
  const dark = () => getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const say = () => button.setAttribute("aria-pressed", String(dark()));
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* until the page is left */ }
    say();
  });
  say();
}

function isTyping(target) {
  if (/^(range|checkbox|radio|button|submit|file)$/.test(target.type)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function keys() {
  const find = document.querySelector(".find input");
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && find && !isTyping(event.target)) {
      event.preventDefault();
      find.focus();
      find.select();
    } else if (event.key === "Escape" && event.target === find) {
      find.blur();
    }
  });
}

// Arrow keys in lists: up and down, Home and End, left to the directory above, right into a row.
const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

function walkLists() {
  for (const list of document.querySelectorAll("[data-list]")) {
    list.addEventListener("keydown", (event) => walk(list, event));
  }
}

function walk(list, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const links = [...list.querySelectorAll("tbody .name a")];
  const at = links.indexOf(event.target);
  if (at < 0) return;
  if (event.key in STEPS) {
    const next = Math.min(Math.max(at + STEPS[event.key], 0), links.length - 1);
    links[next].focus();
    event.preventDefault();
  } else if (event.key === "ArrowRight") {
    links[at].click();
  } else if (event.key === "ArrowLeft" && list.dataset.above) {
    location.assign(list.dataset.above);
  }
}

scheme();
keys();
walkLists();
fileTree();
liveUpdates();
again();
document.addEventListener("caterva2:refreshed", walkLists);
document.addEventListener("caterva2:refreshed", again);
