// The map's header: each column's name, what it means, and the order that a click on it makes.
import { h, put } from "./shared.js";
import { STRIP_ABOUT } from "./map_strip.js";

const SORTED = "Rows are sorted, so that neighbours do not feed each other: no line is drawn between them. A diamond still marks an op that takes a cast.";

/** What a click on a column sorts by, or "" for a column without an order. */
export function sortOf(column) {
  if (column.precision !== undefined) return `cost:${column.key.slice(5)}`;
  return column.key === "time" ? "time" : column.key === "layer" ? "order" : "";
}

/** The cells of the header, in the order of the columns; `sort(by)` is called by a click on one that can be sorted. */
export function headerCells(columns, sort) {
  return columns.map((column, at) => {
    const by = sortOf(column);
    const tabindex = at === 0 ? "0" : "-1";
    const title = column.title.replace("_", " ");
    const part = by
      ? h("button", { class: "px-sort", type: "button", tabindex, "data-term": column.title, "data-testid": `sort:${by}`, onclick: () => sort(by), text: title }, h("i", { class: "px-arrow", "aria-hidden": "true" }))
      : h("span", { class: "px-heading", tabindex, "data-term": column.title, text: title });
    return h("div", { class: `px-col-${column.key.split(":")[0]}`, role: "columnheader" }, part);
  });
}

/** Says on each header how the rows stand to it. */
export function markSort(cells, columns, sort) {
  columns.forEach((column, at) => {
    const by = sortOf(column);
    const sorted = by === sort.by && by !== "order";
    put(cells[at], "aria-sort", sorted ? (sort.up ? "ascending" : "descending") : by ? "none" : null);
  });
}

/** The lines of a header's tooltip: its name, its sentence, and what a click does or why the column is as it is. */
export function headerWords(column, sort, sentence, strips) {
  const by = sortOf(column);
  const more = [];
  if (column.key === "range") more.push(strips.error || "", STRIP_ABOUT);
  if (column.key === "casts" && sort.by !== "order") more.push(SORTED);
  if (by === "order") more.push(sort.by === "order" ? "Rows stand in the order in which they run." : "Click: back to the order in which ops run.");
  else if (by) more.push(clickWords(by, sort));
  return [column.title, sentence, ...more].filter(Boolean);
}

function clickWords(by, sort) {
  const what = by === "time" ? "latency, slowest first" : `predicted cost in ${by.slice(5)}, highest first`;
  if (sort.by !== by) return `Click: sort by ${what}.`;
  return sort.up ? "Click: back to the order in which ops run." : "Click: the other way round.";
}

/**
 * Arrows walk along the header and down leads into the rows, `down(at)`; its first cell is a stop of the Tab key. A cell under
 * the mouse or in focus is explained, `explain(at)`, with -1 for none. Returns the function that stops all that.
 */
export function attachHeader(header, explain, down) {
  const focusable = () => [...header.querySelectorAll(".px-sort, .px-heading")];
  const show = (event) => explain([...header.children].findIndex((cell) => cell.contains(event.target)));
  const hide = () => explain(-1);
  const walk = (event) => {
    const all = focusable();
    const at = all.indexOf(event.target);
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
    if (at < 0 || (!(event.key in moves) && event.key !== "ArrowDown")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "ArrowDown") return down(at);
    const next = all[Math.max(0, Math.min(all.length - 1, moves[event.key]))];
    all.forEach((one) => put(one, "tabindex", one === next ? "0" : "-1"));
    return next.focus();
  };
  const seen = (event) => event.target.matches(":focus-visible") && show(event);
  const pairs = [["keydown", walk], ["mouseover", show], ["mouseleave", hide], ["focusin", seen], ["focusout", hide], ["click", hide]];
  pairs.forEach(([name, run]) => header.addEventListener(name, run));
  return () => pairs.forEach(([name, run]) => header.removeEventListener(name, run));
}
