// Uploads by drag and drop or by choice: one after the other, with progress, tried again when a
// connection is lost. A part of a file can't be kept, so a file starts from its beginning then.
const TRIES = 8;
const PAUSE_MS = [500, 1000, 2000, 4000, 8000];

function target(place, name) {
  return "/api/upload/" + (place + name).split("/").map(encodeURIComponent).join("/").replace(/%40/g, "@");
}

function send(address, file, shown) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append("file", file, file.name);
    request.upload.onprogress = (event) => shown(event.loaded, event.total);
    request.onload = () => done({ status: request.status, text: request.responseText });
    request.onerror = () => done({ status: 0 });
    request.open("POST", address);
    request.send(body);
  });
}

function sentence(answer) {
  try { return JSON.parse(answer.text).detail; } catch { return `status ${answer.status}`; }
}

async function upload(place, { file, name }, list) {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  const said = document.createElement("span");
  bar.max = 1; bar.value = 0; bar.className = "share";
  bar.setAttribute("aria-label", `Progress of ${name}`);
  row.append(document.createTextNode(`${name} `), bar, said);
  list.append(row);
  for (let n = 0; n < TRIES; n += 1) {
    const answer = await send(target(place, name), file, (at, all) => { bar.value = all ? at / all : 0; });
    if (answer.status === 200) { bar.value = 1; said.textContent = " done"; return true; }
    const again = answer.status === 0 || answer.status === 503;
    said.textContent = again ? " the connection was lost, trying again" : ` ${sentence(answer)}`;
    if (!again) return false;
    await new Promise((wake) => setTimeout(wake, PAUSE_MS[Math.min(n, PAUSE_MS.length - 1)]));
  }
  said.textContent = " given up: the server can't be reached";
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

async function all(area, files) {
  const list = area.querySelector("ol");
  list.replaceChildren();
  let well = true;
  for await (const one of files) well = await upload(area.dataset.upload, one, list) && well;
  area.dataset.done = String(well);
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
  const input = area.querySelector("input");
  input.addEventListener("change", () => all(area, chosen([...input.files])));
}
