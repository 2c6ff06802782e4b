"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent;
      };
      const kind = (value) => (typeof value === "number" ? 0 : value === "–" || value === "" ? 2 : 1);
      const compare = (one, other) => {
        const a = key(one), b = key(other);
        if (kind(a) !== kind(b)) return kind(a) - kind(b); // missing values stay last
        const order = typeof a === "number" ? (a < b ? -1 : a > b ? 1 : 0) : a.localeCompare(b);
        return up ? order : -order;
      };
      body.append(...Array.from(body.rows).sort(compare));
    });
  });
}
