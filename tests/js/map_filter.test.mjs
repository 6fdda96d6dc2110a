import assert from "node:assert/strict";
import { test } from "node:test";
import { completions, filterOps, readWords } from "../../widgets/static/map_filter.js";
import { examplesOf, withWord } from "../../widgets/static/map_help.js";

const op = (id, role, params = 0) => ({ id, kind: id.slice(id.lastIndexOf("/") + 1), role, fold: "", params });
const OPS = [
  op("patch_embed.proj/conv2d", "compute", 3000), op("blocks.0.norm1/layer_norm", "sensitive", 384), op("blocks.0.attn.qkv/linear", "compute", 110_592),
  op("blocks.0.attn/softmax", "sensitive"), op("blocks.0.mlp.fc1/linear", "compute", 147_456), op("blocks.0.mlp.act/gelu", "elementwise"), op("blocks.1.mlp.fc2/linear", "compute", 147_456),
];
const PRECISIONS = ["fp32", "int8", "int8_static", "bf16"];
const CHOICES = [0, 3, 1, 0, 1, 0, 2];
const can = (possible) => ({ possible, emulated: false, kernel: "oneDNN fp32", reason: "" });
const COSTS = [[0, 2e-5], [0, null], [0, 3e-4], [0, null], [0, 5e-3], [0, null], [0, NaN]];

function page(more = {}) {
  return {
    data: { ops: OPS, precisions: PRECISIONS, options: OPS.map(() => PRECISIONS.map(() => can(true))), option_kinds: [can(true), { ...can(true), kernel: "simd int8 (vnni)" }] },
    choices: CHOICES,
    plan: { kernels: ["oneDNN fp32", "native", "simd int8 (vnni)", "native", "simd int8 (vnni)", "native", "emulated int8_static"], emulated: [0, 0, 0, 0, 0, 0, 1].map(Boolean), refusals: ["", "", "", "", "", "", "needs AVX512"] },
    costs: { ready: true, state: "ready", error: "", at: (at, precision) => (precision > 1 || COSTS[at][precision] === null ? null : { cost: COSTS[at][precision] }) },
    times: [[88, 88, false, null, "", 0], null, [300, 900, false, null, "", 1], [60, 60, false, null, "", 0], [1500, 2900, false, null, "", 0], [0, 0, false, null, "blocks.0.mlp.fc1/linear", 0], [9000, 400, true, null, "", 0]],
    locked: new Set(["blocks.0.norm1/layer_norm"]),
    ...more,
  };
}
const kept = (text, more) => { const { keep } = filterOps(text, page(more)); return keep === null ? null : [...keep]; };
const wrong = (text, more) => filterOps(text, page(more)).wrong;
const hint = (text, more) => filterOps(text, page(more)).hint;

test("plain words are parts of names, kinds and the present precision, and stars, as they always were", () => {
  assert.equal(kept("  "), null);
  assert.deepEqual(kept("linear"), [2, 4, 6]);
  assert.deepEqual(kept("blocks.0 LINEAR"), [2, 4]);
  assert.deepEqual(kept("INT8"), [2, 4, 6]);
  assert.deepEqual(kept("blocks.*.mlp.fc?"), [4, 6]);
  assert.deepEqual(kept("(no such)"), []);
  assert.deepEqual(kept("a+b[c"), []);
});

test("kind, role and precision take a whole name first, then a part, a star or several", () => {
  assert.deepEqual(kept("kind:linear"), [2, 4, 6]);
  assert.deepEqual(kept("kind:lin"), [2, 4, 6]);
  assert.deepEqual(kept("kind:conv*,gelu"), [0, 5]);
  assert.deepEqual(kept("role:sensitive"), [1, 3]);
  assert.deepEqual(kept("Role:Elem"), [5]);
  assert.deepEqual(kept("precision:int8"), [2, 4]);
  assert.deepEqual(kept("precision:int8*"), [2, 4, 6]);
  assert.deepEqual(kept("precision:int8,bf16"), [1, 2, 4]);
});

test("words narrow each other down, and a minus leaves out", () => {
  assert.deepEqual(kept("kind:linear precision:int8 -qkv"), [4]);
  assert.deepEqual(kept("-kind:linear -role:sensitive"), [0, 5]);
  assert.deepEqual(kept("-changed"), [0, 3, 5]);
  assert.deepEqual(kept("changed"), [1, 2, 4, 6]);
  assert.deepEqual(kept("locked"), [1]);
  assert.deepEqual(kept("-locked changed role:sensitive"), []);
});

test("a cost is that of what is chosen, or of one column; what breaks the output is above all", () => {
  assert.deepEqual(kept("cost>1e-4"), [2, 4]);
  assert.deepEqual(kept("cost:int8>1e-3"), [4, 6]);
  assert.deepEqual(kept("cost:INT8<=3e-4"), [0, 2]);
  assert.deepEqual(kept("cost=0"), [0, 3, 5]);
  assert.deepEqual(kept("-cost:int8>1e-3"), [0, 2], "of the others the cost is not known");
});

