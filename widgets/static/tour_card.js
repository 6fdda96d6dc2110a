// The tour's callout and the outline around what it points at: words, buttons, keys, and a focus that stays inside.
import { h, put } from "./shared.js";

/**
 * A callout on the document, so that nothing clips it. `wish` has next(), back(), show() and end(), for its buttons and keys.
 * Returns {card, ring, say, focus, remove}.
 */
export function newCard(wish) {
  const id = Math.random().toString(36).slice(2, 8);
  const count = h("span", { class: "px-sub", "data-testid": "tour-count" });
  const title = h("b", { id: `px-tour-title-${id}` });
  const text = h("p", { id: `px-tour-text-${id}` });
  const todo = h("p", { class: "px-tour-todo", "data-testid": "tour-todo" });
  const button = (name, words, run) => h("button", { class: "px-btn", type: "button", "data-testid": `tour-${name}`, text: words, onclick: run });
  const skip = button("skip", "End tour", () => wish.end());
  const back = button("back", "Back", () => wish.back());
  const show = button("show", "Show me", () => wish.show());
  const next = button("next", "Next", () => wish.next());
  const card = h("div", { class: "px px-tour", role: "dialog", "aria-labelledby": title.id, "aria-describedby": text.id, tabindex: "-1", "data-testid": "tour-card", "data-lm-suppress-shortcuts": "true" },
    h("div", { class: "px-tour-top" }, title, count), h("div", { role: "status" }, text, todo),
    h("div", { class: "px-tour-buttons" }, skip, h("span", { class: "px-space" }), back, show, next));
  const ring = h("div", { class: "px px-tour-ring", "aria-hidden": "true" });
  const key = (event) => {
    const moves = { Escape: wish.end, ArrowRight: wish.next, ArrowLeft: wish.back };
    if (event.key === "Tab") stay(event);
    else if (moves[event.key] && !event.ctrlKey && !event.altKey && !event.metaKey) moves[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  /** Tab goes round inside the callout: its end is the way out. */
  const stay = (event) => {
    const stops = [skip, back, show, next].filter((one) => !one.hidden && !one.disabled);
    const at = stops.indexOf(document.activeElement) + (event.shiftKey ? -1 : 1);
    stops[(at + stops.length) % stops.length].focus();
  };
  card.addEventListener("keydown", key);
  document.body.append(ring, card);
  /** Shows {step, count, at, title, text, todo, show, first, last}. */
  const say = (now) => {
    put(card, "data-step", now.step);
    put(card, "data-at", now.at);
    put(count, "text", now.count);
    put(title, "text", now.title);
    put(text, "text", now.text);
    put(todo, "text", now.todo);
    todo.hidden = !now.todo;
    show.hidden = !now.show;
    back.disabled = now.first;
    skip.hidden = now.last; // one way out is enough
    put(next, "text", now.last ? "Finish" : "Next");
    put(show, "class", "px-btn px-main-btn");
    put(next, "class", now.show ? "px-btn" : "px-btn px-main-btn");
  };
  return {
    card, ring, say,
    focus: () => (show.hidden ? next : show).focus({ preventScroll: true }),
    remove: () => {
      card.remove();
      ring.remove();
    },
  };
}
