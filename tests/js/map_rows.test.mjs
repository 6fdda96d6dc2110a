import assert from "node:assert/strict";
import { test } from "node:test";
import { columnsOf, cellName, shortName, timesOf } from "../../widgets/static/map_rows.js";
import { cellWords, kernelWords } from "../../widgets/static/map_tip.js";

const HOST = [300, 400, false, 210, "", 1];
const GUEST = [0, 0, false, null, "b.fc1/linear", 0];
const PLAN = { kernels: ["simd int8", "torch fp32"], emulated: [false, false], refusals: ["", ""] };
const DATA = { precisions: ["fp32", "int8"], ops: [{ id: "b.fc1/linear" }, { id: "b.act/gelu" }] };
const words = (ops, times, plan = PLAN) => kernelWords({ label: "row", ops }, plan, times, DATA, [1, 0]).join("\n");

test("an op done inside another adds no time, and the host keeps its limit", () => {
  const sum = timesOf({ ops: [0, 1] }, [HOST, GUEST]);
  assert.deepEqual([sum.now, sum.before, sum.seen, sum.inside, sum.holds, sum.floor], [300, 400, 2, 1, 1, 210]);
});

test("one op without a floor leaves the sum without one", () => {
  assert.equal(timesOf({ ops: [0, 1] }, [HOST, [10, 10, false, null, "", 0]]).floor, null);
  assert.equal(timesOf({ ops: [0, 1] }, [[10, 10, false, null, "", 0], HOST]).floor, null);
});

test("what was asked for and what runs are both said", () => {
  assert.match(words([0], [HOST, GUEST]), /asked for int8, runs in int8 on simd int8/);
  const emulated = { kernels: ["reference"], emulated: [true], refusals: ["this CPU has no INT8 arithmetic"] };
  assert.match(words([0], [[9, 9, true, null, "", 0]], emulated), /asked for int8, emulated: this CPU has no INT8[^]*time means nothing/);
});

test("a time says its baseline, its limit, and what else the call does", () => {
  const said = words([0], [HOST, GUEST]);
  assert.match(said, /300 \u00b5s now, 400 \u00b5s in best FP32, measured\. It also does 1 op or cast/);
  assert.match(said, /At least 210 \u00b5s .* 70 %/);
  assert.match(words([1], [HOST, GUEST]), /Done inside b\.fc1\/linear/);
  assert.ok(!/now/.test(words([0], [])));
});

test("a cell names its kernel, or why there is none", () => {
  const option = (more) => ({ ...DATA, options: [[{}, { possible: true, emulated: false, kernel: "simd int8", reason: "", ...more }]] });
  const cell = (more) => cellWords({ type: "op", key: "b.fc1/linear", ops: [0] }, 1, option(more), [0]).join("\n");
  assert.match(cell({}), /Real kernel: simd int8/);
  assert.match(cell({ emulated: true, reason: "needs AVX512" }), /emulated here\nNo real kernel: needs AVX512/);
  assert.match(cell({ possible: false, reason: "it has no weights" }), /Not possible: it has no weights/);
});

test("a cell's name holds what is seen in it", () => {
  assert.equal(cellName("fc1: int8. Predicted 6.0e-7 nats.", "6e-7"), "fc1: int8. Predicted 6.0e-7 nats. 6e-7");
  assert.equal(cellName("fc1: int8, chosen", "int8"), "fc1: int8, chosen");
  assert.equal(cellName("fc1: int8_static, chosen", "static"), "fc1: int8_static, chosen. static");
  assert.equal(cellName("fc1: int8", ""), "fc1: int8");
});

test("narrow cells shorten long names, columns do not", () => {
  assert.deepEqual(["int8", "int8_static", "w4_g128", "fp8_block"].map(shortName), ["int8", "static", "g128", "block"]);
  assert.deepEqual(columnsOf(["int8_static"]).map((column) => column.title), ["layer", "casts", "range", "int8_static", "kernel", "\u00b5s", "\u0394", "of limit"]);
});
