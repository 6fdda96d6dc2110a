// The search panel's words: what a budget means, what is proposed, what measuring it showed. Pure.
import { bytes, count, isNumber, plural, small, speedup, three } from "./numbers.js";
import { bandWords, besideWords, isInside, isNegligible } from "./price_words.js";

export const POSITIONS = 1000;

const AMOUNTS = {
  latency: ["latency_ms", (x) => `${three(x)} ms`, "a batch"],
  memory: ["memory_bytes", bytes, "of weights and activations"],
  bits: ["bits", (x) => `${three(x)} bits`, "a weight"],
};

/** How much of the budget a proposal uses, as a number. */
export function spentBy(objective, proposal) {
  return proposal[AMOUNTS[objective][0]];
}

export function amount(objective, value) {
  return isNumber(value) ? AMOUNTS[objective][1](value) : "\u2013";
}

/** The slider's words: "at most 41.2 ms a batch \u00b7 2.18\u00d7 as fast as FP32". */
export function budgetWords(objective, value, high) {
  const most = `at most ${amount(objective, value)} ${AMOUNTS[objective][2]}`;
  if (!isNumber(value) || !isNumber(high) || value <= 0) return most;
  const against = objective === "latency" ? `${speedup(high / value)} as fast as FP32` : `${Math.round((100 * value) / high)} % of FP32`;
  return `${most} \u00b7 ${against}`;
}

/** Where a budget stands on the slider, and back. */
export function positionOf(value, low, high) {
  return high > low ? Math.round((POSITIONS * (value - low)) / (high - low)) : POSITIONS;
}

export function valueAt(position, low, high) {
  return position >= POSITIONS ? high : low + ((high - low) * position) / POSITIONS;
}

/** The proposal's figures: [{term, big, sub, kind}]. */
export function figuresOf(proposal, objective) {
  const price = proposal.price || {};
  const emulated = proposal.emulated ? `${plural(proposal.emulated, "op")} emulated` : "";
  const time = proposal.emulated && objective !== "latency" ? [] : [{ term: "latency", big: amount("latency", proposal.latency_ms), sub: "a batch, from measured calls and whole runs", kind: "predicted" }];
  return [
    { term: "quality cost", big: small(price.cost), sub: [bandWords(price), emulated].filter(Boolean).join(" \u00b7 "), kind: "predicted", tone: price.valid === false ? "warm" : "" },
    ...time,
    { term: "memory", big: bytes(proposal.memory_bytes), sub: `${three(proposal.bits)} bits a weight`, kind: "predicted" },
  ].filter((figure) => figure.big !== "\u2013");
}

/** What applying the proposal would do. */
export function changeWords(proposal) {
  if (proposal.changes === 0) return "This is the recipe on show.";
  return `Changes ${count(proposal.changes)} of ${plural(proposal.ops, "op")}: dashed in the map.`;
}

/** What the panel says below its button. */
export function noteOf(found) {
  if (found.error) return found.error;
  if (found.state === "opening") return "A model is being opened.";
  if (found.state === "waiting" && found.again) return `The map now comes from ${count(found.samples)} samples, ${count(found.again)} before: searching again.`;
  if (found.state === "waiting") return found.objective === "latency" ? "Searching: ops that were never timed here are timed first\u2026" : "Searching\u2026";
  if (found.state === "verifying") return "Measuring the proposals one after the other; the rows fill as they come.";
  if (found.state === "stale") return "Goal or locks have changed since: search again.";
  if (found.state === "ready") return found.again ? `Found on ${count(found.again)} samples; the map now has ${count(found.samples)}: search again for those.` : "";
  if (found.objective === "latency") return "Times each op in each of these precisions on this machine first, if that was not done yet; then finds the best recipe for every budget.";
  return "Finds the best recipe for every budget.";
}

/** One row of the table of proposals: {budget, predicted, title, measured, kind, interval, inside, mark, time}. */
export function pointWords(point, objective) {
  const price = point.price || {};
  const seen = point.n !== undefined;
  const known = isNumber(point.kl);
  return {
    budget: amount(objective, spentBy(objective, point)), predicted: small(price.cost), title: bandWords(price),
    measured: seen ? (known ? small(point.kl) : "NaN") : "", kind: point.kind || "",
    interval: known && isNumber(point.lo) && point.lo < point.hi ? `95 % ${small(point.lo)} to ${small(point.hi)}, on ${plural(point.n, "sample")}` : "",
    inside: seen && price.cost > 0 ? (known ? besideWords(price, point.kl, true) : "outputs became NaN or Inf") : "",
    mark: !seen || !(price.cost > 0) ? "" : known && isNegligible(price, point.kl) ? "tiny" : known && isInside(price, point.kl) ? "good" : "bad",
    time: isNumber(point.measured_ms) ? `${three(point.measured_ms)} ms` : "",
  };
}

/** "7 of 9 measured costs lie inside their bands, 2 more are next to nothing", or nothing before any was measured. */
export function verdictOf(points) {
  const marks = points.map((point) => pointWords(point, "bits").mark).filter(Boolean);
  const [inside, outside, tiny] = ["good", "bad", "tiny"].map((name) => marks.filter((mark) => mark === name).length);
  const judged = inside + outside;
  const one = inside === 1;
  const said = judged ? `${count(inside)} of ${plural(judged, "measured cost")} ${one ? "lies" : "lie"} inside ${one ? "its band" : "their bands"}` : "";
  const rest = tiny ? `${judged ? `${count(tiny)} more` : plural(tiny, "measured cost")} ${tiny === 1 ? "is" : "are"} next to nothing` : "";
  return [said, rest].filter(Boolean).join(", ");
}

/** The ops that are locked, in a few words. */
export function lockWords(found) {
  if (!found.locks) return "no op is locked";
  const named = found.locked.slice(0, 2).join(", ");
  return `${plural(found.locks, "op")} locked: ${named}${found.locks > 2 ? ", \u2026" : ""}`;
}
