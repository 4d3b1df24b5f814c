"use strict";
(function () {
  const said = document.getElementById("said");
  const valueOf = (row, column) => row.cells[column].dataset.value;

  function compare(a, b, numeric) {
    return numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
  }

  // What is empty comes last, in either direction; what is equal keeps its order.
  function sort(head) {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.classList.contains("figure");
    const rows = Array.from(body.rows);
    rows.sort((one, other) => {
      const a = valueOf(one, column), b = valueOf(other, column);
      if (a === "" || b === "") return (a === "") - (b === "");
      return down ? compare(b, a, numeric) : compare(a, b, numeric);
    });
    body.append(...rows);
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    said.textContent = `Sorted by ${head.textContent.trim()}, ${down ? "descending" : "ascending"}`;
  }

  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  function csvOf(table) {
    const lines = [Array.from(table.tHead.rows[0].cells, (cell) => cell.dataset.key)];
    for (const row of table.tBodies[0].rows) lines.push(Array.from(row.cells, (cell) => cell.dataset.value));
    return lines.map((line) => line.map(quoted).join(",") + "\n").join("");
  }

  function download(button) {
    const csv = csvOf(document.getElementById(button.dataset.table));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv;charset=utf-8" }));
    link.download = button.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    said.textContent = `Saved ${button.dataset.file}`;
  }

  for (const button of document.querySelectorAll(".sort")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
  for (const button of document.querySelectorAll(".download")) {
    button.hidden = false;
    button.addEventListener("click", () => download(button));
  }
  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => { opened = Array.from(closed()); opened.forEach((one) => { one.open = true; }); });
  addEventListener("afterprint", () => { opened.forEach((one) => { one.open = false; }); });
})();
