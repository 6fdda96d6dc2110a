// A view's one tooltip.
import { h } from "./shared.js";

/** A tooltip on the document, so that no panel clips it; `show(anchor, lines)`, `hide()`, `remove()`. */
export function newTip() {
  const tip = h("div", { class: "px px-tip", role: "tooltip" });
  tip.hidden = true;
  document.body.append(tip);
  const show = (anchor, lines) => {
    tip.replaceChildren(h("b", { text: lines[0] }), ...lines.slice(1).map((line) => h("div", { text: line })));
    tip.hidden = false;
    const at = anchor.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(6, at.left + at.width / 2 - size.width / 2), window.innerWidth - size.width - 6);
    const below = at.bottom + 8 + size.height < window.innerHeight;
    tip.style.left = `${Math.max(6, left)}px`;
    tip.style.top = `${below ? at.bottom + 8 : Math.max(6, at.top - size.height - 8)}px`;
  };
  return { show, hide: () => { tip.hidden = true; }, remove: () => tip.remove() };
}
