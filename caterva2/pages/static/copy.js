// Buttons that copy what another element shows: lines of code, or a table with tabs.
function textOf(element) {
  if (element.tagName !== "TABLE") return element.textContent;
  const rows = [...element.tBodies[0].rows];
  return rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent).join("\t")).join("\n") + "\n";
}

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // a page that came without TLS has no clipboard
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function copyButtons() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const said = button.textContent;
    try {
      await write(textOf(document.querySelector(button.dataset.copy)));
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed here";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}
