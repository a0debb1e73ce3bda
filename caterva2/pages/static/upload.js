// Uploads by drag and drop or by choice: one after the other, with progress. A large file goes on where
// a lost connection, a closed page or a server that ended interrupted it: see docs/special-roots.md.
const PAUSE_MS = [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000];
const LARGE = 2 ** 20;
const API = new URL("../../api/", import.meta.url).href; // below /static/DIGEST/, and what is in front of that

function target(name) {
  return `${API}upload/` + name.split("/").map(encodeURIComponent).join("/").replace(/%40/g, "@");
}

function send(method, address, body, headers, shown) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => shown(event.loaded, event.total);
    request.onload = () => done({ status: request.status, text: request.responseText });
    request.onerror = () => done({ status: 0 });
    request.open(method, address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(body);
  });
}

function read(answer) {
  try { return JSON.parse(answer.text); } catch { return {}; }
}

function sentence(answer) {
  if (answer.status === 401) return "you are not logged in any more: log in, and choose the file again";
  return read(answer).detail ?? `status ${answer.status}`;
}

function passing({ status, text }) {
  return status === 0 || status === 429 || status === 503 || (status === 409 && read({ text }).name === "stale-version");
}

// A small file: one form, sent again when the connection was lost.
function small(name, file, shown) {
  const body = new FormData();
  body.append("file", file, file.name);
  return send("POST", target(name), body, {}, shown);
}

function tagOf(file) {
  return `${file.name} ${file.size} ${file.lastModified}`;
}

// A large file: begun, or found as it was left, and sent from its offset on. One step of it is returned.
function large(name, file, shown) {
  const plan = { path: name, size: file.size, tag: tagOf(file) };
  const kind = { "Content-Type": "application/json" };
  let id = "";
  const look = async () => {
    const known = id ? await send("GET", `${API}uploads/${id}`, null, {}, () => {}) : { status: 404 };
    return known.status === 404 ? send("POST", `${API}uploads`, JSON.stringify(plan), kind, () => {}) : known;
  };
  return async () => {
    const begun = await look();
    const state = read(begun);
    if (begun.status !== 200 || state.complete) return begun;
    id = state.id;
    shown(state.offset, file.size);
    if (state.active) return { status: 503, ...state };
    const headers = { "Upload-Offset": String(state.offset), "Content-Type": "application/octet-stream" };
    const rest = file.slice(state.offset);
    const sent = await send("PATCH", `${API}uploads/${state.id}`, rest, headers,
      (at) => shown(Math.min(state.offset + at, file.size), file.size));
    return { ...sent, offset: state.offset };
  };
}

function megabytes(size) {
  return size < 1e5 ? `${Math.ceil(size / 1e3)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

async function upload(place, { file, name }, list) {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  const said = document.createElement("span");
  bar.max = 1; bar.value = 0; bar.className = "share";
  bar.setAttribute("aria-label", `Progress of ${name}`);
  const far = document.createElement("span"); // for eyes: the bar says it to others
  far.className = "soft small"; far.ariaHidden = "true";
  row.append(document.createTextNode(`${name} `), bar, " ", far, said);
  list.append(row);
  const shown = (at, all) => {
    bar.value = all ? at / all : 0;
    far.textContent = `${Math.floor(100 * bar.value)} % of ${megabytes(file.size)}`;
  };
  const step = file.size < LARGE ? () => small(place + name, file, shown) : large(place + name, file, shown);
  let best = -1;
  for (let tries = 0; tries < PAUSE_MS.length; tries += 1) {
    const answer = await step();
    if (answer.status === 200) { shown(1, 1); said.textContent = " done"; return true; }
    if (!passing(answer)) { said.textContent = ` ${sentence(answer)}`; return false; }
    if (answer.offset > best) { best = answer.offset; tries = 0; }
    said.textContent = answer.active ? " another page sends this file" : " the connection was lost, trying again";
    await new Promise((wake) => { setTimeout(wake, PAUSE_MS[tries]); });
  }
  said.textContent = " given up: the server can't be reached. Choose the file again later: it goes on from there";
  return false;
}

async function* filesOf(entry, before) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => { entry.file(done, fail); });
    yield { file, name: before + entry.name };
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const found = await new Promise((done, fail) => { reader.readEntries(done, fail); });
    if (!found.length) return;
    for (const one of found) yield* filesOf(one, `${before}${entry.name}/`);
  }
}

async function* dropped(entries) {
  for (const entry of entries) yield* filesOf(entry, "");
}

async function* chosen(files) {
  for (const file of files) yield { file, name: file.webkitRelativePath || file.name };
}

async function* chosenAs(file, name) {
  yield { file, name };
}

async function all(area, files, place = area.dataset.upload) {
  const list = area.querySelector("ol");
  list.replaceChildren();
  delete area.dataset.done;
  area.dataset.busy = ""; // so that it stays when the page is refreshed
  let well = true;
  for await (const one of files) well = await upload(place, one, list) && well;
  area.dataset.done = String(well);
  if (well) delete area.dataset.busy;
}

for (const area of document.querySelectorAll("[data-upload]")) {
  area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    all(area, dropped(entries));
  });
  for (const input of area.querySelectorAll("input")) {
    input.addEventListener("change", () => all(area, chosen(taken(input))));
  }
}

// The files of a field, which is empty again: or choosing the same file once more would do nothing.
function taken(input) {
  const files = [...input.files];
  input.value = "";
  return files;
}

// An upload that is listed as unfinished goes on when its file is chosen.
document.addEventListener("change", ({ target: input }) => {
  if (!input.dataset?.tag) return;
  const [file] = taken(input);
  const [name, area] = [input.dataset.place, document.querySelector("[data-upload]")];
  if (tagOf(file) === input.dataset.tag) all(area, chosenAs(file, name), "");
  else {
    const row = document.createElement("li");
    row.textContent = `${file.name} is another file, or was changed since: ${name} does not go on with it`;
    area.querySelector("ol").replaceChildren(row);
  }
});
