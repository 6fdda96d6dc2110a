import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestorsOf, kinship, offsetsOf, rowAt, stickyRows, windowOf, withDetails } from "../../widgets/static/map_window.js";

const row = (key, depth, type = "op", ops = [0]) => ({ key, type, depth, ops, label: key, open: type === "layer" });
const ROWS = [row("stem", 0), row("blocks", 0, "layer"), row("blocks.0", 1, "layer"), row("a", 2), row("b", 2), row("blocks.1", 1, "layer"), row("c", 2), row("head", 0)];
const H = 28;
const stuckAt = (rows, y, most) => stickyRows(rows, kinship(rows), offsetsOf(rows, H), y, H, most).map(({ index, top }) => [rows[index].key, top]);

test("few rows are all drawn; of many only those in sight and a margin", () => {
  const many = offsetsOf(Array.from({ length: 2000 }, () => ({})), H);
  assert.deepEqual(windowOf(0, 500, many.slice(0, 101)), { first: 0, last: 100 });
  const { first, last } = windowOf(H * 1000, 560, many);
  assert.deepEqual([first, last], [988, 1033]);
  assert.deepEqual(windowOf(1e9, 560, many).last, 2000);
  assert.deepEqual(windowOf(0, 560, offsetsOf([], H)), { first: 0, last: 0 });
});

test("every height falls into the row that covers it, however high its neighbours are", () => {
  const rows = [1, 7, 2, 30, 5].map((height) => ({ height }));
  const offsets = offsetsOf(rows, H);
  for (let y = 0; y < 45; y += 1) {
    const at = rowAt(offsets, y);
    assert.ok(offsets[at] <= y && y < offsets[at + 1]);
  }
  assert.equal(rowAt(offsets, -5), 0);
  assert.equal(rowAt(offsets, 999), 4);
  assert.equal(rowAt(offsetsOf([], H), 0), -1);
});

test("a detail follows its row, as high as it says, and holds no ops", () => {
  const rows = withDetails(ROWS, new Map([["a", 200], ["blocks.0", 90]]));
  assert.deepEqual(rows.map((one) => one.type).slice(2, 6), ["layer", "op", "detail", "op"]);
  assert.deepEqual([rows[4].of, rows[4].ops, rows[4].open], [ROWS[3], [], true]);
  const offsets = offsetsOf(rows, H);
  assert.equal(offsets[5] - offsets[4], 200);
  assert.equal(offsets.at(-1), 8 * H + 200);
  assert.equal(withDetails(ROWS, new Map()), ROWS);
});

test("each row knows its ancestors, and each header where its rows end", () => {
  const kin = kinship(ROWS);
  assert.deepEqual([...kin.parents], [-1, -1, 1, 2, 2, 1, 5, -1]);
  assert.deepEqual([...kin.ends], [1, 7, 5, 4, 5, 7, 7, 8]);
  assert.deepEqual(ancestorsOf(kin, 4), [1, 2]);
  assert.deepEqual(ancestorsOf(kin, 0), []);
});

test("headers stay at the top while their rows pass, and only when they would be hidden", () => {
  assert.deepEqual(stuckAt(ROWS, 0), []);
  assert.deepEqual(stuckAt(ROWS, H), []);
  assert.deepEqual(stuckAt(ROWS, H + 1), [["blocks", 0], ["blocks.0", H]]);
  assert.deepEqual(stuckAt(ROWS, H + 1, 1), [["blocks", 0]]);
});

test("a header is pushed up by what follows its last row, and its outer one stays", () => {
  // Its two rows end at 5 rows; 3 rows and 8 px above the edge, two headers of one row each leave it 20 px.
  assert.deepEqual(stuckAt(ROWS, 3 * H + 8), [["blocks", 0], ["blocks.0", 20]]);
  assert.deepEqual(stuckAt(ROWS, 6 * H + 10), [["blocks", -10]]);
  assert.deepEqual(stuckAt(ROWS, 7 * H), []);
});

test("an expanded row stays above its detail", () => {
  const rows = withDetails(ROWS, new Map([["stem", 300]]));
  assert.deepEqual(stuckAt(rows, 0), []);
  assert.deepEqual(stuckAt(rows, 40), [["stem", 0]]);
  assert.deepEqual(stuckAt(rows, H + 300 - 10), [["stem", 10 - H]]);
});

test("no rows, nothing sticks", () => {
  assert.deepEqual(stuckAt([], 0), []);
});
