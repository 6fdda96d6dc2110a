import assert from "node:assert/strict";
import { test } from "node:test";
import { lastName, limitOf, nameOf, timeRows } from "../../widgets/static/time_rows.js";

const row = (id, us, more = {}) => ({ id, what: "linear", kernel: "k", us, before_us: us, emulated: false, floor_us: us / 2, inside: "", ...more });
const table = (rows, more = {}) => ({
  state: "ready", groups: [], rows, inside: [], more: 0, more_us: 0, emulated: false, sum_us: rows.reduce((sum, one) => sum + one.us, 0), whole_us: 1100, rest_us: 100, ...more,
});

test("a limit is a share with both times in words, and nothing where nothing is known", () => {
  const limit = limitOf(300, 210);
  assert.equal(limit.share, 0.7);
  assert.match(limit.words, /At least 210 \u00b5s.*takes 300 \u00b5s: 70 % of the limit/);
  assert.equal(limitOf(200, 210).share, 1);
  for (const [us, floor] of [[300, null], [0, 10], [300, 0], [null, 1]]) assert.equal(limitOf(us, floor), null);
});

test("ops are called by their layer, and an op of the model itself by its kind", () => {
  assert.deepEqual(["blocks.0.mlp.fc1/linear", "/add", "head/linear"].map(nameOf), ["blocks.0.mlp.fc1", "add", "head"]);
  assert.deepEqual(["blocks.0.mlp.fc1/linear", "stem.0/conv2d", "/add"].map(lastName), ["fc1", "stem.0", "add"]);
});

test("a row says its kernel, its share of the limit, and what is done inside it", () => {
  const cast = row("cast:b.norm/layer_norm:int8:token", 40, { what: "cast fp32 \u2192 int8", kernel: "cast" });
  const inside = [row("b.act/gelu", 0, { what: "gelu", inside: "b.fc1/linear" }), { ...cast, id: "cast:y:uint8", us: 0, inside: "b.fc1/linear" }];
  const [first, second] = timeRows(table([row("b.fc1/linear", 900), cast], { inside }), true).rows;
  assert.equal(first.name, "b.fc1");
  assert.equal(first.sub, "linear \u00b7 k \u00b7 with act, cast fp32 \u2192 int8 inside");
  assert.equal(first.limit.share, 0.5);
  assert.equal(first.part, "82 %");
  assert.deepEqual([second.name, second.sub, second.cast], ["cast fp32 \u2192 int8", "of b.norm/layer_norm", true]);
});

test("an emulated row has no limit, whatever its floor", () => {
  assert.equal(timeRows(table([row("a/linear", 10, { emulated: true })]), true).rows[0].limit, null);
});

test("the sum stands beside the whole, with the rest between them", () => {
  const { sums } = timeRows(table([row("a/linear", 1000)]));
  assert.deepEqual(sums.map((one) => [one.id, one.time]), [["sum", "1.00 ms"], ["rest", "100 \u00b5s (9 %)"], ["whole", "1.10 ms"]]);
  const overlapping = timeRows(table([row("a/linear", 1000)], { whole_us: 950, rest_us: -50 })).sums[1];
  assert.deepEqual([overlapping.name, overlapping.time], ["less when run together", "\u221250.0 \u00b5s (5 %)"]);
});

test("by kind, one row says how many ops share a kernel, and a cast which formats it joins", () => {
  const groups = [
    { what: "linear", kernel: "k", n: 24, us: 900, floor_us: 450, emulated: false, holds: 12 },
    { what: "cast fp32 \u2192 int8", kernel: "cast", n: 1, us: 100, floor_us: null, emulated: false, holds: 0 },
  ];
  const [linear, cast] = timeRows(table([], { groups })).rows;
  assert.deepEqual([linear.name, linear.sub, linear.part], ["linear", "k \u00b7 24 ops \u00b7 12 ops and casts inside", "82 %"]);
  assert.equal(linear.limit.share, 0.5);
  assert.deepEqual([cast.name, cast.sub, cast.cast, cast.limit], ["cast fp32 \u2192 int8", "1 cast", true, null]);
});

test("what did not cross is one row, so that the sum is still theirs", () => {
  const found = timeRows(table([row("a/linear", 20)], { more: 5, more_us: 3 }), true);
  assert.deepEqual([found.rows.length, found.others], [1, { name: "5 others", time: "3.00 \u00b5s" }]);
  assert.equal(timeRows(table([row("a/linear", 20)])).others, null);
});
