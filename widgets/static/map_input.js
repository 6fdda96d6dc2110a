// Hands on the map: mouse, keyboard and filter box, turned into calls of the map.
import { clearFilter, typeFilter } from "./map_controls.js";
import { movedTo } from "./map_costs.js";
import { commandOf } from "./map_keys.js";
import { stripTip } from "./map_strip.js";
import { aboutCell, cellWords, kernelWords, laneWords } from "./map_tip.js";

const CLICK_MS = 50;

/** Attaches every listener; returns the function that takes them off. */
export function attachInput(map) {
  const { filter, body, scroll } = map.parts;
  const over = heedMoves((event) => explain(map, event));
  const listeners = [
    [filter, "input", () => typeFilter(map)],
    [body, "click", (event) => click(map, event)],
    [body, "mouseover", over.enter],
    [body, "mousemove", over.move],
    [document, "mousemove", over.note],
    [body, "mouseleave", () => map.paint || map.tip.hide()],
    [body, "focusin", (event) => event.target.matches(":focus-visible") && explain(map, event)],
    [body, "focusout", () => map.tip.hide()],
    [scroll, "focus", (event) => event.target === scroll && scroll.matches(":focus-visible") && map.focus(map.at.row, map.at.column)],
    [scroll, "scroll", () => {
      if (!map.paint) map.tip.hide();
      map.drawSoon();
    }],
    [map.el, "keydown", (event) => key(map, event)],
  ];
  listeners.forEach(([element, name, run]) => element.addEventListener(name, run));
  return () => listeners.forEach(([element, name, run]) => element.removeEventListener(name, run));
}

/** Passes on where a pointer moved to; what slides under one that rests, as when the page scrolls, says nothing until it moves. */
function heedMoves(run) {
  const placeOf = ({ screenX, screenY }) => `${screenX} ${screenY}`;
  let rest = "";
  let slid = false;
  const enter = (event) => {
    slid = placeOf(event) === rest;
    if (!slid) run(event);
  };
  return { enter, move: (event) => slid && placeOf(event) !== rest && enter(event), note: (event) => { rest = placeOf(event); } };
}

function place(map, event) {
  const element = event.target.closest(".px-body .px-row");
  if (!element || !map.parts.body.contains(element)) return null;
  const column = [...element.children].findIndex((child) => child.contains(event.target));
  const index = element.px.row;
  return { index, row: map.rows[index], column, part: element.children[column], about: map.columns[column] };
}

function click(map, event) {
  if (map.swallow && event.timeStamp - map.swallow < CLICK_MS) return;
  const spot = place(map, event);
  if (!spot || !spot.row || spot.row.type === "detail") return;
  map.at = { row: spot.index, column: Math.max(0, spot.column) };
  map.unmark();
  const button = event.target.closest(".px-lock, .px-twist");
  if (button?.matches(".px-lock")) map.lock(spot.index);
  else if (button) map.expand(spot.index);
  else if (spot.about?.precision !== undefined) map.pick(spot.index, spot.about.precision, event.shiftKey);
  else if (spot.column === 0 && spot.row.type !== "op") map.toggle(spot.index);
  else map.select(spot.index);
  if (spot.about?.precision === undefined) map.refocus();
  tellTapped(map, event, spot);
}

/** What a click leaves to read: the cell without what a click would do, and for a finger, which cannot hover, the whole name. */
function tellTapped(map, event, { row, column, part, about }) {
  if (about?.precision !== undefined && event.detail) map.tip.show(part, aboutCell(...cellOf(map, row, about)).lines);
  else if (column === 0 && row.type === "op" && event.pointerType === "touch") map.tip.show(part, part.title.split("\n"));
}

function cellOf(map, row, { precision }) {
  const choices = map.choices();
  return [row, precision, map.data, choices, map.costs, movedTo(row, precision, map.proposal, choices)];
}

function explain(map, event) {
  if (map.paint) return;
  const spot = place(map, event);
  const words = spot && spot.about && spot.row && spot.row.type !== "detail" ? wordsFor(map, spot) : null;
  if (words) map.tip.show(spot.part, words);
  else map.tip.hide();
}

function wordsFor(map, { index, row, about }) {
  if (about.precision !== undefined) return cellWords(...cellOf(map, row, about));
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
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  const command = event.ctrlKey || event.metaKey;
  const name = event.key.toLowerCase();
  if (command && (name === "z" || name === "y") && !typing) act(event, () => map.step(event.shiftKey || name === "y" ? "redo" : "undo"));
  else if (event.key === "/" && !typing) act(event, () => map.parts.filter.focus());
  else if (event.key === "?" && !typing && !command) act(event, () => map.keys.show());
  else if (event.target === map.parts.filter && event.key === "Escape") act(event, () => clearFilter(map));
  else if (event.target === map.parts.filter && event.key === "ArrowDown") act(event, () => map.focus(0, 0));
  else if (!typing && map.parts.body.contains(event.target)) gridKey(map, event);
}

function gridKey(map, event) {
  const inside = map.rows[map.at.row]?.type === "detail" && !event.target.matches(".px-detail-cell");
  const found = inside && event.key !== "Escape" ? null : commandOf(event);
  if (!found || (found[0] === "copy" && String(getSelection()))) return;
  const [command, argument] = found;
  if (command !== "clear") act(event, () => COMMANDS[command](map, argument));
  // An Escape that leaves nothing here is the page's.
  else if (map.leave()) act(event, () => {});
}

const COMMANDS = {
  move: (map, step) => {
    map.unmark();
    map.focus(stepTo(map, step), map.at.column);
  },
  extend: (map, step) => {
    map.anchor ??= map.rows[map.at.row]?.key;
    map.focus(stepTo(map, step), map.at.column);
    map.sayMarked();
  },
  side: (map, step) => sideways(map, step),
  enter: (map, range) => {
    const precision = map.columns[map.at.column]?.precision;
    if (precision === undefined || map.rows[map.at.row]?.type === "detail") map.expand(map.at.row);
    else map.pick(map.at.row, precision, range);
  },
  assign: (map, { place: number, range }) => {
    const shown = map.columns.filter((column) => column.precision !== undefined);
    const precision = number ? shown[number - 1]?.precision : map.data.precisions.indexOf("fp32");
    if (precision === undefined || precision < 0) map.said.say(`There is no precision number ${number}: ${shown.length} are shown.`, true);
    else map.assign(precision, range);
  },
  expand: (map) => map.expand(map.at.row),
  lock: (map) => map.lock(map.at.row),
  inspect: (map) => map.select(map.at.row, true),
  copy: (map) => map.copy(),
  all: (map) => {
    map.anchor = map.rows[0]?.key;
    map.focus(map.rows.length - 1, map.at.column);
    map.sayMarked();
  },
};

function stepTo(map, step) {
  const { row } = map.at;
  const page = Math.max(1, Math.floor(map.parts.scroll.clientHeight / map.rowHeight) - 2);
  return { ArrowDown: row + 1, ArrowUp: row - 1, PageDown: row + page, PageUp: row - page, Home: 0, End: map.rows.length - 1 }[step];
}

/** Right opens a closed layer or goes along its cells, each of which explains itself; left comes back, closes it, and leaves it. */
function sideways(map, step) {
  const { row, column } = map.at;
  if (column === 0 && map.toggle(row, step > 0)) return;
  if (column === 0 && step < 0 && map.kin.parents[row] >= 0) map.focus(map.kin.parents[row], 0);
  else map.focus(row, Math.max(0, Math.min(map.columns.length - 1, column + step)));
}
