// Words that explain themselves: hover, focus or a tap shows one sentence, Escape takes it away.
import { h, put } from "./shared.js";

/** A word with a dotted line below it, a stop of the Tab key; `name` is its key in the dictionary. */
export function term(name, text = name) {
  return h("span", { class: "px-explained", tabindex: "0", "data-term": name, text });
}

/** A line of terms, each a stop of the Tab key. */
export function termButtons(names, terms) {
  return h("div", { class: "px-terms" }, h("span", { class: "px-sub", text: "words" }),
    names.map((name) => h("button", { class: "px-term", type: "button", "data-term": name, "aria-label": `${name}: ${terms[name]}`, text: name })));
}

/** Shows the sentence of whatever carries `data-term` under a root; returns the function that stops it. */
export function attachTerms(root, terms, tip) {
  let shown = null;
  const hide = () => {
    if (!shown) return;
    put(shown, "aria-describedby", null);
    shown = null;
    tip.hide();
  };
  const show = (event) => {
    const carrier = event.target.closest("[data-term]");
    if (!carrier || !terms[carrier.dataset.term]) return;
    hide();
    shown = carrier;
    tip.show(carrier, [carrier.dataset.term, terms[carrier.dataset.term]]);
    put(carrier, "aria-describedby", tip.id);
  };
  const leave = (event) => event.target.closest("[data-term]") && hide();
  const escape = (event) => event.key === "Escape" && hide();
  // A word that was drawn anew under the mouse is never left.
  const gone = () => shown && !shown.isConnected && hide();
  const pairs = [["mouseover", show], ["focusin", show], ["click", show], ["mouseout", leave], ["focusout", leave], ["keydown", escape], ["mousemove", gone]];
  for (const [name, run] of pairs) root.addEventListener(name, run);
  return () => pairs.forEach(([name, run]) => root.removeEventListener(name, run));
}
