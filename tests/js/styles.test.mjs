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

/** The selectors of a rule, each as the browser tells them apart; a list inside `:is()` is part of its selector. */
const selectorsOf = (selector) => selector.replace(/\([^()]*\)/g, (list) => list.replaceAll(",", "|")).split(",").map((part) => part.trim().replace(/^\.px \./, "."));

/** "selector { property } in a and b" for whatever two sheets set differently for one selector: which wins is their order on the page. */
function clashes(every) {
  const found = new Map();
  for (const { name: file, selector, body } of every) {
    if ("forced-color-adjust" in body || LAB.has(file) || selector.endsWith("%")) continue;
    for (const one of selectorsOf(selector)) {
      for (const [property, value] of Object.entries(body)) {
        const key = `${one} { ${property} }`;
        found.set(key, [...(found.get(key) ?? []), [file.replace("map_hands", "map"), value]]);
      }
    }
  }
  const names = (all) => [...new Set(all.map(([name]) => name))];
  return [...found].filter(([, all]) => names(all).length > 1 && new Set(all.map(([, value]) => value)).size > 1).map(([key, all]) => `${key} in ${names(all).join(" and ")}`);
}

test("no two sheets set a property of one selector differently, within a view either", () => {
  const planted = (name, value) => ({ name, selector: ".px-map .px-x, .px-map .px-y", body: { color: value } });
  assert.deepEqual(clashes([planted("a.css", "red"), planted("b.css", "blue")]), [".px-map .px-x { color } in a.css and b.css", ".px-map .px-y { color } in a.css and b.css"]);
  assert.deepEqual(clashes([planted("a.css", "red"), planted("b.css", "red")]), []);
  assert.deepEqual(clashes(rules()), []);
});
