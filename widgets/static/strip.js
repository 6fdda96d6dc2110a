// A range strip as shapes and words: heights of columns on a log2 axis, cut where the format's band ends. Pure.
import { isNumber, three } from "./numbers.js";

const RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";

/** -24 -> "2⁻²⁴" */
export function power(exponent) {
  return `2${exponent < 0 ? "\u207b" : ""}${[...String(Math.abs(exponent))].map((digit) => RAISED[digit]).join("")}`;
}

/** A value of a tensor: three digits, in exponents where it is tiny or huge. */
export function value(x) {
  if (!isNumber(x)) return "\u2013";
  const size = Math.abs(x);
  return x === 0 ? "0" : size >= 0.001 && size < 1e5 ? three(x) : x.toExponential(1).replace("e+", "e").replace(/^-/, "\u2212");
}

/** A share of the elements: "none", "0.94 %", "0.0003 %". */
export function share(x) {
  if (!isNumber(x)) return "\u2013";
  if (x === 0) return "none";
  const percent = 100 * x;
  if (percent < 1e-4) return "under 0.0001 %";
  return `${percent >= 1 ? three(percent) : Number(percent.toPrecision(2))} %`;
}

/** Where a band begins and ends along the strip, in pixels: what is beyond the axis ends with it. */
export function bandEnds(band, axis, width) {
  const at = (log2) => Math.min(width, Math.max(0, ((log2 - axis.low) / axis.octaves) * width));
  return [isNumber(band[0]) ? at(band[0]) : 0, isNumber(band[1]) ? at(band[1]) : width];
}

/**
 * The paths of a strip: {inside, below, above}, and the band's [left, right].
 * Columns beyond the band count as lost only where the forecast says that something is: the last column of a tensor
 * reaches further than its largest value.
 */
export function stripPaths(heights, band, axis, width, height) {
  const [left, right] = band ? bandEnds(band, axis, width) : [0, width];
  const cuts = [band && band[3] > 0 ? left : 0, band && band[2] > 0 ? right : width];
  return {
    below: skyline(heights, 0, cuts[0], width, height), inside: skyline(heights, cuts[0], cuts[1], width, height),
    above: skyline(heights, cuts[1], width, width, height), ends: [left, right],
  };
}

/** The outline of the columns between two places, each at least a pixel and a half high. */
function skyline(heights, from, to, width, height) {
  const step = width / heights.length;
  let path = "";
  let open = false;
  for (let column = Math.floor(from / step); column < heights.length && column * step < to; column += 1) {
    const x0 = Math.max(from, column * step);
    const x1 = Math.min(to, (column + 1) * step);
    if (x1 - x0 < 0.05) continue;
    const tall = heights[column];
    if (tall > 0) path += `${open ? "" : `M${round(x0)} ${height}`}V${round(height - Math.max(1.5, (tall / 255) * (height - 3)))}H${round(x1)}`;
    else if (open) path += `V${height}Z`;
    open = tall > 0;
  }
  return open ? `${path}V${height}Z` : path;
}

function round(x) {
  return Math.round(10 * x) / 10;
}

/** What a strip's tooltip says: the tensor, what it spans, and what its format does to it. */
export function stripWords(name, figures, band, strips, words) {
  if (!figures) return [name, "No floating tensor to show here."];
  const [port, min, max, low, middle, high, zeros, nan, inf] = figures;
  const title = `${port === "input" ? "Input" : "Output"} of ${name}`;
  const lost = [nan > 0 && `${share(nan)} NaN`, inf > 0 && `${share(inf)} Inf`, zeros > 0 && `${share(zeros)} zeros`].filter(Boolean);
  const more = lost.length ? ` ${lost.join(", ")}.` : "";
  const spread = min === null ? "No finite value." : `From ${value(min)} to ${value(max)} in ${strips.samples} samples in FP32, measured; 99.8 % lie from ${value(low)} to ${value(high)}, half below ${value(middle)}.`;
  return [title, spread + more, band ? bandWords(band, words) : "What its format does to it is being forecast."].concat(outputWords(band));
}

function bandWords(band, words) {
  const [, , saturated, flushed, sqnr, at] = band;
  const quality = sqnr === "exact" ? "nothing is lost" : sqnr === "overflow" ? "it overflows to Inf" : isNumber(sqnr) ? `SQNR ${three(sqnr)} dB` : "no SQNR";
  return `In ${words[at]}: ${share(saturated)} saturated, ${share(flushed)} flushed to zero, ${quality} (predicted).`;
}

function outputWords(band) {
  return band && band[6] > 0 ? [`Its output overflows FP16: ${share(band[6])} become Inf (predicted).`] : [];
}

/** The largest magnitude of a row's tensors, for a layer: {text, words}. */
export function largestOf(ops, strips) {
  let most = null;
  let bad = "";
  for (const op of ops) {
    const figures = strips.ops[op];
    if (!figures) continue;
    if (figures[7] > 0 || figures[8] > 0) bad = figures[7] > 0 ? "NaN" : "Inf";
    if (figures[1] !== null) most = Math.max(most ?? 0, -figures[1], figures[2]);
  }
  return most === null ? bad : `max |x| ${value(most)}${bad ? `, ${bad}` : ""}`;
}
