// Arrow keys in lists: up and down, Home and End, left to the directory above, right into a row.
const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

export function walkLists() {
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
