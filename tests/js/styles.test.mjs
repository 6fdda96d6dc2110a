import assert from "node:assert/strict";
import { test } from "node:test";
import { rules } from "./css_colours.mjs";

/** Style sheets of views that never stand on one page: the format lab has its own. */
const LAB = new Set(["bits.css", "grid.css", "experiment.css"]);
const PLAIN = /^(\.px )?\.px-[\w-]+$/;

test("no view's style reaches into another: a class without its view before it is styled in one sheet", () => {
  const found = new Map();
  for (const { name: file, selector, body } of rules()) {
    const name = file.replace("map_hands", "map");
    if ("forced-color-adjust" in body || LAB.has(name)) continue;
    for (const one of selector.replace(/:is\([^)]*\)/g, ":is").split(",").map((part) => part.trim()).filter((part) => PLAIN.test(part))) {
      const key = one.replace(".px .", ".");
      found.set(key, [...(found.get(key) ?? []), [name, JSON.stringify(body)]]);
    }
  }
  const shared = [...found].filter(([, all]) => new Set(all.map(([name]) => name)).size > 1 && new Set(all.map(([, body]) => body)).size > 1);
  assert.deepEqual(shared.map(([selector, all]) => `${selector} in ${[...new Set(all.map(([name]) => name))].join(" and ")}`), []);
});
