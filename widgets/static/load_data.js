// What the model is run on: its own data, made-up inputs, or a .npz; and what the labels mean.
import { loadField, loadGroup, selectInput, textInput } from "./load_fields.js";
import { NPZ_ABOUT, dataOf, hasOwnData, labelWords } from "./load_words.js";
import { h } from "./shared.js";

const LABEL_KINDS = [["", "what the model\u2019s task makes of it"], ["classes", "the class number of each sample"], ["tokens", "the next token at each position"], ["values", "values to come near"]];

/** The data's part of the form; `file` is the .npz's field. */
export function dataFields(form, offer, file, changed) {
  const chosen = dataOf(form, offer);
  const own = hasOwnData(form, offer);
  const model = form.source === "bundled" ? offer.models.find(({ name }) => name === form.model) : null;
  const ownWords = model ? model.data : own ? "the test data of that architecture, with labels" : "this model comes without data";
  const rows = [
    ["own", `Its own data: ${ownWords}`, own, () => [
      loadField("Samples", textInput(form, "first", "load-first", changed, { inputmode: "numeric", placeholder: "all", size: 8 }))]],
    ["made", "Made-up inputs: noise, or token ids drawn evenly from the vocabulary", true, () => [
      loadField("Samples", textInput(form, "made", "load-made", changed, { inputmode: "numeric", size: 8 })),
      loadField("Seed", textInput(form, "seed", "load-seed", changed, { inputmode: "numeric", size: 8 })),
      loadField("Shape of one sample", textInput(form, "shape", "load-shape", changed, { placeholder: "the model\u2019s own", size: 16 }))]],
    ["npz", "A .npz file of yours", true, () => [
      loadGroup("File", file.element, NPZ_ABOUT),
      loadField("y holds", selectInput(form, "labels", "load-labels", LABEL_KINDS, changed))]],
  ];
  return h("fieldset", { class: "px-load-data", "data-testid": "load-data" }, h("legend", { text: "Run it on" }),
    rows.map(([key, text, possible, more]) => dataRow(form, key, text, possible, chosen, more, changed)),
    h("p", { class: "px-sub", "data-testid": "load-labels-mean", text: labelWords(form, offer) }),
    loadField("Batch size", textInput(form, "batch", "load-batch", changed, { inputmode: "numeric", size: 6 })));
}

function dataRow(form, key, text, possible, chosen, more, changed) {
  const radio = h("input", { type: "radio", name: "px-load-data", value: key, disabled: !possible, "data-testid": `load-data:${key}` });
  radio.checked = chosen === key;
  radio.addEventListener("change", () => {
    form.data = key;
    changed(true);
  });
  return h("div", { class: "px-load-row" }, h("label", { class: "px-load-radio" }, radio, h("span", { text })),
    chosen === key && h("div", { class: "px-load-more" }, more()));
}
