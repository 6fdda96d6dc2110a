import assert from "node:assert/strict";
import { test } from "node:test";
import { bandWords, besideWords, offWords } from "../../widgets/static/price_words.js";
import { POSITIONS, budgetWords, changeWords, figuresOf, lockWords, noteOf, pointWords, positionOf, valueAt, verdictOf } from "../../widgets/static/search_words.js";

const PRICE = { cost: 2.4e-4, low: 1.8e-4, high: 3.1e-4, trials: 5, valid: true, words: "" };
const PROPOSAL = { latency_ms: 41.2, memory_bytes: 3.4e6, bits: 10.1, price: PRICE, changes: 12, ops: 28, emulated: 0 };

test("a budget is said in its own unit and against FP32", () => {
  assert.equal(budgetWords("latency", 41.2, 90), "at most 41.2 ms a batch \u00b7 2.18\u00d7 as fast as FP32");
  assert.equal(budgetWords("memory", 3.4e6, 10e6), "at most 3.4 MB of weights and activations \u00b7 34 % of FP32");
  assert.equal(budgetWords("bits", 8, 32), "at most 8.00 bits a weight \u00b7 25 % of FP32");
});

test("the slider's ends are the front's own, exactly", () => {
  for (const [low, high] of [[35.3, 90.7], [1, 1]]) {
    assert.equal(valueAt(POSITIONS, low, high), high);
    assert.equal(valueAt(0, low, high) === low || low === high, true);
    assert.equal(positionOf(high, low, high), POSITIONS);
  }
  assert.equal(positionOf(valueAt(137, 2, 5), 2, 5), 137);
});

test("figures say that they are predicted, with their band; beyond validity that is said", () => {
  const [cost, time, weights] = figuresOf(PROPOSAL, "latency");
  assert.deepEqual([cost.big, cost.kind, cost.sub], ["2.4e-4", "predicted", "9 of 10 between 1.8e-4 and 3.1e-4"]);
  assert.deepEqual([time.big, weights.big], ["41.2 ms", "3.4 MB"]);
  assert.match(bandWords({ ...PRICE, valid: false }), /so large a cost is predicted only roughly$/);
  assert.equal(bandWords({ cost: null, words: "x has no prediction" }), "x has no prediction");
});

test("a recipe with emulated ops is given no time", () => {
  const terms = figuresOf({ ...PROPOSAL, emulated: 3 }, "memory");
  assert.deepEqual(terms.map(({ term }) => term), ["quality cost", "memory"]);
  assert.match(terms[0].sub, /3 ops emulated/);
});

test("changes, locks and notes are sentences", () => {
  assert.equal(changeWords(PROPOSAL), "Changes 12 of 28 ops: dashed in the map.");
  assert.equal(changeWords({ ...PROPOSAL, changes: 0 }), "This is the recipe on show.");
  assert.equal(lockWords({ locks: 3, locked: ["a", "b", "c"] }), "3 ops locked: a, b, \u2026");
  assert.match(noteOf({ state: "none", objective: "latency" }), /^Times each op/);
  assert.equal(noteOf({ state: "failed", error: "nothing fits" }), "nothing fits");
});

test("a measured point says whether it lies in its band", () => {
  const point = { ...PROPOSAL, kl: 2.6e-4, n: 397, kind: "measured", measured_ms: 42.4 };
  const said = pointWords(point, "latency");
  assert.deepEqual([said.budget, said.predicted, said.measured, said.mark, said.time], ["41.2 ms", "2.4e-4", "2.6e-4", "good", "42.4 ms"]);
  assert.equal(pointWords({ ...point, kl: null }, "latency").measured, "NaN");
  assert.equal(pointWords(PROPOSAL, "latency").measured, "");
  assert.equal(pointWords({ ...point, lo: 2.2e-4, hi: 3.1e-4 }, "latency").interval, "95 % 2.2e-4 to 3.1e-4, on 397 samples");
  assert.equal(verdictOf([point, { ...point, kl: 9e-4 }, PROPOSAL]), "1 of 2 measured costs lies inside its band");
  assert.equal(verdictOf([PROPOSAL]), "");
});

test("costs that are next to nothing are not judged by their bands", () => {
  const tiny = { ...PROPOSAL, price: { ...PRICE, cost: 1.2e-9, low: 8e-10, high: 2e-9 }, kl: 4.6e-10, n: 397 };
  assert.equal(pointWords(tiny, "latency").mark, "tiny");
  assert.match(pointWords(tiny, "latency").inside, /both next to nothing$/);
  assert.equal(pointWords({ ...tiny, kl: 4.6e-4 }, "latency").mark, "bad", "a large cost where nothing was expected is no trifle");
  assert.equal(verdictOf([tiny, tiny]), "2 measured costs are next to nothing");
});

test("a prediction beside what was measured says how far off it was, however wide its band", () => {
  assert.equal(besideWords(PRICE, 2.6e-4, true), "predicted 2.4e-4, inside its band");
  assert.equal(besideWords(PRICE, 2.6e-4, false), "predicted 2.4e-4");
  assert.equal(besideWords(PRICE, 3.4e-4, true), "predicted 2.4e-4, outside its band of 1.8e-4 to 3.1e-4");
  const wide = { ...PRICE, cost: 0.024, low: 0.002, high: 0.41 };
  assert.equal(besideWords(wide, 0.358, true), "predicted 0.024, 14.9\u00d7 too low, but its band of 2.0e-3 to 0.410 was that wide");
  assert.equal(besideWords({ ...wide, valid: false }, 0.001, true), "predicted 0.024, 24.0\u00d7 too high: so large a cost is predicted only roughly");
  assert.equal(offWords(0, 1), "");
});

test("a front of a rougher map is searched again, or says that it could be", () => {
  const found = { objective: "latency", again: 64, samples: 128 };
  assert.match(noteOf({ ...found, state: "waiting" }), /128 samples, 64 before: searching again/);
  assert.match(noteOf({ ...found, state: "ready" }), /^Found on 64 samples; the map now has 128/);
});
