import assert from "node:assert/strict";
import { test } from "node:test";
import { bandEnds, largestOf, power, share, stripPaths, stripWords, value } from "../../widgets/static/strip.js";

const AXIS = { low: -4, octaves: 8 };
const HEIGHTS = Uint8Array.from([10, 0, 255, 128]);
const STRIPS = { samples: 397, ops: [["input", -3, 4, -2, 0.01, 2, 0.25, 0, 0], ["output", null, null, null, null, null, 0, 0, 1], null] };

/** The x from which to which a path's columns reach. */
function extent(path) {
  const xs = [...path.matchAll(/[MH]([\d.]+)/g)].map((match) => Number(match[1]));
  return xs.length ? [Math.min(...xs), Math.max(...xs)] : null;
}

test("powers, values and shares are written for people", () => {
  assert.deepEqual([power(-24), power(0), power(16)], ["2\u207b\u00b2\u2074", "2\u2070", "2\u00b9\u2076"]);
  assert.deepEqual([value(0), value(-3.21), value(7e9), value(-2e-7), value(null)], ["0", "\u22123.21", "7.0e9", "\u22122.0e-7", "\u2013"]);
  assert.deepEqual([share(0), share(0.0094), share(0.37), share(1e-9), share(2.5e-6)], ["none", "0.94 %", "37.0 %", "under 0.0001 %", "0.00025 %"]);
});

test("a band is cut at the ends of the axis, and has none where the format goes on", () => {
  assert.deepEqual(bandEnds([-2, 2], AXIS, 80), [20, 60]);
  assert.deepEqual(bandEnds([null, 128], AXIS, 80), [0, 80]);
  assert.deepEqual(bandEnds([-99, -60], AXIS, 80), [0, 0]);
});

test("what the forecast loses is drawn apart, cut inside a column", () => {
  const found = stripPaths(HEIGHTS, [-3, 2, 0.1, 0.2, 30, 0, null], AXIS, 80, 27);
  assert.deepEqual(extent(found.below), [0, 10]);
  assert.deepEqual(extent(found.inside), [10, 60]);
  assert.deepEqual(extent(found.above), [60, 80]);
  assert.deepEqual(found.ends, [10, 60]);
});

test("a column that reaches beyond the band is not lost where nothing is", () => {
  const found = stripPaths(HEIGHTS, [-3, 3, 0, 0, "exact", 0, null], AXIS, 80, 27);
  assert.deepEqual([found.below, found.above], ["", ""]);
  assert.deepEqual(extent(found.inside), [0, 80]);
});

test("an empty column parts the outline, and the smallest count still shows", () => {
  const { inside } = stripPaths(Uint8Array.from([1, 0, 255]), null, AXIS, 30, 27);
  assert.equal(inside, "M0 27V25.5H10V27ZM20 27V3H30V27Z");
});

test("the words name the tensor, what it spans, and what its format does, each with how it is known", () => {
  const words = stripWords("fc1", STRIPS.ops[0], [-3, 2, 0.0001, 0.0377, 34.2, 0, 0.33], STRIPS, ["INT8, one scale per token"]);
  assert.equal(words[0], "Input of fc1");
  assert.match(words[1], /From \u22123\.00 to 4\.00 in 397 samples in FP32, measured; 99\.8 % lie from .* 25\.0 % zeros/);
  assert.match(words[2], /In INT8, one scale per token: 0\.01 % saturated, 3\.77 % flushed to zero, SQNR 34\.2 dB \(predicted\)/);
  assert.match(words[3], /output overflows FP16: 33\.0 % become Inf \(predicted\)/);
});

test("nothing finite, nothing known yet, and no tensor are said", () => {
  assert.match(stripWords("x", STRIPS.ops[1], null, STRIPS, []).join(" "), /No finite value\. 100 % Inf\. .*being forecast/);
  assert.match(stripWords("x", STRIPS.ops[0], [null, 128, 0, 0, "exact", 0, null], STRIPS, ["FP32"])[2], /none saturated, none flushed to zero, nothing is lost/);
  assert.match(stripWords("x", null, null, STRIPS, []).join(" "), /No floating tensor/);
});

test("a layer shows its largest magnitude, and that something is not finite", () => {
  assert.equal(largestOf([0, 2], STRIPS), "max |x| 4.00");
  assert.equal(largestOf([0, 1], STRIPS), "max |x| 4.00, Inf");
  assert.equal(largestOf([1], STRIPS), "Inf");
  assert.equal(largestOf([2], STRIPS), "");
});
