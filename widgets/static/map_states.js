// What the map says where it has no rows, and above them where they are not all they could be. Pure.
import { count, plural } from "./numbers.js";

/**
 * What stands in the rows' place: {state, words, more, action}, or null where there are rows. `state` is loading, failed,
 * empty or nothing; `action` names a button, "clear" or "retry".
 */
export function placeholder({ opening, failed, model, ops, rows, filter }) {
  if (ops === 0 && opening) return { state: "loading", words: opening, more: "Its ops appear here in the order in which they run, each with the cost of every precision." };
  if (ops === 0 && failed) return { state: "failed", words: `No model is open. ${failed}`, more: "Choose another model in the bar above, or mend what it names and choose this one again." };
  if (ops === 0 && model) return { state: "empty", words: `${model} has no op whose precision could be chosen.`, more: "Only ops on floating-point tensors stand here; choose another model in the bar above." };
  if (ops === 0) return { state: "empty", words: "No model is open: choose one in the bar above.", more: "" };
  if (rows === 0) return { state: "nothing", words: `No op fits \u201c${filter.trim()}\u201d.`, more: nearMiss(filter), action: "clear" };
  return null;
}

/** Words that read as one of the language's values are probably meant as such. */
function nearMiss(filter) {
  const meant = { emulated: "kernel:emulated", real: "kernel:real", refused: "kernel:refused", compute: "role:compute", sensitive: "role:sensitive", elementwise: "role:elementwise" };
  const words = filter.toLowerCase().split(/\s+/).filter((word) => word in meant);
  if (words.length) return `Did you mean ${words.map((word) => meant[word]).join(" ")}?`;
  return filter.trim().includes(" ") ? "Every word must fit the same op: leave one out, or see what can be asked with \u201c?\u201d." : "Try part of a name, or see what can be asked with \u201c?\u201d.";
}

/** What is to be said above the rows: [{tone, words, action}]. */
export function notices({ opening, model, shown, more, costs, strips, stopped }) {
  const found = [];
  const action = stopped ? undefined : "retry";
  if (opening) found.push({ tone: "busy", words: `${opening} \u2013 until then the rows below are those of ${model}.` });
  if (more > 0) found.push({ tone: "", words: `The first ${count(shown)} of ${count(shown + more)} ops are shown; recipes, search and totals hold all of them.` });
  const lacks = [costs.state === "absent" && "no predicted costs", strips.state === "absent" && "no ranges"].filter(Boolean);
  const colours = costs.state === "absent" ? " The cells have no colours." : "";
  if (lacks.length) found.push({ tone: "", words: `This recording holds ${lacks.join(" and ")}: nobody had looked at them when it was saved.${colours}` });
  if (costs.state === "failed") found.push({ tone: "bad", words: `The cells have no colours, for no cost could be predicted: ${costs.error}`, action });
  if (strips.state === "failed") found.push({ tone: "bad", words: `The ranges could not be read: ${strips.error}`, action });
  return found;
}

/** How many of the ops are in rows, for screen readers: "57 ops in 43 rows". */
export function countWords(ops, rows) {
  return `${plural(ops, "op")} in ${plural(rows, "row")}`;
}
