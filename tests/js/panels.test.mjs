import assert from "node:assert/strict";
import { test } from "node:test";
import { groupChoices } from "../../widgets/static/recipe.js";
import { castTime, castsSummary, opsWords, redundantWords, savingWords } from "../../widgets/static/casts_rows.js";
import { answerTone, answerWords, culpritsNote, divergesWords, movedWords, whereWords } from "../../widgets/static/culprits_rows.js";
import { costWords, findingsNote, previewWords } from "../../widgets/static/findings_rows.js";
import { sortRows } from "../../widgets/static/small_table.js";

const cast = (more) => ({ direction: "down", bytes: 1000, us: 5, emulated: false, inside: "", ...more });

test("rows sort by number or by name, empty ones last either way, ties in their order", () => {
  const rows = [{ k: 10, n: "b10" }, { k: null, n: "b2" }, { k: 2, n: "b2" }];
  assert.deepEqual(sortRows(rows, "k", false).map((row) => row.k), [2, 10, null]);
  assert.deepEqual(sortRows(rows, "k", true).map((row) => row.k), [10, 2, null]);
  assert.deepEqual(sortRows(rows, "n", false).map((row) => row.k), [null, 2, 10]);
  assert.equal(sortRows(rows, null, false), rows);
});

test("only casts that are calls of their own have a time", () => {
  assert.deepEqual([cast({}), cast({ us: null }), cast({ emulated: true }), cast({ us: null, inside: "b.0.norm1/layer_norm" })].map(castTime), ["5.00 \u00b5s", "\u2013", "emulated", "in norm1"]);
  const said = castsSummary({ rows: [cast({}), cast({ direction: "up" }), cast({ us: null, inside: "b.norm/x" })], more: 2 });
  assert.equal(said, "5 casts: 2 down, 1 up, 3.0 kB read and written per batch, 10.0 \u00b5s measured for 2 of them, 1 done inside another call at no cost of their own.");
  assert.match(castsSummary({ rows: [cast({ us: null })], more: 0 }), /not timed yet/);
  assert.match(castsSummary({ rows: [], more: 0 }), /No casts/);
});

test("a change says what it saves and that this is predicted", () => {
  const row = { before: 14, after: 8, bytes: 47.2e6, saved_us: 164 };
  assert.equal(savingWords(row), "14 casts \u2192 8, 47.2 MB fewer, saves 164 \u00b5s (predicted)");
  assert.match(savingWords({ ...row, saved_us: -44100 }), /costs 44\.1 ms \(predicted\)/);
  assert.match(savingWords({ ...row, saved_us: null, bytes: -5e3 }), /5\.0 kB more, time not known yet/);
  assert.equal(opsWords(["a.b/linear", "c/add"], 5), "a.b, c and 3 more");
  const trip = { kind: "up then down", raised_by: ["a/x"], readers: ["b/y"], low: "bf16", high: "fp32", count: 1, bytes: 4096, ops: [] };
  assert.match(redundantWords(trip), /a: bf16 \u2192 fp32 \u2192 bf16 for b, 1 cast, 4\.1 kB/);
});

test("a sample says its answers, whether they are right, and how far it moved", () => {
  const row = { before: "7", after: "1", target: "7", kl: 0.31, error: 2, op: "b.fc2/linear", sqnr: 4.1, usual: 22 };
  assert.deepEqual([answerWords(row), answerTone(row)], ["7 \u2192 1, right is 7", "bad"]);
  assert.equal(answerTone({ ...row, target: "1" }), "good");
  assert.deepEqual([answerWords({ ...row, after: "7" }), answerTone({ ...row, after: "7" })], ["still 7, right", ""]);
  assert.equal(answerWords({ ...row, target: "" }), "7 \u2192 1");
  assert.equal(movedWords(row, "emulated"), "KL 0.310 nats (emulated)");
  assert.equal(movedWords({ kl: null, error: 2 }, "measured"), "squared error 2.00 (measured)");
  assert.match(movedWords({ kl: null, error: null }, "measured"), /NaN or Inf/);
  assert.deepEqual(divergesWords(row), { name: "b.fc2", words: "b.fc2/linear: SQNR 4.10 dB there, 22.0 dB for the middle sample." });
  assert.equal(divergesWords({ op: "" }), null);
  assert.deepEqual([{ ...row, sample: 4, token: -1 }, { sample: 4, token: 6, target: "" }].map(whereWords), ["sample 4", "sample 4, position 6, not scored"]);
});

test("each state of a panel is said in words", () => {
  assert.match(culpritsNote({ state: "idle", baseline: true }), /Every op runs in FP32/);
  assert.match(culpritsNote({ state: "ready", rows: [] }), /No output moved/);
  assert.equal(culpritsNote({ state: "failed", error: "out of memory" }), "out of memory");
  assert.match(findingsNote({ state: "ready", rows: [], changed: 26, ops: 52 }), /Nothing to worry about: looked at 26 ops in lower precision/);
  assert.match(findingsNote({ state: "ready", rows: [], changed: 0, ops: 52 }), /all 52 ops, every one in FP32/);
  assert.match(findingsNote({ state: "ready", rows: [1], changed: 1 }), /1 finding, worst first; looked at 1 op /);
});

test("a remedy that was tried says both numbers and how they are known", () => {
  const tried = { state: "ready", before: null, after: 2e-6, helps: true, kind: "measured", n: 64 };
  assert.deepEqual(previewWords(tried), { words: "KL to FP32 NaN \u2192 2.0e-6 nats: it helps (measured, 64 samples)", tone: "good" });
  const other = { ...tried, after: null, sqnr_before: 20, sqnr_after: 18, helps: false };
  assert.match(previewWords(other).words, /SQNR 20\.0 \u2192 18\.0 dB: it does not help/);
  assert.equal(previewWords({ state: "idle" }).words, "");
  assert.match(costWords({ breaks: true }, "measured"), /NaN or Inf \(measured\)/);
  assert.match(costWords({ breaks: false, severity: 0.02 }, "emulated"), /0\.020 nats of KL \(emulated\)/);
});

test("what a search chose is one group per precision, with the reason of each op beside it", () => {
  const choices = [["a", "int8", "search: saves 1 ms"], ["b", "int8", "search: saves 2 ms"], ["c", "int8", "user"], ["d", "w4", "search: costs nothing"]];
  assert.deepEqual(groupChoices(choices), [
    ["int8", "search", [["a", "saves 1 ms"], ["b", "saves 2 ms"]]],
    ["int8", "user", [["c", ""]]],
    ["w4", "search", [["d", "costs nothing"]]],
  ]);
});
