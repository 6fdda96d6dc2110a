import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluate, plotlyOnce } from "../../widgets/static/plot_library.js";
import { clickOf, enlarged, fitted, onPaper, titlesOf, wrapped } from "../../widgets/static/plot_parts.js";
import { keepStill } from "../../widgets/static/plot_still.js";

const later = () => {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};
const never = () => assert.fail("one fetch is enough");

test("plots that come together fetch plotly once, and those that come later not at all", async () => {
  const page = {};
  const sent = later();
  const both = Promise.all([plotlyOnce(() => sent.promise, page), plotlyOnce(never, page)]);
  sent.resolve("plotly");
  assert.deepEqual(await both, ["plotly", "plotly"]);
  assert.equal(await plotlyOnce(never, page), "plotly");
});

test("a plot whose own fetch fails says so; one that waited for it fetches for itself", async () => {
  const page = {};
  const sent = later();
  const first = plotlyOnce(() => sent.promise, page);
  const [second, third] = [plotlyOnce(async () => "mine", page), plotlyOnce(never, page)];
  sent.reject(new Error("closed"));
  await assert.rejects(first, /closed/);
  assert.deepEqual(await Promise.all([second, third]), ["mine", "mine"]);
});

test("after a failure the next try starts anew", async () => {
  const page = {};
  await assert.rejects(plotlyOnce(() => Promise.reject(new Error("lost")), page), /lost/);
  assert.equal(await plotlyOnce(async () => "found", page), "found");
});

test("the library is unpacked and evaluated, and a plotly of somebody else keeps its name", async (t) => {
  // node imports no blob's address, so the address holds the code itself here
  let code = "";
  t.mock.method(URL, "createObjectURL", (blob) => { code = blob; return "data:text/javascript,globalThis.Plotly = 'ours'; export default globalThis.Plotly;"; });
  t.mock.method(URL, "revokeObjectURL", () => {});
  globalThis.Plotly = "theirs";
  const packed = await new Response(new Blob(["globalThis.Plotly = 'ours';"]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
  assert.equal(await evaluate(packed), "ours");
  assert.equal(await code.text(), "globalThis.Plotly = 'ours';\nexport default globalThis.Plotly;");
  assert.equal(globalThis.Plotly, "theirs");
  delete globalThis.Plotly;
});

test("what is saved is dark on white, and the figure on show stays as it is", () => {
  const figure = { data: [1], layout: { paper_bgcolor: "rgba(0,0,0,0)", font: { size: 12 }, height: 300 } };
  const saved = onPaper(figure);
  assert.equal(saved.layout.paper_bgcolor, "#ffffff");
  assert.deepEqual(saved.layout.font, { size: 12, color: "#22262d" });
  assert.equal(saved.layout.height, 300);
  assert.equal(figure.layout.paper_bgcolor, "rgba(0,0,0,0)");
});

test("a click says what its point stands for, or nothing", () => {
  assert.equal(clickOf({ points: [{ customdata: "fc1/linear" }, { customdata: "fc2/linear" }] }), "fc1/linear");
  for (const event of [undefined, {}, { points: [] }, { points: [{ pointNumber: 1 }] }, { points: [{ customdata: [1, 2] }] }]) assert.equal(clickOf(event), null);
});

test("a figure for a projector has larger type, marks and lines, and its values where they were", () => {
  const figure = { data: [{ x: [1, 2], y: [3, 4], marker: { size: [4, 6], line: { width: 1 } } }], layout: { height: 300, margin: { l: 10 }, xaxis: { range: [1, 2] }, annotations: [{ x: 5, font: { size: 10 } }] } };
  const { data, layout } = enlarged(figure, 2);
  assert.deepEqual(data, [{ x: [1, 2], y: [3, 4], marker: { size: [8, 12], line: { width: 2 } } }]);
  assert.deepEqual(layout, { height: 600, margin: { l: 20 }, font: { size: 24 }, xaxis: { range: [1, 2] }, annotations: [{ x: 5, font: { size: 20 } }] });
  assert.equal(enlarged(figure, 1), figure);
});

test("a figure stands still while a pointer aims at it or presses, and what came meanwhile is drawn once", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const [box, page] = [new EventTarget(), new EventTarget()];
  let drawn = 0;
  const still = keepStill(box, () => { drawn += 1; }, page);
  const [on, off] = [(name) => box.dispatchEvent(new Event(name)), () => page.dispatchEvent(new Event("pointerup"))];
  still.change();
  assert.equal(drawn, 1, "nobody is there");
  on("pointermove");
  still.change();
  still.change();
  t.mock.timers.tick(1400);
  on("pointermove");
  t.mock.timers.tick(1400);
  assert.equal(drawn, 1);
  t.mock.timers.tick(200);
  assert.equal(drawn, 2, "the pointer rests");
  on("pointermove");
  on("pointerdown");
  still.change();
  on("pointerleave");
  t.mock.timers.tick(5000);
  assert.equal(drawn, 2, "it is pressed");
  off();
  assert.equal(drawn, 2, "plotly has not heard of the click yet");
  t.mock.timers.tick(1);
  assert.equal(drawn, 3);
  on("pointermove");
  still.change();
  on("pointerleave");
  assert.equal(drawn, 4);
  off();
  t.mock.timers.tick(5000);
  assert.equal(drawn, 4, "a button that was pressed elsewhere");
  on("pointermove");
  still.change();
  still.stop();
  t.mock.timers.tick(5000);
  on("pointerleave");
  assert.equal(drawn, 4);
});

test("a title of an x axis has lines that fit into a narrow plot; values, other titles and long words stay", () => {
  const title = "ops in the order of execution (on 64 of 397 samples)";
  const figure = { data: [], layout: { font: { size: 12 }, xaxis: { title: { text: title }, range: [0, 1] }, yaxis: { title: { text: title } } } };
  assert.equal(titlesOf(fitted(figure, 700)), titlesOf(figure));
  const { xaxis, yaxis } = fitted(figure, 360).layout;
  assert.equal(xaxis.title.text, "ops in the order of execution<br>(on 64 of 397 samples)");
  assert.deepEqual([xaxis.range, yaxis.title.text], [[0, 1], title]);
  assert.equal(wrapped("one two<br>three blocks.0.attn.qkv/linear", 8), "one two<br>three<br>blocks.0.attn.qkv/linear");
});
