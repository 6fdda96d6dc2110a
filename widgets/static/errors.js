// The errors chart's words: what the three errors are, the button that measures them, and what they say in short.
import { mountPanel } from "./panel.js";
import { figureCard, markBox } from "./panel_words.js";
import { h, put } from "./shared.js";

const NOTES = {
  none: "No model is open yet.",
  baseline: "Every op runs in FP32: there is no error to show. Lower an op in the map.",
  idle: "Three errors of each op: alone, alone but seen at the output, and of the whole recipe. It takes a run of the model for each lowered op.",
  waiting: "Measuring: Cancel in the bar above stops it.",
  ready: "Click a point to select its op in the map.",
};

function errorsPanel(seen, send) {
  const compute = h("button", { class: "px-btn", type: "button", "data-testid": "errors-compute", onclick: () => send("compute") });
  const unit = h("select", { "data-testid": "errors-unit", "aria-label": "unit", onchange: () => send("unit", { value: unit.value }) });
  const note = h("span", { class: "px-sub", role: "status", "data-testid": "errors-note" });
  const figures = h("div", { class: "px-figs" });
  const root = h("div", { class: "px-errors" }, h("div", { class: "px-errors-bar" }, compute, unit, note), figures);
  const draw = () => {
    const found = seen.get("errors");
    put(root, "data-state", found.state);
    put(compute, "text", found.state === "ready" || found.state === "failed" ? "Measure again" : "Measure the errors");
    compute.disabled = ["none", "baseline", "waiting"].includes(found.state);
    unit.hidden = found.state !== "ready";
    if (!unit.options.length && found.units) unit.append(...found.units.map(([id, text]) => h("option", { value: id, text })));
    if (found.unit && unit.value !== found.unit) unit.value = found.unit;
    put(note, "text", found.state === "failed" ? `The errors could not be measured: ${found.error}` : `${NOTES[found.state] || ""}${found.samples ? ` ${found.samples}` : ""}`);
    figures.hidden = !found.figures;
    figures.replaceChildren(...(found.figures || []).map(figureCard));
  };
  return { root, draw, traits: ["errors"] };
}

export default {
  render({ model, el }) {
    markBox(el, "errorschart", "errors");
    return mountPanel({ model, el }, "errorshead", (send, seen) => errorsPanel(seen, send));
  },
};
