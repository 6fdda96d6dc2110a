// A view's one tooltip.
import { h } from "./shared.js";

const TIP_EDGE = 6;
const TIP_GAP = 8;

/** The left and top edge of a tooltip of some size at a place: below it, or above where there is no room; within the window. */
export function tipPlace(at, size, frame) {
  const left = Math.min(Math.max(TIP_EDGE, at.left + at.width / 2 - size.width / 2), frame.width - size.width - TIP_EDGE);
  const below = at.bottom + TIP_GAP + size.height < frame.height;
  return { left: Math.max(TIP_EDGE, left), top: below ? at.bottom + TIP_GAP : Math.max(TIP_EDGE, at.top - size.height - TIP_GAP) };
}

/** Whether some of what a tooltip belongs to is within the window. */
export function inFrame(at, frame) {
  return at.width > 0 && at.bottom > 0 && at.top < frame.height && at.right > 0 && at.left < frame.width;
}

/** A tooltip on the document, so that no panel clips it; `id`, `show(anchor, lines)`, `hide()`, `remove()`. */
export function newTip() {
  const id = `px-tip-${Math.random().toString(36).slice(2, 10)}`;
  const tip = h("div", { class: "px px-tip", role: "tooltip", id });
  let owner = null;
  tip.hidden = true;
  document.body.append(tip);
  const place = () => {
    const at = owner.getBoundingClientRect();
    const frame = { width: window.innerWidth, height: window.innerHeight };
    tip.hidden = !inFrame(at, frame);
    const { left, top } = tipPlace(at, tip.getBoundingClientRect(), frame);
    // In presenter mode the tooltip is enlarged, and so is the length at which it is put.
    const zoom = tip.currentCSSZoom || 1;
    tip.style.left = `${left / zoom}px`;
    tip.style.top = `${top / zoom}px`;
  };
  const hide = () => {
    tip.hidden = true;
    removeEventListener("scroll", place, true);
  };
  const show = (anchor, lines) => {
    owner = anchor;
    tip.replaceChildren(h("b", { text: lines[0] }), ...lines.slice(1).map((line) => h("div", { text: line })));
    place();
    // A finger that scrolls leaves nothing behind that would tell the tooltip to go.
    addEventListener("scroll", place, true);
  };
  const remove = () => {
    hide();
    tip.remove();
  };
  return { id, show, hide, remove };
}
