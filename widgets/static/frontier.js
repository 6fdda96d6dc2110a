// The frontier's words: what is on the plot, and the choice of what recipes are held against.
import { plural } from "./numbers.js";
import { mountPanel } from "./panel.js";
import { markBox } from "./panel_words.js";
import { h, put } from "./shared.js";

const ON_THE_PLOT = ["hollow", "filled", "front", "band", "quality cost", "baselines"];

/** What the plot shows, in a sentence or two. */
export function frontNote(found) {
  if (found.state === "none") return "No model is open yet.";
  const trials = found.trials ? `${plural(found.trials, "recipe")} measured so far` : "No recipe measured yet";
  const emulated = found.left_out ? ` ${found.left_out} of emulated precision have no speed and no place here.` : "";
  if (found.state === "unsearched") return `${trials}${found.trials ? ": each is a point" : ""}.${emulated} A search beside the map adds the best recipe for every budget.`;
  const verified = found.verified ? `, ${found.verified} of them measured` : ", none measured yet";
  return `${plural(found.proposals, "proposal")} of the search${verified}; ${trials.replace("No", "no")}.${emulated} Click a point to restore its recipe; Undo brings yours back.`;
}

function frontierPanel(seen, send) {
  const axis = h("select", { "data-testid": "frontier-axis", "aria-label": "against", onchange: () => send("axis", { value: axis.value }) });
  const note = h("p", { class: "px-frontier-note", role: "status", "data-testid": "frontier-note" });
  const word = (name) => h("span", { class: "px-term-word", tabindex: "0", "data-term": name, text: name });
  const words = h("span", { class: "px-frontier-words px-sub" }, ON_THE_PLOT.map(word));
  const choice = h("label", { class: "px-frontier-axis" }, h("span", { class: "px-sub", text: "quality cost against" }), axis);
  const root = h("div", { class: "px-frontier" }, h("div", { class: "px-frontier-bar" }, choice, words), note);
  const draw = () => {
    const found = seen.get("frontier");
    put(root, "data-state", found.state);
    choice.hidden = found.state !== "ready";
    if (!axis.options.length && found.axes) axis.append(...found.axes.map(([id, text]) => h("option", { value: id, text })));
    if (found.axis && axis.value !== found.axis) axis.value = found.axis;
    put(note, "text", frontNote(found));
  };
  return { root, draw, traits: ["frontier"] };
}

export default {
  render({ model, el }) {
    markBox(el, "frontierchart", "frontier");
    return mountPanel({ model, el }, "frontierhead", (send, seen) => frontierPanel(seen, send));
  },
};
