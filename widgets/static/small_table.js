// A small table that sorts by its headings and lets a row be chosen: the order is pure, the drawing is not.
import { h, put } from "./shared.js";

/** The rows ordered by a column's value; empty values last, either way; ties keep their order. */
export function sortRows(rows, key, down) {
  if (!key) return rows;
  const empty = (x) => x === null || x === undefined || x === "";
  return [...rows].sort((a, b) => {
    const [x, y] = [a[key], b[key]];
    if (empty(x) || empty(y)) return Number(empty(x)) - Number(empty(y));
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -order : order;
  });
}

/**
 * A table of `columns` {key, title, term, number, cell(row)}; `choose(row)` is called for a click on a row.
 * Returns {element, fill(rows, chosen)}; `chosen(row)` marks rows.
 */
export function smallTable(name, columns, choose) {
  let sort = { key: null, down: false };
  let shown = { rows: [], chosen: () => false };
  const body = h("tbody");
  const heads = columns.map((column) => {
    if (!column.title) return h("td");
    const button = h("button", { class: "px-sort", type: "button", "data-term": column.term || null, text: column.title, onclick: () => {
      sort = { key: column.key, down: sort.key === column.key ? !sort.down : Boolean(column.number) };
      draw();
    } });
    return h("th", { scope: "col", class: column.number ? "px-num" : null }, button);
  });
  const element = h("div", { class: "px-table-scroll" }, h("table", { class: "px-small", "aria-label": name }, h("thead", {}, h("tr", {}, heads)), body));
  const draw = () => {
    heads.forEach((head, at) => put(head, "aria-sort", columns[at].title && columns[at].key === sort.key ? (sort.down ? "descending" : "ascending") : null));
    body.replaceChildren(...sortRows(shown.rows, sort.key, sort.down).map(rowElement));
  };
  const rowElement = (row) => {
    const take = choose && ((event) => {
      if (event.target.closest("button") || (event.type === "keydown" && event.key !== "Enter")) return;
      choose(row);
    });
    const cells = columns.map((column) => h("td", { class: column.number ? "px-num" : null }, column.cell(row)));
    return h("tr", { "data-testid": row.testid, tabindex: choose ? "0" : null, "aria-selected": shown.chosen(row) ? "true" : null, onclick: take || null, onkeydown: take || null }, cells);
  };
  const fill = (rows, chosen = () => false) => {
    shown = { rows, chosen };
    draw();
  };
  return { element, fill };
}
