// Where the time goes, as rows of words: a time table's payload -> what each line says. Pure.
import { count, duration, isNumber, plural } from "./numbers.js";

/** How much of what it takes an op must take: {share, words}, or null where that says nothing. */
export function limitOf(us, floor) {
  if (!isNumber(us) || !isNumber(floor) || us <= 0 || floor <= 0) return null;
  const share = Math.min(1, floor / us);
  const words = `At least ${duration(floor)} on this machine, for its bytes and its arithmetic; it takes ${duration(us)}: ${Math.round(100 * share)} % of the limit.`;
  return { share, words };
}

/** "blocks.0.mlp.fc1/linear" -> "blocks.0.mlp.fc1"; an op of the model itself is called by its kind. */
export function nameOf(id) {
  const at = id.lastIndexOf("/");
  return at > 0 ? id.slice(0, at) : id.slice(at + 1);
}

/** "blocks.0.mlp.fc1/linear" -> "fc1"; a number alone says too little: "stem.0". */
export function lastName(id) {
  const parts = nameOf(id).split(".");
  return parts.slice(/^\d+$/.test(parts[parts.length - 1]) ? -2 : -1).join(".");
}

/** "43 %": its part of the whole recipe's time. */
function partOf(us, whole) {
  return whole > 0 ? `${Math.round((100 * us) / whole)} %` : "";
}

function rowOf(row, whole, guests) {
  const cast = row.kernel === "cast";
  const inside = guests.filter((guest) => guest.inside === row.id).map((guest) => (guest.kernel === "cast" ? guest.what : lastName(guest.id)));
  const also = inside.length ? `with ${inside.join(", ")} inside` : "";
  const name = cast ? row.what : row.id === "views" ? "views" : nameOf(row.id);
  const sub = cast ? `of ${row.id.replace(/^cast:([^:]*):.*$/, "$1")}` : row.id === "views" ? "reshape, transpose" : `${row.what} \u00b7 ${row.kernel}`;
  return {
    id: row.id, name, sub: [sub, also].filter(Boolean).join(" \u00b7 "), emulated: row.emulated, cast,
    time: duration(row.us), part: partOf(row.us, whole),
    limit: row.emulated ? null : limitOf(row.us, row.floor_us),
  };
}

function groupOf(group, whole) {
  const cast = group.kernel === "cast";
  const inside = group.holds ? `${plural(group.holds, "op or cast", "ops and casts")} inside` : "";
  const count = group.what === "view" ? "reshape, transpose" : plural(group.n, cast ? "cast" : "op");
  return {
    id: `${group.what} ${group.kernel}`, name: group.what, sub: [cast || group.what === "view" ? "" : group.kernel, count, inside].filter(Boolean).join(" \u00b7 "),
    emulated: group.emulated, cast, time: duration(group.us), part: partOf(group.us, whole), limit: group.emulated ? null : limitOf(group.us, group.floor_us),
  };
}

/**
 * The lines of the table, slowest first: one per kind of call, or with `each` one per op and cast, and the others as one.
 * Then the sum, what it leaves out, and the whole.
 */
export function timeRows(table, each = false) {
  const rows = each ? table.rows.map((row) => rowOf(row, table.whole_us, table.inside)) : table.groups.map((group) => groupOf(group, table.whole_us));
  const others = each && table.more ? { name: `${count(table.more)} others`, time: duration(table.more_us) } : null;
  return { rows, others, sums: sumsOf(table) };
}

function sumsOf(table) {
  const casts = table.rows.filter((row) => row.kernel === "cast").length;
  const ops = table.rows.length + table.more - casts;
  const share = table.whole_us > 0 ? ` (${Math.round((100 * Math.abs(table.rest_us)) / table.whole_us)} %)` : "";
  const inside = table.inside.length ? `, ${count(table.inside.length)} more inside them` : "";
  return [
    { id: "sum", name: "sum of the rows", sub: `${plural(ops, "op")}, ${plural(casts, "cast")}${inside}`, time: duration(table.sum_us) },
    table.rest_us < 0
      ? { id: "rest", name: "less when run together", sub: "one by one, the rows wait for memory that a whole run has at hand", time: `\u2212${duration(-table.rest_us)}${share}` }
      : { id: "rest", name: "unexplained", sub: "calls between the ops, or the machine changed its pace", time: `${duration(table.rest_us)}${share}` },
    { id: "whole", name: "the whole recipe", sub: "measured as one run", time: duration(table.whole_us) },
  ];
}
