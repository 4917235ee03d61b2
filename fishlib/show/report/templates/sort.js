// Tables sort by a click on a heading, or by Enter on it; without this script they stay as they are.
document.querySelectorAll("table").forEach((table) => {
  const body = table.tBodies[0];
  if (!body || !table.tHead || body.rows.length < 3) return;
  const width = body.rows[0].cells.length;
  if ([...body.rows].some((row) => row.cells.length !== width)) return;
  const said = (row) => [...row.cells].filter((cell) => cell.textContent.trim()).length;
  const head = [...table.tHead.rows].filter((row) => row.cells.length === width).sort((a, b) => said(b) - said(a))[0];
  if (!head) return;
  const text = (row, i) => row.cells[i].textContent.trim();
  const number = (s) => (/^[+\u2212-]?\d[\d,]*(\.\d+)?/.test(s) ? parseFloat(s.replace(/,/g, "").replace("\u2212", "-")) : NaN);
  const missing = (s) => /^(|\u2013|\u2014|not run|nan|NaN|<NA>)$/.test(s);
  [...head.cells].forEach((cell, i) => {
    if (!cell.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      [...head.cells].forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].filter((row) => !row.classList.contains("total"));
      const numbers = rows.every((row) => missing(text(row, i)) || !isNaN(number(text(row, i))));
      const compare = (a, b) => (numbers ? number(a) - number(b) : a.localeCompare(b, "ja", { numeric: true }));
      rows.sort((r, s) => {
        const a = text(r, i), b = text(s, i);
        return missing(a) - missing(b) || (missing(a) ? 0 : (down ? -1 : 1) * compare(a, b));
      });
      body.append(...rows, ...body.querySelectorAll("tr.total"));
    });
  });
});
