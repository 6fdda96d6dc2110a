// The errors chart's words: what the three errors are, the button that measures them, and what they say in short.
import { TERMS, figureCard, markBox } from "./panel_words.js";
import { complain, dress, h, line, listen, put, soon } from "./shared.js";
import { attachTerms } from "./terms.js";
import { newTip } from "./tip.js";

const NOTES = {
  none: "Waiting for a model.",
  baseline: "Every op runs in FP32: there is no error to show. Lower an op in the map.",
  idle: "Three errors of each op: alone, alone but seen at the output, and of the whole recipe. It takes a run of the model for each lowered op.",
  waiting: "Measuring: Cancel in the bar above stops it.",
  ready: "Click a point to select its op in the map.",
};

export default {
  render({ model, el }) {
    dress(el, "errorshead");
    markBox(el, "errorschart", "errors");
    const { ask, close } = line(model, el);
    const send = (type, fields) => ask(type, fields).catch((error) => complain(el, error));
    const compute = h("button", { class: "px-btn", type: "button", "data-testid": "errors-compute", onclick: () => send("compute") });
    const unit = h("select", { "data-testid": "errors-unit", "aria-label": "unit", onchange: () => send("unit", { value: unit.value }) });
    const note = h("span", { class: "px-sub", role: "status", "data-testid": "errors-note" });
    const figures = h("div", { class: "px-figs" });
    const panel = h("div", { class: "px-errors" }, h("div", { class: "px-errors-bar" }, compute, unit, note), figures);
    el.append(panel);
    const tip = newTip();

    const draw = soon(() => {
      const found = model.get("errors");
      put(panel, "data-state", found.state);
      put(compute, "text", found.state === "ready" || found.state === "failed" ? "Measure again" : "Measure the errors");
      compute.disabled = ["none", "baseline", "waiting"].includes(found.state);
      unit.hidden = found.state !== "ready";
      if (!unit.options.length && found.units) unit.append(...found.units.map(([id, text]) => h("option", { value: id, text })));
      if (found.unit && unit.value !== found.unit) unit.value = found.unit;
      put(note, "text", found.state === "failed" ? `The errors could not be measured: ${found.error}` : NOTES[found.state] || "");
      figures.hidden = !found.figures;
      figures.replaceChildren(...(found.figures || []).map(figureCard));
    });
    draw();
    const stop = listen(model, ["errors"], draw);
    const leave = attachTerms(panel, TERMS, tip);
    return () => {
      stop();
      leave();
      close();
      tip.remove();
      panel.remove();
    };
  },
};
