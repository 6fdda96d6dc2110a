import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { READABLE, contrast } from "../../widgets/static/cost_scale.js";
import { colour, palette, rules } from "./css_colours.mjs";

/** What the page falls back to, JupyterLab's two themes, and a recorded page's dark one: surface and ink. */
const WORLDS = {
  "without a theme": {},
  "JupyterLab Light": { "--jp-layout-color1": "#fff", "--jp-ui-font-color0": "#000" },
  "JupyterLab Dark": { "--jp-layout-color1": "#212121", "--jp-ui-font-color0": "#fff" },
  "a recorded page in the dark": { "--jp-layout-color1": "#16191f", "--jp-ui-font-color0": "#e6e9ee" },
};
/** WCAG 2.2, criterion 1.4.11: what must be seen and is no text. */
const SEEN = 3;
const FAMILIES = Object.keys(palette()).filter((name) => name.startsWith("--px-f-"));
const PARTS = ["--px-warm", "--px-f-bf16", "--px-f-fp8", "--px-f-fp16"];
const KINDS = ["--px-soft", "--px-good", "--px-blue", "--px-warm", "--px-bad"];
/** What stands for many colours, and what it then is. */
const MANY = { "--f": FAMILIES, "--p": PARTS, "--t": KINDS };
/** Text lies on these. */
const GROUNDS = ["--px-surface", "--px-raise", "--px-hair"];

function* worlds() {
  for (const [name, theme] of Object.entries(WORLDS)) yield [name, { ...theme, ...palette() }];
}

/** A rule's variables filled in every way: one `known` for each. */
function ways(texts, known) {
  const many = Object.keys(MANY).filter((name) => texts.some((text) => text && text.includes(`var(${name})`)));
  return many.reduce((all, name) => all.flatMap((one) => MANY[name].map((value) => ({ ...one, [name]: `var(${value})` }))), [known]);
}

/** Every rule that colours text: where it stands, its colour, and the colour that it puts behind it, if any. */
function* inks() {
  for (const { name, selector, body } of rules()) {
    const ink = body.color ?? (/ text$|-name$|px-faint$/.test(selector) ? body.fill : undefined);
    const ground = body["background-color"] ?? body.background;
    const plain = ground && /^(var|color-mix|#)/.test(ground) ? ground : null;
    if (ink && /^(var|color-mix|#)/.test(ink) && !/var\(--(i|jp-ui-font-color0)\)/.test(ink) && !/disabled|hoverlayer/.test(selector)) yield { where: `${name}: ${selector}`, ink, ground: plain };
  }
}

/** Every pair of colours that is too close: [words], empty where all can be told apart. */
function tooClose(pairs, known, least) {
  return pairs.flatMap(({ where, ink, ground }) => ways([ink, ground], known).flatMap((way) => {
    const behind = colour(ground, way, colour("var(--px-surface)", way));
    const ratio = contrast(colour(ink, way, behind), behind);
    return ratio >= least ? [] : [`${where}: ${ratio.toFixed(2)} for ${ink} on ${ground} ${way["--f"] ?? way["--p"] ?? way["--t"] ?? ""}`];
  }));
}

for (const [world, known] of worlds()) {
  test(`every text of every style sheet can be read (${world})`, () => {
    const found = [...inks()];
    assert.ok(found.length > 60);
    const pairs = found.flatMap((one) => (one.ground ? [one] : GROUNDS.map((name) => ({ ...one, ground: `var(${name})` }))));
    assert.deepEqual(tooClose(pairs, known, READABLE), []);
  });

  test(`focus, edges of fields, marks and lanes are seen (${world})`, () => {
    const names = ["--px-focus", "--px-edge", "--px-mark", "--px-warm", "--px-bad", "--px-good", ...FAMILIES];
    const pairs = names.flatMap((name) => ["--px-surface", "--px-raise"].map((ground) => ({ where: name, ink: `var(${name})`, ground: `var(${ground})` })));
    assert.deepEqual(tooClose(pairs, known, SEEN), []);
  });
}

test("docs/ui.md states the contrasts that the style sheets have", () => {
  const text = readFileSync(new URL("../../docs/ui.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `(--px-[\w-]+)` \|[^|]*\| ([\d.]+) \| ([\d.]+) \|$/gm)];
  assert.ok(rows.length >= 12);
  for (const [, name, ...stated] of rows) {
    const found = ["JupyterLab Light", "JupyterLab Dark"].map((world) => {
      const known = { ...WORLDS[world], ...palette() };
      return contrast(colour(`var(${name})`, known), colour("var(--px-surface)", known)).toFixed(1);
    });
    assert.deepEqual(found, stated, name);
  }
});

test("whoever asks for no motion gets none: one rule, for every view", () => {
  const still = rules().filter(({ name, selector }) => name === "shared.css" && /^\.px, \.px \*/.test(selector));
  assert.ok(still.some(({ body }) => body.animation === "none" && body.transition === "none"));
});
