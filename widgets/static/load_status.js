// How an opening stands: its steps, what failed and what would work, and the account of what was opened.
import { stepRows } from "./load_words.js";
import { h } from "./shared.js";

/** The steps of a running opening, with the button that stops it. */
export function openingSteps(progress, opening, cancel) {
  const rows = stepRows(progress, opening).map(([words, state]) =>
    h("li", { "data-state": state, "aria-current": state === "now" ? "step" : null }, h("i", { "aria-hidden": "true" }), words));
  const text = progress.cancelling ? "Cancelling: it ends with the step that runs." : progress.text;
  return h("div", { class: "px-load-going", "data-testid": "load-progress" },
    h("ol", {}, rows),
    h("div", { class: "px-load-tools" }, opening && h("span", { class: "px-sub", role: "status", text }),
      opening && h("button", { class: "px-btn", type: "button", "data-testid": "load-cancel", disabled: progress.cancelling, text: "Cancel", onclick: cancel })));
}

/** What was asked, what was found, and what would work. */
export function failureCard({ asked, found, instead }, model) {
  const rows = [["Asked", asked], ["Found", found], ["What would work", instead]];
  return h("div", { class: "px-load-failed", role: "alert", "data-testid": "load-failed" },
    h("b", { text: "It could not be opened." }), model && h("span", { class: "px-sub", text: ` ${model} is still open; nothing is lost.` }),
    h("dl", {}, rows.flatMap(([term, text]) => [h("dt", { text: term }), h("dd", { text })])));
}

/** The account of what was opened: data, labels, what is odd, whether a link reproduces it. */
export function openedCard(opened, away) {
  const lines = [opened.labels, ...opened.warnings.map((words) => `Note: ${words}.`), opened.link].filter(Boolean);
  return h("div", { class: "px-load-opened", role: "status", "data-testid": "load-opened" },
    h("div", {}, h("b", { text: `Opened ${opened.name}` }), h("span", { text: opened.data ? ` on ${opened.data}.` : "." }),
      h("ul", {}, lines.map((text) => h("li", { text })))),
    h("button", { class: "px-x", type: "button", "aria-label": "put this account away", text: "\u00d7", onclick: away }));
}
