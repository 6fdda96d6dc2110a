// What a person does in the map's bar and header, as calls of the map: the order of its rows, its columns, what its names mean.
import { columnEntries, hiddenAtFirst, rememberHidden } from "./map_columns.js";
import { headerWords } from "./map_header.js";
import { IN_ORDER, readSort } from "./map_sort.js";
import { recall, remember } from "./remember.js";
import { WORDS } from "./words.js";

const KEPT_ORDER = "map-order";
const TYPING_MS = 250;

export function barActions(map) {
  return { typed: () => typeFilter(map), sort: (sort) => sortBy(map, sort), again: () => sortBy(map, map.list.sort), entries: () => entriesOf(map) };
}

/** Filters at every key; the page is told once the typing pauses. */
export function typeFilter(map) {
  map.arrangeRows();
  clearTimeout(map.typing);
  map.typing = setTimeout(() => {
    const text = map.parts.filter.value;
    if (text !== map.model.get("filter")) map.ask("filter", { text });
  }, TYPING_MS);
}

export function clearFilter(map) {
  map.parts.filter.value = "";
  typeFilter(map);
  map.focus(0, 0);
}

/** Takes the filter of another view or of a kept page, but never in place of what is being typed. */
export function heardFilter(map) {
  const { filter } = map.parts;
  if (document.activeElement === filter || filter.value === map.model.get("filter")) return;
  filter.value = map.model.get("filter");
  map.arrangeRows();
}

/** Shows the rows in an order, from its beginning; it is kept for as long as the tab is open. */
export function sortBy(map, sort) {
  map.list.sortBy(sort);
  remember(KEPT_ORDER, sort.by === IN_ORDER.by ? "" : JSON.stringify(sort), "sessionStorage");
  map.parts.scroll.scrollTop = 0;
  map.at.row = 0;
  map.arrangeRows();
}

/** The order that was kept, where this table has it. */
export function recallSort(precisions) {
  try {
    return readSort(JSON.parse(recall(KEPT_ORDER, "sessionStorage") || "null"), precisions);
  } catch {
    return IN_ORDER;
  }
}

function entriesOf(map) {
  const hide = (hidden) => {
    map.columnsChosen = true;
    rememberHidden(hidden);
    layAnew(map, hidden);
  };
  const turn = (key) => hide(new Set(map.hidden.has(key) ? [...map.hidden].filter((one) => one !== key) : [...map.hidden, key]));
  return columnEntries(map.allColumns, map.hidden, { turn, all: () => hide(new Set()) });
}

/** A phone has no room for every column; once a person chose, what is hidden is left alone. */
export function fitColumns(map) {
  const hidden = map.columnsChosen ? map.hidden : hiddenAtFirst(map.el.clientWidth);
  if ([...hidden].join() === [...map.hidden].join()) map.drawSoon();
  else layAnew(map, hidden);
}

function layAnew(map, hidden) {
  map.hidden = hidden;
  map.layColumns();
  map.readRanges();
  map.arrangeRows();
}

/** Shows what the header's cell `at` means; -1 for none. */
export function explainHeader(map, at) {
  const column = map.columns[at];
  if (!column) return map.tip.hide();
  const sentence = WORDS[column.title] || column.about || "";
  return map.tip.show(map.parts.header.children[at], headerWords(column, map.list.sort, sentence, map.strips));
}
