// Numbers as text: one way to write each quantity, everywhere on the page. Pure.

const MINUS = "\u2212";
const NONE = "\u2013";

export function isNumber(x) {
  return typeof x === "number" && Number.isFinite(x);
}

function plain(x, digits) {
  const text = Math.abs(x).toFixed(digits);
  const zero = Number(text) === 0;
  return (x < 0 && !zero ? MINUS : "") + text.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** 0.9798 -> "98.0 %"; without a unit the bare number. */
export function score(x, unit = "%") {
  if (!isNumber(x)) return NONE;
  return unit === "%" ? `${plain(100 * x, 1)} %` : plain(x, 3);
}

/** A signed difference: of fractions in points, otherwise in the score's own unit. */
export function difference(x, unit = "%") {
  if (!isNumber(x)) return NONE;
  const text = unit === "%" ? plain(100 * x, 1) : plain(x, 3);
  const zero = Number(text.replace(MINUS, "-").replace(/\u202f/g, "")) === 0;
  return !zero && x > 0 ? `+${text}` : text;
}

/** 0.00029 -> "2.9e-4"; between 0.01 and 100 in plain digits; exactly nothing is "0". */
export function small(x) {
  if (!isNumber(x)) return NONE;
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 0.01 && size < 100) return plain(x, size < 1 ? 3 : 2);
  return x.toExponential(1).replace("e+", "e").replace(/^-/, MINUS);
}

/** Three significant digits, never in exponents: 0.123, 3.84, 38.4, 384, 3 840. */
export function three(x) {
  if (!isNumber(x)) return NONE;
  const size = Math.abs(x);
  return plain(x, size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
}

export function speedup(x) {
  if (!isNumber(x)) return NONE;
  return `${x >= 9.995 ? plain(x, 1) : plain(x, 2)}\u00d7`;
}

/** Bytes in decimal units, with the unit: "3.4 MB". */
export function bytes(x) {
  if (!isNumber(x)) return NONE;
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (Math.abs(x) >= 0.9995 * size) return `${plain(x / size, Math.abs(x) >= 99.95 * size ? 0 : 1)} ${unit}`;
  }
  return `${plain(x, 0)} B`;
}

/** Microseconds as a bare number for a column that says its unit. */
export function micros(x) {
  if (!isNumber(x)) return "";
  return Math.abs(x) >= 9.95 ? plain(x, 0) : plain(x, 1);
}

/** Microseconds with a unit fit for reading: "1.1 ms". */
export function duration(x) {
  if (!isNumber(x)) return NONE;
  if (Math.abs(x) >= 1e6) return `${three(x / 1e6)} s`;
  return Math.abs(x) >= 1e3 ? `${three(x / 1e3)} ms` : `${three(x)} \u00b5s`;
}

/** Relative change of a time against its baseline: "\u221261 %". */
export function change(now, before) {
  if (!isNumber(now) || !isNumber(before) || before <= 0) return "";
  const text = plain(100 * (now / before - 1), 0);
  return `${now > before && text !== "0" ? "+" : ""}${text} %`;
}

export function count(x) {
  return isNumber(x) ? plain(x, 0) : NONE;
}

/** "1 op", "3 ops"; a plural that is more than an "s" is given. */
export function plural(n, word, many = `${word}s`) {
  return `${count(n)} ${n === 1 ? word : many}`;
}

const WHOLE = /n = [\d\u202f]+|(?:[\u2212+]?[\d.\u202f]+(?:e-?\d+)?\u00d7?\s(?:%|[kMG]?B|ms|s|\u00b5s|mJ|bits?|points?|nats|samples\/s)(?![\w/]))/g;

/** A sentence in pieces, [text, whole]: what is whole is a number with its unit, which no line may part. */
export function wholes(text) {
  const pieces = [];
  let from = 0;
  for (const found of text.matchAll(WHOLE)) {
    pieces.push([text.slice(from, found.index), false], [found[0], true]);
    from = found.index + found[0].length;
  }
  return [...pieces, [text.slice(from), false]].filter(([piece]) => piece);
}
