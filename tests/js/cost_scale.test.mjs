import assert from "node:assert/strict";
import { test } from "node:test";
import { READABLE, STEPS, contrast, domainOf, hexOf, isDark, light, oklab, placeOf, scaleOf, scaleRules, shortCost, stepOf, ticksOf } from "../../widgets/static/cost_scale.js";

const THEMES = [["light", false], ["dark", true]];
/** How people without one kind of cone see linear light: Machado, Oliveira and Fernandes 2009, full severity. */
const BLIND = {
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritan: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};
const seen = (hex, rows) => hexOf(rows.map((row) => row.reduce((sum, x, i) => sum + x * light(hex)[i], 0)));

test("contrast is WCAG's: black on white is 21, a colour on itself 1", () => {
  assert.equal(contrast("#000000", "#ffffff"), 21);
  assert.equal(contrast("#d45e5c", "#d45e5c"), 1);
  assert.ok(Math.abs(contrast("#777777", "#ffffff") - 4.478) < 0.001);
});

for (const [theme, dark] of THEMES) {
  test(`text can be read on every step and on its stripes, which are seen (${theme})`, () => {
    const steps = scaleOf(dark);
    assert.equal(steps.length, STEPS);
    for (const { fill, ink, hatch } of steps) {
      assert.ok(contrast(fill, ink) >= READABLE, `${ink} on ${fill}`);
      assert.ok(contrast(hatch, ink) >= READABLE, `${ink} on stripes ${hatch}`);
      assert.ok(contrast(hatch, fill) >= 1.4, `stripes ${hatch} on ${fill}`);
    }
  });

  test(`steps are even in perceived lightness, and in order with any colour vision (${theme})`, () => {
    const fills = scaleOf(dark).map(({ fill }) => fill);
    const gaps = (levels) => levels.slice(1).map((level, i) => (dark ? 1 : -1) * (level - levels[i]));
    const even = gaps(fills.map((hex) => oklab(hex)[0]));
    const mean = even.reduce((sum, gap) => sum + gap, 0) / even.length;
    // A hex digit is 1/255 of light, about a tenth of a step.
    assert.ok(even.every((gap) => Math.abs(gap / mean - 1) < 0.15));
    for (const [name, rows] of Object.entries(BLIND)) {
      assert.ok(gaps(fills.map((hex) => oklab(seen(hex, rows))[0])).every((gap) => gap > 0), name);
    }
  });
}

test("nats have one scale for every model, squared errors the six decades below their largest", () => {
  assert.deepEqual(domainOf("nats", [5, 1e-9]), [-7, -1]);
  assert.deepEqual(domainOf("squared error", [3e-5, 0.02, Infinity, NaN, -1]), [-7, -1]);
  assert.deepEqual(domainOf("squared error", []), [-6, 0]);
});

test("places are logarithmic, nothing is harmless, what breaks is at the end", () => {
  const domain = [-7, -1];
  assert.deepEqual([0, 1e-9, 1e-7, 1e-4, 1e-1, 3].map((cost) => placeOf(cost, domain).toFixed(3)), ["0.000", "0.000", "0.000", "0.500", "1.000", "1.000"]);
  assert.deepEqual([stepOf(0, domain), stepOf(NaN, domain), stepOf(Infinity, domain)], [0, STEPS - 1, STEPS - 1]);
  assert.deepEqual(ticksOf(domain).map(([, text]) => text), ["1e-7", "1e-5", "1e-3", "1e-1"]);
});

test("a cell has room for one digit and its decade", () => {
  const costs = [0, 3.14e-6, 0.0499, 0.94, 0.96, 1.26, 12.3, 12345, 1e-15, NaN, Infinity];
  assert.deepEqual(costs.map(shortCost), ["0", "3e-6", "5e-2", "9e-1", "1.0", "1.3", "12", "1e4", "\u22480", "NaN", "Inf"]);
});

test("the rules name every step, and dark pages are told from light ones", () => {
  for (const [, dark] of THEMES) {
    const rules = scaleRules(dark);
    assert.equal([...rules.matchAll(/data-step="\d+"/g)].length, STEPS);
    assert.match(rules, /px-ramp \{ background: linear-gradient/);
  }
  assert.deepEqual(["rgb(33, 33, 33)", "rgb(255, 255, 255)", "color(srgb 0.1 0.1 0.1)", "rgba(17, 17, 17, 0.9)"].map(isDark), [true, false, true, true]);
});
