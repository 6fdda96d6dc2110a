import assert from "node:assert/strict";
import { test } from "node:test";
import { changeWords, costWords, opsNote, sideWords, timeWords } from "../../widgets/static/compare_words.js";

const found = { unit: "%", score: "Accuracy", cost: "nats" };
const side = (value, more) => ({ value, low: null, high: null, kind: "measured", moved: null, ...more });

test("a number says its interval and how it is known", () => {
  assert.deepEqual(sideWords("score", side(0.98, { moved: -0.002, low: -0.006, high: 0.002 }), found), { text: "98.0 %", title: "against FP32 \u22120.2, 95 % between \u22120.6 and +0.2 (measured)" });
  assert.deepEqual(sideWords("speed", side(2.41, { low: 2.35, high: 2.47 }), found), { text: "2.41\u00d7", title: "95 % 2.35\u00d7 to 2.47\u00d7 (measured)" });
  assert.deepEqual(sideWords("price", side(2e-4, { low: 1e-4, high: 3e-4, kind: "predicted" }), found), { text: "2.0e-4", title: "band 1.0e-4 to 3.0e-4 (predicted)" });
  assert.deepEqual(sideWords("ms", side(38.4), found), { text: "38.4 ms", title: "measured" });
  assert.deepEqual([sideWords("kl", side(null), found).text, sideWords("kl", null, found).text], ["NaN", "\u2013"]);
});

test("a difference is called better or worse only where its interval leaves no doubt", () => {
  const speed = { name: "speed", how: "times", change: 1.2, low: 1.1, high: 1.3 };
  assert.deepEqual(changeWords(speed, found), { text: "1.20\u00d7", title: "between 1.10\u00d7 and 1.30\u00d7", tone: "good" });
  assert.deepEqual(changeWords({ ...speed, low: 0.9 }, found), { text: "1.20\u00d7", title: "between 0.900\u00d7 and 1.30\u00d7: they may be equal", tone: "" });
  assert.equal(changeWords({ ...speed, change: 0.8, low: 0.7, high: 0.9 }, found).tone, "bad");
  const score = { name: "score", how: "minus", change: -0.012, low: -0.02, high: -0.004 };
  assert.deepEqual(changeWords(score, found), { text: "\u22121.2", title: "between \u22122.0 and \u22120.4", tone: "bad" });
});

test("a lower cost, time or size is better", () => {
  const row = { name: "kl", how: "minus", change: -2e-4, low: null, high: null };
  assert.deepEqual(changeWords(row, found), { text: "\u22122.0e-4", title: "", tone: "good" });
  assert.equal(changeWords({ ...row, change: 2e-4 }, found).tone, "bad");
  assert.equal(changeWords({ ...row, change: 0 }, found).tone, "");
  assert.equal(changeWords({ ...row, name: "weights", how: "times", change: 0.25 }, found).tone, "good");
  assert.equal(changeWords({ ...row, change: null }, found).text, "\u2013");
});

test("ops are announced with the order that they are in", () => {
  const op = (more) => ({ cost: null, us: null, breaks: false, ...more });
  assert.match(opsNote({ same: true, ops: [], more: 0 }), /the same recipe/);
  assert.match(opsNote({ ops: [op({ cost: 1e-4 }), op()], more: 0 }), /^2 ops differ, those first that make most/);
  assert.match(opsNote({ ops: [op(), op()], more: 0 }), /^2 ops differ, the largest weights first/);
  assert.equal(opsNote({ ops: [op()], more: 0 }), "1 op differs.");
  assert.match(opsNote({ ops: [op({ us: 3 })], more: 9 }), /^10 ops differ.*The first 1 are listed/);
  assert.deepEqual([costWords(op({ cost: 1e-4 })), costWords(op({ breaks: true })), costWords(op())], ["+1.0e-4", "NaN or Inf", "\u2013"]);
  assert.deepEqual([timeWords(op({ us: -12 })), timeWords(op({ us: 0 }))], ["\u221212.0 \u00b5s", "0.000 \u00b5s"]);
});
