import assert from "node:assert/strict";
import { test } from "node:test";
import { menuPlace, nextItem } from "../../widgets/static/menu.js";

test("arrows walk a menu round, Home and End jump, a letter finds the next item that begins with it", () => {
  const labels = ["Save", "Share", "Export"];
  assert.deepEqual(["ArrowDown", "ArrowUp", "Home", "End"].map((key) => nextItem(labels, 2, key)), [0, 1, 0, 2]);
  assert.deepEqual([nextItem(labels, 0, "ArrowUp"), nextItem(labels, -1, "ArrowDown")], [2, 0]);
  assert.deepEqual([nextItem(labels, 0, "s"), nextItem(labels, 1, "S"), nextItem(labels, 0, "x"), nextItem(labels, 0, "Shift")], [1, 0, null, null]);
  assert.equal(nextItem([], -1, "ArrowDown"), null);
});

test("a menu hangs below its button, above it where only there is room, and never outside the window", () => {
  const frame = { width: 360, height: 640 };
  assert.deepEqual(menuPlace({ left: 10, top: 20, bottom: 50 }, { width: 200, height: 100 }, frame), { left: 10, top: 54 });
  assert.deepEqual(menuPlace({ left: 300, top: 590, bottom: 620 }, { width: 200, height: 100 }, frame), { left: 154, top: 486 });
  assert.deepEqual(menuPlace({ left: 5, top: 300, bottom: 330 }, { width: 350, height: 800 }, frame), { left: 6, top: 334 });
});
