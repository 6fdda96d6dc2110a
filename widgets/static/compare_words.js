// What the comparison of two recipes says. Pure.
import { bytes, difference, duration, isNumber, plural, score, small, speedup, three } from "./numbers.js";

const ms = (x) => duration(1000 * x);
const signed = (x, write) => (isNumber(x) ? `${x > 0 ? "+" : x < 0 ? "\u2212" : ""}${write(Math.abs(x))}` : "\u2013");

/** Each number: its heading, the sentence that explains it, how it is written, and which way is better. */
export const FIGURES = {
  score: { title: (found) => found.score, term: "score", write: (x, found) => score(x, found.unit), better: 1 },
  kl: { title: (found) => (found.cost === "squared error" ? "squared error" : "KL to FP32"), term: "quality cost", write: small, better: -1 },
  price: { title: (found) => `predicted cost, ${found.cost}`, term: "predicted cost", write: small, better: -1 },
  speed: { title: () => "speed-up", term: "speed-up", write: speedup, better: 1 },
  ms: { title: () => "latency", term: "latency", write: ms, better: -1 },
  predicted_ms: { title: () => "latency, predicted", term: "predicted latency", write: ms, better: -1 },
  weights: { title: () => "weights", term: "weights", write: bytes, better: -1 },
};

/** A number with its interval in words, for one recipe. */
export function sideWords(name, side, found) {
  if (!side) return { text: "\u2013", title: "not measured yet" };
  const { write } = FIGURES[name];
  const text = isNumber(side.value) ? write(side.value, found) : "NaN";
  if (!isNumber(side.low) || !isNumber(side.high) || side.low === side.high) return { text, title: side.kind };
  if (name === "score") return { text, title: `against FP32 ${difference(side.moved, found.unit)}, 95 % between ${difference(side.low, found.unit)} and ${difference(side.high, found.unit)} (${side.kind})` };
  const what = side.kind === "predicted" ? "band" : "95 %";
  return { text, title: `${what} ${write(side.low, found)} to ${write(side.high, found)} (${side.kind})` };
}

/** What the second is against the first: {text, title, tone}; a tone only where the interval, or lacking one the size, says so. */
export function changeWords(row, found) {
  const { change, low, high, how, name } = row;
  if (!isNumber(change)) return { text: "\u2013", title: "known once both are", tone: "" };
  const { write, better } = FIGURES[name];
  const neutral = how === "times" ? 1 : 0;
  const plain = (x) => (how === "times" ? `${three(x)}\u00d7` : name === "score" ? difference(x, found.unit) : signed(x, (size) => write(size, found)));
  const sure = isNumber(low) && isNumber(high);
  const decided = sure ? low > neutral || high < neutral : Math.abs(change - neutral) > (how === "times" ? 0.005 : 0);
  const tone = !decided ? "" : (change - neutral) * better > 0 ? "good" : "bad";
  return { text: plain(change), title: sure ? `between ${plain(low)} and ${plain(high)}${decided ? "" : ": they may be equal"}` : "", tone };
}

/** The line above the ops. */
export function opsNote(found) {
  if (found.same) return "Both are the same recipe. Choose another on either side.";
  if (found.ops.length === 1 && !found.more) return "1 op differs.";
  const known = found.ops.some((op) => isNumber(op.cost) || isNumber(op.us));
  const order = known ? "those first that make most of the difference" : "the largest weights first: no cost or time of them is known yet";
  return `${plural(found.ops.length + found.more, "op differs", "ops differ")}, ${order}.${found.more ? ` The first ${found.ops.length} are listed.` : ""}`;
}

/** Change of predicted cost of one op, or that its output breaks. */
export function costWords(op) {
  return op.breaks ? "NaN or Inf" : signed(op.cost, small);
}

export function timeWords(op) {
  return signed(op.us, duration);
}
