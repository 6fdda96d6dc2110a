import assert from "node:assert/strict";
import test from "node:test";
import { readPatched } from "../../widgets/static/patched.js";

const whole = { version: 2, value: { hash: "a", rows: [[1], [2], [3]], flags: [true, true, true] } };

test("what differs is put over the whole, which stays as it is", () => {
  const since = { version: 2, rows: { rows: [[1], [[9]]] }, rest: { hash: "b" } };
  assert.deepEqual(readPatched(whole, since), { hash: "b", rows: [[1], [9], [3]], flags: [true, true, true] });
  assert.deepEqual(whole.value.rows, [[1], [2], [3]]);
});

test("differences from another whole are none, and nothing is nothing", () => {
  assert.equal(readPatched(whole, { version: 1, rows: {}, rest: { hash: "b" } }), whole.value);
  assert.equal(readPatched(whole, {}), whole.value);
  assert.equal(readPatched({}, {}), null);
  assert.equal(readPatched(undefined, undefined), null);
});
