import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { TERMS } from "../../widgets/static/bits_words.js";
import { recall, remember } from "../../widgets/static/remember.js";
import { tipPlace } from "../../widgets/static/tip.js";
import { WORDS } from "../../widgets/static/words.js";

const folder = new URL("../../widgets/static/", import.meta.url);

/** Every key that a view's text gives to an element: written after data-term, term: or term(. */
function keysIn(text) {
  return [...text.matchAll(/(?:"data-term":|\bterm:|\bterm\()\s*"([^"]+)"/g)].map(([, key]) => JSON.parse(`"${key}"`));
}

test("every term that a view names has its sentence, and the search for them finds some", () => {
  const found = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".js"))) {
    for (const key of keysIn(readFileSync(new URL(file, folder), "utf8"))) found.set(key, file);
  }
  assert.ok(found.size > 20, `only ${found.size} terms found`);
  assert.deepEqual([...found].filter(([key]) => !WORDS[key] && !TERMS[key]), []);
});

test("a sentence is plain: one to four clauses, no markup, ended like a sentence", () => {
  for (const [key, words] of Object.entries(WORDS)) {
    assert.match(words, /^[^<>]{20,220}[.]$/, `${key}: ${words}`);
  }
});

test("a tip lies below its word, above it at the foot of the window, and inside the window", () => {
  const frame = { width: 360, height: 640 };
  assert.deepEqual(tipPlace({ left: 100, top: 50, bottom: 70, width: 40 }, { width: 200, height: 60 }, frame), { left: 20, top: 78 });
  assert.deepEqual(tipPlace({ left: 340, top: 600, bottom: 620, width: 20 }, { width: 200, height: 60 }, frame), { left: 154, top: 532 });
});

test("what a browser remembers survives until it is emptied, and a browser without a store forgets in peace", () => {
  assert.equal(recall("tour"), "");
  remember("tour", "seen");
  const kept = new Map();
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text), removeItem: (key) => kept.delete(key) };
  remember("tour", "seen");
  assert.equal(recall("tour"), "seen");
  assert.deepEqual([...kept.keys()], ["precision-explorer:tour"]);
  remember("tour", "");
  assert.equal(recall("tour"), "");
  delete globalThis.localStorage;
});
