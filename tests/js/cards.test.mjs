import assert from "node:assert/strict";
import { test } from "node:test";
import { cards } from "../../widgets/static/cards.js";

const PENDING = { kind: "pending" };
const NOTHING = { state: "running", baseline: false, quality: PENDING, kl: PENDING, latency: PENDING, memory: PENDING, casts: PENDING };
const QUALITY = { kind: "measured", name: "Accuracy", unit: "%", n: 397, total: 397, score: 0.98, difference: -0.002, lo: -0.006, hi: 0.002 };
const LATENCY = {
  kind: "measured", n: 140, candidate_ms: 38.4, eager_ms: 92.6, fp32_ms: 77.2, predicted_ms: 37, conditions: "2 threads", engine: "eager",
  over_eager: { value: 2.41, low: 2.35, high: 2.47 }, over_fp32: { value: 2.01, low: 1.95, high: 2.06 }, kernel_gain: 1.2, precision_gain: 2.01,
  percentiles: { p50: 38.4, p90: 40.2 }, throughput: 833, steady: true, drift: { value: 1.01, low: 0.99, high: 1.03 }, sum_us: 37000, whole_us: 38400, rest_us: 1400,
};
const OLD = {
  ...LATENCY, eager_ms: 92.6, fp32_ms: null, over_fp32: null, kernel_gain: null, precision_gain: null, percentiles: {}, throughput: null, steady: null,
  drift: null, engine: "", energy_mj: null, peak_bytes: null,
};
const by = (payload) => Object.fromEntries(cards({ ...NOTHING, ...payload }).map((card) => [card.id, card]));
const said = (card) => card.facts.join(" \u00b7 ");

test("every card has its test id and a known kind, even when nothing is known", () => {
  for (const card of cards(NOTHING)) {
    assert.equal(card.kind, "pending");
    assert.equal(card.n, "");
    assert.equal(said(card), "measuring\u2026");
  }
  assert.deepEqual(cards(NOTHING).map((card) => card.id), ["delta-quality", "delta-kl", "delta-latency", "delta-memory", "delta-casts"]);
});

test("once the session has stopped nothing is said to be measured, and what is known stays", () => {
  for (const [state, words] of [["ended", "not measured: the session ended"], ["lost", "not measured: no connection"]]) {
    for (const card of cards({ ...NOTHING, state })) assert.deepEqual([said(card), card.tag, card.big], [words, "missing", "\u2013"]);
    assert.match(said(by({ state, quality: QUALITY })["delta-quality"]), /n = 397$/);
  }
});

test("the score says difference, interval and n", () => {
  const card = by({ quality: QUALITY })["delta-quality"];
  assert.equal(card.title, "Accuracy");
  assert.equal(card.big, "98.0 %");
  assert.equal(said(card), "\u22120.2 points against FP32 \u00b7 95 % between \u22120.6 and +0.2 \u00b7 n = 397");
  assert.equal(card.tone, "");
  assert.equal(card.n, 397);
});

test("a partial score says how much of the data it saw", () => {
  assert.match(said(by({ quality: { ...QUALITY, n: 64 } })["delta-quality"]), /first 64 of 397$/);
});

test("a score whose whole interval is below zero is bad, above zero good", () => {
  assert.equal(by({ quality: { ...QUALITY, hi: -0.001 } })["delta-quality"].tone, "bad");
  assert.equal(by({ quality: { ...QUALITY, lo: 0.001, hi: 0.002 } })["delta-quality"].tone, "good");
});

test("the FP32 recipe is called the baseline, and gains by kernels alone", () => {
  const card = by({ baseline: true, quality: { ...QUALITY, difference: 0 }, latency: LATENCY });
  assert.equal(said(card["delta-quality"]), "FP32 baseline \u00b7 n = 397");
  assert.equal(card["delta-latency"].split, "from kernels alone: every op is in FP32");
  assert.equal(card["delta-latency"].also, null);
});

test("a latency says both speed-ups, each with its baseline and interval", () => {
  const card = by({ latency: LATENCY })["delta-latency"];
  assert.deepEqual([card.big, card.over, card.tone], ["2.41\u00d7", "over your eager FP32", "good"]);
  assert.equal(said(card), "95 % 2.35\u00d7 to 2.47\u00d7 \u00b7 from 92.6 ms");
  assert.deepEqual(card.also, { big: "2.01\u00d7", over: "over best FP32", tone: "good", facts: ["95 % 1.95\u00d7 to 2.06\u00d7", "from 77.2 ms"] });
  assert.equal(card.split, "= 1.20\u00d7 from better kernels \u00d7 2.01\u00d7 from lower precision");
  assert.equal(card.rate, "38.4 ms a batch \u00b7 833 samples/s");
  assert.equal(card.warning, "");
});

