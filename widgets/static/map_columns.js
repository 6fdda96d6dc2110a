// Which columns the map shows: chosen in a menu, kept in the browser. Pure but for what `remember` keeps.
import { plural } from "./numbers.js";
import { recall, remember } from "./remember.js";

const KEPT_COLUMNS = "map-columns";
const NAMES = { casts: "casts", range: "range", kernel: "kernel", time: "latency, \u00b5s", change: "change of latency, \u0394", limit: "share of the limit" };
/** Pixels: below, strips are too small to be read. */
const PHONE = 430;
/** A row is known by its name: this column stays. */
export const ALWAYS = "layer";

/** The keys of the columns that a person hid; null where nobody chose yet, or what was kept cannot be read. */
export function recallHidden() {
  try {
    return new Set(JSON.parse(recall(KEPT_COLUMNS)).filter((key) => typeof key === "string" && key !== ALWAYS));
  } catch {
    return null;
  }
}

export function rememberHidden(hidden) {
  remember(KEPT_COLUMNS, JSON.stringify([...hidden]));
}

/** What is hidden where nobody chose: on a phone the ranges, which have no room there. */
export function hiddenAtFirst(width) {
  return new Set(width > 0 && width < PHONE ? ["range"] : []);
}

/** The columns on show. */
export function shownColumns(columns, hidden) {
  return columns.filter((column) => !hidden.has(column.key));
}

/** The grid of the columns: each has its least width, and some share what room is left; then the least width of all. */
export function gridOf(columns) {
  const tracks = columns.map(({ least, grows }) => (grows ? `minmax(${least}, ${grows}fr)` : least));
  return { tracks: tracks.join(" "), least: `calc(${columns.map(({ least }) => least).join(" + ")})` };
}

/** How many of a table's columns are hidden, and how many ops have their present choice in one of those. */
export function hiddenFacts(columns, hidden, choices) {
  const away = columns.filter((column) => hidden.has(column.key));
  const precisions = new Set(away.map((column) => column.precision).filter((precision) => precision !== undefined));
  return { columns: away.length, chosen: choices.reduce((n, precision) => n + (precisions.has(precision) ? 1 : 0), 0) };
}

/** The button's words: "Columns", "Columns \u00b7 2 hidden". */
export function buttonWords({ columns }) {
  return columns ? `Columns \u00b7 ${columns} hidden` : "Columns";
}

/** What is lost from sight with the hidden columns, or "". */
export function hiddenWords({ columns, chosen }) {
  if (!columns) return "";
  return `${plural(columns, "column")} hidden${chosen ? `; ${plural(chosen, "op")} ${chosen === 1 ? "is" : "are"} chosen in ${columns === 1 ? "it" : "them"}, where no ring shows` : ""}.`;
}

/** The menu: one entry that checks each column, precisions first, and one that brings all back; `turn(key)` and `all()` do it. */
export function columnEntries(columns, hidden, { turn, all }) {
  const entry = (column) => ({
    id: `column:${column.key}`, text: column.precision === undefined ? NAMES[column.key] || column.title : column.title, checked: !hidden.has(column.key), run: () => turn(column.key),
  });
  const free = columns.filter((column) => column.key !== ALWAYS);
  const cells = free.filter((column) => column.precision !== undefined);
  const others = free.filter((column) => column.precision === undefined);
  return [...cells.map(entry), { line: true }, ...others.map(entry), { line: true },
    { id: "columns-all", text: "Show all columns", disabled: !columns.some((column) => hidden.has(column.key)), run: all }];
}
