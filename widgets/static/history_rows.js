// What the history says of each recipe. Pure.
import { difference, isNumber, score, small, speedup } from "./numbers.js";

const FIELDS = ["id", "score", "difference", "low", "high", "kl", "n", "emulated", "speed", "slow", "fast", "unreal", "least", "most"];

/** Numbers by node id, from the lists that Python sends. */
export function numbersOf(lists) {
  return new Map(lists.map((list) => [list[0], Object.fromEntries(FIELDS.map((name, at) => [name, list[at]]))]));
}

/** The short texts of a row: {score, kl, speed}; a dash where nothing was measured. */
export function cellsOf(found, unit) {
  if (!found) return { score: "", kl: "", speed: "" };
  const known = isNumber(found.n);
  return {
    score: known ? (isNumber(found.difference) ? difference(found.difference, unit) : "NaN") : "",
    kl: known ? (isNumber(found.kl) ? small(found.kl) : "NaN") : "",
    speed: found.unreal ? "emulated" : isNumber(found.speed) ? speedup(found.speed) : "",
  };
}

function costSentence(found, unit) {
  if (!isNumber(found.kl)) return "No quality cost: the outputs hold NaN or Inf, or it was not kept";
  const between = isNumber(found.least) && found.least < found.most ? `, 95 % ${small(found.least)} to ${small(found.most)}` : "";
  return `${costWords(unit)} ${small(found.kl)}${unit === "squared error" ? "" : " nats"}${between}`;
}

/** How the quality cost is called: in nats it is a KL divergence. */
export function costWords(unit) {
  return unit === "squared error" ? "Squared error against FP32" : "KL to FP32";
}

/** Everything that is known of a row, a sentence each. */
export function sentencesOf(found, { name, unit, cost }) {
  if (!found) return ["Nothing of it was measured yet: click to go there, and it is."];
  const said = [];
  if (isNumber(found.n)) {
    const kind = `${found.emulated ? "emulated" : "measured"} on ${found.n} samples`;
    const points = unit === "%" ? " points" : "";
    said.push(`${name} ${score(found.score, unit)}, ${difference(found.difference, unit)}${points} against FP32 (95 % between ${difference(found.low, unit)} and ${difference(found.high, unit)}; ${kind})`);
    said.push(`${costSentence(found, cost)} (${kind})`);
  }
  if (found.unreal) said.push("No speed: some of it is emulated here.");
  else if (isNumber(found.speed)) said.push(`${speedup(found.speed)} your eager FP32 (95 % ${speedup(found.slow)} to ${speedup(found.fast)}; measured)`);
  return said;
}

/** How many recipes there are and how many ends, in words. */
export function summaryOf(nodes) {
  const parents = new Set(nodes.map((node) => node.parent));
  const ends = nodes.filter((node) => !parents.has(node.id)).length;
  if (nodes.length < 2) return "Every recipe that you choose will be kept here. Click one to return to it; nothing is ever lost.";
  return `${nodes.length} recipes${ends > 1 ? ` on ${ends} branches` : ""}, the newest on top. Click one to return to it; nothing is ever lost.`;
}
