import assert from "node:assert/strict";
import test from "node:test";
import { askedIn, isOwnPage, mergedQuery } from "../../widgets/static/address.js";
import { Player, csvOf, findRecipe, pointWithin } from "../../widgets/static/player.js";

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
  assert.deepEqual(askedIn("?model=m&token=t"), { model: "m", recipe: "", page: "" });
  assert.equal(mergedQuery("?token=t&recipe=old", "recipe=new&page=p"), "token=t&recipe=new&page=p");
});

const film = () => ({
  values: [{ choices: [0], emulated: [false] }, { choices: [1], emulated: [false] }, "", { models: [] }, {}, ["m"], [], "x"],
  layout: Object.fromEntries(["page", "map", "top", "banner", "search", "inspector", "compare", "mark"].map((id) => [id, { kind: id === "page" ? "box" : "view", classes: [] }])),
  nodes: { page: "page", map: "map", top: "top", banner: "banner", search: "search", inspector: "inspector", compare: "compare", mark: "mark" },
  facts: { start: "a", model: "m", precisions: ["fp32", "int8"], ops: ["op"], presets: { small: "b" }, history: {}, json: { a: "{}" } },
  frames: Object.fromEntries(["a", "b"].map((hash, at) => [hash, { map: { plan: at }, top: { top: 3 }, search: { search: 4 } }])),
  variants: {}, inspections: {}, inspector: [], marks: {}, keys: { a: {}, b: {} }, pairs: {}, opened: [],
});

test("views are answered from the recording, and refused in words what would have to run", () => {
  const player = new Player(film(), {});
  const told = [];
  player.modelOf("map").on("change:plan", () => told.push(player.modelOf("map").get("plan").choices[0]));
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
