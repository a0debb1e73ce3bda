// The tree of files beside a page: levels open on demand, and arrow keys walk through it.
const MOST = 300; // nodes of all levels, beyond which those that were opened first are closed
const side = document.querySelector("#side");
const tree = side?.querySelector(".tree");
const opened = []; // links of directories that the reader opened, the last one at the end

const items = () => [...tree.querySelectorAll('[role="treeitem"]')];
const levelOf = (link) => link.parentElement.querySelector(":scope > ul");
const isOpen = (link) => link.getAttribute("aria-expanded") === "true";

async function load(address) {
  const answer = await fetch(`${address}?part=tree`, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ul");
}

async function open(link) {
  link.setAttribute("aria-expanded", "true");
  link.setAttribute("aria-busy", "true");
  try {
    const made = await load(link.pathname);
    if (!isOpen(link) || levelOf(link)) return;
    link.after(made);
    opened.push(link);
    shrink(link);
    rove(document.activeElement);
  } catch {
    link.setAttribute("aria-expanded", "false");
  } finally {
    link.removeAttribute("aria-busy");
  }
}

function close(link) {
  link.setAttribute("aria-expanded", "false");
  levelOf(link)?.remove();
  if (opened.includes(link)) opened.splice(opened.indexOf(link), 1);
}

function shrink(kept) {
  for (const link of [...opened]) {
    if (items().length <= MOST) return;
    const level = levelOf(link);
    if (link !== kept && !level?.contains(kept) && !level?.contains(document.activeElement)) close(link);
  }
}

// One of the nodes is reached by Tab, the others by arrows.
function rove(focused) {
  const all = items();
  const one = all.find((link) => link === focused) ?? all.find((link) => link.ariaCurrent === "page") ?? all[0];
  for (const link of all) link.tabIndex = link === one ? 0 : -1;
}

function parentOf(link) {
  return link.closest("ul").parentElement.querySelector(':scope > [role="treeitem"]');
}

function walk(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const all = items();
  const at = all.indexOf(event.target);
  if (at < 0) return;
  const link = all[at];
  const to = { ArrowDown: all[at + 1], ArrowUp: all[at - 1], Home: all[0], End: all.at(-1) };
  let next = to[event.key];
  if (event.key === "ArrowRight" && link.ariaExpanded) {
    if (isOpen(link)) next = levelOf(link)?.querySelector("a");
    else open(link);
  } else if (event.key === "ArrowLeft") {
    if (isOpen(link)) close(link);
    else next = parentOf(link);
  } else if (!(event.key in to) && event.key !== "ArrowRight") return;
  event.preventDefault();
  if (!next) return;
  next.focus();
  rove(next);
}

// What is added or removed on a level that is shown; levels below it stay open.
async function renew({ path = "" }) {
  const inner = [...tree.querySelectorAll("ul[data-level]")];
  const levels = inner.filter(({ dataset: { level } }) => level === "" || path.startsWith(`${level}/`));
  const old = levels.at(-1);
  if (!old || !path) return;
  const address = tree.dataset.root + old.dataset.level.split("/").map((one) => `/${encodeURIComponent(one)}`).join("");
  const made = await load(address.replace(/\/$/, "")).catch(() => null);
  if (!made || old.querySelector(":scope > li:first-child.rest")) return;
  for (const link of old.querySelectorAll(':scope > li > a[aria-expanded="true"]')) {
    const now = made.querySelector(`:scope > li > a[href="${CSS.escape(link.getAttribute("href"))}"]`);
    if (now) now.parentElement.replaceWith(link.parentElement);
  }
  const here = made.querySelector(`:scope > li > a[href="${CSS.escape(location.pathname)}"]`);
  here?.setAttribute("aria-current", "page");
  old.replaceChildren(...made.childNodes);
  rove(null);
}

export function fileTree() {
  if (!tree) return;
  const wide = matchMedia("(min-width: 64rem)");
  const fit = () => { side.open = wide.matches; };
  fit();
  wide.addEventListener("change", fit);
  rove(null);
  tree.addEventListener("keydown", walk);
  tree.addEventListener("focusin", (event) => rove(event.target));
  tree.addEventListener("click", (event) => {
    const link = event.target.closest(".twist")?.parentElement;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (isOpen(link)) close(link);
    else open(link);
  });
  document.addEventListener("caterva2:change", (event) => renew(event.detail));
  const here = tree.querySelector('[aria-current="page"]');
  if (here) tree.scrollTop = here.offsetTop - tree.clientHeight / 3;
}
