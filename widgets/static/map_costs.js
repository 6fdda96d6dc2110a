// The map's costs: bytes as they crossed -> each cell's cost, a row's sum, and both in words. Pure.
import { domainOf, placeOf, shortCost, stepOf } from "./cost_scale.js";
import { count, isNumber, small } from "./numbers.js";

const MORE = 254;
const NOBODY = 255;
const NOTHING = { state: "none", columns: 0, rows: 0, unit: "nats", per: "sample", error: "" };

/** The costs: `at(op, precision)` is {cost, error, kind} or null where nothing is known; error is a share of the cost. */
export function readCosts(about, bytes, rows, columns) {
  const facts = { ...NOTHING, ...about };
  const cells = rows * columns;
  const fits = cells > 0 && facts.rows === rows && facts.columns === columns && bytes && bytes.byteLength >= 5 * cells;
  const raw = fits ? bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 5 * cells) : new ArrayBuffer(0);
  const costs = new Float32Array(raw, 0, fits ? cells : 0);
  const errors = new Uint8Array(raw, fits ? 4 * cells : 0);
  const measured = new Map((fits && facts.measured ? facts.measured : []).map(([op, precision, cost, n]) => [op * columns + precision, { cost: cost ?? NaN, n }]));
  const predictedAt = (i) => (costs[i] < 0 || i >= costs.length ? null : { cost: costs[i], error: errors[i] === MORE ? null : errors[i] / 100 });
  const at = (op, precision) => {
    const i = op * columns + precision;
    const predicted = predictedAt(i);
    const seen = measured.get(i);
    if (seen) return { cost: seen.cost, error: null, n: seen.n, kind: "measured", predicted };
    return predicted && { ...predicted, kind: "predicted" };
  };
  return { ...facts, ready: Boolean(fits), at, domain: domainOf(facts.unit, costs), any: measured.size > 0 };
}

/**
 * What a row costs in a precision: the sum over its ops that can; null where one of them is not known yet. Errors add up
 * too, for ops share samples and probes. Measured only where every op is.
 */
export function costOf(row, precision, costs, options) {
  let sum = null;
  for (const op of row.ops) {
    if (!options[op][precision].possible) continue;
    const found = costs.at(op, precision);
    if (!found) return null;
    sum = sum ? join(sum, found) : { ...found, ops: 1 };
  }
  return sum;
}

function join(sum, one) {
  const cost = sum.cost + one.cost;
  const apart = (part) => (part.kind === "measured" ? 0 : isNumber(part.error) ? part.error * part.cost : NaN);
  const error = cost > 0 ? (apart(sum) + apart(one)) / cost : 0;
  const kind = sum.kind === one.kind ? one.kind : "predicted";
  return { cost, error: kind === "measured" || !isNumber(error) ? null : error, n: Math.min(sum.n || 0, one.n || 0), kind, ops: sum.ops + 1 };
}

/** "\u00b1 8 %"; from 100 % on its order alone is known. */
export function errorWords(error) {
  if (!isNumber(error)) return "";
  if (error >= 1) return "\u00b1 100 % or more";
  return `\u00b1 ${error < 0.01 ? "under 1" : Math.round(100 * error)} %`;
}

/** One sentence: "Predicted 3.1e-6 nats per sample, \u00b1 8 %; emulated." */
export function costWords(found, costs, emulated = false) {
  if (!found) return { failed: "", absent: "Its cost was not recorded." }[costs.state] ?? "Its cost is not predicted yet.";
  const unit = costs.unit === "nats" ? `nats per ${costs.per}` : `squared error per ${costs.per}`;
  const tail = emulated ? "; emulated" : "";
  const of = found.ops > 1 ? ` for ${found.ops} ops together` : "";
  if (!Number.isFinite(found.cost)) return `${found.kind === "measured" ? "Measured" : "Predicted"}: the output becomes NaN or Inf${tail}.`;
  const value = `${small(found.cost)} ${unit}${of}`;
  if (found.kind === "measured") {
    const before = found.predicted ? ` (predicted ${small(found.predicted.cost)})` : "";
    return `Measured ${value}${found.n ? `, n = ${count(found.n)}` : ""}${before}${tail}.`;
  }
  return `Predicted ${[value, errorWords(found.error)].filter(Boolean).join(", ")}${tail}.`;
}

/** How a cell shows a cost: its step, its bar from 0 to 100, and its digits; null where nothing is known. */
export function paintOf(found, domain) {
  if (!found) return null;
  return { step: stepOf(found.cost, domain), bar: Math.round(100 * placeOf(found.cost, domain)), text: shortCost(found.cost), kind: found.kind };
}

/** What the legend says of where the costs come from. */
export function sourceWords(costs) {
  if (costs.state === "failed") return `no costs: ${costs.error}`;
  if (costs.state === "absent") return "no costs were recorded";
  if (!costs.ready) return "costs are being predicted\u2026";
  const unit = costs.unit === "nats" ? `nats of KL per ${costs.per}` : `squared error per ${costs.per}`;
  const seen = costs.samples < costs.total ? `first ${count(costs.samples)} of ${count(costs.total)} ${costs.per === "token" ? "sequences" : "samples"}` : `n = ${count(costs.samples)}`;
  return `${unit}, predicted from ${seen}`;
}

/** The proposal on the map: op -> the precision that it would change to, or null. */
export function readProposal(bytes, rows) {
  if (!bytes || bytes.byteLength !== rows || rows === 0) return null;
  const wish = new Uint8Array(bytes.buffer, bytes.byteOffset, rows);
  return (op) => (wish[op] === NOBODY ? null : wish[op]);
}

/** How many of a row's ops the proposal would move to a precision that they do not have now. */
export function movedTo(row, precision, proposal, choices) {
  if (!proposal) return 0;
  return row.ops.reduce((n, op) => n + (proposal(op) === precision && choices[op] !== precision ? 1 : 0), 0);
}
