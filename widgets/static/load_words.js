// The load panel in words, and what its forms become: pure.

export const LOAD_TABS = [
  ["bundled", "Bundled", "Small models that come with the explorer, with their test data; nothing is downloaded."],
  ["hub", "From a hub", "A pretrained model by its name. Its weights are downloaded once, to the machine where the kernel runs; only weights are read, and no code of a hub is run."],
  ["local", "Local folder or file", "A path on the machine where the kernel runs: a folder written by save_pretrained, a file of weights, or a .pxb."],
  ["upload", "Upload weights", "A .safetensors file from your computer, for an architecture that is known here. Numbers only: nothing in it can run."],
  ["recorded", "Recorded exploration", "A .pxb that someone saved: it shows what was measured there and then, without the model, its data or a GPU."],
];

export const NO_TORCH_HUB = "Models of torch.hub are not offered, for fetching one runs its author\u2019s code. In a notebook of your own: widgets.explore(px.open(module, inputs=\u2026)).";
export const NPZ_ABOUT = "Written by numpy.savez(\"data.npz\", x=\u2026, y=\u2026): x holds the samples [n, \u2026] as the model takes them, y one label each; y may be left out.";

/** What a form holds when the page opens. */
export function newForm(offer) {
  return {
    source: "bundled", model: (offer.models[0] || { name: "" }).name, hub: "hf", hubName: "", revision: "", path: "", localArchitecture: "",
    architecture: offer.architectures[0][0], architectureName: "", data: "own", first: "", made: String(offer.made), seed: "0", shape: "",
    labels: "", batch: String(offer.batch),
  };
}

/** The form that an address's choice fills in. */
export function formOf(offer, choice) {
  const form = { ...newForm(offer), source: choice.source, data: choice.data, labels: choice.labels, batch: String(choice.batch), seed: String(choice.seed) };
  if (choice.source === "hub") Object.assign(form, { hub: choice.hub, hubName: choice.name, revision: choice.revision });
  if (choice.source === "bundled") form.model = choice.name;
  if (choice.source === "local") Object.assign(form, { path: choice.name, localArchitecture: choice.architecture });
  if (choice.data === "made") Object.assign(form, { made: String(choice.samples || offer.made), shape: choice.shape.join(" \u00d7 ") });
  else if (choice.samples) form.first = String(choice.samples);
  return form;
}

/** The architecture that a form names: a bundled model's, "config.json", or "timm:<name>"; empty where none is needed. */
export function architectureOf(form) {
  const chosen = form.source === "upload" ? form.architecture : form.source === "local" && !isFolder(form.path) ? form.localArchitecture : "";
  return chosen.endsWith(":") ? chosen + form.architectureName.trim() : chosen;
}

/** Whether a path reads as a folder: without the ending of a file that is known. */
export function isFolder(path) {
  return !/\.(safetensors|pt|pth|bin|pxb)$/i.test(path.trim());
}

/** Whether the model of a form comes with data of its own. */
export function hasOwnData(form, offer) {
  if (form.source === "bundled") return true;
  const chosen = architectureOf(form);
  return offer.architectures.some(([key, , own]) => own && key === chosen);
}

/** Whether what a form opens is run on any data: a recorded exploration is not. */
export function takesData(form) {
  return form.source !== "recorded" && !(form.source === "local" && /\.pxb$/i.test(form.path.trim()));
}

/** The data that a form stands for: the model's own where it asks for those and there are any, else made-up inputs. */
export function dataOf(form, offer) {
  if (!takesData(form)) return "own";
  return form.data === "own" && !hasOwnData(form, offer) ? "made" : form.data;
}

/** "3 x 224 x 224" as numbers, or an error in words; nothing written is the model's own shape. */
export function readShape(text) {
  const parts = text.trim().split(/[\s,x\u00d7*]+/i).filter(Boolean);
  const shape = parts.map(Number);
  const good = shape.length <= 4 && shape.every((side) => Number.isInteger(side) && side >= 1 && side <= 65536);
  return good ? { shape, error: "" } : { shape: [], error: "the shape of one sample is up to four whole numbers, such as 3 \u00d7 224 \u00d7 224; leave it empty for the model\u2019s own" };
}

