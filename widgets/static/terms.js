// Words that explain themselves: hover or focus shows one sentence.
import { h } from "./shared.js";

/** A line of terms, each a stop of the Tab key. */
export function termButtons(names, terms) {
  return h("div", { class: "px-terms" }, h("span", { class: "px-sub", text: "words" }),
    names.map((name) => h("button", { class: "px-term", type: "button", "data-term": name, "aria-label": `${name}: ${terms[name]}`, text: name })));
}

/** Shows the sentence of whatever carries `data-term` under a root; returns the function that stops it. */
export function attachTerms(root, terms, tip) {
  const show = (event) => {
    const carrier = event.target.closest("[data-term]");
    if (carrier && terms[carrier.dataset.term]) tip.show(carrier, [carrier.dataset.term, terms[carrier.dataset.term]]);
  };
  const hide = (event) => event.target.closest("[data-term]") && tip.hide();
  const escape = (event) => event.key === "Escape" && tip.hide();
  const pairs = [["mouseover", show], ["focusin", show], ["click", show], ["mouseout", hide], ["focusout", hide], ["keydown", escape]];
  for (const [name, run] of pairs) root.addEventListener(name, run);
  return () => pairs.forEach(([name, run]) => root.removeEventListener(name, run));
}
