import assert from "node:assert/strict";
import { test } from "node:test";
import { copiedWords, copyRows, toTsv } from "../../widgets/static/map_copy.js";
import { readCosts } from "../../widgets/static/map_costs.js";
import { causesNote, errorsNote, optionLines } from "../../widgets/static/map_detail.js";
import { paintMark, paintOver, scrollStep } from "../../widgets/static/map_drag.js";
import { KEY_LINES, commandOf } from "../../widgets/static/map_keys.js";
import { castsWords, lockWords, rangeOps, setWords, skippedWords, splitPossible, unchangedWords } from "../../widgets/static/map_range.js";
import { withDetails } from "../../widgets/static/map_window.js";

const CAN = { possible: true, emulated: false, kernel: "simd int8", reason: "" };
const EMULATED = { possible: true, emulated: true, kernel: "reference", reason: "this CPU has no FP8" };
const NONE = { possible: false, emulated: false, kernel: "", reason: "it has no weights" };
const op = (id, kind) => ({ id: `${id}/${kind}`, kind });
const DATA = {
  precisions: ["fp32", "int8", "fp8"],
  ops: [op("b.norm", "layer_norm"), op("b.fc1", "linear"), op("b.act", "gelu"), op("b.fc2", "linear"), op("head", "linear")],
  options: [[CAN, NONE, NONE], [CAN, CAN, EMULATED], [CAN, NONE, NONE], [CAN, CAN, EMULATED], [CAN, CAN, EMULATED]],
};
const ROWS = [
  { key: "b", type: "layer", label: "b", depth: 0, ops: [0, 1, 2, 3], open: true },
  ...DATA.ops.slice(0, 4).map(({ id }, at) => ({ key: id, type: "op", label: id, depth: 1, ops: [at], open: false })),
  { key: "head/linear", type: "op", label: "head", depth: 0, ops: [4], open: false },
];

test("a range holds the rows in sight; an open header only where it is alone", () => {
  assert.deepEqual(rangeOps(ROWS, 2, 0), [0, 1]);
  assert.deepEqual(rangeOps(ROWS, 0, 0), [0, 1, 2, 3]);
  assert.deepEqual(rangeOps(ROWS, 4, 5), [3, 4]);
  const closed = [{ ...ROWS[0], open: false }, ROWS[5]];
  assert.deepEqual(rangeOps(closed, 0, 1), [0, 1, 2, 3, 4]);
  assert.deepEqual(rangeOps(withDetails(ROWS, new Map([["b.fc1/linear", 200]])), 2, 4), [1, 2]);
});

test("what cannot take a precision is left out, and why is told by its commonest reasons", () => {
  const { can, skipped } = splitPossible([0, 1, 2, 3], 1, DATA);
  assert.deepEqual(can, [1, 3]);
  assert.deepEqual(skipped, [{ reason: "it has no weights", ops: [0, 2] }]);
  assert.equal(skippedWords(skipped, DATA), "2 skipped (layer_norm, gelu): it has no weights");
  const many = ["a".repeat(400), "b", "c"].map((reason, at) => ({ reason, ops: [at] }));
  assert.match(skippedWords(many, DATA), /^3 skipped \(layer_norm, linear, gelu\): a{149}\u2026; hover or tap a dot for each reason$/);
  assert.equal(skippedWords([], DATA), "");
});

test("a choice is announced with its casts, what was skipped, and what stays locked", () => {
  const said = (more) => setWords({ ops: [3], skipped: [], precision: 1, casts: [4, 7], locked: 0, ...more }, DATA);
  assert.equal(said(), "b.fc2 set to int8; 3 casts added.");
  assert.equal(said({ casts: [4, 4] }), "b.fc2 set to int8.");
  assert.equal(castsWords(4, 3), "1 cast removed");
  assert.match(said({ ops: [1, 3], precision: 2, skipped: [{ reason: "no", ops: [0] }] }), /^2 ops set to fp8, emulated here; 3 casts added\. 1 skipped \(layer_norm\): no\.$/);
  assert.match(said({ locked: 1 }), /It stays locked/);
  assert.match(said({ ops: [1, 3], locked: 1 }), /1 op of them stays locked/);
});

test("where nothing changes the words say why", () => {
  const none = splitPossible([0], 1, DATA);
  assert.equal(unchangedWords(none.can, none.skipped, 1, DATA), "b.norm cannot be int8: it has no weights.");
  assert.equal(unchangedWords([1], [], 1, DATA), "b.fc1 is int8 already.");
  assert.match(lockWords([1, 3], true, DATA), /2 ops are locked: a search leaves them .* you can still choose/);
});

test("a drag marks what it would change, and what it cannot", () => {
  const paint = paintOver(ROWS, { from: 3, to: 1, precision: 1 }, DATA);
  assert.deepEqual([paint.first, paint.last, paint.can], [1, 3, [1]]);
  assert.deepEqual(ROWS.map((row, at) => paintMark(row, at, paint, DATA)), [null, "no", "yes", "no", null, null]);
  const across = paintOver(ROWS, { from: 0, to: 2, precision: 1 }, DATA);
  assert.equal(paintMark(ROWS[0], 0, across, DATA), null);
  assert.equal(paintMark(ROWS[0], 0, paintOver(ROWS, { from: 0, to: 0, precision: 1 }, DATA), DATA), "yes");
});