/** A whole number from `least` to `most`, or an error that names the field; empty text is `empty` where that is allowed. */
export function readWhole(text, name, least, most, empty = null) {
  const words = text.trim();
  if (words === "" && empty !== null) return { value: empty, error: "" };
  const value = Number(words);
  const good = words !== "" && Number.isInteger(value) && value >= least && value <= most;
  return good ? { value, error: "" } : { value: least, error: `${name} is a whole number from ${least} to ${most.toLocaleString("en")}` };
}

/** What the kernel is asked to open, or the first thing that is wrong, in words. */
export function choiceOf(form, offer) {
  const data = dataOf(form, offer);
  const most = offer.samples || 1e6;
  const count = data === "made" ? readWhole(form.made, "the number of samples", 1, most) : readWhole(data === "own" ? form.first : "", "the number of samples", 1, most, 0);
  const seed = readWhole(form.seed, "the seed", 0, 999999999, 0);
  const batch = readWhole(form.batch, "the batch size", 1, 1024);
  const { shape, error } = data === "made" ? readShape(form.shape) : { shape: [], error: "" };
  const named = { bundled: form.model, hub: form.hubName.trim(), local: form.path.trim() }[form.source] || "";
  const wrong = [missingWords(form, named), count.error, seed.error, error, batch.error].find(Boolean) || "";
  const choice = {
    source: form.source, name: named, hub: form.source === "hub" ? form.hub : "", revision: form.source === "hub" && form.hub !== "timm" ? form.revision.trim() : "",
    architecture: architectureOf(form), data, samples: count.value, seed: seed.value, shape, labels: data === "npz" ? form.labels : "", batch: batch.value,
  };
  return { choice, wrong };
}

function missingWords(form, named) {
  if (form.source === "hub" && !named) return "write the name of a model, such as gpt2";
  if (form.source === "local" && !named) return "write a path, such as ~/models/my-model";
  if (architectureOf(form).endsWith(":")) return `write the name of the ${architectureOf(form).slice(0, -1)} model that the weights belong to`;
  return "";
}

/** Which uploaded files a form needs, by their role. */
export function neededFiles(form, offer) {
  const roles = { upload: ["weights"], recorded: ["recorded"] }[form.source] || [];
  if (form.source === "upload" && form.architecture === "config.json") roles.push("config");
  if (dataOf(form, offer) === "npz" && takesData(form)) roles.push("data");
  return roles;
}

/** Why a file of `size` bytes called `name` is not taken for `role`, in words; empty where it is. */
export function refusalOfFile(role, name, size, offer) {
  const ending = { weights: ".safetensors", config: ".json", data: ".npz", recorded: ".pxb" }[role];
  if (!name.toLowerCase().endsWith(ending)) return `${name} is no ${ending} file`;
  const most = role === "config" ? offer.config_bytes : offer.upload_bytes;
  if (size > most) return `${name} has ${sizeWords(size)}, and ${sizeWords(most)} are the most here; take a smaller file, or a notebook of your own`;
  return size === 0 ? `${name} is empty` : "";
}

/** "12.3 MiB". */
export function sizeWords(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** What the labels of the chosen data will mean. */
export function labelWords(form, offer) {
  const data = dataOf(form, offer);
  if (data === "made") return offer.labels.agreement;
  if (data === "own") return "With labels: a score (accuracy, exact match) and how far the outputs move from FP32\u2019s (KL divergence).";
  return { classes: offer.labels.classification, tokens: offer.labels["causal-lm"], values: offer.labels.regression }[form.labels]
    || "y is read as the model\u2019s task has it: class numbers, or next tokens. Without y there is no accuracy, only KL divergence and agreement.";
}

/** Each step of an opening as [words, "done" | "now" | "todo"]. */
export function stepRows({ steps, at, ranges }, opening) {
  const now = opening ? at : steps.length - 1;
  return steps.map((words, index) => [words, index < now ? "done" : index === now ? (opening || ranges ? "now" : "done") : "todo"]);
}
