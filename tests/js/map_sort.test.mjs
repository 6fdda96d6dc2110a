import assert from "node:assert/strict";
import { test } from "node:test";
import { buttonWords, columnEntries, hiddenAtFirst, hiddenFacts, hiddenWords, recallHidden, rememberHidden, shownColumns } from "../../widgets/static/map_columns.js";
import { headerWords, sortOf } from "../../widgets/static/map_header.js";
import { RowList } from "../../widgets/static/map_list.js";
import { columnsOf } from "../../widgets/static/map_rows.js";
import { IN_ORDER, leavesOf, loneLanes, nextSort, readSort, sortLeaves, sortWords, valueBy } from "../../widgets/static/map_sort.js";
import { notices, placeholder } from "../../widgets/static/map_states.js";
import { arrange } from "../../widgets/static/tree.js";

const op = (layer, kind, fold = "", params = 0) => ({ id: `${layer}/${kind}`, layer, kind, fold, params, role: "compute" });
const OPS = [
  op("stem", "conv2d", "", 100), op("blocks.0.norm", "pow", "blocks.0.norm/RMSNorm"), op("blocks.0.norm", "mul", "blocks.0.norm/RMSNorm", 64), op("blocks.0.fc1", "linear", "", 5000), op("blocks.0.fc2", "linear", "", 5000),
  op("head", "linear", "", 640),
];
const PRECISIONS = ["fp32", "int8"];
const COST = [[0, 1e-3], [0, null], [0, null], [0, 4e-2], [0, NaN], [0, 2e-6]];
const can = (possible) => ({ possible, emulated: false, kernel: "k", reason: "" });
const page = (choices = [0, 0, 0, 1, 1, 0]) => ({
  data: { ops: OPS, precisions: PRECISIONS, options: COST.map(([, cost]) => [can(true), can(cost !== null)]) },
  choices, plan: { kernels: OPS.map(() => "k"), emulated: OPS.map(() => false), refusals: OPS.map(() => "") }, locked: new Set(),
  costs: { ready: true, at: (at, precision) => (COST[at][precision] === null ? null : { cost: COST[at][precision], kind: "predicted" }) },
  times: [[50, 0, false, null, "", 0], [4, 0, false, null, "", 0], [6, 0, false, null, "", 0], [900, 0, false, null, "", 1], [70, 0, true, null, "", 0], [0, 0, false, null, "blocks.0.fc1/linear", 0]],
});
const LEAVES = leavesOf(arrange(OPS, []));
const names = (leaves) => leaves.map((leaf) => leaf.key.split("/")[0]);
const sorted = (by, up = false) => names(sortLeaves(LEAVES, valueBy(by, page()), up));

test("a flat list has every op or fold once, with the path of its layer", () => {
  assert.deepEqual(LEAVES.map((leaf) => [leaf.key, leaf.path]), [
    ["stem/conv2d", ""], ["blocks.0.norm/RMSNorm", "blocks.0"], ["blocks.0.fc1/linear", "blocks.0"], ["blocks.0.fc2/linear", "blocks.0"], ["head/linear", ""],
  ]);
});

test("clicks on one header: largest first, smallest first, order of execution; another header begins anew", () => {
  const first = nextSort(IN_ORDER, "time");
  const second = nextSort(first, "time");
  assert.deepEqual([first, second, nextSort(second, "time")], [{ by: "time", up: false }, { by: "time", up: true }, IN_ORDER]);
  assert.deepEqual(nextSort(second, "cost:int8"), { by: "cost:int8", up: false });
  assert.deepEqual(readSort({ by: "cost:int9", up: true }, PRECISIONS), IN_ORDER);
  assert.deepEqual(readSort({ by: "cost:int8", up: true }, PRECISIONS), { by: "cost:int8", up: true });
  assert.deepEqual([readSort(null, PRECISIONS), readSort({ by: 3 }, PRECISIONS)], [IN_ORDER, IN_ORDER]);
});

test("by the cost of a column: what breaks the output first, what cannot last, both ways", () => {
  assert.deepEqual(sorted("cost:int8"), ["blocks.0.fc2", "blocks.0.fc1", "stem", "head", "blocks.0.norm"]);
  assert.deepEqual(sorted("cost:int8", true), ["head", "stem", "blocks.0.fc1", "blocks.0.fc2", "blocks.0.norm"]);
});

test("by the cost of what is chosen now: equal ones in execution order", () => {
  assert.deepEqual(sorted("cost"), ["blocks.0.fc2", "blocks.0.fc1", "stem", "blocks.0.norm", "head"]);
});