test("a drag scrolls at the edges only, faster further out, and never wildly", () => {
  assert.equal(scrollStep(200, 100, 400), 0);
  assert.ok(scrollStep(110, 100, 400) < 0 && scrollStep(60, 100, 400) < scrollStep(110, 100, 400));
  assert.equal(scrollStep(9000, 100, 400), 18);
});

test("keys mean the same on every layout, and nothing where a browser needs them", () => {
  assert.deepEqual(commandOf({ key: "5", code: "Digit5" }), ["assign", { place: 5, range: false }]);
  assert.deepEqual(commandOf({ key: "%", code: "Digit5", shiftKey: true }), ["assign", { place: 5, range: true }]);
  assert.deepEqual(commandOf({ key: "5", code: "Digit5", shiftKey: true }), ["assign", { place: 5, range: false }]);
  for (const key of ["0", "Backspace"]) assert.deepEqual(commandOf({ key, code: "" }), ["assign", { place: 0, range: false }]);
  assert.deepEqual(commandOf({ key: "ArrowDown", shiftKey: true }), ["extend", "ArrowDown"]);
  assert.deepEqual(commandOf({ key: "Enter", shiftKey: true }), ["enter", true]);
  assert.deepEqual(commandOf({ key: "c", ctrlKey: true }), ["copy"]);
  for (const event of [{ key: "r", ctrlKey: true }, { key: "5", ctrlKey: true }, { key: "5", altKey: true }, { key: "Tab" }, { key: "F5" }, { key: "x" }, { key: "C", ctrlKey: true, shiftKey: true }]) {
    assert.equal(commandOf(event), null, JSON.stringify(event));
  }
  assert.ok(KEY_LINES.every(([keys, words]) => keys && words.endsWith(".")));
});

test("the copied table has a header, raw numbers and no formula", () => {
  const costs = readCosts(null, null, 5, 3);
  const columns = [{ key: "layer" }, { key: "cell:int8", title: "int8", precision: 1 }];
  const times = [[10, 20, false, null, "", 0], [30.5, 61, false, null, "", 1], [0, 0, false, null, "b.fc1/linear", 0], null, [7, 7, true, null, "", 0]];
  const plan = { kernels: ["torch", "simd int8", "torch", "simd int8", "reference"] };
  const some = { ...costs, unit: "nats", per: "sample", at: (row, precision) => (precision === 1 ? { cost: 1.25e-7, error: 0.1, kind: row === 3 ? "measured" : "predicted" } : null) };
  const lines = copyRows(withDetails(ROWS, new Map([["b.fc1/linear", 9]])), { data: DATA, columns, choices: [0, 1, 0, 1, 2], plan, times, costs: some });
  assert.equal(lines.length, ROWS.length + 1);
  assert.ok(lines.every((line) => line.length === lines[0].length));
  const cell = (row, name) => lines[row + 1][lines[0].indexOf(name)];
  const price = "cost int8 [nats per sample]";
  assert.equal(cell(2, price), 1.25e-7);
  assert.equal(cell(1, price), "");
  assert.deepEqual([cell(2, "change"), cell(2, "time [us]"), cell(2, "time is"), cell(4, "costs are")], [-0.5, 30.5, "measured", "measured"]);
  assert.deepEqual([cell(0, "precision"), cell(0, "kind"), cell(3, "time is"), cell(5, "time is"), cell(5, "change")], ["mixed", "layer", "inside b.fc1/linear", "emulated", ""]);
  assert.equal(toTsv([["+ residual", "a\tb", NaN, -1.5e-9]]), "'+ residual\ta b\t\t-1.5e-9\n");
  assert.match(copiedWords(1, true), /^1 marked row copied/);
});

test("a detail says where its measurement stands, and offers to measure only where that helps", () => {
  assert.deepEqual(errorsNote({ state: "failed", error: "not recorded for this recipe" }), { words: "not recorded for this recipe", again: false });
  assert.equal(errorsNote({ state: "failed", error: "the kernel failed" }).again, true);
  assert.equal(errorsNote({ state: "idle" }).again, true);
  assert.match(errorsNote({ state: "ready", words: "It heals.", samples: 64 }).words, /It heals\. On 64 samples\./);
  assert.match(causesNote({ state: "ready", findings: [] }, "int8"), /no rule finds/);
  assert.equal(causesNote({ state: "ready", findings: [{}] }, "int8"), "");
});

test("a detail tells each precision on show with its reason", () => {
  const lines = optionLines(1, [{ precision: 1 }, { precision: 2 }], DATA, [0, 1, 0, 0, 0]);
  assert.deepEqual(lines.map((line) => [line.name, line.state, line.chosen, line.words]), [["int8", "real", true, "real: simd int8"], ["fp8", "emulated", false, "emulated: this CPU has no FP8"]]);
  assert.match(optionLines(0, [{ precision: 1 }], DATA, [0])[0].words, /not possible: it has no weights/);
});
