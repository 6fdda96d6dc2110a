// The map's order: execution order as a tree, or a flat list by cost, latency or size. Pure.
import { costOf } from "./map_costs.js";
import { isNumber } from "./numbers.js";

export const IN_ORDER = { by: "order", up: false };
const LANE = { above: null, below: null, node: "dot", format: "", casts: [], arcs: [] };

/** What a click on a header makes of the order: largest first, then smallest first, then execution order again. */
export function nextSort(now, by) {
  if (now.by !== by) return { by, up: false };
  return now.up ? IN_ORDER : { by, up: true };
}

/** A kept order, where it is one of this table; execution order otherwise. */
export function readSort(kept, precisions) {
  const by = typeof kept?.by === "string" ? kept.by : "";
  const known = ["cost", "time", "size"].includes(by) || (by.startsWith("cost:") && precisions.includes(by.slice(5)));
  return known ? { by, up: kept.up === true } : IN_ORDER;
}

/** The tree's ops and folds without its layers, each with the path of the layer that it is in. */
export function leavesOf(items, path = "") {
  return items.flatMap((item) => (item.type === "layer" ? leavesOf(item.items, item.key) : [{ ...item, path }]));
}

/** Leaves by a value, those without one last either way; equal ones stay in execution order. */
export function sortLeaves(leaves, valueOf, up) {
  const rank = (value) => (value === Infinity ? Number.MAX_VALUE : value);
  const known = leaves.map((leaf, at) => ({ leaf, at, value: rank(valueOf(leaf)) }));
  const both = (a, b) => (up ? a.value - b.value : b.value - a.value) || a.at - b.at;
  known.sort((a, b) => (isNumber(a.value) ? (isNumber(b.value) ? both(a, b) : -1) : isNumber(b.value) ? 1 : a.at - b.at));
  return known.map(({ leaf }) => leaf);
}

/** What an order goes by: the value of a leaf, null where there is none. `page` is the filter's page. */
export function valueBy(by, page) {
  if (by === "size") return ({ ops }) => totalOf(ops, (op) => page.data.ops[op].params || 0);
  if (by === "time") return ({ ops }) => ownTime(ops, page.times);
  const column = by.startsWith("cost:") ? page.data.precisions.indexOf(by.slice(5)) : -1;
  return (leaf) => {
    const cost = column < 0 ? chosenCost(leaf.ops, page) : costOf(leaf, column, page.costs, page.data.options)?.cost;
    return Number.isNaN(cost) ? Infinity : cost ?? null;
  };
}

function totalOf(ops, of) {
  return ops.reduce((total, op) => total + of(op), 0);
}

/** What the ops cost in what is chosen now; null where one is not known. */
function chosenCost(ops, { choices, costs }) {
  const found = ops.map((op) => costs.at(op, choices[op]));
  return found.includes(null) ? null : found.reduce((total, one) => total + one.cost, 0);
}

/** Measured microseconds of a leaf's own calls; null where it has none: emulated, inside another op, or not measured. */
function ownTime(ops, times) {
  const own = ops.map((op) => times[op]).filter((entry) => entry && !entry[4]);
  return own.length === 0 || own.some((entry) => entry[2]) ? null : own.reduce((total, entry) => total + entry[0], 0);
}

/** The lanes of rows out of their order: what flows from each and the casts at it, and no line, for none would be true. */
export function loneLanes(rows, flows, casts) {
  const at = new Map();
  rows.forEach((row, index) => row.ops.forEach((op) => at.set(op, index)));
  const lanes = rows.map((row) => (row.open ? { ...LANE, node: "none" } : { ...LANE, format: flows[row.ops.at(-1)] || "", casts: [] }));
  for (const cast of casts) {
    for (const index of new Set(cast.consumers.map((op) => at.get(op)))) {
      if (index === undefined || lanes[index].node === "none") continue;
      lanes[index].casts.push({ ...cast, inside: at.get(cast.source) === index });
      if (at.get(cast.source) !== index) lanes[index].node = "cast";
    }
  }
  return lanes;
}

/** What an order is called: "highest cost in int8 first". */
export function sortWords({ by, up }) {
  if (by === "order") return "order of execution";
  if (by === "time") return up ? "fastest first" : "slowest first";
  if (by === "size") return up ? "smallest first" : "largest first";
  return `${up ? "lowest" : "highest"} cost${by === "cost" ? "" : ` in ${by.slice(5)}`} first`;
}
