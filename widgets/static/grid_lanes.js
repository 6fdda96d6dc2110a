// The value grid's picture: one lane per format under one axis, as SVG.
import { axisMarks, drawn, ends, magnitudes, sizeAt } from "./grid_axis.js";
import { shown } from "./bits_words.js";
import { family } from "./lane.js";
import { count } from "./numbers.js";

const SVG = "http://www.w3.org/2000/svg";
const TOP = 58;
const SHADE_BITS = 22;

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.flat().filter(Boolean));
  return element;
}

/**
 * Where everything stands in a picture of this width: labels beside the lanes, or above them where it is narrow.
 * `hatch` is an id that no other picture of the document has.
 */
export function frameOf(width, lanes, view, side, hatch) {
  const narrow = width < 620;
  const left = narrow ? 34 : 146;
  const right = width - (narrow ? 26 : 40);
  const height = narrow ? 62 : 50;
  const x = (log2) => left + ((log2 - view.lo) / (view.hi - view.lo)) * (right - left);
  const log2At = (px) => view.lo + ((px - left) / (right - left)) * (view.hi - view.lo);
  return { narrow, hatch, width, left, right, lane: height, bar: narrow ? 22 : 10, zero: left - 17, inf: right + (narrow ? 14 : 20),
    height: TOP + lanes.length * height + 4, x, log2At, view, side };
}

export function laneTop(frame, index) {
  return TOP + index * frame.lane;
}

/** The whole picture, for `lanes` and the number. */
export function draw(frame, lanes, number) {
  const landings = lanes.flatMap((lane, i) => landing(frame, lane, laneTop(frame, i), number));
  return [hatching(frame.hatch), ...axis(frame), ...lanes.map((lane, i) => laneOf(frame, lane, i, number)), ...numberLine(frame, number), ...landings];
}