test("kernels and precisions that gain nothing are not called better", () => {
  const split = (more) => by({ latency: { ...LATENCY, ...more } })["delta-latency"].split;
  assert.equal(split({ kernel_gain: 0.99 }), "= 0.99\u00d7 from kernels \u00d7 2.01\u00d7 from lower precision");
  const loss = (low, high) => split({ precision_gain: 0.8, over_fp32: { value: 0.8, low, high } });
  assert.match(loss(0.7, 0.9), /0\.80\u00d7 from lower precision, which is slower here$/);
  assert.match(loss(0.5, 1.1), /0\.80\u00d7 from lower precision$/);
});

test("an interval that holds 1 tells nothing apart", () => {
  const card = by({ latency: { ...LATENCY, over_eager: { value: 1.02, low: 0.97, high: 1.06 } } })["delta-latency"];
  assert.equal(card.tone, "");
  assert.match(said(card), /no clear difference \u00b7/);
});

test("a machine that drifted is named with how far, in either direction", () => {
  const warning = (value) => by({ latency: { ...LATENCY, steady: false, drift: { value, low: value, high: value } } })["delta-latency"].warning;
  assert.equal(warning(1.07), "unsteady: the machine drifted by 7 %");
  assert.equal(warning(0.9), "unsteady: the machine drifted by 10 %");
  assert.equal(by({ latency: { ...LATENCY, steady: false, drift: null } })["delta-latency"].warning, "unsteady: the machine drifted");
});

test("the details say each time, the spread with what is missing, the sum and the rest", () => {
  const details = Object.fromEntries(by({ latency: LATENCY })["delta-latency"].details);
  assert.match(details["best FP32"], /^77\.2 ms/);
  assert.equal(details.spread, "p50 38.4 ms \u00b7 p90 40.2 ms \u00b7 p99 needs 1\u202f000 runs");
  assert.equal(details["ops and casts"], "37.0 ms of 38.4 ms, 1.40 ms (4 %) unexplained");
  assert.equal(details.machine, "steady \u00b7 the second half of the run took 1 % more than the first, within the noise");
  assert.match(details.measured, /^140 runs of each.* 2 threads$/);
  assert.ok(!("energy" in details) && !("peak memory" in details));
  const overlapping = Object.fromEntries(by({ latency: { ...LATENCY, rest_us: -400 } })["delta-latency"].details);
  assert.equal(overlapping["ops and casts"], "37.0 ms of 38.4 ms, 400 \u00b5s (1 %) less together than one by one");
});

test("a latency from before these facts were kept shows what it has", () => {
  const card = by({ latency: OLD })["delta-latency"];
  assert.equal(card.big, "2.41\u00d7");
  assert.deepEqual([card.also, card.split, card.rate, card.warning], [null, "", "38.4 ms a batch", ""]);
  const details = Object.fromEntries(card.details);
  assert.ok(!("best FP32" in details) && !("spread" in details) && !("machine" in details));
});

test("with emulated ops there is no speed to show, whatever was timed", () => {
  const card = by({ latency: { ...LATENCY, kind: "emulated", emulated_ops: 3 } })["delta-latency"];
  assert.equal(card.kind, "emulated");
  assert.deepEqual([card.big, card.also, card.split], ["no real speed", undefined, undefined]);
  assert.match(said(card), /3 ops have no kernel here, so the time means nothing/);
  assert.equal(card.tone, "quiet");
});

test("a latency that is only predicted says so", () => {
  const card = by({ latency: { kind: "predicted", predicted_ms: 38, baseline_ms: 92.6 } })["delta-latency"];
  assert.equal(card.tag, "predicted");
  assert.equal(card.big, "38.0 ms");
});

test("a failed measurement is shown in its card", () => {
  assert.equal(said(by({ latency: { ...PENDING, error: "out of memory" } })["delta-latency"]), "out of memory");
});

test("what a recording lacks is called so, and nothing is waited for", () => {
  const absent = { kind: "absent", error: "not measured when this was recorded" };
  for (const card of cards({ ...NOTHING, state: "idle", quality: absent, kl: absent, latency: absent, memory: absent, casts: absent })) {
    assert.deepEqual([card.kind, card.tag, card.big, said(card)], ["absent", "not recorded", "\u2013", "not measured when this was recorded"]);
  }
});

