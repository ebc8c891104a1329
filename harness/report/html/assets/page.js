"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const store = JSON.parse(document.getElementById("cells").textContent);

  // A cell of the matrix, in words.
  const cellOf = (number) => {
    const values = store.cells[number];
    return Object.fromEntries(store.fields.map((name, index) =>
      [name, name === "findings" ? values[index] : store.texts[values[index]]]));
  };
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const article = (cell) => {
    const made = element("article");
    made.append(element("h3", `${cell.scenario} on ${cell.kernel} ${cell.medium}`));
    const line = element("p");
    line.append(element("span", `${cell.sign} (${cell.outcome})`, `o-${cell.outcome}`));
    line.append(element("span", `, ${cell.seconds}, judged by ${cell.engine}`, "muted"));
    for (const id of cell.findings) {
      const link = element("a", `finding ${id}`);
      link.href = `#f-${id}`;
      link.addEventListener("click", () => dialog.close());
      line.append(" ", link);
    }
    made.append(line);
    if (cell.why) made.append(element("p", cell.why));
    if (cell.blame) made.append(element("p", cell.blame, "muted"));
    if (cell.notes) made.append(element("p", cell.notes, "muted"));
    made.append(copyable(element("pre", cell.command, "command copy")));
    made.append(element("pre", cell.program, "program"));
    return made;
  };

  const dialog = document.getElementById("cell");
  const open = (numbers) => {
    const close = element("button", "close", "close");
    close.type = "button";
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(close, ...numbers.slice(0, 20).map((number) => article(cellOf(number))));
    if (numbers.length > 20) dialog.append(element("p", `and ${numbers.length - 20} more`, "muted"));
    dialog.showModal();
    dialog.scrollTop = 0;
  };
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // Commands can be copied.
  const copyable = (block) => {
    if (!navigator.clipboard) return block;
    const text = block.textContent;
    const button = element("button", "copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    });
    block.append(button);
    return block;
  };
  all("pre.copy").forEach(copyable);

  // The image of a map is chosen.
  for (const maps of all(".maps")) {
    for (const button of all("[role=tab]", maps)) {
      button.addEventListener("click", () => {
        for (const other of all("[role=tab]", maps)) other.setAttribute("aria-selected", String(other === button));
        for (const image of all(".image", maps)) image.hidden = image.dataset.image !== button.dataset.image;
      });
    }
  }

  // The matrix is filtered.
  const table = document.getElementById("cells-table");
  const heads = all("thead tr:last-child th[data-kernel]", table);
  const rows = all("tbody tr:not(.family)", table).map((row) => ({
    row,
    name: `${row.parentElement.querySelector(".family th").textContent}::${row.cells[0].textContent}`.toLowerCase(),
    places: [...row.cells].slice(1).map((place) => ({place, buttons: [...place.children]})),
  }));
  const wanted = (name) => new Set(all(`[data-filter=${name}] input:checked`).map((box) => box.value));
  const columnStyle = element("style");
  document.head.append(columnStyle);
  const filter = () => {
    const outcomes = wanted("outcome"), kernels = wanted("kernel"), systems = wanted("system");
    const text = document.getElementById("text").value.trim().toLowerCase();
    const shown = heads.map((head) => kernels.has(head.dataset.kernel) && systems.has(head.dataset.system));
    const gone = shown.flatMap((yes, index) => yes ? [] : [index + 2]);
    columnStyle.textContent = gone.map((index) =>
      `#cells-table tr:not(.family):not(.kernels) > :nth-child(${index}) { display: none; }`).join("");
    for (const group of all(".kernels th[data-kernel]", table)) {
      const count = heads.filter((head, index) => head.dataset.kernel === group.dataset.kernel && shown[index]).length;
      group.hidden = !count;
      group.colSpan = count || 1;
    }
    let cells = 0, scenarios = 0;
    for (const {row, name, places} of rows) {
      let here = 0;
      places.forEach(({buttons}, index) => {
        for (const button of buttons) {
          const match = outcomes.has(button.className.slice(2).split(" ")[0]);
          button.classList.toggle("dim", !match);
          if (match && shown[index]) here += button.dataset.cells.split(",").length;
        }
      });
      const match = here > 0 && name.includes(text);
      row.hidden = !match;
      if (match) { cells += here; scenarios += 1; }
    }
    for (const body of table.tBodies) {
      const left = all("tr:not(.family)", body).filter((row) => !row.hidden).length;
      body.hidden = !left;
    }
    document.getElementById("count").textContent =
      `${cells} of ${store.cells.length} cells in ${scenarios} of ${rows.length} rows`;
  };
  const form = document.querySelector(".filters");
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cells]");
    if (button) open(button.dataset.cells.split(",").map(Number));
  });
  filter();

  // A finding that is linked to unfolds; on paper all unfolds that matters.
  const unfold = () => {
    const target = location.hash.startsWith("#f-") && document.getElementById(location.hash.slice(1));
    if (target) target.querySelector("details").open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
  addEventListener("beforeprint", () => {
    for (const fold of all("details[data-print]:not([open])")) { fold.open = true; fold.dataset.opened = "1"; }
  });
  addEventListener("afterprint", () => {
    for (const fold of all("details[data-opened]")) { fold.open = false; delete fold.dataset.opened; }
  });
})();