test("times have units; ops without a time of their own are left out, and that is said", () => {
  assert.deepEqual(kept("time>1ms"), [4]);
  assert.deepEqual(kept("time>=88"), [0, 2, 4]);
  assert.deepEqual(kept("time<0.1ms"), [0, 3]);
  assert.deepEqual(kept("time>50\u00b5s time<100us"), [0, 3]);
  assert.match(hint("time>1ms"), /^3 ops have no measured time of their own/);
  assert.deepEqual(kept("size>=110.592k"), [2, 4, 6]);
});

test("kernels by state and by a part of their name, in quotes where it has spaces", () => {
  assert.deepEqual(kept("kernel:emulated"), [6]);
  assert.deepEqual(kept("kernel:refused"), [6]);
  assert.deepEqual(kept("kernel:real"), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(kept("kernel:vnni"), [2, 4]);
  assert.deepEqual(kept('kernel:"simd int8"'), [2, 4]);
  assert.deepEqual(kept('-kernel:"simd int8" kind:linear'), [6]);
});

test("what is unknown says what was asked, what there is, and keeps nothing", () => {
  assert.match(wrong("colour:red"), /\u201ccolour:red\u201d.*no \u201ccolour:\u201d.*kind:, role:, precision:/);
  assert.match(wrong("precision:int9"), /\u201cprecision:int9\u201d: there is no precision offered here like \u201cint9\u201d\. There are fp32, int8, int8_static, bf16\./);
  assert.match(wrong("kind:conv3d"), /kind of op in this model.*conv2d, layer_norm/);
  assert.match(wrong("role:loss"), /compute, sensitive, elementwise, view/);
  assert.match(wrong("cost>big"), /\u201cbig\u201d is no cost\. Write cost>1e-4/);
  assert.match(wrong("time>3kg"), /\u201c3kg\u201d is no time\. Write time>1ms/);
  assert.match(wrong("cost:int9>1"), /no precision offered here is called \u201cint9\u201d/);
  assert.match(wrong("time:int8>1"), /only a cost has a column/);
  assert.match(wrong("kernel:cuda"), /no kernel here is named like \u201ccuda\u201d.*real, emulated, refused/);
  assert.equal(filterOps("linear colour:red", page()).keep, null);
});

test("a word that is not finished changes nothing and says how it goes on", () => {
  for (const text of ["kind:", "prec", "cost", "cost>", "cost>1e-", "time>2m", "cost:int8", "-", "-kind:", "kernel:"]) {
    assert.equal(kept(text), null, text);
    assert.equal(wrong(text), "", text);
  }
  assert.match(hint("cost:int8"), /cost:int8> and a number/);
  assert.match(hint("role:"), /compute, sensitive/);
  assert.deepEqual(completions("c"), ["cost>", "changed"]);
  assert.deepEqual(kept("fc1 kin"), [4]);
  assert.deepEqual(kept("kin fc1"), [], "only the last word is still being typed");
});

test("costs and times that are not there yet are waited for; costs that never come are said", () => {
  const waiting = { ready: false, state: "none", error: "", at: () => null };
  assert.equal(kept("cost>1", { costs: waiting }), null);
  assert.deepEqual(kept("linear cost>1", { costs: waiting }), [2, 4, 6]);
  assert.match(hint("cost>1", { costs: waiting }), /still being predicted/);
  assert.match(hint("time>1", { times: [] }), /No time is measured yet/);
  assert.match(wrong("cost>1", { costs: { ...waiting, state: "failed", error: "no gradient" } }), /no gradient/);
  assert.match(wrong("cost>1", { costs: { ...waiting, state: "absent" } }), /recording holds no costs/);
});

test("an answer says what it rests on", () => {
  assert.deepEqual([...filterOps("linear locked cost>1 time>1 kernel:real", page()).uses], ["locked", "costs", "times", "plan"]);
  assert.deepEqual([...filterOps("fc1 kind:linear", page()).uses], []);
});

test("words are told apart by spaces, but not within quotes", () => {
  assert.deepEqual(readWords('a  "b c" kernel:"d e').map((word) => word.body), ["a", "b c", "kernel:d e"]);
});

test("every example can be asked of the model that it was made for", () => {
  const examples = examplesOf({ ops: OPS, precisions: PRECISIONS });
  assert.ok(examples.length >= 10);
  for (const [words] of examples) assert.equal(wrong(words), "", words);
  assert.deepEqual([examples[0][0], kept(examples[0][0])], ["qkv", [2]]);
});

test("an example joins what is typed, and takes the place of one that asks the same", () => {
  assert.equal(withWord("", "kind:linear"), "kind:linear");
  assert.equal(withWord("qkv kind:conv2d cost>1", "kind:linear"), "qkv cost>1 kind:linear");
  assert.equal(withWord("cost>1e-3", "cost>1e-4"), "cost>1e-4");
  assert.equal(withWord("cost>1e-3", "cost:int8>1e-3"), "cost>1e-3 cost:int8>1e-3");
});
