import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, closedAtFirst, flatten, standing } from "../../widgets/static/tree.js";

const op = (layer, kind, fold = "", id = `${layer}/${kind}`) => ({ id, layer, kind, fold });

function vit(blocks) {
  const ops = [op("patch_embed.proj", "conv2d"), op("", "add")];
  const links = [];
  for (let i = 0; i < blocks; i += 1) {
    const b = `blocks.${i}`;
    const stream = ops.length - 1;
    ops.push(op(`${b}.norm1`, "layer_norm"), op(`${b}.attn.qkv`, "linear"), op(`${b}.attn`, "attention"), op(`${b}.attn.proj`, "linear"), op(b, "add"),
      op(`${b}.norm2`, "layer_norm"), op(`${b}.mlp.fc1`, "linear"), op(`${b}.mlp.act`, "gelu"), op(`${b}.mlp.fc2`, "linear"), op(b, "add", "", `${b}/add_1`));
    links.push([stream, stream + 5], [stream + 5, stream + 10]);
  }
  ops.push(op("norm", "layer_norm"), op("head", "linear"));
  for (let i = 1; i < ops.length; i += 1) links.push([i - 1, i]);
  return { ops, links };
}

function rms(layer, at) {
  return ["pow", "mean", "rsqrt", "mul"].map((kind) => op(layer, kind, `${layer}/LlamaRMSNorm`, `${layer}/${kind}${at}`));
}

test("a transformer reads as blocks with short dotted names", () => {
  const { ops, links } = vit(2);
  const rows = flatten(arrange(ops, links), new Set());
  assert.deepEqual(rows.slice(0, 14).map((row) => `${" ".repeat(row.depth)}${row.label}`), [
    "patch_embed.proj", "add", "blocks.0", " norm1", " attn.qkv", " attn", " attn.proj", " + residual", " norm2", " mlp.fc1", " mlp.act", " mlp.fc2", " + residual", "blocks.1",
  ]);
  assert.equal(rows[4].key, "blocks.0.attn.qkv/linear");
  assert.equal(rows[2].ops.length, 10);
});

test("every op is in exactly one leaf row, in execution order", () => {
  const { ops, links } = vit(5);
  const leaves = flatten(arrange(ops, links), new Set()).filter((row) => !row.open).flatMap((row) => row.ops);
  assert.deepEqual(leaves, ops.map((_, index) => index));
});

test("a fold is one closed row, and open it lists its ops", () => {
  const ops = [...rms("layers.0.norm", ""), op("layers.0.q", "linear"), op("layers.0.k", "linear"), op("head", "linear")];
  const items = arrange(ops, []);
  const closed = closedAtFirst(items);
  assert.deepEqual(flatten(items, closed).map((row) => row.label), ["layers.0", "norm", "q", "k", "head"]);
  closed.delete("layers.0.norm/LlamaRMSNorm");
  assert.deepEqual(flatten(items, closed).map((row) => row.type), ["layer", "fold", "op", "op", "op", "op", "op", "op", "op"]);
});

test("a module that runs twice appears twice with different keys", () => {
  const block = (name) => ["a", "b", "c"].map((part) => op(`${name}.${part}`, "relu", "", `${name}.${part}/${Math.random()}`));
  const ops = [...block("blocks.0"), op("mid", "relu"), ...block("blocks.0")];
  const keys = flatten(arrange(ops, []), new Set(["blocks.0", "blocks.0#2"])).map((row) => row.key);
  assert.deepEqual(keys, ["blocks.0", "mid/relu", "blocks.0#2"]);
});

test("closing a layer hides its rows and keeps its ops", () => {
  const { ops, links } = vit(2);
  const rows = flatten(arrange(ops, links), new Set(["blocks.0"]));
  assert.equal(rows[3].label, "blocks.1");
  assert.equal(rows[2].open, false);
});

test("a large model starts with all but its first layers closed", () => {
  const { ops, links } = vit(40);
  const items = arrange(ops, links);
  assert.ok(flatten(items, closedAtFirst(items)).length < 80);
});

test("filtering opens what holds a match and drops the rest", () => {
  const { ops, links } = vit(2);
  const keep = new Set(ops.flatMap((one, at) => (one.layer.endsWith("fc1") ? [at] : [])));
  const rows = flatten(arrange(ops, links), new Set(["blocks.0", "blocks.1"]), keep);
  assert.deepEqual(rows.map((row) => row.label), ["blocks.0", "mlp.fc1", "blocks.1", "mlp.fc1"]);
  assert.deepEqual(rows[0].ops, rows[1].ops);
});

test("a row's standing counts only the ops that can", () => {
  const can = { possible: true, emulated: false };
  const no = { possible: false, emulated: false };
  const fake = { possible: true, emulated: true };
  const options = [[can, no], [can, can], [can, fake]];
  assert.deepEqual(standing({ ops: [0, 1, 2] }, 1, options, [0, 1, 1]), { possible: true, emulated: true, chosen: true, share: 2 / 3 });
  assert.deepEqual(standing({ ops: [0] }, 1, options, [0, 1, 1]), { possible: false, emulated: false, chosen: false, share: 0 });
});
