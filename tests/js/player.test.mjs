import assert from "node:assert/strict";
import test from "node:test";
import { askedIn, mergedQuery, readEnded } from "../../widgets/static/address.js";
import { Player, csvOf, findRecipe, pointWithin } from "../../widgets/static/player.js";
import { isOwnPage } from "../../widgets/static/session.js";

test("a recipe is found by what it chooses", () => {
  const choices = { a: [0, 0, 10], b: [0, 1, 0] };
  assert.equal(findRecipe(choices, [0, 1, 0]), "b");
  assert.equal(findRecipe(choices, [0, 0, 1]), null);
});

test("a budget buys the least cost within it", () => {
  const points = [[10, 3], [20, 1], [30, 0.5]].map(([latency_ms, cost]) => ({ latency_ms, price: { cost } }));
  assert.equal(pointWithin(points, "latency", 25).price.cost, 1);
  assert.equal(pointWithin(points, "latency", 5), null);
});

test("a figure becomes CSV", () => {
  assert.equal(csvOf({ data: [{ name: 'a "b"', x: [1, 2], y: [3, 4] }] }), 'series,x,y\n"a ""b""",1,3\n"a ""b""",2,4');
});

test("only the page's own address is read and written", () => {
  assert.equal(isOwnPage({ protocol: "http:", pathname: "/" }), true);
  assert.equal(isOwnPage({ protocol: "http:", pathname: "/user/x/lab/tree/a.ipynb" }), false);
  assert.equal(isOwnPage({ protocol: "file:", pathname: "/x.html" }), false);
  assert.deepEqual(askedIn("?model=m&token=t"), { model: "m", recipe: "", page: "", inputs: "" });
  assert.equal(mergedQuery("?token=t&recipe=old", "recipe=new&page=p"), "token=t&recipe=new&page=p");
});

const film = () => ({
  values: [{ version: 1, value: { choices: [0], emulated: [false] } }, { version: 2, value: { choices: [1], emulated: [false] } }, "", { models: [] }, {}, ["m"], [], "x"],
  layout: Object.fromEntries(["page", "map", "top", "banner", "search", "inspector", "compare", "mark", "front", "errorplot"].map((id) => [id, { kind: id === "page" ? "box" : "view", classes: [] }])),
  nodes: { page: "page", map: "map", top: "top", banner: "banner", search: "search", inspector: "inspector", compare: "compare", mark: "mark", errorplot: "errorplot" },
  facts: { start: "a", model: "m", precisions: ["fp32", "int8"], ops: ["op"], presets: { small: "b" }, history: {}, json: { a: "{}" } },
  frames: Object.fromEntries(["a", "b"].map((hash, at) => [hash, { map: { plan: at }, top: { top: 3 }, search: { search: 4 } }])),
  variants: {}, inspections: {}, inspector: [], details: { a: { op: [4, 6] } }, keys: { a: {}, b: {} }, pairs: {}, opened: [],
});

test("an open row shows what was recorded of its op, and says where nothing was", () => {
  const player = new Player(film(), {});
  const map = player.modelOf("map");
  player.answer("map", { type: "detail", ops: ["op"] });
  assert.deepEqual(map.get("details").ops.op, { facts: [], errors: {}, causes: [] });
  player.answer("map", { type: "set", ops: ["op"], precision: "int8" });
  assert.match(map.get("details").ops.op.errors.error, /not recorded/);
  player.answer("map", { type: "detail", ops: [] });
  assert.deepEqual(map.get("details").ops, {});
});

test("a click on a plot goes to the recipe or the op that the point stands for", () => {
  const player = new Player(film(), {});
  player.answer("front", { type: "click", of: "b" });
  assert.equal(player.hash, "b");
  assert.throws(() => player.answer("front", { type: "click", of: "c" }), /not recorded/);
  player.answer("errorplot", { type: "click", of: "op" });
  assert.deepEqual([player.hash, player.modelOf("map").get("selection")], ["b", ["op"]]);
});

test("views are answered from the recording, and refused in words what would have to run", () => {
  const player = new Player(film(), {});
  const told = [];
  player.modelOf("map").on("change:plan", () => told.push(player.modelOf("map").get("plan").value.choices[0]));
  player.answer("map", { type: "set", ops: ["op"], precision: "int8" });
  assert.equal(player.hash, "b");
  assert.deepEqual(told, [1]);
  player.answer("top", { type: "undo" });
  assert.equal(player.hash, "a");
  assert.equal(player.modelOf("top").get("top").can_redo, true);
  assert.throws(() => player.answer("top", { type: "search" }), /recording/);
  assert.match(player.modelOf("banner").get("message"), /recording/);
  player.answer("top", { type: "preset", name: "small" });
  assert.equal(player.modelOf("banner").get("message"), "");
  assert.throws(() => player.go("c"), /not recorded/);
  assert.equal(player.hash, "b");
});
