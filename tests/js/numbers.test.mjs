import assert from "node:assert/strict";
import { test } from "node:test";
import * as n from "../../widgets/static/numbers.js";

test("scores and differences carry a true minus and never a signed zero", () => {
  assert.equal(n.score(0.9798), "98.0 %");
  assert.equal(n.score(0.5, ""), "0.500");
  assert.equal(n.difference(-0.0021), "\u22120.2");
  assert.equal(n.difference(0.0021), "+0.2");
  assert.equal(n.difference(-0.00001), "0.0");
  assert.equal(n.difference(0.00001), "0.0");
});

test("small quantities read as plain digits or powers of ten", () => {
  assert.equal(n.small(0), "0");
  assert.equal(n.small(2.94e-4), "2.9e-4");
  assert.equal(n.small(0.072), "0.072");
  assert.equal(n.small(3.5), "3.50");
  assert.equal(n.small(1234), "1.2e3");
});

test("bytes, times and speed-ups choose their unit", () => {
  assert.equal(n.bytes(3.4e6), "3.4 MB");
  assert.equal(n.bytes(999_900), "1.0 MB");
  assert.equal(n.bytes(40), "40 B");
  assert.equal(n.duration(1100), "1.10 ms");
  assert.equal(n.duration(22), "22.0 \u00b5s");
  assert.equal(n.speedup(2.414), "2.41\u00d7");
  assert.equal(n.speedup(12.34), "12.3\u00d7");
  assert.equal(n.three(99.96), "100");
  assert.equal(n.micros(1340), "1\u202f340");
  assert.equal(n.micros(4.26), "4.3");
});

test("a change needs both times and a real baseline", () => {
  assert.equal(n.change(39, 100), "\u221261 %");
  assert.equal(n.change(110, 100), "+10 %");
  assert.equal(n.change(100.2, 100), "0 %");
  assert.equal(n.change(10, 0), "");
  assert.equal(n.change(NaN, 3), "");
});

test("what is not a number is a dash, not NaN", () => {
  for (const bad of [NaN, Infinity, null, undefined, "3"]) {
    for (const format of [n.score, n.difference, n.small, n.three, n.speedup, n.bytes, n.duration, n.count]) {
      assert.equal(format(bad), "\u2013");
    }
  }
});
