// What the map says: one polite line for screen readers, which is also seen where eyes need it.
import { h, put } from "./shared.js";

const SHOWN_MS = 9000;

/** `say(words)` tells screen readers; `say(words, true)` shows it to everyone too, for some seconds or until dismissed. */
export function newSaid() {
  const words = h("span", { role: "status", "aria-live": "polite", "data-testid": "map-said" });
  const close = h("button", { class: "px-x", type: "button", "aria-label": "dismiss", text: "\u00d7", onclick: () => hide() });
  const element = h("div", { class: "px-said px-quiet" }, words, close);
  let timer = 0;
  const hide = () => {
    clearTimeout(timer);
    element.classList.add("px-quiet");
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (element.matches(":hover, :focus-within") ? later() : hide()), SHOWN_MS);
  };
  const say = (text, loud = false) => {
    if (words.textContent === text) words.textContent = "";
    put(words, "text", text);
    element.classList.toggle("px-quiet", !loud || !text);
    close.tabIndex = loud ? 0 : -1;
    if (loud) later();
  };
  return { element, say, hide, remove: () => clearTimeout(timer) };
}