function hatching(id) {
  return s("defs", {}, s("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    s("line", { x1: 0, x2: 0, y1: 0, y2: 5, class: "px-hatch" })));
}

function axis(frame) {
  const marks = axisMarks(frame.view, frame.right - frame.left).map((mark) => {
    const x = frame.x(mark.at);
    const words = mark.power === undefined ? [plainSize(mark.value, mark.digits)] : [null, Math.abs(mark.power) > 200 ? "" : plainSize(2 ** mark.power)];
    return s("g", { class: "px-axis" },
      s("line", { x1: x, x2: x, y1: 33, y2: frame.height, class: "px-gridline" }),
      words[0] === null
        ? s("text", { x, y: 14, "text-anchor": "middle" }, "2", s("tspan", { dy: -5, class: "px-power", text: shown(String(mark.power)) }))
        : s("text", { x, y: 14, "text-anchor": "middle", text: words[0] }),
      words[1] ? s("text", { x, y: 28, "text-anchor": "middle", class: "px-faint", text: words[1] }) : null);
  });
  return [...marks,
    s("line", { x1: frame.zero, x2: frame.zero, y1: 33, y2: frame.height, class: "px-gridline" }),
    s("text", { x: frame.zero, y: 14, "text-anchor": "middle", class: "px-axis", text: "0" }),
    s("text", { x: frame.inf, y: 14, "text-anchor": "middle", class: "px-axis", text: frame.side < 0 ? "\u2212\u221e" : "\u221e" })];
}

/** A size as a person would say it: 0.0039, 256, 1.2e\u22127; with more digits where they matter. */
export function plainSize(x, digits = 2) {
  const size = Math.abs(x);
  if (x === 0) return "0";
  if (size >= 1e-4 && size < 1e6) return shown(String(Number(x.toPrecision(Math.min(17, size < 1 ? digits : Math.max(8, digits))))));
  return shown(x.toExponential(Math.min(16, digits - 1)).replace("e+", "e").replace(/\.0+e/, "e"));
}

function laneOf(frame, lane, index, number) {
  const top = laneTop(frame, index);
  const group = s("g", {
    class: `px-lane-grid px-fam-${family(lane.name)}`, tabindex: 0, role: "img", "data-testid": `lane:${lane.name}`, "data-lane": index,
    "aria-label": laneWords(lane, frame.side, number),
  });
  const any = magnitudes(lane, frame.side) > 0;
  group.append(s("rect", { x: 0, y: top, width: frame.width, height: frame.lane, class: "px-lane-back" }), ...label(frame, lane, top));
  if (!any) group.append(s("text", { x: frame.left + 6, y: top + frame.bar + 14, class: "px-faint", text: "no negative values" }));
  else group.append(...zones(frame, lane, top), ...values(frame, lane, top), ...limits(frame, lane, top));
  if (lane.zero) group.append(tickAt(frame.zero, top + frame.bar));
  if (lane.beyond) group.append(tickAt(frame.inf, top + frame.bar));
  return group;
}

/** A lane in words, for those who do not see it. */
export function laneWords(lane, side, number) {
  const became = lane.outcome === "exact" ? "holds it exactly" : `${lane.outcome}: ${lane.value}`;
  const reach = magnitudes(lane, side) ? `${countWords(lane.count)} values up to ${lane.largest}` : "no values on this side";
  return `${lane.label}, ${reach}; ${number.text} ${became}. Arrow keys step to the neighbours.`;
}

function label(frame, lane, top) {
  const many = `${countWords(lane.count)} values`;
  if (frame.narrow) return [s("text", { x: 8, y: top + 15, class: "px-lane-name", text: lane.label }), s("text", { x: frame.width - 8, y: top + 15, "text-anchor": "end", class: "px-faint", text: many })];
  return [s("text", { x: 14, y: top + 20, class: "px-lane-name", text: lane.label }), s("text", { x: 14, y: top + 34, class: "px-faint", text: many })];
}

/** 253, 65 279, 522 thousand, 4.3 billion. */
export function countWords(n) {
  for (const [word, size] of [["billion", 1e9], ["million", 1e6], ["thousand", 1e3]]) {
    if (n >= 100 * size || (size > 1e3 && n >= size)) return `${Number((n / size).toPrecision(n >= 100 * size ? 3 : 2))} ${word}`;
  }
  return count(n);
}

function zones(frame, lane, top) {
  const at = ends(lane, frame.side);
  const cut = (from, to, fill) => {
    const [a, b] = [Math.max(frame.left, frame.x(from)), Math.min(frame.right, frame.x(to))];
    return b > a ? s("rect", { x: a, y: top + frame.bar, width: b - a, height: 22, ...fill }) : null;
  };
  const tint = { class: "px-zone-normal" };
  return [cut(at.normal, at.hi, tint), cut(at.lo, at.normal, tint), cut(at.lo, at.normal, { fill: `url(#${frame.hatch})` })].filter(Boolean);
}

function values(frame, lane, top) {
  const { ticks, shades } = drawn(lane, frame.view, frame.right - frame.left, frame.side);
  const y = top + frame.bar;
  const path = ticks.map((place) => `M${frame.x(place).toFixed(2)} ${y}v22`).join("");
  const rects = shades.map((shade) => s("rect", {
    x: frame.x(shade.from), y, width: frame.x(shade.to) - frame.x(shade.from), height: 22, class: "px-shade",
    style: `opacity: ${(0.3 + 0.62 * Math.min(1, Math.max(0, Math.log2(3 * shade.perPixel) / SHADE_BITS))).toFixed(3)}`,
  }));
  return [...rects, path ? s("path", { d: path, class: "px-ticks" }) : null].filter(Boolean);
}

function tickAt(x, y) {
  return s("path", { d: `M${x} ${y}v22`, class: "px-ticks" });
}

/** The smallest and the largest value, written under the lane's ends; an arrow where an end is out of sight. */
function limits(frame, lane, top) {
  const at = ends(lane, frame.side);
  const y = top + frame.bar + 32;
  const inside = (place) => frame.x(place) >= frame.left - 1 && frame.x(place) <= frame.right + 1;
  const [a, b] = [frame.x(at.lo), frame.x(at.hi)];
  const words = [];
  const small = plainSize(sizeAt(lane, 1));
  const large = plainSize(sizeAt(lane, magnitudes(lane, frame.side)));
  if (a > frame.right) return [s("text", { x: frame.right, y, "text-anchor": "end", class: "px-faint", text: `${small} to ${large} \u25b8` })];
  if (b < frame.left) return [s("text", { x: frame.left, y, class: "px-faint", text: `\u25c2 ${small} to ${large}` })];
  if (inside(at.hi)) words.push(s("text", { x: Math.max(b, frame.left + 20), y, "text-anchor": "end", class: "px-faint", text: large }));
  else if (b > frame.right) words.push(s("text", { x: frame.right, y, "text-anchor": "end", class: "px-faint", text: `to ${large} \u25b8` }));
  if (b - a < 90) return words;
  if (inside(at.lo)) words.push(s("text", { x: a, y, class: "px-faint", text: small }));
  else if (a < frame.left) words.push(s("text", { x: frame.left, y, class: "px-faint", text: `\u25c2 to ${small}` }));
  return words;
}

/** Where the number lands: a dot, and a line to it from where the number is. */
function landing(frame, lane, top, number) {
  const y = top + frame.bar + 11;
  const from = placeOf(frame, number);
  const to = placeOf(frame, lane.landing);
  if (to === null) return [];
  const type = `px-landing${lane.outcome === "exact" ? " px-exact" : ""}`;
  const line = from !== null && Math.abs(from - to) > 1 ? s("path", { d: `M${from} ${y}H${to}`, class: "px-landing-way" }) : null;
  return [line, s("circle", { cx: to, cy: y, r: 5, class: type, "data-testid": `landing:${lane.name}` })].filter(Boolean);
}

/** The x of a number or landing; null out of sight, on the other side, and for NaN. */
function placeOf(frame, place) {
  if (place.special === "zero") return frame.zero;
  if (place.special === "nan" || place.side !== frame.side) return null;
  if (place.special === "inf") return frame.inf;
  const x = frame.x(place.log2);
  return x >= frame.left && x <= frame.right ? x : null;
}

function numberLine(frame, number) {
  const x = placeOf(frame, number);
  const out = number.log2 !== null && number.side === frame.side ? (frame.x(number.log2) < frame.left ? `\u25c2 ${shown(number.text)}` : `${shown(number.text)} \u25b8`) : "";
  if (x === null) return out ? [s("text", { x: out.startsWith("\u25c2") ? frame.left : frame.right, y: TOP - 8, "text-anchor": out.startsWith("\u25c2") ? "start" : "end", class: "px-number-name", text: out })] : [];
  const text = number.text.length > 14 ? `${number.text.slice(0, 13)}\u2026` : number.text;
  const near = Math.min(Math.max(x, 30), frame.width - 30);
  return [s("line", { x1: x, x2: x, y1: TOP - 4, y2: frame.height, class: "px-number-line" }),
    s("text", { x: near, y: TOP - 8, "text-anchor": "middle", class: "px-number-name", text: shown(text) })];
}
