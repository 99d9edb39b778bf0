"use strict";
(() => {
  const details = JSON.parse(document.getElementById("details").textContent);
  const value = (row, i) => {
    const cell = row.cells[i], given = cell.dataset.s;
    const text = given === undefined ? (cell.querySelector(".more") ?? cell).textContent.trim() : given;
    const number = Number(text);
    return text === "" || text === "\u2014" ? null : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  function sort(table, i) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    const down = heads[i].getAttribute("aria-sort") === "ascending";
    heads.forEach((h, j) => h.setAttribute("aria-sort", j !== i ? "none" : down ? "descending" : "ascending"));
    body.querySelectorAll("tr.detail").forEach(close);
    const keyed = [...body.rows].map((row) => [value(row, i), row]);
    keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : (down ? -1 : 1) * compare(a, b)));
    body.append(...keyed.map(([, row]) => row));      // what is missing stays last in both directions
  }
  document.querySelectorAll("table.data").forEach((table) =>
    [...table.tHead.rows[0].cells].forEach((head, i) => head.firstElementChild.addEventListener("click", () => sort(table, i))));

  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text ?? "" });

  function close(detail) {
    detail.previousElementSibling.querySelector(".more").setAttribute("aria-expanded", "false");
    detail.remove();
  }
  function open(table, row) {
    const detail = element("tr"), cell = element("td"), inner = element("div"), cases = element("table");
    const line = (tag, texts) => { const tr = element("tr"); tr.append(...texts.map((t) => element(tag, t))); return tr; };
    cases.append(line("th", JSON.parse(table.dataset.headings)));
    const lines = details.tables[table.dataset.name][row.dataset.id] || [];
    lines.forEach((c) => cases.append(line("td", c.map((i) => details.words[i]))));
    detail.className = "detail"; inner.className = "inner"; cell.colSpan = row.cells.length;
    inner.append(cases); cell.append(inner); detail.append(cell); row.after(detail);
    row.querySelector(".more").setAttribute("aria-expanded", "true");
  }
  function detailed(table) {
    const grid = table.closest(".grid");
    table.tBodies[0].addEventListener("click", (event) => {
      const button = event.target.closest(".more");
      if (!button) return;
      const row = button.closest("tr"), next = row.nextElementSibling;
      if (next && next.classList.contains("detail")) close(next); else open(table, row);
    });
    const text = grid.querySelector(".tools input"), problem = grid.querySelector(".tools select");
    const shown = grid.querySelector(".tools output"), tiles = [...grid.querySelectorAll(".tile")];
    let verdict = "";
    function filter() {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...table.tBodies[0].rows].filter((r) => !r.classList.contains("detail"));
      let count = 0;
      rows.forEach((row) => {
        const content = row.textContent.toLowerCase();
        const there = (!verdict || row.dataset.verdict === verdict) && words.every((w) => content.includes(w))
          && (!problem || !problem.value || row.dataset.id.split("|")[1] === problem.value);
        const next = row.nextElementSibling;
        if (!there && next && next.classList.contains("detail")) close(next);
        row.hidden = !there;
        count += there;
      });
      shown.textContent = `${count} of ${rows.length} rows`;
    }
    tiles.forEach((tile) => tile.addEventListener("click", () => {
      verdict = tile.dataset.verdict;
      tiles.forEach((t) => t.setAttribute("aria-pressed", String(t === tile)));
      filter();
    }));
    text.addEventListener("input", filter);
    if (problem) problem.addEventListener("change", filter);
    filter();
  }
  document.querySelectorAll("table.detailed").forEach(detailed);
})();