test("by latency: a fold sums its ops; emulated and fused ones have no time and come last", () => {
  assert.deepEqual(sorted("time"), ["blocks.0.fc1", "stem", "blocks.0.norm", "blocks.0.fc2", "head"]);
  assert.deepEqual(sorted("time", true), ["blocks.0.norm", "stem", "blocks.0.fc1", "blocks.0.fc2", "head"]);
});

test("by size", () => {
  assert.deepEqual(sorted("size"), ["blocks.0.fc1", "blocks.0.fc2", "head", "stem", "blocks.0.norm"]);
});

const look = (list, text, facts = page(), held = false) => list.look(text, facts, new Map(), held);
const shown = (list, ...asked) => look(list, ...asked).rows.map((row) => row.key);

test("order and filter combine, and a sorted list has no layers", () => {
  const list = new RowList(OPS, []);
  assert.deepEqual(shown(list, "linear").slice(0, 3), ["blocks.0", "blocks.0.fc1/linear", "blocks.0.fc2/linear"]);
  list.sortBy({ by: "cost:int8", up: true });
  assert.deepEqual(shown(list, "linear"), ["head/linear", "blocks.0.fc1/linear", "blocks.0.fc2/linear"]);
  assert.ok(look(list, "").rows.every((row) => row.type !== "layer" && row.depth === 0));
});

test("a filter that cannot be understood leaves the rows as they were", () => {
  const list = new RowList(OPS, []);
  const before = shown(list, "fc1");
  const { rows, answer, kept } = look(list, "fc1 colour:red");
  assert.deepEqual(rows.map((row) => row.key), before);
  assert.match(answer.wrong, /colour/);
  assert.equal(kept.size, 1);
  assert.equal(look(new RowList(OPS, []), "colour:red").kept, null);
});

test("rows do not move while one is at them; then the order is stale, until it is asked for anew", () => {
  const list = new RowList(OPS, []);
  list.sortBy({ by: "cost", up: false });
  const before = shown(list, "");
  const after = page([1, 0, 0, 0, 0, 0]);
  const held = look(list, "", after, true);
  assert.deepEqual([held.rows.map((row) => row.key), held.stale], [before, true]);
  const free = look(list, "", after, false);
  assert.deepEqual([free.rows[0].key, free.stale], ["stem/conv2d", false]);
  list.sortBy({ by: "cost", up: false });
  assert.equal(look(list, "", page(), true).stale, false, "what was just asked for is not stale");
});

test("out of their order rows have no lines, but still their casts", () => {
  const rows = [{ ops: [3], open: false }, { ops: [1, 2], open: true }, { ops: [1], open: false }, { ops: [], open: true }];
  const lanes = loneLanes(rows, ["fp32", "bf16", "bf16", "int8"], [{ source: 2, consumers: [3], from: "bf16", to: "int8" }, { source: 0, consumers: [5], from: "fp32", to: "bf16" }]);
  assert.deepEqual(lanes.map((lane) => [lane.node, lane.format, lane.casts.length]), [["cast", "int8", 1], ["none", "", 0], ["dot", "bf16", 0], ["none", "", 0]]);
  assert.ok(lanes.every((lane) => lane.above === null && lane.below === null && lane.arcs.length === 0));
});

test("an order is called by its name", () => {
  assert.equal(sortWords(IN_ORDER), "order of execution");
  assert.equal(sortWords({ by: "cost:int8", up: false }), "highest cost in int8 first");
  assert.equal(sortWords({ by: "time", up: true }), "fastest first");
});

const COLUMNS = columnsOf(PRECISIONS);

test("hidden columns are gone, and what stays keeps its number", () => {
  assert.equal(shownColumns(COLUMNS, new Set()).length, COLUMNS.length);
  const few = shownColumns(COLUMNS, new Set(["kernel", "cell:fp32"]));
  assert.deepEqual(few.map((column) => column.key), ["layer", "casts", "range", "cell:int8", "time", "change", "limit"]);
  assert.equal(few[3].precision, 1);
  assert.deepEqual([hiddenAtFirst(360), hiddenAtFirst(1024), hiddenAtFirst(0)].map((hidden) => [...hidden]), [["range"], [], []]);
});

test("what is hidden is counted, and whether a choice is in it", () => {
  const facts = hiddenFacts(COLUMNS, new Set(["cell:int8", "range", "cell:of-another-model"]), [0, 1, 1, 0]);
  assert.deepEqual(facts, { columns: 2, chosen: 2 });
  assert.equal(buttonWords(facts), "Columns \u00b7 2 hidden");
  assert.match(hiddenWords(facts), /2 columns hidden; 2 ops are chosen in them/);
  assert.equal(hiddenWords(hiddenFacts(COLUMNS, new Set(), [0])), "");
});

