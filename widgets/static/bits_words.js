// What the rows of bits say: groups of bits, the formula, the error, and each term in one sentence. Pure.
import { isNumber, small, three } from "./numbers.js";

export const TERMS = {
  sign: "The first bit: 0 is plus, 1 is minus.",
  exponent: "The power of two that the value lies at. It is stored with the bias added, so that no sign is needed for it.",
  mantissa: "The digits after the point, in base two. The 1 before the point is not stored: every normal value has it.",
  integer: "A whole number in base two; the sign bit counts as minus its place (two\u2019s complement). Its value is multiplied by the scale.",
  bias: "What is taken off the stored exponent to get the true one.",
  normal: "A value with an implied 1 before the point: it has the format\u2019s full number of digits.",
  subnormal: "A value below the smallest normal one. The implied digit is 0, so digits are lost one by one down to zero.",
  zero: "All bits but the sign are 0. Most formats have two zeros, +0 and \u22120, which are equal.",
  Inf: "More than the largest value: what a format with infinities makes of numbers that it cannot reach.",
  NaN: "\u201cNot a number\u201d: the result of 0/0 or Inf \u2212 Inf, kept so that it is seen.",
  "no code": "No bits of this format stand for the number. A click on a bit starts from zero.",
  rounding: "Which of the two neighbours a number between them becomes. Stochastic: one by chance, the nearer one more often.",
  ulp: "Unit in the last place: the step between two neighbouring values of the format, there where the number lies.",
  saturated: "The number was beyond the largest value and became the largest.",
  flushed: "The number was too near to zero for the format and became zero.",
  overflowed: "The number was beyond the largest value and became Inf, or NaN where the format has no Inf.",
  neighbours: "The next values of the format below and above. Between them there is nothing.",
  scale: "Integers stand for multiples of a scale: the number is divided by it before rounding. Floats take no scale here.",
};

export const MODE_WORDS = {
  nearest: "to nearest, ties to even", toward_zero: "toward zero", up: "up", down: "down", stochastic: "stochastic",
};

export const KIND_WORDS = {
  normal: "normal", subnormal: "subnormal", zero: "zero", inf: "Inf", nan: "NaN", integer: "integer", none: "no code",
};

const OUTCOME_TONE = { exact: "good", rounded: "", saturated: "bad", overflowed: "bad", flushed: "bad", none: "bad" };

export function toneOf(outcome) {
  return OUTCOME_TONE[outcome] || "";
}

/** A row's groups of bits from the left: [{part, first, bits: ["0" | "1" | ""]}]; "first" is the index of the first. */
export function bitGroups(row) {
  let first = 0;
  return row.parts.map(([part, count]) => {
    const bits = Array.from({ length: count }, (_, i) => row.bits[first + i] || "");
    first += count;
    return { part, first: first - count, bits };
  });
}

/** A number's text for the page: true minus signs, Inf and NaN as they are written. */
export function shown(text) {
  return text.replace(/-/g, "\u2212").replace("inf", "Inf").replace("nan", "NaN");
}

/** What is under a group of bits: its name, and for the exponent what is stored there. */
export function caption(group) {
  const stored = group.part === "exponent" && group.bits[0] !== "" ? ` ${parseInt(group.bits.join(""), 2)}` : "";
  return group.part + stored;
}

/** The formula as pieces [{text, part, raised}], part naming whose colour a piece has. */
export function formulaPieces(row) {
  const f = row.formula;
  const piece = (text, part = "", raised = false) => ({ text, part, raised });
  if (isNumber(f.integer)) {
    const head = f.sign ? [piece("("), piece(`\u2212${f.weight}`, "sign"), piece(" + "), piece(String(f.integer), "integer"), piece(")")] : [piece(String(f.integer), "integer")];
    return [...head, piece(` \u00d7 scale ${shown(f.scale)}`)];
  }
  if (!isNumber(f.exponent)) return [piece({ inf: "exponent all ones, mantissa zero", nan: "a code kept for \u201cnot a number\u201d" }[row.kind] || "")];
  const power = [piece("2"), piece(String(f.exponent), "exponent", true), piece(` \u2212 ${f.bias}`, "", true), piece(" \u00d7 "), piece(f.significand, "mantissa")];
  if (f.sign === null) return power.slice(0, 3);
  return [piece("(\u22121)"), piece(String(f.sign), "sign", true), piece(" \u00d7 "), ...power];
}

/** What was lost, short facts in a row; nothing where nothing was. */
export function errorFacts(row) {
  const e = row.error;
  if (!e) return [];
  if (e.text === "0") return ["exact"];
  const relative = isNumber(e.relative) ? [share(e.relative)] : [];
  const steps = isNumber(e.ulps) ? [`${e.ulps >= 0.01 && e.ulps < 1e5 ? three(e.ulps) : small(e.ulps)} ulp`] : [];
  return [`error ${shown(e.text)}`, ...relative, ...steps];
}

/** 0.00024 -> "0.024 %"; tiny shares as powers of ten. */
function share(x) {
  if (x >= 9.995) return `${small(x)}\u00d7`;
  return x >= 1e-6 ? `${Number((100 * x).toPrecision(2))} %` : `${small(100 * x)} %`;
}
