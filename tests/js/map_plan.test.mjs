import assert from "node:assert/strict";
import test from "node:test";
import { recipeReader } from "../../widgets/static/map_plan.js";

const traits = {
  plan: { version: 1, value: { hash: "a", choices: [0, 0], casts: [[], [], []] } },
  plan_since: { version: 1, rows: { choices: [[1], [4]], casts: [[0, 2], [[{ to: "bf16" }], [{ to: "int8" }]]] }, rest: { hash: "b" } },
  times: { version: 1, value: { ops: [null, [3]] } },
};

test("casts know who makes their tensor, and a plan is put together once", () => {
  const model = { get: (name) => traits[name] };
  const reads = recipeReader(model);
  const plan = reads.plan();
  assert.deepEqual([plan.hash, plan.choices], ["b", [0, 4]]);
  assert.deepEqual(plan.casts, [{ to: "bf16", source: -1 }, { to: "int8", source: 1 }]);
  assert.equal(reads.plan(), plan);
  traits.plan_since = {};
  assert.equal(reads.plan().hash, "a");
});

test("what has not come yet is empty", () => {
  const reads = recipeReader({ get: (name) => (name === "times" ? traits.times : undefined) });
  assert.deepEqual(reads.plan().casts, []);
  assert.deepEqual(reads.times(), [null, [3]]);
  assert.deepEqual(reads.bands(), { ops: [], words: [] });
});