test("the menu checks what is shown, and brings all back", () => {
  const said = [];
  const entries = columnEntries(COLUMNS, new Set(["cell:int8"]), { turn: (key) => said.push(key), all: () => said.push("all") });
  const boxes = entries.filter((entry) => entry.checked !== undefined);
  assert.deepEqual(boxes.map((entry) => entry.checked), [true, false, true, true, true, true, true, true]);
  boxes[1].run();
  entries.at(-1).run();
  assert.deepEqual(said, ["cell:int8", "all"]);
  assert.equal(columnEntries(COLUMNS, new Set(), {}).at(-1).disabled, true);
});

test("hidden columns are kept; what cannot be read is nothing", () => {
  const store = new Map();
  globalThis.localStorage = { getItem: (key) => store.get(key) ?? null, setItem: (key, text) => store.set(key, text), removeItem: (key) => store.delete(key) };
  rememberHidden(new Set(["range", "cell:int8"]));
  assert.deepEqual([...recallHidden()], ["range", "cell:int8"]);
  for (const text of ["{}", "[", "7", '["layer", 3]', "null"]) {
    store.set([...store.keys()][0], text);
    assert.equal(recallHidden()?.size ?? 0, 0, text);
  }
  rememberHidden(new Set());
  assert.equal(recallHidden().size, 0, "all on show is a choice, too");
  store.clear();
  assert.equal(recallHidden(), null);
});

test("a header says what a click does now, and why no lines are drawn", () => {
  const at = (key) => COLUMNS.find((column) => column.key === key);
  assert.deepEqual(["layer", "range", "cell:int8", "time", "kernel"].map((key) => sortOf(at(key))), ["order", "", "cost:int8", "time", ""]);
  const words = (key, sort) => headerWords(at(key), sort, "", { error: "" }).join(" ");
  assert.match(words("cell:int8", IN_ORDER), /Click: sort by predicted cost in int8, highest first/);
  assert.match(words("cell:int8", { by: "cost:int8", up: false }), /the other way round/);
  assert.match(words("cell:int8", { by: "cost:int8", up: true }), /back to the order/);
  assert.match(words("casts", { by: "time", up: true }), /no line is drawn/);
  assert.doesNotMatch(words("casts", IN_ORDER), /no line/);
});

const STATE = { opening: "", failed: "", model: "vit", ops: 6, shown: 6, rows: 5, filter: "", more: 0, costs: { state: "ready" }, strips: { state: "ready" } };

test("no rows are never a blank: loading, failed, empty and nothing found each say what to do", () => {
  const place = (more) => placeholder({ ...STATE, ...more });
  assert.equal(place({}), null);
  assert.deepEqual([place({ ops: 0, model: "", opening: "loading weights" }).state, place({ ops: 0, opening: "loading weights" }).words], ["loading", "loading weights"]);
  assert.match(place({ ops: 0, model: "", failed: "Opening x failed: no file." }).words, /Opening x failed/);
  assert.equal(place({ ops: 0, model: "", failed: "x" }).state, "failed");
  assert.match(place({ ops: 0, model: "" }).words, /choose one/);
  assert.match(place({ ops: 0 }).words, /vit has no op/);
  assert.deepEqual([place({ rows: 0, filter: "xyz" }).state, place({ rows: 0, filter: "xyz" }).action], ["nothing", "clear"]);
  assert.match(place({ rows: 0, filter: "emulated" }).more, /kernel:emulated/);
});

test("what is wanting of the rows is said above them, with what can be done", () => {
  assert.deepEqual(notices(STATE), []);
  const found = notices({ ...STATE, opening: "opening cnn", more: 2200, shown: 5000, costs: { state: "failed", error: "no gradient" }, strips: { state: "failed", error: "out of memory" } });
  assert.deepEqual(found.map((each) => each.action), [undefined, undefined, "retry", "retry"]);
  assert.match(found[0].words, /opening cnn.*those of vit/);
  assert.match(found[1].words, /5.000 of 7.200/);
  assert.match(found[2].words + found[3].words, /no gradient.*out of memory/);
  const over = notices({ ...STATE, stopped: true, costs: { state: "failed", error: "the session ended" } });
  assert.deepEqual(over.map((each) => each.action), [undefined], "nothing can be tried again where the session ended");
});

test("what a recording lacks is said once, without alarm, and no button promises more", () => {
  const lines = (costs, strips) => notices({ ...STATE, costs: { state: costs, error: "x" }, strips: { state: strips, error: "x" } });
  assert.deepEqual(lines("absent", "absent"), [{ tone: "", words: "This recording holds no predicted costs and no ranges: nobody had looked at them when it was saved. The cells have no colours." }]);
  assert.match(lines("ready", "absent")[0].words, /^This recording holds no ranges: [^.]*\.$/);
  assert.match(lines("absent", "ready")[0].words, /holds no predicted costs: /);
});
