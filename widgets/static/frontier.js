// The frontier's words: what is on the plot, and the choice of what recipes are held against.
import { plural } from "./numbers.js";
import { mountPanel } from "./panel.js";
import { markBox } from "./panel_words.js";
import { h, put } from "./shared.js";

export const FRONT_TERMS = {
  "hollow": "Predicted, without running the recipe: from the map of costs, and from the measured time of each op.",
  "filled": "Measured: the recipe ran on all samples of the data; bars are 95 % intervals.",
  "front": "The best recipes that the search knows: none of the others is at once better and cheaper.",
  "band": "Nine of ten measured costs are expected inside; the trials of this session calibrate it.",
  "quality cost": "How far the outputs move from FP32\u2019s: KL divergence in nats for a classifier or a language model; 0 is no change.",
  "baselines": "Recipes found without the search, to hold its proposals against: greedy, random, one precision everywhere.",
};

/** What the plot shows, in a sentence or two. */
export function frontNote(found) {
  if (found.state === "none") return "Waiting for a model.";
  const trials = found.trials ? `${plural(found.trials, "recipe")} measured so far` : "No recipe measured yet";
  const emulated = found.left_out ? ` ${found.left_out} of emulated precision have no speed and no place here.` : "";
  if (found.state === "unsearched") return `${trials}${found.trials ? ": each is a point" : ""}.${emulated} A search beside the map adds the best recipe for every budget.`;
  const verified = found.verified ? `, ${found.verified} of them measured` : ", none measured yet";
  return `${plural(found.proposals, "proposal")} of the search${verified}; ${trials.replace("No", "no")}.${emulated} Click a point to restore its recipe; Undo brings yours back.`;
}

function frontierPanel(model, send) {
  const axis = h("select", { "data-testid": "frontier-axis", "aria-label": "against", onchange: () => send("axis", { value: axis.value }) });
  const note = h("p", { class: "px-frontier-note", role: "status", "data-testid": "frontier-note" });
  const word = (name) => h("span", { class: "px-term-word", tabindex: "0", "data-term": name, text: name });
  const words = h("span", { class: "px-frontier-words px-sub" }, Object.keys(FRONT_TERMS).map(word));
  const choice = h("label", { class: "px-frontier-axis" }, h("span", { class: "px-sub", text: "quality cost against" }), axis);
  const root = h("div", { class: "px-frontier" }, h("div", { class: "px-frontier-bar" }, choice, words), note);
  const draw = () => {
    const found = model.get("frontier");
    put(root, "data-state", found.state);
    choice.hidden = found.state !== "ready";
    if (!axis.options.length && found.axes) axis.append(...found.axes.map(([id, text]) => h("option", { value: id, text })));
    if (found.axis && axis.value !== found.axis) axis.value = found.axis;
    put(note, "text", frontNote(found));
  };
  return { root, draw, traits: ["frontier"], terms: FRONT_TERMS };
}

export default {
  render({ model, el }) {
    markBox(el, "frontierchart", "frontier");
    return mountPanel({ model, el }, "frontierhead", (send) => frontierPanel(model, send));
  },
};
