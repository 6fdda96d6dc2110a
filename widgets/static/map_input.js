// Hands on the map: mouse, keyboard and filter box, turned into calls of the map.
import { movedTo } from "./map_costs.js";
import { stripTip } from "./map_strip.js";
import { cellWords, kernelWords, laneWords } from "./map_tip.js";

/** Attaches every listener; returns the function that takes them off. */
export function attachInput(map) {
  const { filter, body, scroll } = map.parts;
  const listeners = [
    [filter, "input", () => map.filterTyped()],
    [body, "click", (event) => click(map, event)],
    [body, "mouseover", (event) => explain(map, event)],
    [body, "mouseleave", () => map.tip.hide()],
    [body, "focusin", (event) => event.target.matches(":focus-visible") && explain(map, event)],
    [body, "focusout", () => map.tip.hide()],
    [scroll, "focus", (event) => event.target === scroll && scroll.matches(":focus-visible") && map.focus(map.at.row, map.at.column)],
    [scroll, "scroll", () => {
      map.tip.hide();
      map.drawSoon();
    }],
    [map.el, "keydown", (event) => key(map, event)],
  ];
  listeners.forEach(([element, name, run]) => element.addEventListener(name, run));
  return () => listeners.forEach(([element, name, run]) => element.removeEventListener(name, run));
}

function place(map, event) {
  const element = event.target.closest(".px-body .px-row");
  if (!element || !map.parts.body.contains(element)) return null;
  const column = [...element.children].findIndex((child) => child.contains(event.target));
  const index = element.px.row;
  return { index, row: map.rows[index], column, part: element.children[column], about: map.columns[column] };
}

function click(map, event) {
  const spot = place(map, event);
  if (!spot || !spot.row) return;
  map.at = { row: spot.index, column: Math.max(0, spot.column) };
  if (spot.about?.precision !== undefined) map.pick(spot.index, spot.about.precision, event.shiftKey);
  else if (spot.column === 0 && spot.row.type !== "op") map.toggle(spot.index);
  else map.select(spot.index);
}

function explain(map, event) {
  const spot = place(map, event);
  const words = spot && spot.about && spot.row ? wordsFor(map, spot) : null;
  if (words) map.tip.show(spot.part, words);
  else map.tip.hide();
}

function wordsFor(map, { index, row, about }) {
  if (about.precision !== undefined) {
    const choices = map.choices();
    const proposed = movedTo(row, about.precision, map.proposal, choices);
    return cellWords(row, about.precision, map.data, choices, map.costs, proposed);
  }
  if (about.key === "range") return stripTip(row, map.strips, map.bands());
  if (about.key === "casts") return laneWords(row, map.lanes[index], map.data);
  if (about.key === "layer") return null;
  return kernelWords(row, map.plan(), map.times(), map.data, map.choices());
}

function act(event, run) {
  event.preventDefault();
  event.stopPropagation();
  run();
}

function key(map, event) {
  map.tip.hide();
  const typing = event.target.tagName === "INPUT";
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key.toLowerCase() === "z" && !typing) act(event, () => map.ask(event.shiftKey ? "redo" : "undo"));
  else if (event.key === "/" && !typing) act(event, () => map.parts.filter.focus());
  else if (typing && event.key === "Escape") act(event, () => map.clearFilter());
  else if (typing && event.key === "ArrowDown") act(event, () => map.focus(0, 0));
  else if (!typing && !command && !event.altKey && map.parts.scroll.contains(event.target)) gridKey(map, event);
}

function gridKey(map, event) {
  const { row, column } = map.at;
  const precision = map.columns[column]?.precision;
  const page = Math.max(1, Math.floor(map.parts.scroll.clientHeight / map.rowHeight) - 2);
  const moves = { ArrowDown: row + 1, ArrowUp: row - 1, PageDown: row + page, PageUp: row - page, Home: 0, End: map.rows.length - 1 };
  if (event.key in moves) act(event, () => map.focus(moves[event.key], column));
  else if (event.key === "ArrowRight") act(event, () => sideways(map, 1));
  else if (event.key === "ArrowLeft") act(event, () => sideways(map, -1));
  else if (event.key === "Enter" || event.key === " ") act(event, () => (precision === undefined ? map.toggle(row) : map.pick(row, precision, event.shiftKey)));
  else if (event.key === "l") act(event, () => map.lock(row));
  else if (/^[1-9]$/.test(event.key) && Number(event.key) <= map.data.precisions.length) act(event, () => map.pick(row, Number(event.key) - 1, false));
}

/** Right opens a closed layer or goes along its cells, each of which explains itself; left comes back and closes it. */
function sideways(map, step) {
  const { row, column } = map.at;
  if (column === 0 && map.toggle(row, step > 0)) return;
  map.focus(row, Math.max(0, Math.min(map.columns.length - 1, column + step)));
}
