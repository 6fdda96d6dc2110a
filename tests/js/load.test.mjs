import assert from "node:assert/strict";
import { test } from "node:test";
import { sendFile } from "../../widgets/static/load_upload.js";
import { architectureOf, choiceOf, dataOf, formOf, labelWords, neededFiles, newForm, readShape, readWhole, refusalOfFile, sizeWords, stepRows, takesData } from "../../widgets/static/load_words.js";

const OFFER = {
  models: [{ name: "digits-vit", title: "", data: "" }], architectures: [["digits-vit", "", true], ["config.json", "", false], ["timm:", "", false]],
  upload_bytes: 50 * 2 ** 20, config_bytes: 2 ** 21, samples: 10000, made: 64, batch: 32,
  labels: { classification: "c", "causal-lm": "t", regression: "v", agreement: "none" },
};
const form = (fields) => ({ ...newForm(OFFER), ...fields });

test("a form becomes what the kernel is asked for", () => {
  const { choice, wrong } = choiceOf(form({ source: "hub", hubName: " gpt2 ", shape: "16", made: "8" }), OFFER);
  assert.equal(wrong, "");
  assert.deepEqual(choice, { source: "hub", name: "gpt2", hub: "hf", revision: "", architecture: "", data: "made", samples: 8, seed: 0, shape: [16], labels: "", batch: 32 });
  assert.deepEqual(choiceOf(formOf(OFFER, choice), OFFER).choice, choice);
});

test("a model without data of its own is run on made-up inputs, a recorded one on none", () => {
  assert.equal(dataOf(form({ source: "upload", architecture: "config.json" }), OFFER), "made");
  assert.equal(dataOf(form({ source: "upload" }), OFFER), "own");
  assert.equal(takesData(form({ source: "local", path: "~/x.pxb" })), false);
  assert.equal(labelWords(form({ source: "hub" }), OFFER), "none");
});

test("what is wrong is said before anything is asked", () => {
  assert.match(choiceOf(form({ source: "hub" }), OFFER).wrong, /name of a model/);
  assert.match(choiceOf(form({ data: "made", made: "20000" }), OFFER).wrong, /from 1 to 10,000/);
  assert.match(choiceOf(form({ batch: "0.5" }), OFFER).wrong, /batch size/);
  assert.match(choiceOf(form({ data: "made", shape: "3 x -1" }), OFFER).wrong, /four whole numbers/);
  assert.deepEqual(readShape("3\u00d7224 x 224").shape, [3, 224, 224]);
  assert.deepEqual(readWhole("", "n", 1, 9, 0), { value: 0, error: "" });
});

test("a named architecture needs its name, and only what needs files asks for them", () => {
  assert.equal(architectureOf(form({ source: "upload", architecture: "timm:", architectureName: "resnet18" })), "timm:resnet18");
  assert.match(choiceOf(form({ source: "upload", architecture: "timm:" }), OFFER).wrong, /name of the timm model/);
  assert.deepEqual(neededFiles(form({ source: "upload", architecture: "config.json", data: "npz" }), OFFER), ["weights", "config", "data"]);
  assert.deepEqual(neededFiles(form({ source: "recorded", data: "npz" }), OFFER), ["recorded"]);
});

test("files of another kind or too large are refused before they are sent", () => {
  assert.match(refusalOfFile("weights", "x.pt", 10, OFFER), /no \.safetensors file/);
  assert.match(refusalOfFile("config", "config.json", 2 ** 22, OFFER), /4\.0 MiB, and 2\.0 MiB are the most/);
  assert.equal(refusalOfFile("data", "X.NPZ", 10, OFFER), "");
  assert.equal(sizeWords(1536), "1.5 KiB");
});

test("a file is sent in order, a few pieces ahead, and stops when told", async () => {
  const sent = [];
  const ask = async (type, fields, patient, buffers) => {
    if (type === "upload") return { upload: 7, chunk: 4 };
    sent.push([fields.at, new TextDecoder().decode(buffers[0])]);
    return { have: fields.at + buffers[0].byteLength };
  };
  const file = new File(["abcdefghij"], "x.npz");
  const told = [];
  assert.equal(await sendFile(ask, "data", file, (have) => told.push(have)), true);
  assert.deepEqual(sent, [[0, "abcd"], [4, "efgh"], [8, "ij"]]);
  assert.deepEqual(told, [4, 8, 10]);
  assert.equal(await sendFile(ask, "data", file, () => {}, () => true), false);
  await assert.rejects(sendFile(async (type) => {
    if (type === "upload") return { upload: 1, chunk: 4 };
    throw new Error("too late");
  }, "data", file, () => {}), /too late/);
});

test("steps are done, running or still to come; the first ranges come last", () => {
  const progress = { steps: ["a", "b", "first ranges"], at: 1, ranges: true };
  assert.deepEqual(stepRows(progress, true).map(([, state]) => state), ["done", "now", "todo"]);
  assert.deepEqual(stepRows(progress, false).map(([, state]) => state), ["done", "done", "now"]);
});
