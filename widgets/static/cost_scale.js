// Colours for a quality cost: light to dark on a light page, dark to light on a dark one, evenly spaced in perceived
// lightness, so that the order can be read with any colour vision. Pure.

export const STEPS = 24;
const LIGHT = ["#fef9e8", "#fbe2ad", "#f7bc79", "#ee8d5e", "#d45e5c", "#a53b6b", "#6c2568", "#351148"];
const DARK = ["#2b2833", "#4a2c63", "#782f72", "#aa3d69", "#d65f58", "#ee8f56", "#f6c379", "#fdf2c4"];
const INKS = ["#000000", "#ffffff"];
/** WCAG AA for text of this size. */
export const READABLE = 4.5;
const HATCH = 1.6;
const SHARES = Array.from({ length: 40 }, (_, i) => (i + 1) / 40);
/** Six decades of nats: below is noise of the arithmetic, above no small perturbation. They are the same for every model. */
const NATS = [-7, -1];
const DECADES = 6;
const OKLAB = [
  [0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005],
  [0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766],
];
const FROM_OKLAB = [
  [1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548],
  [4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965], [-0.0041960863, -0.7034186147, 1.707614701],
];

const times = (rows, v) => rows.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
const coded = (x) => (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055);

/** "#rrggbb" as three numbers of light, 0 to 1. */
export function light(hex) {
  return [1, 3, 5].map((at) => linear(parseInt(hex.slice(at, at + 2), 16) / 255));
}

export function hexOf(rgb) {
  const part = (x) => Math.round(255 * coded(Math.min(1, Math.max(0, x)))).toString(16).padStart(2, "0");
  return `#${rgb.map(part).join("")}`;
}

/** A colour as OKLab: perceived lightness, then two axes of hue. */
export function oklab(hex) {
  return times(OKLAB.slice(3), times(OKLAB.slice(0, 3), light(hex)).map(Math.cbrt));
}

function fromOklab(lab) {
  return hexOf(times(FROM_OKLAB.slice(3), times(FROM_OKLAB.slice(0, 3), lab).map((x) => x ** 3)));
}

export function mix(from, to, share) {
  const [a, b] = [oklab(from), oklab(to)];
  return fromOklab(a.map((x, i) => x + share * (b[i] - x)));
}

export function luminance(hex) {
  const [r, g, b] = light(hex);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The contrast of two colours as WCAG 2 defines it, 1 to 21. */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** The colour between the anchors at a share of their whole span of lightness: equal shares are equal steps to the eye. */
function along(anchors, share) {
  const levels = anchors.map((hex) => oklab(hex)[0]);
  const wanted = levels[0] + share * (levels.at(-1) - levels[0]);
  const falls = levels.at(-1) < levels[0];
  const after = levels.findIndex((level, i) => i > 0 && (falls ? level <= wanted + 1e-9 : level >= wanted - 1e-9));
  const [a, b] = [levels[after - 1], levels[after]];
  return mix(anchors[after - 1], anchors[after], (wanted - a) / (b - a));
}

/** Stripes on a fill: seen against it, and no harm to the text on it; darker than the fill where that can be. */
function hatchOn(fill, ink) {
  const off = (hex) => Math.abs(contrast(hex, fill) - HATCH);
  const towards = (end) => SHARES.map((share) => mix(fill, end, share)).filter((hex) => contrast(hex, ink) >= READABLE);
  const best = (found) => found.reduce((one, hex) => (off(hex) < off(one) ? hex : one), fill);
  const darker = best(towards(INKS[0]));
  return off(darker) < 0.1 ? darker : best([darker, ...towards(INKS[1])]);
}

/** The steps from harmless to harmful: [{fill, ink, hatch}]; text in the ink can be read on fill and hatch. */
export function scaleOf(dark) {
  return Array.from({ length: STEPS }, (_, step) => {
    const fill = along(dark ? DARK : LIGHT, step / (STEPS - 1));
    const ink = contrast(fill, INKS[0]) >= contrast(fill, INKS[1]) ? INKS[0] : INKS[1];
    return { fill, ink, hatch: hatchOn(fill, ink) };
  });
}

/** The decades that the scale spans, [low, high]: fixed for nats; for squared errors the six that end at the largest. */
export function domainOf(unit, costs) {
  if (unit === "nats") return NATS;
  let most = 0;
  for (const cost of costs) if (cost > most && cost < Infinity) most = cost;
  const high = most > 0 ? Math.ceil(Math.log10(most)) : 0;
  return [high - DECADES, high];
}

/** Where a cost lies on the scale, 0 to 1; what is not finite lies at its end. */
export function placeOf(cost, [low, high]) {
  if (cost <= 0) return 0;
  return Number.isFinite(cost) ? Math.min(1, Math.max(0, (Math.log10(cost) - low) / (high - low))) : 1;
}

export function stepOf(cost, domain) {
  return Math.min(STEPS - 1, Math.floor(STEPS * placeOf(cost, domain)));
}

/** The legend's ticks: every second decade, [place, text]. */
export function ticksOf([low, high]) {
  const ticks = [];
  for (let decade = low; decade <= high; decade += 2) ticks.push([(decade - low) / (high - low), `1e${decade}`]);
  return ticks;
}

/** A cost in a cell: one digit and its decade, "3e-6"; from 1 on in plain digits. */
export function shortCost(cost) {
  if (Number.isNaN(cost)) return "NaN";
  if (cost === Infinity) return "Inf";
  if (cost === 0) return "0";
  if (cost < 1e-12) return "\u22480"; // a cell has no room for a bound; its tooltip has the number
  if (cost >= 999.5) return cost.toExponential(0).replace("e+", "e");
  return cost >= 0.95 ? (cost < 9.95 ? cost.toFixed(1) : cost.toFixed(0)) : cost.toExponential(0);
}

/** The style sheet of the scale: each step's colours as variables of what carries its number. */
export function scaleRules(dark) {
  const rule = ({ fill, ink, hatch }, step) => `.px-map [data-step="${step}"] { --c: ${fill}; --i: ${ink}; --h: ${hatch}; }`;
  const steps = scaleOf(dark);
  const ramp = steps.map(({ fill }, i) => `${fill} ${Math.round((100 * i) / (STEPS - 1))}%`).join(", ");
  return `${steps.map(rule).join("\n")}\n.px-map .px-ramp { background: linear-gradient(90deg, ${ramp}); }`;
}

/** Whether a colour that the browser computed, "rgb(...)" or "color(srgb ...)", is that of a dark page. */
export function isDark(colour) {
  const parts = (colour.match(/[\d.]+/g) || []).map(Number).slice(0, 3);
  if (parts.length < 3) return false;
  const [r, g, b] = parts.map((x) => linear(colour.startsWith("color(") ? x : x / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b < 0.2;
}
