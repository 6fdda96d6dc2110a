// The inspector's words: which op and tensor, against which format, what is lost, and what runs it.
import { mountPanel } from "./panel.js";
import { figureCard, markBox } from "./panel_words.js";
import { h, put } from "./shared.js";

const EMPTY = {
  none: "Click an op in the map above: here its tensors are held against any number format.",
  pending: "Waiting for the activation ranges: they are read once, after the model is open.",
  absent: "This recording holds no activation ranges: nobody had looked at them when it was saved.",
  nothing: "No range is known for this op: no floating-point tensor goes in or comes out of it.",
};
const ERROR = {
  idle: "Measure this op's own error", waiting: "measuring the error\u2026", failed: "Measure its error again", ready: "Measure its error again",
};
const WHAT = [["port", "tensor"], ["format", "format"], ["order", "channels"]];

function fill(select, entries, value) {
  const signature = JSON.stringify(entries);
  if (select.px !== signature) {
    select.px = signature;
    select.replaceChildren(...entries.map(([id, text]) => h("option", { value: id, text })));
  }
  if (select.value !== value) select.value = value;
}

function factElements([what, words, kind]) {
  const tag = kind && h("span", { class: "px-tag", "data-kind": kind, "data-term": kind, text: kind });
  return [h("dt", { text: what }), h("dd", { class: what === "source" ? "px-code" : null, "data-testid": `fact:${what}` }, words, tag ? [" ", tag] : null)];
}

function inspectorPanel(seen, send) {
  const name = h("b", { "data-testid": "inspected-op" });
  const note = h("span", { class: "px-sub", role: "status", "data-testid": "inspector-note" });
  const selects = Object.fromEntries(WHAT.map(([what, label]) => {
    const select = h("select", { "data-testid": `inspect-${what}`, "aria-label": label, onchange: () => send("choose", { what, value: select.value }) });
    return [what, select];
  }));
  const labels = WHAT.map(([what, label]) => h("label", {}, h("span", { class: "px-term-word", "data-term": label, text: label }), selects[what]));
  const measure = h("button", { class: "px-btn", type: "button", "data-testid": "measure-error", onclick: () => send("error") });
  const choices = h("div", { class: "px-inspect-choices" }, labels, measure);
  const figures = h("div", { class: "px-figs" });
  const facts = h("dl", { class: "px-facts" });
  const root = h("div", { class: "px-inspect" }, h("div", { class: "px-inspect-op" }, name, note), choices, figures, facts);
  const draw = () => {
    const found = seen.get("inspected");
    const error = seen.get("error");
    const ready = found.state === "ready";
    put(root, "data-state", found.state);
    put(name, "text", found.op || "");
    put(note, "text", found.state === "failed" ? `This could not be shown: ${found.error}` : EMPTY[found.state] || error.error || "");
    choices.hidden = !ready;
    if (ready) WHAT.forEach(([what]) => fill(selects[what], found.choices[what], found.chosen[what]));
    put(measure, "text", ERROR[error.state] || ERROR.idle);
    measure.disabled = error.state === "waiting";
    const errors = error.state === "ready" ? error.figures : [];
    figures.replaceChildren(...(ready ? [...found.figures, ...errors].map(figureCard) : []));
    facts.replaceChildren(...(found.facts || []).flatMap(factElements));
  };
  return { root, draw, traits: ["inspected", "error"] };
}

export default {
  render({ model, el }) {
    markBox(el, "inspector", "inspector");
    return mountPanel({ model, el }, "inspectorhead", (send, seen) => inspectorPanel(seen, send));
  },
};
