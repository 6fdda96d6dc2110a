import assert from "node:assert/strict";
import { test } from "node:test";
import * as b from "../../widgets/static/bits_words.js";

const FP16 = {
  name: "fp16", label: "FP16", bits: "1010111001100110", parts: [["sign", 1], ["exponent", 5], ["mantissa", 10]], kind: "normal",
  formula: { sign: 1, exponent: 11, bias: 15, significand: "1.599609375", subnormal: false },
  error: { text: "-0.0000244", relative: 0.000244140625, ulps: 0.4 },
};
const text = (row) => b.formulaPieces(row).map((piece) => (piece.raised ? `^${piece.text}` : piece.text)).join("");

test("bits fall into their groups, numbered from the left", () => {
  const groups = b.bitGroups(FP16);
  assert.deepEqual(groups.map((group) => [group.part, group.first, group.bits.join("")]), [["sign", 0, "1"], ["exponent", 1, "01011"], ["mantissa", 6, "1001100110"]]);
  assert.equal(b.caption(groups[1]), "exponent 11");
  assert.equal(b.caption(groups[2]), "mantissa");
});

test("a number without a code has groups of the same lengths, with nothing in them", () => {
  const groups = b.bitGroups({ ...FP16, bits: "" });
  assert.deepEqual(groups.map((group) => group.bits.length), [1, 5, 10]);
  assert.ok(groups.every((group) => group.bits.every((bit) => bit === "")));
  assert.equal(b.caption(groups[1]), "exponent");
});

test("the formula spells out the fields, each in its part", () => {
  assert.equal(text(FP16), "(\u22121)^1 \u00d7 2^11^ \u2212 15 \u00d7 1.599609375");
  assert.deepEqual(b.formulaPieces(FP16).filter((piece) => piece.part).map((piece) => piece.part), ["sign", "exponent", "mantissa"]);
});

test("formats without a sign or a mantissa, integers and specials have formulas of their own", () => {
  assert.equal(text({ kind: "normal", formula: { sign: null, exponent: 124, bias: 127, significand: "1" } }), "2^124^ \u2212 127");
  assert.equal(text({ kind: "integer", formula: { sign: 0, weight: 128, integer: 5, scale: "1/127" } }), "5 \u00d7 scale 1/127");
  assert.equal(text({ kind: "integer", formula: { sign: 1, weight: 128, integer: 125, scale: "1" } }), "(\u2212128 + 125) \u00d7 scale 1");
  assert.match(text({ kind: "inf", formula: {} }), /all ones/);
  assert.match(text({ kind: "nan", formula: {} }), /not a number/);
  assert.equal(text({ kind: "none", formula: {} }), "");
});

test("what was lost: the error, its share of the number, its steps", () => {
  assert.deepEqual(b.errorFacts(FP16), ["error \u22120.0000244", "0.024 %", "0.400 ulp"]);
  assert.deepEqual(b.errorFacts({ error: { text: "0", relative: 0, ulps: 0 } }), ["exact"]);
  assert.deepEqual(b.errorFacts({ error: { text: "-6400", relative: null, ulps: 6.4e7 } }), ["error \u22126400", "6.4e7 ulp"]);
  assert.deepEqual(b.errorFacts({ error: { text: "16", relative: 2.4e-4, ulps: 2.4e-4 } }), ["error 16", "0.024 %", "2.4e-4 ulp"]);
  assert.deepEqual(b.errorFacts({ error: null }), []);
});

test("numbers carry true minus signs; Inf and NaN are written as usual", () => {
  assert.equal(b.shown("-1.5e-7"), "\u22121.5e\u22127");
  assert.deepEqual(["inf", "-inf", "nan"].map(b.shown), ["Inf", "\u2212Inf", "NaN"]);
});

test("every kind and every outcome has its word and its sentence", () => {
  for (const kind of ["normal", "subnormal", "zero", "inf", "nan", "integer", "none"]) assert.match(b.TERMS[b.KIND_WORDS[kind]], /\.$/);
  for (const term of ["sign", "exponent", "mantissa", "integer", "ulp", "saturated", "flushed", "overflowed", "subnormal"]) assert.match(b.TERMS[term], /\.$/);
  assert.equal(b.toneOf("exact"), "good");
  assert.equal(b.toneOf("rounded"), "");
  assert.equal(b.toneOf("flushed"), "bad");
});
