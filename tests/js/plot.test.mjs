import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluate, plotlyOnce } from "../../widgets/static/plot_library.js";
import { clickOf, onPaper } from "../../widgets/static/plot_parts.js";

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

test("a click names a curve and a point, or nothing", () => {
  assert.deepEqual(clickOf({ points: [{ curveNumber: 2, pointNumber: 7 }, { curveNumber: 0, pointNumber: 1 }] }), { curve: 2, point: 7 });
  for (const event of [undefined, {}, { points: [] }, { points: [{ curveNumber: 0, pointNumber: [1, 2] }] }]) assert.equal(clickOf(event), null);
});
