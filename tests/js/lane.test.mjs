import assert from "node:assert/strict";
import { test } from "node:test";
import { TRACKS, arcPath, family, laneRows, packArcs } from "../../widgets/static/lane.js";

const rows = (n) => Array.from({ length: n }, (_, i) => ({ open: false, ops: [i] }));
const chain = (n) => Array.from({ length: n - 1 }, (_, i) => [i, i + 1]);

test("formats fall into families", () => {
  assert.deepEqual(["fp32", "fp8_e4m3", "FP8-E5M2", "uint8", "int4", "w4", "mxfp4", "nvfp4", "posit"].map(family),
    ["fp32", "fp8", "fp8", "int8", "w4", "w4", "block", "block", "other"]);
});

test("a line takes the colour of what flows out of the row above", () => {
  const lanes = laneRows(rows(3), chain(3), ["fp32", "bf16", "fp32"], []);
  assert.deepEqual(lanes[0].below, { format: "fp32", flows: true });
  assert.deepEqual(lanes[1].above, { format: "fp32", flows: true });
  assert.deepEqual(lanes[1].below, { format: "bf16", flows: true });
  assert.equal(lanes[0].above, null);
  assert.equal(lanes[2].below, null);
});

test("rows without a direct edge are joined by a line that does not flow", () => {
  assert.equal(laneRows(rows(2), [], ["fp32", "fp32"], [])[0].below.flows, false);
});

test("an open header lets the line pass and has no node", () => {
  const some = [{ open: false, ops: [0] }, { open: true, ops: [1] }, { open: false, ops: [1] }];
  const lanes = laneRows(some, [[0, 1]], ["bf16", "fp32"], []);
  assert.equal(lanes[1].node, "none");
  assert.deepEqual(lanes[1].above, lanes[1].below);
  assert.equal(lanes[1].above.format, "bf16");
});

test("a cast is a notch at each consumer, and inside a closed row it is only counted", () => {
  const cast = { source: 0, consumers: [1, 2], from: "fp32", to: "int8", direction: "down" };
  const lanes = laneRows(rows(3), [[0, 1], [0, 2]], ["fp32", "fp32", "fp32"], [cast]);
  assert.deepEqual(lanes.map((lane) => lane.node), ["dot", "cast", "cast"]);
  const closed = laneRows([{ open: false, ops: [0, 1, 2] }], [[0, 1]], ["fp32", "fp32", "fp32"], [cast]);
  assert.equal(closed[0].node, "dot");
  assert.equal(closed[0].casts[0].inside, true);
});

test("skip connections are arcs that start, pass and end; one source shares one arc", () => {
  const lanes = laneRows(rows(5), [...chain(5), [0, 4], [0, 2]], Array(5).fill("fp32"), []);
  assert.deepEqual(lanes.map((lane) => lane.arcs.map((arc) => arc.part)), [["start"], ["through"], ["branch"], ["through"], ["end"]]);
});

test("arcs that overlap get different tracks, arcs that meet share one, and too many are left out", () => {
  const packed = packArcs([{ from: 0, to: 5 }, { from: 5, to: 9 }, { from: 1, to: 3 }]);
  const track = Object.fromEntries(packed.map((arc) => [arc.from, arc.track]));
  assert.equal(track[0], track[5] === 0 ? 1 : track[0]);
  assert.notEqual(track[0], track[1]);
  assert.equal(packArcs(Array.from({ length: 9 }, () => ({ from: 0, to: 9 }))).length, TRACKS);
});

test("skip connections have the tracks before what else is read from further up, and what has no room is told", () => {
  const links = [...chain(9), [0, 6], [1, 7], [2, 8], [3, 8], [0, 8]];
  const lanes = laneRows(rows(9), links, Array(9).fill("fp32"), [], new Set([8]));
  const sources = new Set(lanes.flatMap((lane) => lane.arcs.map((arc) => arc.source)));
  assert.deepEqual([...sources].sort(), [0, 2, 3]);
  assert.deepEqual(lanes.map((lane) => lane.left), [0, 1, 0, 0, 0, 0, 0, 1, 0]);
});

test("an arc ends at a closed layer that holds its end, and flows in the format of its source", () => {
  const some = [{ open: false, ops: [0] }, { open: false, ops: [1] }, { open: false, ops: [2, 3, 4] }];
  const lanes = laneRows(some, [...chain(5), [0, 3]], ["bf16", "fp32", "fp32", "fp32", "fp32"], []);
  assert.deepEqual(lanes.map((lane) => lane.arcs.map((arc) => [arc.part, arc.format])), [[["start", "bf16"]], [["through", "bf16"]], [["end", "bf16"]]]);
});

test("links backwards, to hidden rows or within one row draw nothing", () => {
  const lanes = laneRows([{ open: false, ops: [0, 1] }, { open: false, ops: [2] }], [[2, 0], [0, 1], [7, 2]], ["fp32", "fp32", "fp32"], []);
  assert.ok(lanes.every((lane) => lane.arcs.length === 0));
});

test("every part of an arc is a path inside its row", () => {
  for (const part of ["start", "through", "branch", "end"]) assert.match(arcPath(part, 1, 28), /^M[\d. MHVQ]+$/);
});
