// Colours as a style sheet gives them: var(), color-mix(in srgb, ...), hex and transparent -> "#rrggbb". Pure.
import { readFileSync, readdirSync } from "node:fs";

const STATIC = new URL("../../widgets/static/", import.meta.url);

/** [selector, declarations] of every plain rule of every style sheet, with the file's name. */
export function rules() {
  return readdirSync(STATIC).filter((name) => name.endsWith(".css")).sort().flatMap((name) => {
    const text = readFileSync(new URL(name, STATIC), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
    return [...text.matchAll(/([^{}]+)\{([^{}]*)\}/g)].map(([, selector, body]) => ({ name, selector: selector.trim(), body: declarations(body) }));
  });
}

function declarations(body) {
  const pairs = body.split(";").map((one) => one.split(/:(.*)/s).map((part) => part.replace("!important", "").trim())).filter((pair) => pair.length > 1);
  return Object.fromEntries(pairs);
}

/** Every variable that a rule of shared.css sets for the page: the look's palette. */
export function palette() {
  const shared = rules().find(({ name, selector }) => name === "shared.css" && selector === ".px, .px-page");
  return Object.fromEntries(Object.entries(shared.body).filter(([name]) => name.startsWith("--")));
}

/** The arguments of a function's text, split at its outer commas. */
function split(text) {
  const parts = [""];
  let depth = 0;
  for (const letter of text) {
    depth += letter === "(" ? 1 : letter === ")" ? -1 : 0;
    if (letter === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts.map((part) => part.trim());
}

function numbers(hex) {
  const long = hex.length === 4 ? `#${[...hex.slice(1)].map((digit) => digit + digit).join("")}` : hex;
  return [...[1, 3, 5].map((at) => parseInt(long.slice(at, at + 2), 16)), 1];
}

function parse(text, known) {
  if (text === "transparent") return [0, 0, 0, 0];
  if (/^#[0-9a-f]{3,6}$/i.test(text)) return numbers(text);
  const call = text.match(/^([\w-]+)\((.*)\)$/s);
  if (!call) throw new Error(`no colour: ${text}`);
  if (call[1] === "var") return variable(split(call[2]), known);
  if (call[1] === "color-mix") return mixed(split(call[2]), known);
  throw new Error(`no colour: ${text}`);
}

function variable([name, fallback], known) {
  if (known[name] === undefined && fallback === undefined) throw new Error(`${name} is not set`);
  return parse(known[name] ?? fallback, known);
}

function mixed([space, one, other], known) {
  if (space !== "in srgb") throw new Error(`mixed ${space}`);
  const [colour, percent] = one.match(/^(.*\)|\S+)\s+([\d.]+)%$/s).slice(1);
  const share = Number(percent) / 100;
  const [a, b] = [parse(colour, known), parse(other, known)];
  const alpha = share * a[3] + (1 - share) * b[3];
  return [...[0, 1, 2].map((at) => (share * a[at] * a[3] + (1 - share) * b[at] * b[3]) / (alpha || 1)), alpha];
}

/** The colour that a text says, over what is behind it where it is not opaque: "#rrggbb". */
export function colour(text, known, behind = "#ffffff") {
  const found = parse(text, known);
  const back = numbers(behind);
  const part = (at) => Math.round(found[3] * found[at] + (1 - found[3]) * back[at]).toString(16).padStart(2, "0");
  return `#${part(0)}${part(1)}${part(2)}`;
}
