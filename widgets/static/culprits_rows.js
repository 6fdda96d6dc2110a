// What the culprits panel says of each sample. Pure.
import { isNumber, small, three } from "./numbers.js";
import { nameOf } from "./time_rows.js";

/** "7 → 1, should be 7": what was answered before and after, and what is right. */
export function answerWords(row) {
  if (!row.before && !row.after) return "";
  const same = row.before === row.after;
  const right = row.target === "" ? "" : same && row.after === row.target ? ", right" : `, right is ${row.target}`;
  return same ? `still ${row.after}${right}` : `${row.before} \u2192 ${row.after}${right}`;
}

/** good: now right; bad: now wrong; "" where the answer stayed. */
export function answerTone(row) {
  if (row.before === row.after || row.target === "") return "";
  return row.after === row.target ? "good" : row.before === row.target ? "bad" : "";
}

/** How far the output moved, with the word of how that is known. */
export function movedWords(row, kind) {
  if (isNumber(row.kl)) return `KL ${small(row.kl)} nats (${kind})`;
  return isNumber(row.error) ? `squared error ${small(row.error)} (${kind})` : `became NaN or Inf (${kind})`;
}

/** Which sample, and for a token which position; there the data may have no right answer. */
export function whereWords(row) {
  return row.token < 0 ? `sample ${row.sample}` : `sample ${row.sample}, position ${row.token}${row.target === "" ? ", not scored" : ""}`;
}

/** Where it leaves FP32's way: {name, words}, or null. */
export function divergesWords(row) {
  if (!row.op) return null;
  const sqnr = isNumber(row.sqnr) ? ` SQNR ${three(row.sqnr)} dB there${isNumber(row.usual) ? `, ${three(row.usual)} dB for the middle sample` : ""}.` : "";
  return { name: nameOf(row.op), words: `${row.op}:${sqnr}` };
}

/** The line above the samples, for each state of the panel. */
export function culpritsNote({ state, error, baseline, rows }) {
  if (state === "opening") return "No model is open yet.";
  if (state === "failed") return error;
  if (baseline) return "Every op runs in FP32: no output moves. Choose a precision first.";
  if (state === "waiting") return "Looking for them\u2026 Cancel is in the bar above.";
  if (state === "idle") return "The samples whose output this recipe moves most away from FP32\u2019s.";
  return rows.length ? `The ${rows.length} outputs that moved most from FP32\u2019s, most first. Click a sample to see its op in the map.` : "No output moved.";
}
