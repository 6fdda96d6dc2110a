import assert from "node:assert/strict";
import { test } from "node:test";
import { cards } from "../../widgets/static/cards.js";

const PENDING = { kind: "pending" };
const NOTHING = { state: "running", baseline: false, quality: PENDING, kl: PENDING, latency: PENDING, memory: PENDING, casts: PENDING };
const QUALITY = { kind: "measured", name: "Accuracy", unit: "%", n: 397, total: 397, score: 0.98, difference: -0.002, lo: -0.006, hi: 0.002 };
const LATENCY = { kind: "measured", n: 40, speedup: 2.41, lo: 2.35, hi: 2.47, candidate_ms: 38.4, baseline_ms: 92.6, predicted_ms: 37 };
const by = (payload) => Object.fromEntries(cards({ ...NOTHING, ...payload }).map((card) => [card.id, card]));

test("every card has its test id and a known kind, even when nothing is known", () => {
  for (const card of cards(NOTHING)) {
    assert.equal(card.kind, "pending");
    assert.equal(card.n, "");
    assert.equal(card.sub, "measuring\u2026");
  }
  assert.deepEqual(cards(NOTHING).map((card) => card.id), ["delta-quality", "delta-kl", "delta-latency", "delta-memory", "delta-casts"]);
});

test("the score says difference, interval and n", () => {
  const card = by({ quality: QUALITY })["delta-quality"];
  assert.equal(card.title, "Accuracy");
  assert.equal(card.big, "98.0 %");
  assert.equal(card.sub, "\u22120.2 points, 95 % between \u22120.6 and +0.2 \u00b7 n = 397");
  assert.equal(card.tone, "");
  assert.equal(card.n, 397);
});

test("a partial score says how much of the data it saw", () => {
  assert.match(by({ quality: { ...QUALITY, n: 64 } })["delta-quality"].sub, /first 64 of 397$/);
});

test("a score whose whole interval is below zero is bad, above zero good", () => {
  assert.equal(by({ quality: { ...QUALITY, hi: -0.001 } })["delta-quality"].tone, "bad");
  assert.equal(by({ quality: { ...QUALITY, lo: 0.001, hi: 0.002 } })["delta-quality"].tone, "good");
});

test("the FP32 recipe is called the baseline", () => {
  const card = by({ baseline: true, quality: { ...QUALITY, difference: 0 } });
  assert.equal(card["delta-quality"].sub, "FP32 baseline \u00b7 n = 397");
  assert.match(by({ baseline: true, latency: LATENCY })["delta-latency"].sub, /^FP32 baseline, over eager FP32/);
});

test("a speed-up says over what, both times, its interval and the prediction", () => {
  const card = by({ latency: LATENCY })["delta-latency"];
  assert.equal(card.big, "2.41\u00d7");
  assert.equal(card.sub, "over eager FP32 \u00b7 38.4 ms against 92.6 \u00b7 95 % 2.35\u00d7 to 2.47\u00d7 \u00b7 predicted 37.0 ms");
  assert.equal(card.tone, "good");
});

test("with emulated ops there is no speed to show, whatever was timed", () => {
  const card = by({ latency: { ...LATENCY, kind: "emulated", emulated_ops: 3 } })["delta-latency"];
  assert.equal(card.kind, "emulated");
  assert.equal(card.big, "no real speed");
  assert.match(card.sub, /3 ops have no kernel here, so the time means nothing/);
  assert.equal(card.tone, "quiet");
});

test("a latency that is only predicted says so", () => {
  const card = by({ latency: { kind: "predicted", predicted_ms: 38, baseline_ms: 92.6 } })["delta-latency"];
  assert.equal(card.tag, "predicted");
  assert.equal(card.big, "38.0 ms");
});

test("a failed measurement is shown in its card", () => {
  assert.equal(by({ latency: { ...PENDING, error: "out of memory" } })["delta-latency"].sub, "out of memory");
});

test("outputs without logits have no KL rather than an endless wait", () => {
  assert.equal(by({ kl: { kind: "measured", n: 10, total: 10, value: null } })["delta-kl"].big, "none");
});

test("weights count their scales, casts their directions and time", () => {
  const card = by({
    memory: { kind: "measured", weights: 3.3e6, scales: 1e5, weights_fp32: 10.7e6, activations: 9.1e6, activations_fp32: 16.8e6, activations_kind: "predicted" },
    casts: { kind: "measured", count: 24, down: 13, up: 11, time_us: 1100 },
  });
  assert.equal(card["delta-memory"].big, "3.4 MB");
  assert.equal(card["delta-memory"].sub, "of 10.7 MB \u00b7 100 kB of it scales \u00b7 activations peak 9.1 MB of 16.8 MB, predicted");
  assert.equal(card["delta-casts"].sub, "13 down, 11 up \u00b7 1.10 ms");
});

test("an unknown kind is never passed on as a word", () => {
  assert.equal(by({ casts: { kind: "guess", count: 0 } })["delta-casts"].kind, "pending");
});
