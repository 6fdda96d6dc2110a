import assert from "node:assert/strict";
import { test } from "node:test";
import { costOf, costWords, errorWords, movedTo, paintOf, readCosts, readProposal, sourceWords } from "../../widgets/static/map_costs.js";
import { cellWords } from "../../widgets/static/map_tip.js";
import { cellState } from "../../widgets/static/map_rows.js";

const ABOUT = { state: "ready", rows: 3, columns: 2, unit: "nats", per: "sample", samples: 64, total: 397, measured: [] };
const can = { possible: true, emulated: false, kernel: "simd int8", reason: "" };
const OPTIONS = [[can, can], [can, { ...can, emulated: true, reason: "needs AMX" }], [can, { ...can, possible: false, reason: "no weights" }]];
const DATA = { precisions: ["fp32", "int8"], ops: [{ id: "a" }, { id: "b" }, { id: "c" }], options: OPTIONS };
const row = (...ops) => ({ type: ops.length > 1 ? "fold" : "op", key: "x", label: "x", ops });

/** Bytes as they cross: at an odd offset, as the wire may bring them. */
function bytesOf(costs, errors) {
  const raw = new Uint8Array(1 + 5 * costs.length);
  raw.set(new Uint8Array(Float32Array.from(costs).buffer), 1);
  raw.set(Uint8Array.from(errors), 1 + 4 * costs.length);
  return new DataView(raw.buffer, 1);
}

const BYTES = bytesOf([0, 3.1e-6, 0, 1e-4, 0, -1], [0, 8, 0, 20, 0, 0]);
const read = (more = {}, bytes = BYTES) => readCosts({ ...ABOUT, ...more }, bytes, 3, 2);

test("each cell has its cost and error; what is not known is null", () => {
  const costs = read();
  assert.ok(Math.abs(costs.at(0, 1).cost - 3.1e-6) < 1e-12);
  assert.deepEqual([costs.at(0, 1).error, costs.at(0, 1).kind, costs.at(2, 1)], [0.08, "predicted", null]);
});

test("bytes of another table are no costs", () => {
  assert.equal(readCosts(ABOUT, BYTES, 4, 2).ready, false);
  assert.equal(readCosts(ABOUT, BYTES, 4, 2).at(0, 0), null);
  assert.equal(readCosts(ABOUT, null, 3, 2).ready, false);
  assert.match(sourceWords(readCosts({ state: "waiting" }, null, 3, 2)), /being predicted/);
  assert.match(sourceWords(readCosts({ state: "failed", error: "too large" }, null, 3, 2)), /no costs: too large/);
  const absent = readCosts({ state: "absent", error: "read the map" }, null, 3, 2);
  assert.deepEqual([sourceWords(absent), costWords(null, absent)], ["no costs were recorded", "Its cost was not recorded."]);
});

test("a fold costs the sum of the ops that can, and its error their errors' sum", () => {
  const sum = costOf(row(0, 1, 2), 1, read(), OPTIONS);
  assert.ok(Math.abs(sum.cost - 1.031e-4) < 1e-9);
  assert.ok(Math.abs(sum.error * sum.cost - (0.08 * 3.1e-6 + 0.2 * 1e-4)) < 1e-9);
  assert.equal(sum.ops, 2);
  assert.equal(costOf(row(2), 1, read(), OPTIONS), null);
});

test("a fold is known when all of its ops are", () => {
  const costs = read({}, bytesOf([0, 3e-6, 0, -1, 0, -1], [0, 8, 0, 0, 0, 0]));
  assert.equal(costOf(row(0, 1), 1, costs, OPTIONS), null);
});

test("what was measured takes the place of what was predicted, and both are said", () => {
  const costs = read({ measured: [[0, 1, 3.3e-6, 397]] });
  const found = costOf(row(0), 1, costs, OPTIONS);
  assert.equal(found.kind, "measured");
  assert.equal(costWords(found, costs), "Measured 3.3e-6 nats per sample, n = 397 (predicted 3.1e-6).");
  assert.equal(costOf(row(0, 1), 1, costs, OPTIONS).kind, "predicted");
});

test("a predicted cost says its error and that it is emulated", () => {
  const costs = read();
  assert.equal(costWords(costs.at(0, 1), costs, true), "Predicted 3.1e-6 nats per sample, \u00b1 8 %; emulated.");
  assert.equal(costWords(null, costs), "Its cost is not predicted yet.");
  assert.match(costWords({ cost: NaN, kind: "predicted" }, costs), /becomes NaN or Inf/);
  assert.match(costWords({ cost: 1, error: 0.1, kind: "predicted" }, { ...costs, unit: "squared error", per: "token" }), /squared error per token/);
  assert.deepEqual([0, 0.004, 0.08, 2, null].map(errorWords), ["\u00b1 under 1 %", "\u00b1 under 1 %", "\u00b1 8 %", "\u00b1 100 % or more", ""]);
});

test("paint says colour, bar and digits", () => {
  assert.deepEqual(paintOf({ cost: 1e-4, kind: "predicted" }, [-7, -1]), { step: 12, bar: 50, text: "1e-4", kind: "predicted" });
  assert.equal(paintOf(null, [-7, -1]), null);
});

test("a cell says in words what its colour shows", () => {
  const view = { row: row(0), data: DATA, choices: [0, 0, 0], costs: read(), proposal: readProposal(new DataView(Uint8Array.from([1, 0, 255]).buffer), 3) };
  const state = cellState(view, 1);
  assert.equal(state.words, "x: int8, proposed. Predicted 3.1e-6 nats per sample, \u00b1 8 %.");
  assert.equal(state.moved, 1);
  const tip = cellWords(row(1), 1, DATA, [0, 0, 0], read(), 1).join("\n");
  assert.match(tip, /emulated here\nPredicted 1\.0e-4 nats per sample, \u00b1 20 %; emulated\.\nNo real kernel: needs AMX[^]*Proposed by the search\./);
});

test("a proposal moves only what it would change", () => {
  const proposal = readProposal(new DataView(Uint8Array.from([1, 1, 255]).buffer), 3);
  assert.equal(movedTo(row(0, 1, 2), 1, proposal, [0, 1, 0]), 1);
  assert.equal(movedTo(row(2), 0, proposal, [0, 1, 1]), 0);
  assert.equal(readProposal(new DataView(new ArrayBuffer(2)), 3), null);
});
