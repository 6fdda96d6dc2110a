// How the panels show a number with its word.
import { h } from "./shared.js";

/** A number with its word, and what it is a number of. */
export function figureCard(figure) {
  const tag = h("span", { class: "px-tag", "data-kind": figure.kind, "data-term": figure.kind, text: figure.kind });
  return h("div", { class: "px-fig", "data-testid": `figure:${figure.term}`, "data-kind": figure.kind },
    h("div", { class: "px-fig-top" }, h("span", { class: "px-term-word", tabindex: "0", "data-term": figure.term, text: figure.term }), tag),
    h("div", { class: `px-fig-big${figure.tone ? ` px-${figure.tone}` : ""}`, text: figure.big }),
    h("div", { class: "px-sub", text: figure.sub }));
}

/** Marks the box around a view and its plots once it is on the page: tests and tutorials look for it there. */
export function markBox(el, name, testid) {
  let tries = 200;
  const mark = () => {
    const box = el.isConnected && el.closest(`.px-${name}`);
    if (box) box.setAttribute("data-testid", testid);
    else if ((tries -= 1) > 0) requestAnimationFrame(mark);
  };
  mark();
}
