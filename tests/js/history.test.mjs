import assert from "node:assert/strict";
import { test } from "node:test";
import { inSight, layLanes, lineageOf, MOST_LANES, widthOf } from "../../widgets/static/history_lanes.js";
import { cellsOf, numbersOf, sentencesOf, summaryOf } from "../../widgets/static/history_rows.js";

const tree = (...parents) => parents.map((parent, id) => ({ id, parent }));
const line = (from, lane) => ({ lane, from });

test("without branches there is one lane, from the first recipe to the newest", () => {
  const rows = layLanes(tree(-1, 0, 1));
  assert.deepEqual(rows.map((row) => [row.id, row.lane, row.above, row.below]), [[2, 0, null, 2], [1, 0, 2, 1], [0, 0, 1, null]]);
  assert.equal(widthOf(rows), 1);
});

test("a branch has a lane of its own until it joins where it began", () => {
  // 0 - 1 - 3 and, from 1, 2: newest first 3, 2, 1, 0.
  const rows = layLanes(tree(-1, 0, 1, 1));
  assert.deepEqual(rows.map((row) => row.lane), [0, 1, 0, 0]);
  assert.deepEqual(rows[1].passes, [line(3, 0)]);
  assert.deepEqual([rows[2].above, rows[2].joins], [3, [line(2, 1)]]);
  assert.equal(widthOf(rows), 2);
});

test("every line that leaves a dot arrives at its parent's, in the lane where it was drawn", () => {
  let seed = 7;
  const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n; };
  const nodes = Array.from({ length: 300 }, (_, id) => ({ id, parent: id === 0 ? -1 : random(3) ? id - 1 : random(id) }));
  const rows = layLanes(nodes);
  const open = new Map();
  for (const row of rows) {
    const arriving = row.above === null ? [] : [row.above, ...row.joins.map((one) => one.from)];
    assert.deepEqual(arriving.sort((a, b) => a - b), nodes.filter((node) => node.parent === row.id).map((node) => node.id));
    arriving.forEach((from) => assert.ok(open.delete(from)));
    assert.deepEqual(row.passes.map((one) => one.from).sort(), [...open.keys()].sort());
    row.passes.forEach((one) => assert.equal(one.lane, Math.min(open.get(one.from), MOST_LANES - 1)));
    if (row.below !== null) open.set(row.id, row.lane);
    assert.ok(row.lane < MOST_LANES);
  }
  assert.equal(open.size, 0);
});

test("a freed lane is used again", () => {
  // Two short branches, one after the other, off a long line: 0 1 2(off 1) 3(off 1) 4(off 3) 5(off 3).
  assert.equal(widthOf(layLanes(tree(-1, 0, 1, 1, 3, 3))), 2);
});

test("a parent that is not on show has no line", () => {
  const rows = layLanes([{ id: 5, parent: 2 }, { id: 6, parent: 5 }]);
  assert.deepEqual(rows.map((row) => row.below), [6, null]);
});

test("a thousand recipes off one are laid out at once, in few lanes", () => {
  const start = performance.now();
  const rows = layLanes(tree(-1, ...Array(1000).fill(0)));
  assert.equal(widthOf(rows), MOST_LANES);
  assert.equal(rows.at(-1).joins.length, 999);
  assert.ok(performance.now() - start < 2000);
});

test("the way from the first recipe to the current one", () => {
  assert.deepEqual([...lineageOf(tree(-1, 0, 1, 1, 0), 3)], [3, 1, 0]);
  assert.deepEqual([...lineageOf([{ id: 5, parent: 2 }], 5)], [5]);
});

test("rows in sight, and a few beyond", () => {
  assert.deepEqual(inSight(0, 260, 26, 500, 8), [0, 18]);
  assert.deepEqual(inSight(2600, 260, 26, 500, 8), [92, 118]);
  assert.deepEqual(inSight(99999, 260, 26, 5, 8), [0, 5]);
});

test("numbers say how they are known, and what is missing is said too", () => {
  const known = numbersOf([[3, 0.98, -0.002, -0.006, 0.002, 2.9e-4, 397, false, 2.41, 2.35, 2.47, false, 2.5e-4, 3.4e-4], [4, null, null, null, null, null, null, false, 1.5, 1.4, 1.6, false], [5, 0.9, -0.08, -0.1, -0.06, null, 397, true, null, null, null, true]]);
  assert.deepEqual(cellsOf(known.get(3), "%"), { score: "\u22120.2", kl: "2.9e-4", speed: "2.41\u00d7" });
  assert.deepEqual(cellsOf(known.get(4), "%"), { score: "", kl: "", speed: "1.50\u00d7" });
  assert.deepEqual(cellsOf(known.get(5), "%"), { score: "\u22128.0", kl: "NaN", speed: "emulated" });
  assert.deepEqual(cellsOf(undefined, "%"), { score: "", kl: "", speed: "" });
  const [quality, kl, speed] = sentencesOf(known.get(3), { name: "Accuracy", unit: "%" });
  assert.equal(quality, "Accuracy 98.0 %, \u22120.2 points against FP32 (95 % between \u22120.6 and +0.2; measured on 397 samples)");
  assert.match(kl, /^KL to FP32 2\.9e-4 nats, 95 % 2\.5e-4 to 3\.4e-4 \(measured on 397 samples\)/);
  assert.match(sentencesOf(known.get(3), { name: "A", unit: "", cost: "squared error" })[1], /^Squared error against FP32 2\.9e-4, 95 %/);
  assert.match(speed, /2\.41\u00d7 your eager FP32 \(95 % 2\.35\u00d7 to 2\.47\u00d7; measured\)/);
  assert.match(sentencesOf(known.get(5), { name: "A", unit: "%" }).join(), /emulated on 397.*No speed: some of it is emulated/);
  assert.match(sentencesOf(undefined, {})[0], /Nothing of it was measured yet/);
});

test("the tree says how large it is", () => {
  assert.match(summaryOf(tree(-1)), /will be kept here/);
  assert.match(summaryOf(tree(-1, 0, 1)), /^3 recipes, the newest on top/);
  assert.match(summaryOf(tree(-1, 0, 1, 1)), /^4 recipes on 2 branches/);
});
