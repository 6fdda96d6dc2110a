import assert from "node:assert/strict";
import { test } from "node:test";
import { followTheme } from "../../widgets/static/map_parts.js";

test("cells take the colours of the system\u2019s theme when it changes, until the map is gone", () => {
  let background = "rgb(255, 255, 255)";
  const heard = new Set();
  Object.assign(globalThis, {
    document: { body: {} }, getComputedStyle: () => ({ backgroundColor: background }), requestAnimationFrame: () => 0, cancelAnimationFrame: () => {},
    MutationObserver: class { observe() {} disconnect() {} },
    matchMedia: (query) => {
      assert.match(query, /prefers-color-scheme/);
      return { addEventListener: (_, run) => heard.add(run), removeEventListener: (_, run) => heard.delete(run) };
    },
  });
  const parts = { panel: {}, colours: { textContent: "" } };
  const stop = followTheme(parts);
  const light = parts.colours.textContent;
  background = "rgb(22, 25, 31)";
  heard.forEach((run) => run());
  assert.notEqual(parts.colours.textContent, light);
  stop();
  assert.equal(heard.size, 0);
});
