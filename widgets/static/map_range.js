// What choosing a precision for several rows means: which ops, which of them can, and what is said of it. Pure.
import { plural } from "./numbers.js";
import { nameOf } from "./time_rows.js";

const KINDS = 3;
const LONGEST = 150;

/**
 * The ops of the rows from one number to another, each once, in order. A header that is open stands for nothing here: its
 * rows are in sight and have their own part in the range; alone it stands for all that is in it.
 */
export function rangeOps(rows, from, to) {
  const [low, high] = from < to ? [from, to] : [to, from];
  const taken = low === high ? [rows[low]] : rows.slice(low, high + 1).filter((row) => !row.open);
  return [...new Set(taken.filter(Boolean).flatMap((row) => row.ops))].sort((a, b) => a - b);
}

/** Which ops can take a precision, and why the others cannot: {can, skipped: [{reason, ops}]}, the commonest reason first. */
export function splitPossible(ops, precision, data) {
  const reasons = new Map();
  const can = ops.filter((op) => {
    const { possible, reason } = data.options[op][precision];
    if (!possible) reasons.set(reason || "no reason was given", [...(reasons.get(reason || "no reason was given") || []), op]);
    return possible;
  });
  const skipped = [...reasons].map(([reason, left]) => ({ reason, ops: left })).sort((a, b) => b.ops.length - a.ops.length);
  return { can, skipped };
}

/** One op by its name, several by their number. */
export function whoWords(ops, data) {
  return ops.length === 1 ? nameOf(data.ops[ops[0]].id) : plural(ops.length, "op");
}

/** "3 casts added"; nothing where their number stays. */
export function castsWords(before, after) {
  if (after === before) return "";
  return `${plural(Math.abs(after - before), "cast")} ${after > before ? "added" : "removed"}`;
}

/** "2 skipped (gelu, add): gelu has no weights"; nothing where none was. The commonest reason stands for all. */
export function skippedWords(skipped, data) {
  const n = skipped.reduce((sum, each) => sum + each.ops.length, 0);
  if (n === 0) return "";
  const kinds = [...new Set(skipped.flatMap((each) => each.ops).map((op) => data.ops[op].kind))];
  const named = kinds.slice(0, KINDS).join(", ") + (kinds.length > KINDS ? ` and ${plural(kinds.length - KINDS, "other kind")}` : "");
  return `${n} skipped (${named}): ${shorter(skipped[0].reason)}${skipped.length > 1 ? "; hover or tap a dot for each reason" : ""}`;
}

function shorter(reason) {
  return reason.length > LONGEST ? `${reason.slice(0, LONGEST - 1)}\u2026` : reason;
}

/**
 * What is said once a choice is made, in sentences. change: {ops, skipped, precision, casts: [before, after], locked}: ops
 * that changed, those that cannot, the number of casts before and after, how many of the ops are locked for the search.
 */
export function setWords({ ops, skipped, precision, casts, locked }, data) {
  const name = data.precisions[precision];
  const emulated = ops.filter((op) => data.options[op][precision].emulated).length;
  const done = [
    `${whoWords(ops, data)} set to ${name}${emulated ? `, ${emulated === ops.length ? "" : `${emulated} `}emulated here` : ""}`,
    castsWords(...casts),
  ].filter(Boolean).join("; ");
  const held = locked ? `${locked === ops.length && ops.length === 1 ? "It stays" : `${plural(locked, "op")} of them ${locked === 1 ? "stays" : "stay"}`} locked: a search keeps what you chose` : "";
  return [done, skippedWords(skipped, data), held].filter(Boolean).map((part) => `${part}.`).join(" ");
}

/** What is said where nothing changes: the ops have the precision, or cannot take it. */
export function unchangedWords(ops, skipped, precision, data) {
  const name = data.precisions[precision];
  const n = skipped.reduce((sum, each) => sum + each.ops.length, 0);
  if (ops.length === 0 && n === 0) return "";
  if (ops.length === 0) return `${whoWords(skipped.flatMap((each) => each.ops), data)} cannot be ${name}: ${skipped[0].reason}.`;
  return [`${whoWords(ops, data)} ${ops.length === 1 ? "is" : "are"} ${name} already`, skippedWords(skipped, data)].filter(Boolean).map((part) => `${part}.`).join(" ");
}

/** What is said of locks that were set or taken: {ops, on}. */
export function lockWords(ops, on, data) {
  const verb = ops.length === 1 ? "is" : "are";
  return on ? `${whoWords(ops, data)} ${verb} locked: a search leaves ${ops.length === 1 ? "it" : "them"} as ${ops.length === 1 ? "it is" : "they are"}; you can still choose.`
    : `${whoWords(ops, data)} ${verb} free again for a search.`;
}