test("outputs without logits have a squared error, and none rather than an endless wait", () => {
  const card = by({ kl: { kind: "measured", n: 10, total: 10, value: 3e-3, unit: "squared error" } })["delta-kl"];
  assert.deepEqual([card.title, card.big], ["Squared error", "3.0e-3"]);
  assert.equal(by({ kl: { kind: "measured", n: 10, total: 10, value: null, unit: "squared error", broken: true } })["delta-kl"].big, "NaN");
  assert.equal(by({ kl: { kind: "measured", n: 10, total: 10, value: null } })["delta-kl"].big, "none");
  const broken = by({ kl: { kind: "measured", n: 10, total: 10, value: null, agreement: 0.2 } })["delta-kl"];
  assert.deepEqual([broken.big, broken.tone], ["NaN", "bad"]);
});

test("weights count their scales, casts their directions and time", () => {
  const card = by({
    memory: { kind: "measured", weights: 3.3e6, scales: 1e5, weights_fp32: 10.7e6, activations: 9.1e6, activations_fp32: 16.8e6, activations_kind: "predicted" },
    casts: { kind: "measured", count: 24, down: 13, up: 11, time_us: 1100 },
  });
  assert.equal(card["delta-memory"].big, "3.4 MB");
  assert.equal(said(card["delta-memory"]), "of 10.7 MB in FP32 \u00b7 100 kB of it scales \u00b7 activations peak 9.1 MB of 16.8 MB, predicted");
  assert.equal(said(card["delta-casts"]), "13 down, 11 up \u00b7 1.10 ms in all");
});

test("an unknown kind is never passed on as a word", () => {
  const fused = { kind: "measured", count: 3, down: 3, up: 0, time_us: 20, inside: 2 };
  assert.equal(said(by({ casts: fused })["delta-casts"]), "3 down, 0 up \u00b7 20.0 \u00b5s in all \u00b7 2 done inside other calls");
  assert.equal(said(by({ casts: { ...fused, inside: 3, time_us: 0 } })["delta-casts"]), "3 down, 0 up \u00b7 3 done inside other calls");
  assert.equal(by({ casts: { kind: "guess", count: 0 } })["delta-casts"].kind, "pending");
});

const PRICE = { cost: 2.4e-4, low: 1.8e-4, high: 3.1e-4, trials: 5, valid: true, words: "", unit: "nats" };
const KL = { kind: "measured", n: 397, total: 397, value: 2.9e-4, agreement: 1, predicted: PRICE };

test("a KL is predicted at once, with its band, and says that it is being measured", () => {
  const card = by({ kl: { kind: "predicted", predicted: PRICE } })["delta-kl"];
  assert.deepEqual([card.kind, card.big], ["predicted", "2.4e-4"]);
  assert.equal(said(card), "9 of 10 between 1.8e-4 and 3.1e-4 \u00b7 measuring\u2026");
  const beyond = by({ kl: { kind: "predicted", predicted: { ...PRICE, valid: false } } })["delta-kl"];
  assert.match(said(beyond), /so large a cost is predicted only roughly/);
  assert.equal(by({ kl: { kind: "predicted", predicted: { ...PRICE, unit: "squared error" } } })["delta-kl"].title, "Squared error");
});

test("a measured KL stands beside its prediction and says whether it lies in the band", () => {
  const sub = (more) => said(by({ kl: { ...KL, ...more } })["delta-kl"]);
  assert.match(sub({}), /^predicted 2\.4e-4, inside its band \u00b7 same answer on 100\.0 %/);
  assert.match(sub({ value: 9e-4 }), /outside its band of 1\.8e-4 to 3\.1e-4/);
  assert.match(sub({ n: 64 }), /^predicted 2\.4e-4 \u00b7/);
  assert.match(sub({ lo: 2.5e-4, hi: 3.4e-4 }), /^95 % 2\.5e-4 to 3\.4e-4 \u00b7 predicted/);
  assert.match(sub({ predicted: { ...PRICE, valid: false } }), /^predicted 2\.4e-4: so large a cost is predicted only roughly/);
  assert.match(sub({ predicted: { cost: null, valid: false, words: "a has no prediction" } }), /no prediction: a has no prediction/);
  assert.match(sub({ predicted: null }), /^same answer/);
});
