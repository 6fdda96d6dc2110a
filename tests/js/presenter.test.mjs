import assert from "node:assert/strict";
import { test } from "node:test";
import { presenterKey, startsPresenting, withoutPresent } from "../../widgets/static/presenter.js";

test("an address decides whether a page is presented, else it is as it was left", () => {
  assert.deepEqual([["?present=1", ""], ["?present=0", "on"], ["?model=x", "on"], ["", ""]].map(([search, kept]) => startsPresenting(search, kept)), [true, false, true, false]);
});

test("p turns presenter mode on and off and Escape leaves it, but not while one types or with another key held", () => {
  const key = (name, more) => ({ key: name, ...more });
  assert.deepEqual([presenterKey(key("p"), false, false), presenterKey(key("p"), true, false), presenterKey(key("Escape"), true, false)], ["toggle", "toggle", "leave"]);
  assert.deepEqual([presenterKey(key("p"), true, true), presenterKey(key("p", { ctrlKey: true }), true, false), presenterKey(key("Escape"), false, false), presenterKey(key("q"), true, false)], ["", "", "", ""]);
});

test("leaving takes the word out of the address and leaves the rest", () => {
  assert.deepEqual([withoutPresent("?model=x&present=1"), withoutPresent("?present=1"), withoutPresent("?model=x")], ["?model=x", "", null]);
});
