// The map's range strips: one small picture per visible row, redrawn only when its tensor or its format changes.
import { family } from "./lane.js";
import { put, svg } from "./shared.js";
import { largestOf, power, stripPaths, stripWords } from "./strip.js";

export const STRIP_ABOUT = "How wide each activation ranges: the histogram of |x| in FP32, on one log2 axis for the whole map; heights are square roots of counts, so that rare values show. "
  + "Linear, convolution and matmul show the input that they multiply, other ops their output. Shaded: what the chosen format can hold; red beyond it saturates, orange below it becomes zero.";
const WIDTH = 132;
const HEIGHT = 27;
const PARTS = [["rect", "px-band"], ["path", "px-in"], ["path", "px-below"], ["path", "px-above"], ["path", "px-lost"]];

/** The strips as they crossed, with each op's heights as a view of the bytes. */
export function readStrips(strips, bytes) {
  const ready = strips && strips.state === "ready" && bytes && bytes.byteLength >= strips.columns * strips.ops.length;
  if (!ready) return { state: strips?.state || "pending", error: strips?.error || "", ops: [], heights: () => null };
  const heights = (op) => new Uint8Array(bytes.buffer, bytes.byteOffset + op * strips.columns, strips.columns);
  return { ...strips, heights };
}

/** The header's second line: the ends of the axis, or what the strips wait for. */
export function fillAxis(cell, strips) {
  if (!cell) return;
  const words = strips.state === "ready" ? ["range, log2", `${power(strips.low)} \u2026 ${power(strips.low + strips.octaves)}`]
    : ["range", { failed: "not known", absent: "not recorded" }[strips.state] || "\u2026"];
  put(cell, "text", words.join("\n"));
  put(cell, "title", strips.error && strips.state !== "absent" ? `${strips.error}\n${STRIP_ABOUT}` : STRIP_ABOUT);
}

export function drawStrip(part, { row, strips, bands, flows }) {
  put(part, "data-testid", `range-strip:${row.key}`);
  const single = row.type === "op";
  const figures = single ? strips.ops[row.ops[0]] : null;
  if (!figures) {
    part.px = null;
    put(part, "aria-label", null);
    return put(part, "text", single ? "" : largestOf(row.ops, strips));
  }
  const op = row.ops[0];
  const band = bands.ops[op];
  const format = band ? bands.words[band[5]] : flows[op];
  if (part.px && part.px.figures === figures && part.px.band === band) return undefined;
  part.px = { figures, band };
  const picture = pictureIn(part);
  const { inside, below, above, ends } = stripPaths(strips.heights(op), band, strips, WIDTH, HEIGHT);
  const [rect, ...paths] = picture.children;
  put(picture, "class", `px-picture px-fam-${family(format)}`);
  put(rect, "x", ends[0]);
  put(rect, "width", band ? Math.max(0, ends[1] - ends[0]) : 0);
  [inside, below, above, lostMark(figures, band)].forEach((path, at) => put(paths[at], "d", path));
  put(part, "aria-label", stripWords(row.label, figures, band, strips, bands.words).join(". "));
  return undefined;
}

/** A mark at the right end: something is NaN or Inf, saturates, or overflows on its way out. */
function lostMark(figures, band) {
  const lost = figures[7] > 0 || figures[8] > 0 || (band && (band[2] > 0 || band[6] > 0));
  return lost ? `M${WIDTH - 8} 1H${WIDTH}V9Z` : "";
}

function pictureIn(part) {
  const old = part.firstElementChild;
  if (old) return old;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(...PARTS.map(([tag, name]) => svg(tag, tag === "rect" ? { class: name, height: HEIGHT } : { class: name })));
  part.replaceChildren(picture);
  return picture;
}

/** The lines of a strip's tooltip. */
export function stripTip(row, strips, bands) {
  const why = { failed: `No ranges: ${strips.error}`, absent: "Its range was not recorded." };
  if (strips.state !== "ready") return [row.label, why[strips.state] || "Its range is being read."];
  if (row.type !== "op") return [row.label, `${largestOf(row.ops, strips) || "No range"}: the largest magnitude of the tensors in it, in FP32, measured on ${strips.samples} samples.`];
  return stripWords(row.label, strips.ops[row.ops[0]], bands.ops[row.ops[0]], strips, bands.words);
}
