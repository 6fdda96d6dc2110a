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

/**
 * Shows the sentence of whatever carries `data-term` under a root; returns the function that stops it. A word that a change
 * of the page moves under a resting pointer stays silent until the pointer moves.
 */
export function attachTerms(root, terms, tip) {
  let shown = null;
  let slid = null;
  let rest = "";
  const placeOf = (event) => `${event.screenX} ${event.screenY}`;
  const note = (event) => { rest = placeOf(event); };
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
  const enter = (event) => {
    slid = placeOf(event) === rest ? event.target.closest("[data-term]") : null;
    if (!slid) show(event);
  };
  const leave = (event) => {
    slid = null;
    if (event.target.closest("[data-term]")) hide();
  };
  const escape = (event) => event.key === "Escape" && hide();
  // A word that was drawn anew under the mouse is never left.
  const gone = (event) => {
    if (shown && !shown.isConnected) hide();
    if (slid && placeOf(event) !== rest) enter(event);
  };
  const pairs = [["mouseover", enter], ["focusin", show], ["click", show], ["mouseout", leave], ["focusout", leave], ["keydown", escape], ["mousemove", gone]];
  for (const [name, run] of pairs) root.addEventListener(name, run);
  document.addEventListener("mousemove", note);
  return () => {
    pairs.forEach(([name, run]) => root.removeEventListener(name, run));
    document.removeEventListener("mousemove", note);
  };
}
