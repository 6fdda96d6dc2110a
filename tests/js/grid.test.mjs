import assert from "node:assert/strict";
import { test } from "node:test";
import * as g from "../../widgets/static/grid_axis.js";

const E4M3 = { float: true, zero: true, signed: true, mantissa: 3, low: -6, high: 8, last: 6, bits: 8 };
const FP16 = { float: true, zero: true, signed: true, mantissa: 10, low: -14, high: 15, last: 1023, bits: 16 };
const FP32 = { float: true, zero: true, signed: true, mantissa: 23, low: -126, high: 127, last: 2 ** 23 - 1, bits: 32 };
const INT8 = { float: false, zero: true, signed: true, unit: 0.5, tops: [127, 128], bits: 8 };
const UINT4 = { float: false, zero: true, signed: false, unit: 1, tops: [15, 0], bits: 4 };

test("magnitudes are counted on each side", () => {
  assert.equal(g.magnitudes(E4M3, 1), 126);
  assert.equal(g.magnitudes(INT8, -1), 128);
  assert.equal(g.magnitudes(UINT4, -1), 0);
  assert.equal(g.ends(UINT4, -1), null);
});

test("the ends of a lane: smallest, smallest normal, largest", () => {
  assert.deepEqual(g.ends(E4M3, 1), { lo: -9, normal: -6, hi: Math.log2(448) });
  assert.deepEqual(g.ends(INT8, -1), { lo: -1, normal: -1, hi: 6 });
  assert.equal(2 ** g.ends(FP32, 1).lo, 2 ** -149);
});

test("numbering a size undoes taking the size of a number, at every magnitude of FP16", () => {
  for (let rank = 1; rank <= g.magnitudes(FP16, 1); rank += 1) assert.equal(g.rankAt(FP16, g.sizeAt(FP16, rank)), rank);
  assert.equal(g.rankAt(FP16, 2 ** -25), 0);
});

test("the nearest value to a place, past the ends too", () => {
  assert.equal(g.sizeAt(E4M3, g.nearestRank(E4M3, Math.log2(0.3), 1)), 0.3125);
  assert.equal(g.sizeAt(E4M3, g.nearestRank(E4M3, 1300, 1)), 448);
  assert.equal(g.sizeAt(E4M3, g.nearestRank(E4M3, -300, 1)), 2 ** -9);
  assert.equal(g.nearestRank(UINT4, 0, -1), 0);
});

test("few values are ticks, many are shading, and no value in view is left out", () => {
  const wide = g.drawn(E4M3, { lo: -10, hi: 10 }, 2000, 1);
  assert.equal(wide.ticks.length, 126);
  assert.deepEqual(wide.shades, []);
  const narrow = g.drawn(E4M3, { lo: -10, hi: 10 }, 300, 1);
  assert.ok(narrow.ticks.length < 20 && narrow.shades.length > 0);
  assert.equal(narrow.shades.at(-1).to, Math.log2(448));
  const near = g.drawn(FP32, { lo: 0, hi: 2 ** -20 }, 1000, 1);
  assert.equal(near.ticks.length, 6);
  assert.deepEqual(g.drawn(UINT4, { lo: -10, hi: 10 }, 300, -1), { ticks: [], shades: [] });
});

test("neighbouring stretches of one density are one", () => {
  const { shades } = g.drawn(FP32, { lo: -100, hi: 100 }, 1000, 1);
  assert.equal(shades.length, 1);
  assert.deepEqual([shades[0].from, shades[0].to], [-100, 100]);
});

test("marks are powers of two, and round fractions when near; never too many for the width", () => {
  assert.deepEqual(g.axisMarks({ lo: -9, hi: 9 }, 740).map((mark) => mark.power), [-8, -6, -4, -2, 0, 2, 4, 6, 8]);
  const near = g.axisMarks({ lo: -2, hi: -1.9 }, 740);
  assert.ok(near.length >= 4 && near.length <= 10);
  assert.ok(near.every((mark) => Number.isInteger(mark.value * 2 ** 10)));
  for (const [lo, hi] of [[-1074, 1024], [-150, 130], [0, 2 ** -20], [1328, 1329]]) assert.ok(g.axisMarks({ lo, hi }, 400).length <= 8);
});

test("ranges hold the formats they name, and the number", () => {
  const eight = g.rangeOf("eight", [FP32, E4M3], { log2: -20 }, 1);
  assert.deepEqual([eight.lo, eight.hi], [-21, Math.log2(448) + 1]);
  assert.equal(g.rangeOf("sixteen", [FP32, FP16], { log2: null }, 1).lo, -25);
  assert.equal(g.rangeOf("all", [FP32], { log2: null }, 1).lo, -150);
  assert.deepEqual(g.rangeOf("near", [FP32], { log2: 3 }, 1), { lo: 1.5, hi: 4.5 });
  assert.deepEqual(g.rangeOf("eight", [UINT4], { log2: null }, -1), { lo: -10, hi: 10 });
});

test("zooming keeps its place where it is and has limits", () => {
  const view = g.zoomed({ lo: -4, hi: 4 }, 0.5, -2);
  assert.deepEqual(view, { lo: -3, hi: 1 });
  let small = view;
  for (let i = 0; i < 60; i += 1) small = g.zoomed(small, 0.5, small.lo);
  assert.ok(small.hi - small.lo >= 2 ** -21);
  assert.equal(g.bounded({ lo: 1390, hi: 1410 }).hi, 1400);
});
